"""Axes: where values are, and the round values beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetgen.reports.numbers import short_number
from resnetgen.reports.plotting.scales import Scale, round_step


@given(st.floats(1e-9, 1e15))
def test_a_step_is_round_and_no_larger_than_it_must_be(least: float) -> None:
    step = round_step(least)
    assert f"{step:.6e}"[:8] in ("1.000000", "2.000000", "5.000000")
    assert least * 0.999 <= step < least * 2.51


@given(st.floats(1e-6, 1e12), st.floats(4, 1e6), st.booleans())
def test_ticks_lie_within_the_range(low: float, factor: float, log: bool) -> None:
    scale = Scale(low, low * factor, 100, 700, log)
    ticks = scale.ticks()
    assert 2 + log <= len(ticks) <= 12
    assert ticks == sorted(set(ticks))
    assert all(99.9 <= scale(tick) <= 700.1 for tick in ticks)


def test_a_logarithmic_axis_has_as_many_ticks_as_are_asked_for() -> None:
    scale = Scale(0.9, 17, 0, 100, log=True)
    assert scale.ticks() == [1, 3, 10]
    assert scale.ticks(4) == [1, 2, 5, 10]


def test_equal_ratios_are_equally_far_apart() -> None:
    scale = Scale(1e6, 1e9, 300, 0, log=True)
    assert [scale(value) for value in (1e6, 1e7, 1e8, 1e9)] == pytest.approx([300, 200, 100, 0])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.05, "0.05"), (999, "999"), (1500, "1.5 K"), (2.5e9, "2.5 G"), (-3e6, "-3 M")],
)
def test_a_tick_has_no_more_digits_than_it_needs(value: float, text: str) -> None:
    assert short_number(value) == text
