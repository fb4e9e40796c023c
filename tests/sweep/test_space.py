"""`--vary`: ranges and lists of values, and the variants that they make."""

from __future__ import annotations

import pytest

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.reports.sweep.space import parse_factor, parse_space, space_of


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1..4", [1, 2, 3, 4]),
        ("a=64..512..64", [64, 128, 192, 256, 320, 384, 448, 512]),
        ("a=1..10..4", [1, 5, 9]),
        ("a=5..1..-2", [5, 3, 1]),
        ("a=-2..2", [-2, -1, 0, 1, 2]),
        ("a=7..7", [7]),
        ("a=0..0.3..0.1", [0.0, 0.1, 0.2, 0.3]),
        ("a=1..4,8,16", [1, 2, 3, 4, 8, 16]),
        ("a= 256, 384 ,512", [256, 384, 512]),
        ("a=basic,bottleneck", ["basic", "bottleneck"]),
        ("a=[160,160],[224,224]", [[160, 160], [224, 224]]),
        ("a={op: zero_pad, centred: true},none", [{"op": "zero_pad", "centred": True}, "none"]),
        ("a=true,false", [True, False]),
        ("a=1,1.0,true", [1, 1.0, True]),
        ("a='1..3','x,y'", ["1..3", "x,y"]),
        ("a=max(1, 2),3", ["max(1, 2)", 3]),
    ],
)
def test_values(text: str, values: list[object]) -> None:
    parsed = [each.value for each in parse_factor(text).values]
    assert parsed == values
    assert list(map(type, parsed)) == list(map(type, values))


def test_the_text_of_a_value() -> None:
    texts = [each.text for each in parse_factor("a=0..0.2..0.05,8..10").values]
    assert texts == ["0.00", "0.05", "0.10", "0.15", "0.20", "8", "9", "10"]


def test_the_last_factor_varies_fastest() -> None:
    space = parse_space(["a=1..2", "b=x,y,z"])
    assert space.count == 6
    assert [space.choice(variant) for variant in range(6)] == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2),
    ]  # fmt: skip


def test_python_values_make_the_same_space() -> None:
    space = space_of({"a": range(1, 4), "b": ["x", True, [1, 2]], "c": "1..2"})
    assert space == parse_space(["a=1..3", "b=x,true,[1, 2]", "c=1..2"])


@pytest.mark.parametrize(
    ("texts", "marked", "message"),
    [
        (["a"], "a", "is not PATH=VALUES"),
        (["=1"], "=1", "is not PATH=VALUES"),
        (["a="], "", "an empty value"),
        (["a=1,,2"], "1,,2", "an empty value"),
        (["a=5..1"], "5..1", "is empty"),
        (["a=1..5..-1"], "1..5..-1", "is empty"),
        (["a=1..5..0"], "1..5..0", "the step"),
        (["a=1..n"], "1..n", "is not a range"),
        (["a=1..2..3..4"], "1..2..3..4", "is not a range"),
        (["a=1,2,1"], "1", "has the value `1` twice"),
        (["a=1..4,3"], "3", "has the value `3` twice"),
        (["a=x,x"], "x", "has the value `x` twice"),
        (["a=1..2", "a=3"], "a", "varied twice"),
        (["a=1..999999999999"], "1..999999999999", "more than 100,000 values"),
        (["a=1..100000", "b=1..2000"], "b=1..2000", "200,000,000 variants"),
    ],
)
def test_a_wrong_range_is_one_error_that_marks_it(
    texts: list[str], marked: str, message: str
) -> None:
    with pytest.raises(SpecError) as raised:
        parse_space(texts)
    (error,) = raised.value.diagnostics
    assert message in error.message
    assert error.span
    assert error.span.file == "--vary"
    assert error.span.text == marked


def test_a_value_that_is_not_yaml_is_an_error() -> None:
    with pytest.raises(SpecError, match="missing here"):
        parse_space(["a=[1,2"])
