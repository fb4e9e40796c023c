"""Peaks of resident memory."""

from __future__ import annotations

import sys

import pytest

from resnetgen.runtime.bench.timing import PeakMemory

LARGE = 64 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep one peak a process")
def test_a_peak_counts_after_it_passed_and_until_it_is_set_back() -> None:
    peak = PeakMemory()
    large = bytearray(b"x") * LARGE
    del large
    assert peak.bytes() >= 0.9 * LARGE  # the kernel counts in batches of pages
    peak.reset()
    assert peak.bytes() < 0.9 * LARGE
