"""Twisted specs (`generated/twists.py`): what `check` accepts is right in everything that it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from generated.__main__ import attempt

BATCH = 25


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The networks are small: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")
@pytest.mark.parametrize("start", range(0, 200, BATCH))
def test_a_twisted_spec_is_right_or_refused(start: int) -> None:
    accepted = 0
    for seed in range(start, start + BATCH):
        text, twists, compiled, error = attempt(seed)
        assert error is None, f"seed {seed} {twists}: {error}\n{text}"
        accepted += compiled is not None
    assert accepted > BATCH // 2


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")
@pytest.mark.parametrize("start", range(200, 1000, BATCH))
def test_more_of_them_are_right_or_refused(start: int) -> None:
    test_a_twisted_spec_is_right_or_refused(start)
