"""The Pareto front of random points by its definition, and the plot."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET

import pytest

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.reports.sweep.pareto import MAX_DOTS, Axis, Front, axis_scale, parse_axes, plot_svg

AXES = (Axis("macs", True), Axis("params", False))


def points(seed: int, count: int, most: int) -> list[tuple[int, int]]:
    draw = random.Random(seed)
    return [(draw.randint(1, most), draw.randint(1, most)) for _ in range(count)]


def beats(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_the_points_that_no_other_beats(seed: int) -> None:
    given = points(seed, 200, 12 if seed % 2 else 1000)
    front = Front(AXES)
    for row, point in enumerate(given):
        front.add(*point, row)
    expected = {each for each in given if not any(beats(other, each) for other in given)}
    shown = [(point.x, point.y) for point in front]
    assert sorted(expected) == shown
    assert [given.index(each) for each in shown] == [point.variant for point in front]
    assert not front.thinned


def test_less_may_be_better_on_both_axes() -> None:
    front = Front((Axis("a", True), Axis("b", True)))
    for row, point in enumerate([(1, 5), (2, 2), (3, 3), (5, 1), (2, 2)]):
        front.add(*point, row)
    assert [(point.x, point.y, point.variant) for point in front] == [
        (1, 5, 0),
        (2, 2, 1),
        (5, 1, 3),
    ]


def test_a_front_that_outgrows_its_bound_keeps_its_ends() -> None:
    front = Front(AXES, most=50)
    for each in range(1000):
        front.add(each, each, each)
    assert len(front) <= 50
    assert front.thinned
    variants = [point.variant for point in front]
    assert (variants[0], variants[-1]) == (0, 999)


def test_axes_are_columns_with_a_direction() -> None:
    assert parse_axes("macs, -params", ["macs", "params"]) == AXES


@pytest.mark.parametrize("text", ["macs", "macs,params,flops", "macs,-macs", "macs,parms", ""])
def test_wrong_axes_are_an_error(text: str) -> None:
    with pytest.raises(SpecError):
        parse_axes(text, ["macs", "params", "flops"])


@pytest.mark.parametrize("count", [1, 30, MAX_DOTS + 1, 20_000])
def test_a_plot_is_small_and_well_formed(count: int) -> None:
    given = points(1, count, 10**9)
    front = Front(AXES)
    for row, point in enumerate(given):
        front.add(*point, row)
    text = plot_svg("a <b> & c", ("macs", "params"), lambda: given, front)
    root = ET.fromstring(text)
    assert root[0].text == f"a <b> & c: {count:,} variant{'s' * (count > 1)}"
    assert len(text) < 200_000


def test_a_plot_of_nothing_says_so() -> None:
    assert "no variant has figures" in plot_svg("x", ("a", "b"), list, Front(AXES))


@pytest.mark.parametrize(
    ("least", "most", "log"),
    [(10, 20, False), (1, 15, True), (1e6, 1e12, True), (0, 0, False), (5, 5, False), (-3, 9, False), (0, 1e9, False)],
)  # fmt: skip
def test_a_scale_covers_its_range_and_has_some_ticks(least: float, most: float, log: bool) -> None:
    axis = axis_scale(least, most, 100, 700)
    assert axis.log is log
    assert 100 <= axis(least) <= axis(most) <= 700
    assert 3 <= len(axis.ticks()) <= 12
    assert all(100 <= axis(tick) <= 700 for tick in axis.ticks())
