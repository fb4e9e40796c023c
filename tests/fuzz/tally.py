"""What a kind of cases came to: how many ran, figures about them, and what was found."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
REPLAYED = ("valid", "malformed", "inject")  # kinds of which a file alone shows the fault
REGRESSIONS = Path(__file__).resolve().parents[1] / "regressions"


@dataclass(frozen=True)
class Find:
    """A case that did not end as it must; `text` is the shrunk spec, `kind` says what must hold."""

    kind: str  # the folder under tests/regressions whose replay shows it
    why: str
    text: bytes

    def save(self, folder: Path = REGRESSIONS) -> Path:
        """Writes the spec where an ordinary test replays it; equal finds are one file."""
        name = hashlib.sha256(self.text).hexdigest()[:8]
        path = folder / self.kind / f"found_{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.text)
        return path


@dataclass
class Tally:
    """The figures of one kind, in the order in which they are reported."""

    title: str
    figures: dict[str, str] = field(default_factory=dict)
    finds: list[Find] = field(default_factory=list)

    def find(self, kind: str, why: str, text: bytes) -> None:
        """Keeps a find, and tells it: whoever watches a long run need not wait for its end."""
        self.finds.append(Find(kind, why.strip(), text))
        print(
            f"find: {why.strip().splitlines()[0]}\n      {text[:200]!r}",
            file=sys.stderr,
            flush=True,
        )


def watched(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    """The items; how many there were is told on stderr every few seconds."""
    start = told = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - told > 5 or count == total:
            told = now
            rate = count / max(now - start, 1e-9)
            print(f"{title}: {count:,} of {total:,}, {rate:,.0f}/s", file=sys.stderr, flush=True)


def share(part: int, whole: int) -> str:
    """`29 of 30 (96.7 %)`."""
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f} %)" if whole else "none"


def markdown(tallies: Iterable[Tally]) -> str:
    """The figures of all kinds as tables."""
    parts = []
    for tally in tallies:
        rows = {**tally.figures, "finds": f"{len(tally.finds):,}"}
        table = [f"| {name} | {said} |" for name, said in rows.items()]
        parts.append("\n".join([f"## {tally.title}", "", "| | |", "|---|---|", *table]))
    return "\n\n".join(parts) + "\n"


def as_data(tallies: Iterable[Tally]) -> list[Mapping[str, object]]:
    """The same as plain data."""
    return [
        {"title": each.title, "figures": each.figures, "finds": [find.why for find in each.finds]}
        for each in tallies
    ]
