"""`--where`: conditions over varied paths and figures."""

from __future__ import annotations

import pytest

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.reports.sweep.rows import parse_where
from resnetgen.reports.sweep.space import parse_space

SPACE = parse_space(["layer3.blocks=1..40", "block=basic,bottleneck", "nodes.up.0.width=8,16"])
VARIANT = {"layer3.blocks": 4, "block": "basic", "nodes.up.0.width": 16, "macs": 5 * 10**9}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("layer3.blocks > 3", True),
        ("macs < 5e9", False),
        ("macs <= 5.0e9 and layer3.blocks % 2 == 0", True),
        ("block == bottleneck or nodes.up.0.width == 16", True),
        ("block != basic", False),
        ("not layer3.blocks*2.5 > 9", False),
    ],
)
def test_conditions(text: str, kept: bool) -> None:
    assert parse_where(text, SPACE).keeps(VARIANT) is kept


def test_only_some_conditions_need_the_costs() -> None:
    assert parse_where("macs < 1", SPACE).reads_figures
    assert not parse_where("layer3.blocks > 3", SPACE).reads_figures


@pytest.mark.parametrize(
    ("text", "marked", "message"),
    [
        ("macs <", "macs <", "is not an expression"),
        ("layer3.width > 3", "layer3.width", "is not varied"),
        ("1 < mac", "mac", "is not varied"),
        ("layer3.blocks ** 2 > 3", "layer3.blocks ** 2 > 3", "no `**`"),
    ],
)
def test_a_wrong_condition_is_marked_in_its_text(text: str, marked: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse_where(text, SPACE)
    (error,) = raised.value.diagnostics
    assert message in error.message
    assert error.span
    assert error.span.text == marked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("macs / (layer3.blocks - 4) < 1", "`macs / (layer3.blocks - 4)` divides by zero"),
        ("macs + 1", "neither true nor false"),
        ("block < 3", "has no value"),
    ],
)
def test_a_condition_without_a_value_is_an_error(text: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse_where(text, SPACE).keeps(VARIANT)
    assert message in raised.value.diagnostics[0].message
