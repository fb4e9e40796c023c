"""Twisted specs (`generated/twists.py`): what `check` accepts is right in everything that it says."""

from __future__ import annotations

import pytest
from generated.__main__ import attempt

BATCH = 25


@pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")
@pytest.mark.parametrize("start", range(0, 500, BATCH))
def test_a_twisted_spec_is_right_or_refused(start: int) -> None:
    accepted = 0
    for seed in range(start, start + BATCH):
        text, twists, compiled, error = attempt(seed)
        assert error is None, f"seed {seed} {twists}: {error}\n{text}"
        accepted += compiled is not None
    assert accepted > BATCH // 2
