"""The options of `report`, and the request that they add up to.

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

from resnetgen.cli.options import Format, complete_spec, format_option, look_up, output_option
from resnetgen.compiler.diagnostics.model import escape_invisible

if TYPE_CHECKING:
    from resnetgen.reports.budget import Limit
    from resnetgen.reports.metrics import Conditions, Metric


class By(StrEnum):
    """What gets a row of its own."""

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


FORMATS = (Format.text, Format.json, Format.csv, Format.md, Format.html)
_SUFFIXES = {"txt": Format.text, "htm": Format.html, **{each.value: each for each in FORMATS}}

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
    format_option(FORMATS, "How to print it. [default: by the suffix of --output, else text]"),
]
Output = Annotated[str | None, output_option("Write to a file (.json, .csv, .md, .html or .txt).")]
RowsBy = Annotated[
    By | None,
    typer.Option(
        "--by", help="What gets a row of its own. [default: stage; total for several specs]"
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAME,...",
        help="The figures to show, or `all`; `--columns help` explains them.",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=1,
        max=1_000_000,
        help="Images per batch, for bytes and times. [default: 1]",
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
        help="sgd, momentum or adam; its state is part of training memory. [default: momentum]",
    ),
]
AsCounted = Annotated[
    list[str] | None,
    typer.Option(
        "--convention",
        metavar="NAME",
        help="Also count as another tool does, such as fvcore. Repeatable; `help` lists them.",
    ),
]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain", help="Explain why two conventions differ; a single one is compared with macs."
    ),
]
Match = Annotated[
    str | None,
    typer.Option(
        "--match",
        metavar="FIGURE",
        help="Find the convention, or the sibling network, that yields a figure such as 4.12G.",
    ),
]
OnDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Show the least time on a device, such as h200 (roofline); `help` lists them.",
    ),
]
Paths = Annotated[
    bool,
    typer.Option("--paths", help="Show the lengths of the shortest and the longest gradient path."),
]
Budget = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="LIMITS",
        help="Exit with 1 if a limit is exceeded, such as 'macs < 4G, params < 26M'. Repeatable.",
    ),
]
Paper = Annotated[
    bool, typer.Option("--paper", help="Show tables of papers, published beside computed figures.")
]


def report_format(format: Format | None, output: str | None) -> Format:
    """The format that is asked for by name or by the suffix of a file.

    Raises BadParameter if the two differ, so that no other kind of file, such as a spec, is lost.
    """
    if output == "-":
        return format or Format.text
    suffix = Path(output).suffix.removeprefix(".") if output else ""
    named = _SUFFIXES.get(suffix.lower())
    if output is not None and (named is None or (format and format is not named)):
        reason = f"is not that of {format}" if format else f"is none of {', '.join(_SUFFIXES)}"
        raise typer.BadParameter(
            f"the suffix of {escape_invisible(output)!r} {reason}", param_hint="--output"
        )
    return format or named or Format.text


def read_conditions(
    batch: int | None,
    dtype: Dtype | None,
    optimizer: str | None,
    convention: Sequence[str] | None,
    device: str | None,
    paths: bool,
) -> Conditions:
    """What figures depend on. Raises BadParameter for a name that is not known."""
    from resnetgen.reports.conventions import conventions
    from resnetgen.reports.metrics import Conditions
    from resnetgen.reports.roofline import devices

    on_device = look_up(device, devices(), "--device") if device else None
    dtype = dtype or Dtype.float32
    if on_device and dtype not in on_device.rates:
        raise typer.BadParameter(
            f"{on_device.name} has no rate for {dtype}; there are {', '.join(on_device.rates)}",
            param_hint="--dtype",
        )
    if optimizer:
        from resnetgen.compiler.analysis.training_memory import OPTIMIZERS

        look_up(optimizer, OPTIMIZERS, "--optimizer")
    return Conditions(
        batch or 1,
        dtype.value,
        optimizer or "momentum",
        tuple(look_up(each, conventions(), "--convention") for each in convention or ()),
        on_device,
        paths,
    )


def _read_columns(columns: str, available: Mapping[str, Metric]) -> list[str]:
    """The figures that `--columns` names. Raises BadParameter."""
    if columns == "all":
        return list(available)
    names = dict.fromkeys(name.strip() for name in columns.split(",") if name.strip())
    for name in names:
        look_up(name, available, "--columns")
    if not names:
        raise typer.BadParameter("names no figure", param_hint="--columns")
    return list(names)


@dataclass(frozen=True)
class ReportRequest:
    """What to report of which networks, and where to print it."""

    specs: Sequence[str]
    changes: dict[str, object]
    format: Format
    output: str | None
    force: bool  # whether the file may be replaced
    rows: By | None
    columns: str | None
    conditions: Conditions
    memory: bool  # whether an option is given that memory depends on
    budget: Sequence[str]

    @property
    def by(self) -> By:
        """What gets a row of its own."""
        return self.rows or (By.total if len(self.specs) > 1 else By.stage)

    @cached_property
    def available(self) -> dict[str, Metric]:
        """The figures that have a value under the conditions."""
        from resnetgen.reports.metrics import available_metrics

        return available_metrics(self.conditions)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The figures to show. Raises BadParameter."""
        from resnetgen.reports.formats import default_metrics

        several = len(self.specs) > 1
        names = (
            default_metrics(self.format, list(self.available), several=several, memory=self.memory)
            if self.columns is None
            else _read_columns(self.columns, self.available)
        )
        return tuple(self.available[name] for name in names)

    @cached_property
    def limits(self) -> list[Limit]:
        """The limits of the budget. Raises SpecError."""
        from resnetgen.reports.budget import parse_budget

        return [
            limit
            for text in self.budget
            for limit in parse_budget(text, self.available, "--budget")
        ]
