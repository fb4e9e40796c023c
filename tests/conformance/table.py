"""The conformance table."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from conformance import counts, numerics
from conformance.counts import Counts
from conformance.entries import ENTRIES, VARIATIONS, VIDEO, Entry
from conformance.numerics import Numerics

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"


@dataclass(frozen=True)
class Row:
    """One network against one peer."""

    title: str
    entry: Entry
    ours: Counts
    theirs: Counts
    numerics: Numerics

    @property
    def exact(self) -> bool:
        """Whether nothing at all differs."""
        return self.ours == self.theirs and self.numerics.exact

    def cells(self) -> Iterator[str]:
        """A line of the table."""
        yield f"`{self.entry.name}`"
        yield self.title
        yield "x".join(map(str, self.entry.size()))
        yield _said(self.ours.keys == self.theirs.keys, f"{len(self.theirs.keys):,}")
        yield _said(self.ours.params == self.theirs.params, f"{self.theirs.params:,}")
        yield _said(self.ours.macs == self.theirs.macs, f"{self.theirs.macs:,}")
        yield "x".join(map(str, self.entry.small))
        yield _said(self.numerics.evaluation)
        yield _said(self.numerics.training and self.numerics.statistics)
        yield _said(self.numerics.gradients)
        initial = self.numerics.initial
        yield (
            _said(not initial, "equal*" if self.entry.initial else "equal")
            if not initial
            else (f"{len(initial)} differ")
        )


def _said(holds: bool, text: str = "equal") -> str:
    return text if holds else f"**{text}: differs**"


HEADER = (
    "network",
    "peer",
    "input",
    "keys",
    "parameters",
    "multiply-adds",
    "run at",
    "eval",
    "training",
    "gradients",
    "start",
)


def row(title: str, entry: Entry) -> Row:
    """Compares one network with its peer; nothing of it stays in memory."""
    result = Row(
        title, entry, counts.predicted(entry), counts.of_peer(entry), numerics.compare(entry)
    )
    gc.collect()
    return result


def markdown(rows: Iterable[Row]) -> str:
    """A table."""
    lines = [" | ".join(HEADER), " | ".join("---" for _ in HEADER)]
    lines += [" | ".join(each.cells()) for each in rows]
    return "\n".join(f"| {line} |" for line in lines)


def main(names: list[str]) -> None:
    """All entries, or those named."""
    warnings.simplefilter("ignore")
    known = [*ENTRIES, VIDEO]
    chosen = [each for each in known if not names or each.name in names or each.peer in names]
    rows = [timed(each.peer.partition("/")[0], each) for each in chosen]
    variations = [timed(title, each) for title, each in VARIATIONS.items() if not names]
    if names:
        print(markdown(rows))
        return
    PAGE.write_text(page(rows, variations), encoding="utf-8", newline="\n")
    print(f"{sum(each.exact for each in rows)} of {len(rows)} exact; wrote {PAGE}")


def page(rows: list[Row], variations: list[Row]) -> str:
    return ""


def timed(title: str, entry: Entry) -> Row:
    """A row, told on the terminal when it is done."""
    start = time.perf_counter()
    result = row(title, entry)
    state = "exact" if result.exact else f"DIFFERS {result.numerics}"
    print(f"{entry.peer:36} {state} ({time.perf_counter() - start:.1f} s)", flush=True)
    return result
