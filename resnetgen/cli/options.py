"""Arguments and options that several commands share, and how specs are compiled for them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from resnetgen.cli.errors import Failed, diagnose, identity
from resnetgen.compiler.diagnostics.model import did_you_mean, visible

if TYPE_CHECKING:
    from resnetgen.compiler.diagnostics.model import Diagnostic
    from resnetgen.pipeline import Compiled

_INPUT = re.compile(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}){1,3}\Z")


def complete_spec(incomplete: str) -> list[str]:
    """Shell completion of SPEC: library networks, spec files and folders."""
    from resnetgen.compiler.frontend import library

    names = [path.stem for path in library.network_files()] if os.sep not in incomplete else []
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


Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A spec file, or the name of a library network (see `resnetgen list`).",
        autocompletion=complete_spec,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value of the spec, such as layer3.blocks=11. Repeatable.",
    ),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input", metavar="CxHxW", help="Channels and size of the input, such as 3x320x320."
    ),
]


def output_option(help: str) -> Any:
    """`--output FILE`, whose help says what is written there."""
    return typer.Option("--output", "-o", metavar="FILE", help=help)


def placed_option(suffix: str) -> Any:
    """`--output` of a command that names its file after the network where nobody else does."""
    return output_option(f"A file, a folder, or - for standard output. [default: ./NAME{suffix}]")


def force_option(help: str) -> Any:
    """`--force`, whose help says what is then replaced."""
    return typer.Option("--force", help=help)


class DeviceName(StrEnum):
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


Entry = TypeVar("Entry")


def one_of(name: str, known: Mapping[str, Entry], option: str, kind: str = "") -> Entry:
    """The entry of a name that an option gave; `kind` is told. Raises typer.BadParameter."""
    if name in known:
        return known[name]
    hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
    raise typer.BadParameter(f"there is no {kind}{visible(repr(name))}; {hint}", param_hint=option)


def as_path(spec: str) -> str:
    """A SPEC without the one character that no path can have: it names no file, and is told."""
    return spec.replace("\0", "\\0")


def compile_spec(spec: str, settings: dict[str, object]) -> Compiled:
    """The network of one SPEC. Raises SpecError or OSError."""
    from resnetgen.compiler.frontend import library
    from resnetgen.pipeline import compile_document

    return compile_document(library.load(as_path(spec), settings))


def compile_specs(specs: Sequence[str], settings: dict[str, object]) -> list[Compiled]:
    """The networks of all SPECs. Raises Failed with the faults of all of them."""
    return compile_all([(spec, settings) for spec in dict.fromkeys(specs)])


def compile_all(calls: Sequence[tuple[str, dict[str, object]]]) -> list[Compiled]:
    """The networks of SPECs, each with settings of its own; a fault of several is told once."""
    compiled: list[Compiled] = []
    faults: dict[object, Diagnostic] = {}
    worst = 0
    for spec, settings in calls:
        try:
            compiled.append(compile_spec(spec, settings))
        except Exception as error:
            diagnostics, status = diagnose(error)
            faults |= {identity(each): each for each in diagnostics}
            worst = max(worst, status)
    if worst:
        raise Failed([*faults.values()], worst)
    return compiled
