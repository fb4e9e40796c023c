"""The application: every command and the options that stand before a command.

`resnetgen report` imports and reads the options of `report`, and of no other command.
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

# Where each is: the module, and in it a function, or a typer.Typer with commands of its own.
COMMANDS: dict[str, str] = {
    "build": "resnetgen.cli.build:build",
    "check": "resnetgen.cli.check:check",
    "explain": "resnetgen.cli.explain:explain",
    "report": "resnetgen.cli.report:report",
    "show": "resnetgen.cli.show:show",
    "new": "resnetgen.cli.new:new",
    "infer": "resnetgen.cli.infer:infer",
    "diff": "resnetgen.cli.diff:diff",
    "draw": "resnetgen.cli.draw:draw",
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
    """A command as Typer runs it, imported and with its options read."""
    module, _, attribute = COMMANDS[name].partition(":")
    found = getattr(import_module(module), attribute)
    alone = typer.Typer(rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name, cls=Command)(found)
    return typer.main.get_group(alone).commands[name]


class _Commands(Mapping[str, Any]):
    """Every command by name, made when it is asked for: to make all of them takes 25 ms."""

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
    """Compiles declared residual networks (YAML) to readable PyTorch source and exact costs.

    SPEC is a spec file, or the name of a network in the library.

    \b
      resnetgen list                     what the library holds
      resnetgen report resnet152         what a network costs, in milliseconds
      resnetgen build resnet50           writes resnet50.py
      resnetgen check my/*.yaml          what is wrong, and on which line

    \b
    Exit status:
      0  fine
      1  the spec is wrong, a checkpoint does not fit the network, or `diff`
         found a difference
      2  the call is wrong, a file cannot be read or written, or something
         needed is not installed
      3  a prediction of the compiler did not hold

    Environment: NO_COLOR switches colours off; RESNETGEN_DEBUG=1 shows where an
    internal error arose.
    """
