"""Arguments and options that several commands share, and how specs are compiled for them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.faults import Failed, diagnose

if TYPE_CHECKING:
    from resnetgen.compiler import Compiled
    from resnetgen.language.diagnostics import Diagnostic

_INPUT = re.compile(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}){1,3}\Z")


def complete_spec(incomplete: str) -> list[str]:
    """Shell completion of SPEC: library networks, spec files and folders."""
    from resnetgen.language import library

    names = [path.stem for path in library.networks()] if os.sep not in incomplete else []
    return [name for name in names if name.startswith(incomplete)] + list(_files(incomplete))


def _files(incomplete: str) -> Iterator[str]:
    folder, start = os.path.split(incomplete)
    try:
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith(start) or (entry.name.startswith(".") and not start):
            continue
        if entry.is_dir():
            yield os.path.join(folder, entry.name) + os.sep
        elif entry.name.endswith((".yaml", ".yml")):
            yield os.path.join(folder, entry.name)


_SPEC_HELP = "A spec file, or the name of a library network (see `resnetgen list`)."
Spec = Annotated[str, typer.Argument(metavar="SPEC", help=_SPEC_HELP, autocompletion=complete_spec)]
Specs = Annotated[
    list[str], typer.Argument(metavar="SPEC", help=_SPEC_HELP, autocompletion=complete_spec)
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value of the spec, such as layer3.blocks=11. Repeatable.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="A checkpoint (safetensors or torch.save) that has to fit the network; its tensors are"
        " written to NAME.safetensors beside the module. Needs torch.",
    ),
]
Except = Annotated[
    list[str] | None,
    typer.Option(
        "--except",
        metavar="MODULE",
        help="With --weights: leave this module, such as fc, at its initial weights. Repeatable.",
    ),
]


class Device(StrEnum):
    """Where a module is compiled and run."""

    cpu = "cpu"
    cuda = "cuda"


def overrides(settings: Sequence[str] | None, shape: str | None = None) -> dict[str, object]:
    """`["layer3.blocks=11"]`, `3x320x320` -> paths into the spec and their values, as text."""
    found: dict[str, object] = {}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not equals or not key.strip(". "):
            raise typer.BadParameter(
                f"{setting!r} is not KEY=VALUE, such as layer3.blocks=11", param_hint="--set"
            )
        found[key.strip()] = value
    if shape is not None:
        if not _INPUT.match(shape):
            raise typer.BadParameter(
                f"{shape!r} is not CHANNELSxSIZE..., such as 3x320x320", param_hint="--input"
            )
        channels, *size = shape.split("x")
        found |= {"input.channels": channels, "input.size": f"[{', '.join(size)}]"}
    return found


def compile_spec(spec: str, settings: dict[str, object]) -> Compiled:
    """The network of one SPEC. Raises SpecError or OSError."""
    from resnetgen.compiler import compile_document
    from resnetgen.language import library

    return compile_document(library.load(spec.replace("\0", "\\0"), settings))


def compile_specs(specs: Sequence[str], settings: dict[str, object]) -> list[Compiled]:
    """The networks of all SPECs. Raises Failed with the faults of all of them."""
    compiled: list[Compiled] = []
    faults: list[Diagnostic] = []
    worst = 0
    for spec in dict.fromkeys(specs):
        try:
            compiled.append(compile_spec(spec, settings))
        except Exception as error:
            diagnostics, status = diagnose(error)
            faults += diagnostics
            worst = max(worst, status)
    if worst:
        raise Failed(faults, worst)
    return compiled
