"""The application: every command, and the options that come before a command.

`resnetgen report` imports the module of `report` and reads its options, and no other command's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from resnetgen._version import __version__
from resnetgen.cli.errors import Command

# The module of each command, and in it a function, or a typer.Typer with commands of its own.
COMMANDS: dict[str, str] = {
    "build": "resnetgen.cli.build:build",
    "check": "resnetgen.cli.check:check",
    "explain": "resnetgen.cli.explain:explain",
    "report": "resnetgen.cli.report:report",
    "show": "resnetgen.cli.show:show",
    "new": "resnetgen.cli.new:new",
    "infer": "resnetgen.cli.infer:infer",
    "diff": "resnetgen.cli.diff:diff",
    "draw": "resnetgen.cli.show:draw",
    "list": "resnetgen.cli.library:list_library",
    "schema": "resnetgen.cli.schema:schema",
    "verify": "resnetgen.cli.verify:verify",
    "grow": "resnetgen.cli.grow:grow",
    "sweep": "resnetgen.cli.sweep:sweep",
    "bench": "resnetgen.cli.bench:bench",
    "weights": "resnetgen.cli.weights:weights",
}


@cache
def _command(name: str) -> Any:
    """Imports a command and reads its options, as Typer does for a whole application."""
    module, _, attribute = COMMANDS[name].partition(":")
    command = getattr(import_module(module), attribute)
    single = typer.Typer(rich_markup_mode=None)
    if isinstance(command, typer.Typer):
        single.add_typer(command, name=name)
    else:
        single.command(name, cls=Command)(command)
    return typer.main.get_group(single).commands[name]


class _Commands(Mapping[str, Any]):
    """Every command by name, created when it is looked up: creating all of them takes 25 ms."""

    def __getitem__(self, name: str) -> Any:
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Group(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes | {"commands": _Commands()})


# Plain help: formatting it with rich costs a quarter of a second.
app = typer.Typer(
    cls=_Group,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"resnetgen {__version__}")
        raise typer.Exit


@app.callback()
def resnetgen(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Compiles specs (YAML) of residual networks to readable PyTorch source and exact costs.

    SPEC is a spec file, or the name of a network in the library.

    \b
      resnetgen list                     the networks of the library
      resnetgen report resnet152         what a network costs
      resnetgen build resnet50           writes resnet50.py
      resnetgen check my/*.yaml          what is wrong, and on which line

    \b
    Exit status:
      0  success
      1  the spec is wrong, a checkpoint does not fit the network, or `diff`
         found a difference
      2  the command line is wrong, a file cannot be read or written, or a
         requirement is not installed
      3  a prediction of the compiler was wrong, or it has another bug

    Environment: NO_COLOR=1 turns colour off; RESNETGEN_DEBUG=1 shows the traceback of an
    internal error.
    """
