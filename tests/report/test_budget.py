"""Budgets: which limits a network exceeds, and errors in budgets."""

from __future__ import annotations

import pytest

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.reports.budget import exceeded_limits, parse_budget
from resnetgen.reports.metrics import METRICS
from resnetgen.reports.numbers import expand_suffixes

VALUES = {"params": 25_557_032, "macs": 4_089_184_256, "field": (427, 427), "intensity": 24.1}


def exceeded(text: str) -> list[str]:
    limits = parse_budget(text, METRICS, "--budget")
    return [each.message for each in exceeded_limits(limits, "net", VALUES, METRICS)]


@pytest.mark.parametrize(
    "text",
    [
        "macs < 4.1e9",
        "macs < 4.1G, params < 26M",
        "params <= 25557032",
        "params == 25557032",
        "macs / params < 161",
        "max(params, macs) > 1k",
        "field >= 427",
        "params < 24.4Mi",
        "",
        " , ",
    ],
)
def test_limits_that_hold(text: str) -> None:
    assert exceeded(text) == []


def test_a_limit_says_by_how_much() -> None:
    (message,) = exceeded("macs < 4e9")
    assert message == (
        "net is over its budget: macs is 4,089,184,256, 89,184,256 (2.2%) more than 4,000,000,000"
    )


def test_every_limit_is_told() -> None:
    assert len(exceeded("macs < 4G, params < 1M, params > 1G, field < 500")) == 3


def test_a_lower_limit() -> None:
    assert "less than 30,000,000" in exceeded("params > 30M")[0]


@pytest.mark.parametrize(
    ("text", "code", "column", "word"),
    [
        ("mac < 4e9", "unknown-name", 1, "did you mean `macs`?"),
        ("macs < 4e9, parms < 3", "unknown-name", 13, "did you mean `params`?"),
        ("macs", "wrong-value", 1, "macs < 4G"),
        ("params < 3, macs + 1", "wrong-value", 13, "macs < 4G"),
        ("macs <", "expression", 1, "not an expression"),
        ("macs < 4X", "expression", 1, "not an expression"),
        ("macs = 4e9", "expression", 1, "not an expression"),
        ("__import__('os')", "expression", 1, ""),
        ("macs < 4e9 < 5e9", "expression", 1, ""),
    ],
)
def test_wrong_budgets(text: str, code: str, column: int, word: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_budget(text, METRICS, "--budget")
    (error,) = caught.value.diagnostics
    assert (error.code, error.span.line, error.span.column) == (code, 1, column)
    assert word in f"{error.message} {error.help}"


def test_a_limit_that_has_no_value() -> None:
    with pytest.raises(SpecError, match="divides by zero"):
        exceeded("macs / (params - 25557032) < 3")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("4G", "4000000000"),
        ("1.5k", "1500"),
        ("2Ki", "2048"),
        ("0.1G", "100000000"),
        ("x2G", "x2G"),
    ],
)
def test_suffixes(text: str, plain: str) -> None:
    assert expand_suffixes(text) == plain
