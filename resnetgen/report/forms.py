"""The forms of a report by name: what `--format` says, or the suffix of a file.

FORMS["csv"]([report], "stage")  ->  "network,name,op,in,out,params,macs,...\nresnet50,stem,..."

Tables are a grid and the remarks below it; plain text and Markdown lay out the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from resnetgen.report.assemble import Report
from resnetgen.report.data import as_csv, as_data, as_json
from resnetgen.report.grid import Grid, comparison, grid, markdown, outputs, plain, remarks
from resnetgen.report.metrics import METRICS, Conditions

Shown = tuple[Grid, Sequence[str]]  # a table, and what is said below it

FOR_PROGRAMS = ("json", "csv", "html")  # forms that hold all there is
_OF_PEOPLE = ("params", "macs", "flops", "activations")
_OF_MEMORY = ("weight_bytes", "peak_bytes", "kept_bytes", "training_bytes")


def figures_of(form: str, known: Sequence[str], *, several: bool, memory: bool) -> list[str]:
    """The figures that a form shows where nobody names any: all for programs, for people the few.

    Those are the counts, FLOPs only beside another network, what was asked for by an option of its
    own, and what depends on a batch if `memory`.
    """
    if form in FOR_PROGRAMS:
        return list(known)
    shown = [name for name in _OF_PEOPLE if several or name != "flops"]
    asked = [name for name in known if name not in METRICS or not METRICS[name].asked(Conditions())]
    of_memory = [name for name in _OF_MEMORY if name in known] if memory else []
    return [*shown, *asked, *of_memory]


def tables(
    reports: Sequence[Report], by: str, *, folded: bool = False, short: bool = False
) -> Iterator[Shown]:
    """A table a report, and one of its outputs if it has several; by `total` one for all reports.

    `folded` makes one row of equal blocks in a row, `short` rounds large counts.
    """
    if by == "total":
        yield comparison(reports, short), ()
        return
    for report in reports:
        yield grid(report, by, folded, short), remarks(report)
        several = outputs(report)
        if several:
            yield several, ()


def as_text(found: Iterable[Shown]) -> str:
    """Tables as plain text, an empty line between two."""
    return _joined(
        [*([table.title] if table.title else []), *plain(table), *below] for table, below in found
    )


def as_markdown(found: Iterable[Shown]) -> str:
    """Tables as Markdown, what is said below each as a list."""
    parts: list[list[str]] = []
    for table, below in found:
        title = [f"**{table.title}**", ""] if table.title else []
        listed = ["", *(f"- {line}" for line in below)] if below else []
        parts.append([*title, *markdown(table), *listed])
    return _joined(parts)


def _joined(parts: Iterable[Sequence[str]]) -> str:
    return "\n\n".join(map("\n".join, parts)) + "\n"


def _json(reports: Sequence[Report], by: str) -> str:
    each = [as_data(report, by) for report in reports]
    return as_json(each if len(each) > 1 else each[0]) + "\n"


def _html(reports: Sequence[Report], by: str) -> str:
    from resnetgen.report.page import page  # jinja2 takes 0.07 s

    return page(reports)


FORMS: Mapping[str, Callable[[Sequence[Report], str], str]] = {
    "table": lambda reports, by: as_text(tables(reports, by)),
    "json": _json,
    "csv": as_csv,
    "md": lambda reports, by: as_markdown(tables(reports, by)),
    "html": _html,
}
