"""The papers' ledger: the data has sources, computed figures are the compiler's, claims hold."""

from __future__ import annotations

import pytest

from resnetgen.compiler.passes.infer_types import Cost
from resnetgen.pipeline import compile_spec
from resnetgen.reports.papers import (
    Claim,
    PaperTable,
    PublishedRow,
    as_data,
    claim_line,
    ledger,
    paper_grid,
)


@pytest.fixture(scope="module")
def tables() -> list[PaperTable]:
    return list(ledger(lambda network, changes: compile_spec(network, **changes).cost))


def test_published_figures_agree_where_the_paper_is_exact(tables: list[PaperTable]) -> None:
    """Two published figures are not what the architecture gives; the ledger marks them."""
    marked = {
        (table.paper.split(",")[0], table.name, entry.label, figure)
        for table in tables
        for entry in table.rows
        for figure in ("params", "macs")
        if entry.agrees(figure) is False
    }
    assert marked == {
        ("He et al. 2015", "Table 1", "ResNet-50", "macs"),
        ("He et al. 2016", "Table 4", "ResNet-1001", "params"),
    }


def test_the_papers_claims_hold(tables: list[PaperTable]) -> None:
    claims = [claim for table in tables for claim in table.claims]
    assert len(claims) >= 3
    assert all(claim.holds for claim in claims)
    deepest = next(claim for claim in claims if claim.than[0] == "vgg19" and "152" in claim.text)
    assert (deepest.less[1], deepest.than[1]) == (11_282_415_616, 19_632_062_464)
    assert "11.28 G" in claim_line(deepest)


def test_a_claim_may_fail() -> None:
    claim = Claim("less is more", "macs", ("a", 3), ("b", 2))
    assert not claim.holds
    assert "does not hold" in claim_line(claim)


def test_every_table_names_its_paper(tables: list[PaperTable]) -> None:
    assert all("arXiv" in table.paper for table in tables)
    assert [table.name for table in tables if "1512.03385" in table.paper] == [
        "Table 1", "Table 2", "Table 3", "Table 4", "Table 6",
    ]  # fmt: skip


def test_rounding_as_published() -> None:
    entry = PublishedRow(
        "x", {"macs": "3.8e9", "params": "0.27e6"}, "", Cost(params=274_999, macs=3_849_999_999)
    )
    assert entry.agrees("macs")
    assert entry.agrees("params")
    other = PublishedRow("x", {"macs": "3.8e9"}, "", Cost(macs=3_850_000_001))
    assert other.agrees("macs") is False
    assert PublishedRow("x", {"macs": "3.8e9"}, "", None).agrees("macs") is None


def test_a_network_that_the_library_does_not_have(tables: list[PaperTable]) -> None:
    rows = [row for table in tables for row in paper_grid(table).rows if row[0] == "PReLU-net"]
    assert rows
    assert all(row[1] == "-" for row in rows)


def test_as_data_has_both_figures(tables: list[PaperTable]) -> None:
    first = as_data(tables[0])["rows"][0]
    assert first["macs"] == {"published": "19.6e9", "computed": 19_632_062_464, "agrees": True}
