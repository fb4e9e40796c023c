"""run(plan): every variant's row, in order, from where the file ends.

plan -> space -> costs -> where -> rows -> FILE
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnetgen._version import __version__
from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Source, Span, SpecError
from resnetgen.compiler.frontend import library
from resnetgen.reports.sweep.costs import Costs
from resnetgen.reports.sweep.evaluate import Figures
from resnetgen.reports.sweep.files import Appender, SweepFile
from resnetgen.reports.sweep.rows import NAMES, columns_of
from resnetgen.reports.sweep.space import Space, space_of
from resnetgen.reports.sweep.symbols import Base, base_of
from resnetgen.reports.sweep.where import Where, parse_where

FLUSH_SECONDS = 0.5
PROBES = 8  # values of each path that are tried before a sweep is refused as a whole

# A variant, the index of each of its values, and its figures, its fault, or None: it has no row.
Found = tuple[int, tuple[int, ...], Figures | str | None]


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What is swept: the spec, its variants, and which of them have a row."""

    base: Base
    space: Space
    where: Where | None


def sweep(
    spec: str | Path,
    vary: Mapping[str, str | Iterable[object]],
    where: str | None = None,
    **settings: object,
) -> Iterator[dict[str, Any]]:
    """The rows of a sweep, one dict a variant, without a file.

        for row in sweep("resnet50", {"layer3.blocks": range(1, 41)}, "macs < 5e9"):
            print(row["layer3.blocks"], row["params"])

    Keys are those of the columns (docs/sweep.md); of a variant that is refused the figures are None
    and `error` says why. Raises SpecError for a wrong spec, range or condition, OSError if the spec
    cannot be read.
    """
    space = space_of(vary)
    plan = SweepPlan(base_of(spec, settings), space, parse_where(where, space) if where else None)
    costs = Costs(plan.base, plan.space)
    probe(plan, costs)
    for variant, choice, found in variants(plan, costs, 0):
        if found is not None:
            yield {"variant": variant, **_values(plan.space, choice), **_figures(found)}


def _figures(found: Figures | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {**dict.fromkeys(NAMES), "error": found}
    return {**found._asdict(), "error": None}


def _values(space: Space, choice: Sequence[int]) -> dict[str, Any]:
    return {path: setting.value for path, setting in space.settings(choice)}


def variants(plan: SweepPlan, costs: Costs, start: int) -> Iterator[Found]:
    """The variants from a number on. Raises SpecError where `where` has no value."""
    where, space = plan.where, plan.space
    for variant in range(start, space.count):
        choice = space.choice(variant)
        if where is None:
            yield variant, choice, costs.of(choice)
        elif not where.reads_figures:
            kept = where.keeps(_values(space, choice))
            yield variant, choice, costs.of(choice) if kept else None
        else:
            found = costs.of(choice)
            kept = not isinstance(found, str) and where.keeps(
                {**_values(space, choice), **found._asdict()}
            )
            yield variant, choice, found if kept else None


def run(plan: SweepPlan, costs: Costs, place: SweepFile, tell: Callable[[int], None]) -> None:
    """Writes the rows from a place on; `tell` is told how far it is. Raises WriteError, SpecError."""
    with Appender(place) as file:
        flushed = time.monotonic()
        for variant, choice, found in variants(plan, costs, place.next):
            if found is not None:
                file.append(place.format.line(variant, choice, found))
            now = time.monotonic()
            if now - flushed > FLUSH_SECONDS:
                file.flush()
                tell(variant + 1)
                flushed = now
        file.finish()


# --- before anything is written


def probe(plan: SweepPlan, costs: Costs) -> None:
    """Raises SpecError where no variant that is tried is sound: the spec is wrong, or a path.

    Also where the condition has no value for the first that is.
    """
    choices = list(dict.fromkeys(_probes(plan.space)))
    for choice in choices:
        found = costs.of(choice)
        if isinstance(found, Figures):
            if plan.where:
                plan.where.keeps({**_values(plan.space, choice), **found._asdict()})
            return
    try:
        costs.compile(choices[0])
    except SpecError as error:
        paths = [f"--set {factor.path}" for factor in plan.space.factors]
        note = Note(f"all variants that were tried are refused, {len(choices)} of them")
        told = [_as_varied(fault, paths, note) for fault in error.diagnostics]
        raise SpecError(told) from None


def _probes(space: Space) -> Iterator[tuple[int, ...]]:
    """The first variant, the one in the middle, and those that differ from it in one value."""
    lengths = [len(factor.settings) for factor in space.factors]
    yield (0,) * len(lengths)
    middle = tuple(length // 2 for length in lengths)
    yield middle
    for at, length in enumerate(lengths):
        for index in sorted({round(i * (length - 1) / (PROBES - 1)) for i in range(PROBES)}):
            yield (*middle[:at], index, *middle[at + 1 :])


def _as_varied(fault: Diagnostic, paths: Sequence[str], note: Note) -> Diagnostic:
    """A fault of the first variant; where a varied value is at fault, told as it was written."""
    span = fault.span
    if span and span.file in paths:
        source = Source(span.file.replace("--set", "--vary", 1), span.source.text)
        span = Span(source, span.line, span.column, span.end)
    return Diagnostic(fault.code, fault.message, span, (*fault.notes, note), fault.help)


# --- what the sweep is


def description(
    plan: SweepPlan, vary: Sequence[str], figures: Sequence[str], spec: str
) -> dict[str, Any]:
    """The sidecar: what makes the sweep the one it is, and what its columns mean."""
    columns = columns_of(plan.space, figures)
    return {
        "resnetgen": __version__,
        "spec": spec,
        "digest": digest(plan.base),
        "settings": {key: str(value) for key, value in plan.base.settings.items()},
        "vary": list(vary),
        "where": plan.where.text if plan.where else None,
        "variants": plan.space.count,
        "columns": [{"name": c.name, "unit": c.unit, "doc": c.doc} for c in columns],
    }


def digest(base: Base) -> str:
    """16 hex digits that name the spec with all that it extends, and every block that it may call."""
    document = library.complete(base.tree, base.folders, {})
    texts = [library.canonical_text(document.tree).encode()]
    for folder in (*document.folders, library.LIBRARY):
        for kind in library.BLOCK_KINDS:
            texts += (path.read_bytes() for path in library.block_files(kind, folder))
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]
