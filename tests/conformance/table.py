"""The conformance table."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from peers import import_timm, import_torchvision

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
        ours, theirs, run = self.ours, self.theirs, self.numerics
        yield f"`{self.entry.name}`"
        yield self.title
        yield " x ".join(map(str, self.entry.size()))
        yield _said(ours.keys == theirs.keys, f"{len(theirs.keys):,}")
        yield _said(ours.params == theirs.params, f"{theirs.params:,}")
        yield _said(ours.macs == theirs.macs, f"{theirs.macs:,}")
        yield " x ".join(map(str, self.entry.small))
        yield _said(run.evaluation)
        yield _said(run.training and run.statistics)
        yield _said(run.gradients)
        yield _said(not run.initial, "equal, zeroed" if self.entry.initial else "equal")

    def differences(self) -> Iterator[str]:
        """What differs, by name."""
        mine, other = dict(self.ours.keys), dict(self.theirs.keys)
        for key in mine.keys() ^ other.keys():
            yield f"the key `{key}` is only {'ours' if key in mine else 'theirs'}"
        for key in mine.keys() & other.keys():
            if mine[key] != other[key]:
                yield f"`{key}` is {mine[key]}, theirs {other[key]}"
        for what in ("params", "macs"):
            counted, expected = getattr(self.ours, what), getattr(self.theirs, what)
            if counted != expected:
                yield f"{what}: {counted:,}, theirs {expected:,}"
        for what in ("evaluation", "training", "gradients", "statistics"):
            if not getattr(self.numerics, what):
                yield f"{what} is not bit-equal"
        for key in self.numerics.initial:
            yield f"`{key}` starts otherwise"


def _said(holds: bool, text: str = "equal") -> str:
    return text if holds else f"**not equal** ({text})" if text != "equal" else "**not equal**"


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


def markdown(rows: Iterable[Row], title: str = "peer") -> str:
    """A table."""
    header = [title if cell == "peer" else cell for cell in HEADER]
    lines = [header, ["---"] * len(header), *(list(each.cells()) for each in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(names: list[str]) -> None:
    """All entries, or those named."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # nothing here is large enough for two
    known = [*ENTRIES, VIDEO]
    chosen = [each for each in known if not names or each.name in names or each.peer in names]
    rows = [timed(each.peer.partition("/")[0], each) for each in chosen]
    if names:
        print(markdown(rows))
        return
    variations = [timed(title, each) for title, each in VARIATIONS.items()]
    PAGE.write_text(page(rows, variations), encoding="utf-8", newline="\n")
    print(f"{sum(each.exact for each in rows)} of {len(rows)} exact; wrote {PAGE}")


PROSE = """\
# Conformance

The networks of the library against those of torchvision and timm, imported live. \
`python -m tests.conformance` makes this page; CI compares keys, shapes and parameters of all of them on the meta device, has torch count the multiply-adds of every fifth, and runs some with weights.

{versions}. **{exact} of {total} are exact**: nothing differs in any column.

- **keys, parameters, multiply-adds**: keys and shapes of the `state_dict`, in order, and the counts at `input`, ours as the compiler predicts them, the peer's as `torch.utils.flop_counter` counts it. The figures shown are the peer's.
- **eval, training, gradients**: both networks hold the same random weights, norm scales, biases and statistics, and run on the same two images of the size `run at`. All outputs, in training also the norm statistics afterwards, and the gradients of all weights and of the images are bit-equal. Dropout and stochastic depth draw from one seed. Outputs are checked to be finite and to differ among classes and images, and every weight to have a gradient.
- **start**: from one seed, both start from the same weights. timm starts the last norm of each branch at 0, torchvision at 1. A network that both have follows torchvision; `zeroed` says that it equals timm's with `--set init.last_norm.weight=0`.
"""


def page(rows: list[Row], variations: list[Row]) -> str:
    """docs/conformance.md."""
    packages = [import_timm(), import_torchvision()]
    versions = ", ".join(f"{each.__name__} {each.__version__}" for each in packages)
    exact = sum(each.exact for each in rows)
    parts = [PROSE.format(versions=versions, exact=exact, total=len(rows)), markdown(rows)]
    parts += ["## Variations\n\nOne line of a spec, one argument of the peer."]
    parts += [markdown(variations, "one line of the spec")]
    if different := [each for each in (*rows, *variations) if not each.exact]:
        parts += ["## Differences"]
        parts += [
            f"- `{each.entry.peer}`: {'; '.join(each.differences())}. {each.entry.why}"
            for each in different
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def timed(title: str, entry: Entry) -> Row:
    """A row, told on the terminal when it is done."""
    start = time.perf_counter()
    result = row(title, entry)
    state = "exact" if result.exact else f"DIFFERS {result.numerics}"
    print(f"{entry.peer:36} {state} ({time.perf_counter() - start:.1f} s)", flush=True)
    return result
