"""Arguments and options that several commands share, and how specs are compiled for them.

overrides(["layer3.blocks=11"], "3x320x320")  ->  {"layer3.blocks": "11", "input.channels": "3", ...}
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from resnetgen.cli.errors import Failed, dedup_key, diagnose
from resnetgen.compiler.diagnostics.model import did_you_mean, escape_invisible

if TYPE_CHECKING:
    from resnetgen.compiler.diagnostics.model import Diagnostic
    from resnetgen.pipeline import Compiled

_INPUT_SHAPE = re.compile(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}){1,3}\Z")


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
    """`--output FILE`."""
    return typer.Option("--output", "-o", metavar="FILE", help=help)


def output_file_option(suffix: str) -> Any:
    """`--output` of a command that by default names its file after the network."""
    return output_option(f"A file, a folder, or - for standard output. [default: ./NAME{suffix}]")


def force_option(help: str = "Replace an existing file.") -> Any:
    """`--force`, whose help says what it replaces."""
    return typer.Option("--force", help=help)


Force = Annotated[bool, force_option()]
ForceEdited = Annotated[
    bool, force_option("Replace a file that resnetgen did not write, or that was edited since.")
]


class DeviceName(StrEnum):
    """Where a module is compiled and run."""

    cpu = "cpu"
    cuda = "cuda"


class Format(StrEnum):
    """How a result is printed. Each command has some of these formats."""

    text = "text"
    json = "json"
    csv = "csv"
    md = "md"
    html = "html"
    github = "github"
    sarif = "sarif"


_OTHER_SPELLINGS = {"table": "text", "markdown": "md"}


def format_option(formats: Iterable[Format], help: str) -> Any:
    """`--format` of a command that has these formats."""
    known = {each.value: each for each in formats}

    def parse(text: str) -> Format:
        return look_up(_OTHER_SPELLINGS.get(text, text), known, "--format", "format ")

    def complete(incomplete: str) -> list[str]:
        return [each for each in known if each.startswith(incomplete)]

    return typer.Option(
        "--format",
        metavar=f"<{'|'.join(known)}>",
        help=help,
        parser=parse,
        autocompletion=lambda incomplete: [each for each in known if each.startswith(incomplete)],
    )


def overrides(settings: Sequence[str] | None, shape: str | None = None) -> dict[str, object]:
    """The values of `--set` and `--input` as paths into the spec and their values, still text."""
    values: dict[str, object] = {}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not equals or not key.strip(". "):
            raise typer.BadParameter(
                f"{setting!r} is not KEY=VALUE, such as layer3.blocks=11", param_hint="--set"
            )
        values[key.strip()] = value
    if shape is not None:
        if not _INPUT_SHAPE.match(shape):
            raise typer.BadParameter(
                f"{shape!r} is not CHANNELSxSIZE..., such as 3x320x320", param_hint="--input"
            )
        channels, *size = shape.split("x")
        values |= {"input.channels": channels, "input.size": f"[{', '.join(size)}]"}
    return values


Value = TypeVar("Value")


def look_up(name: str, known: Mapping[str, Value], option: str, kind: str = "") -> Value:
    """What an option's value names. Raises typer.BadParameter, with a suggestion."""
    if name in known:
        return known[name]
    hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
    raise typer.BadParameter(
        f"there is no {kind}{escape_invisible(repr(name))}; {hint}", param_hint=option
    )


def safe_path(spec: str) -> str:
    """A SPEC without null characters, which Python refuses in a path."""
    return spec.replace("\0", "\\0")


def compile_spec(spec: str, settings: dict[str, object]) -> Compiled:
    """Compiles one SPEC. Raises SpecError or OSError."""
    from resnetgen.compiler.frontend import library
    from resnetgen.pipeline import compile_document

    return compile_document(library.load(safe_path(spec), settings))


def compile_specs(specs: Sequence[str], settings: dict[str, object]) -> list[Compiled]:
    """Compiles all SPECs. Raises Failed with the errors of all of them."""
    return compile_all([(spec, settings) for spec in dict.fromkeys(specs)])


def compile_all(calls: Sequence[tuple[str, dict[str, object]]]) -> list[Compiled]:
    """Compiles SPECs, each with its own settings. Raises Failed, with each distinct error once."""
    compiled: list[Compiled] = []
    errors: dict[object, Diagnostic] = {}
    worst = 0
    for spec, settings in calls:
        try:
            compiled.append(compile_spec(spec, settings))
        except Exception as error:
            diagnostics, status = diagnose(error)
            errors |= {dedup_key(each): each for each in diagnostics}
            worst = max(worst, status)
    if worst:
        raise Failed([*errors.values()], worst)
    return compiled
