"""The options of `report`, and what they ask for.

--batch 8 --dtype float16   ->  Conditions(8, "float16", ...)
--columns macs,params       ->  the figures `macs` and `params`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.options import complete_spec, look_up, output_option
from resnetgen.compiler.diagnostics.model import visible

if TYPE_CHECKING:
    from resnetgen.reports.budget import Limit
    from resnetgen.reports.metrics import Conditions, Metric


class Format(StrEnum):
    """How a report is printed."""

    table = "table"
    json = "json"
    csv = "csv"
    md = "md"
    html = "html"


class By(StrEnum):
    """What has a row of its own."""

    node = "node"
    block = "block"
    stage = "stage"
    total = "total"


class Dtype(StrEnum):
    """The type of weights and activations."""

    float32 = "float32"
    tf32 = "tf32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    int8 = "int8"


Networks = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SPEC...",
        help="Spec files, or names of library networks (see `resnetgen list`).",
        autocompletion=complete_spec,
    ),
]
InFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="How it is printed. [default: what the suffix of --output says, else table]",
        show_default=False,
    ),
]
Output = Annotated[str | None, output_option("A file (.json, .csv, .md, .html or .txt).")]
RowsBy = Annotated[
    By | None,
    typer.Option(
        "--by", help="What has a row of its own. [default: stage; total for several specs]"
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAME,...",
        help="The figures to show, or `all`; `--columns help` explains each.",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=1,
        max=1_000_000,
        help="Images at once, for bytes and times. [default: 1]",
    ),
]
OfDtype = Annotated[
    Dtype | None,
    typer.Option("--dtype", help="Type of weights and activations. [default: float32]"),
]
Optimizer = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        metavar="NAME",
        help="sgd, momentum or adam: its state is memory of training. [default: momentum]",
    ),
]
AsCounted = Annotated[
    list[str] | None,
    typer.Option(
        "--convention",
        metavar="NAME",
        help="Count as another tool does, such as fvcore. Repeatable; `help` lists them.",
    ),
]
Explain = Annotated[
    bool,
    typer.Option("--explain", help="Say why two conventions differ (one is compared with macs)."),
]
Match = Annotated[
    str | None,
    typer.Option(
        "--match",
        metavar="FIGURE",
        help="Say which convention or sibling gives a figure such as 4.12G.",
    ),
]
OnDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="The least time on a device, such as h200 (roofline); `help` lists them.",
    ),
]
Paths = Annotated[
    bool, typer.Option("--paths", help="Lengths of the shortest and longest gradient path.")
]
Budget = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="LIMITS",
        help="Exit with 1 where a limit does not hold, such as 'macs < 4G, params < 26M'. Repeatable.",
    ),
]
Paper = Annotated[
    bool, typer.Option("--paper", help="The papers' tables, published beside computed.")
]


def form_of(format: Format | None, output: str | None) -> Format:
    """The form; a file's suffix names one, and a file of another kind is not written over."""
    suffix = Path(output).suffix.removeprefix(".") if output else ""
    suffixes = {"txt": Format.table, "htm": Format.html, **{each.value: each for each in Format}}
    named = suffixes.get(suffix.lower())
    if output is not None and (named is None or (format and format is not named)):
        wanted = format or "table, json, csv, md or html"
        raise typer.BadParameter(
            f"{visible(output)!r}: its suffix does not say {wanted}", param_hint="--output"
        )
    return format or named or Format.table


def conditions_of(
    batch: int | None,
    dtype: Dtype | None,
    optimizer: str | None,
    convention: Sequence[str] | None,
    device: str | None,
    paths: bool,
) -> Conditions:
    """What figures depend on. Raises typer.BadParameter for a name that is not known."""
    from resnetgen.reports.conventions import conventions
    from resnetgen.reports.metrics import Conditions
    from resnetgen.reports.roofline import devices

    found = look_up(device, devices(), "--device") if device else None
    type_ = dtype or Dtype.float32
    if found and type_ not in found.rates:
        raise typer.BadParameter(
            f"{found.name} has no rate for {type_}; there are {', '.join(found.rates)}",
            param_hint="--dtype",
        )
    if optimizer:
        from resnetgen.compiler.analysis.training_memory import OPTIMIZERS

        look_up(optimizer, OPTIMIZERS, "--optimizer")
    return Conditions(
        batch or 1,
        type_.value,
        optimizer or "momentum",
        tuple(look_up(each, conventions(), "--convention") for each in convention or ()),
        found,
        paths,
    )


def _columns_of(columns: str, known: Mapping[str, Metric]) -> list[str]:
    """The figures that `--columns` names, or `all`. Raises typer.BadParameter."""
    if columns == "all":
        return list(known)
    names = dict.fromkeys(name.strip() for name in columns.split(",") if name.strip())
    for name in names:
        look_up(name, known, "--columns")
    if not names:
        raise typer.BadParameter("names no figure", param_hint="--columns")
    return list(names)


@dataclass(frozen=True)
class ReportRequest:
    """What a call wants to know, of which networks, and where it is printed."""

    specs: Sequence[str]
    changes: dict[str, object]
    form: Format
    output: str | None
    rows: By | None
    columns: str | None
    given: Conditions
    memory: bool  # whether an option says what memory depends on
    budget: Sequence[str]

    @property
    def by(self) -> By:
        """What has a row of its own."""
        return self.rows or (By.total if len(self.specs) > 1 else By.stage)

    @cached_property
    def known(self) -> dict[str, Metric]:
        """The figures that have a value under the conditions."""
        from resnetgen.reports.metrics import available_metrics

        return available_metrics(self.given)

    @cached_property
    def figures(self) -> tuple[Metric, ...]:
        """Those to show. Raises typer.BadParameter."""
        from resnetgen.reports.formats import default_metrics

        several = len(self.specs) > 1
        names = (
            default_metrics(self.form, list(self.known), several=several, memory=self.memory)
            if self.columns is None
            else _columns_of(self.columns, self.known)
        )
        return tuple(self.known[name] for name in names)

    @cached_property
    def limits(self) -> list[Limit]:
        """The budget. Raises SpecError."""
        from resnetgen.reports.budget import parse_budget

        return [each for text in self.budget for each in parse_budget(text, self.known, "--budget")]
