"""Runs a sweep: compute every variant in order, starting after the last row in the file.

    spec + --vary + --where  ->  SweepPlan  ->  one row per variant  ->  FILE

`sweep` yields the rows as dicts and needs no file; `run` appends them to one.
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
from resnetgen.compiler.frontend.input_file import read_regular
from resnetgen.compiler.frontend.yaml_scalars import MAX_BYTES
from resnetgen.reports.sweep.costs import Costs
from resnetgen.reports.sweep.evaluator import Figures
from resnetgen.reports.sweep.files import Appender, SweepFile
from resnetgen.reports.sweep.rows import FIGURE_NAMES, Where, columns_of, parse_where
from resnetgen.reports.sweep.space import Space, space_of
from resnetgen.reports.sweep.symbols import BaseSpec, read_base

FLUSH_SECONDS = 0.5
PROBES = 8  # values of each path that are tried before a sweep is refused as a whole

# A variant, the index of each of its values, and its figures, its error, or None if it has no row.
VariantResult = tuple[int, tuple[int, ...], Figures | str | None]


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep computes: the spec, its variants, and which of them get a row."""

    base: BaseSpec
    space: Space
    where: Where | None


def sweep(
    spec: str | Path,
    vary: Mapping[str, str | Iterable[object]],
    where: str | None = None,
    **settings: object,
) -> Iterator[dict[str, Any]]:
    """The rows of a sweep, one dict per variant; nothing is written.

        for row in sweep("resnet50", {"layer3.blocks": range(1, 41)}, "macs < 5e9"):
            print(row["layer3.blocks"], row["params"])

    The keys are the column names (docs/sweep.md). For a variant with an error the figures are None
    and `error` says why. Raises SpecError for a wrong spec, range or condition, and OSError if the
    spec cannot be read.
    """
    space = space_of(vary)
    plan = SweepPlan(read_base(spec, settings), space, parse_where(where, space) if where else None)
    costs = Costs(plan.base, plan.space)
    probe(plan, costs)
    for variant, choice, result in variants(plan, costs, 0):
        if result is not None:
            yield {"variant": variant, **_values(plan.space, choice), **_figures(result)}


def _figures(result: Figures | str) -> dict[str, Any]:
    if isinstance(result, str):
        return {**dict.fromkeys(FIGURE_NAMES), "error": result}
    return {**result._asdict(), "error": None}


def _values(space: Space, choice: Sequence[int]) -> dict[str, Any]:
    return {path: each.value for path, each in space.values(choice)}


def variants(plan: SweepPlan, costs: Costs, start: int) -> Iterator[VariantResult]:
    """The variants from number `start` on. Raises SpecError if `where` cannot be evaluated."""
    where, space = plan.where, plan.space
    for variant in range(start, space.count):
        choice = space.choice(variant)
        if where is None:
            yield variant, choice, costs.of(choice)
        elif not where.reads_figures:
            keep = where.keeps(_values(space, choice))
            yield variant, choice, costs.of(choice) if keep else None
        else:
            result = costs.of(choice)
            keep = not isinstance(result, str) and where.keeps(
                {**_values(space, choice), **result._asdict()}
            )
            yield variant, choice, result if keep else None


def run(plan: SweepPlan, costs: Costs, file: SweepFile, progress: Callable[[int], None]) -> None:
    """Appends the missing rows; calls `progress` with the number of variants done.

    Raises WriteError and SpecError.
    """
    with Appender(file) as appender:
        flushed = time.monotonic()
        for variant, choice, result in variants(plan, costs, file.next_variant):
            if result is not None:
                appender.append(file.format.line(variant, choice, result))
            now = time.monotonic()
            if now - flushed > FLUSH_SECONDS:
                appender.flush()
                progress(variant + 1)
                flushed = now
        appender.finish()


# --- checks before anything is written


def probe(plan: SweepPlan, costs: Costs) -> None:
    """Tries some variants. Raises SpecError if all of them have errors: the spec or a path is wrong.

    Also raises it if the condition cannot be evaluated for the first variant without errors.
    """
    choices = list(dict.fromkeys(_probes(plan.space)))
    for choice in choices:
        result = costs.of(choice)
        if isinstance(result, Figures):
            if plan.where:
                plan.where.keeps({**_values(plan.space, choice), **result._asdict()})
            return
    try:
        costs.compile(choices[0])
    except SpecError as error:
        paths = [f"--set {factor.path}" for factor in plan.space.factors]
        note = Note(f"variants tried: {len(choices)}, all with errors")
        raise SpecError([_as_varied(each, paths, note) for each in error.diagnostics]) from None


def _probes(space: Space) -> Iterator[tuple[int, ...]]:
    """The first variant, the middle one, and variants that differ from it in one value."""
    lengths = [len(factor.values) for factor in space.factors]
    yield (0,) * len(lengths)
    middle = tuple(length // 2 for length in lengths)
    yield middle
    for at, length in enumerate(lengths):
        for index in sorted({round(i * (length - 1) / (PROBES - 1)) for i in range(PROBES)}):
            yield (*middle[:at], index, *middle[at + 1 :])


def _as_varied(error: Diagnostic, paths: Sequence[str], note: Note) -> Diagnostic:
    """An error of the first variant; if it points into a varied value, it shows `--vary`."""
    span = error.span
    if span and span.file in paths:
        source = Source(span.file.replace("--set", "--vary", 1), span.source.text)
        span = Span(source, span.line, span.column, span.end)
    return Diagnostic(error.code, error.message, span, (*error.notes, note), error.help)


# --- the metadata of a sweep


def metadata(
    plan: SweepPlan, vary: Sequence[str], figures: Sequence[str], spec: str
) -> dict[str, Any]:
    """The contents of FILE.meta.json: what identifies the sweep, and what its columns mean."""
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


def digest(base: BaseSpec) -> str:
    """16 hex digits over the spec, everything that it extends, and every block that it may call."""
    document = library.complete(base.tree, base.folders, {})
    texts = [library.canonical_text(document.tree).encode()]
    for folder in (*document.folders, library.LIBRARY):
        for kind in library.BLOCK_KINDS:
            files = library.block_files(kind, folder)
            texts += (read_regular(path, MAX_BYTES) for path in files)
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]
