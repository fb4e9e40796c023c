"""The application: every command and the options that stand before a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from resnetgen import __version__
from resnetgen.cli.build import build
from resnetgen.cli.check import check
from resnetgen.cli.diff import diff
from resnetgen.cli.draw import draw
from resnetgen.cli.explain import explain
from resnetgen.cli.faults import Command
from resnetgen.cli.grow import grow
from resnetgen.cli.infer import infer
from resnetgen.cli.library import list_library
from resnetgen.cli.new import new
from resnetgen.cli.report import report
from resnetgen.cli.schema import schema
from resnetgen.cli.show import show
from resnetgen.cli.sweep import sweep
from resnetgen.cli.verify import verify
from resnetgen.cli.weights import weights

COMMANDS: dict[str, Callable[..., None]] = {
    "build": build,
    "check": check,
    "explain": explain,
    "report": report,
    "show": show,
    "new": new,
    "infer": infer,
    "diff": diff,
    "draw": draw,
    "list": list_library,
    "schema": schema,
    "verify": verify,
    "grow": grow,
    "sweep": sweep,
}

# Plain help: formatting it with rich costs a quarter of a second.
app = typer.Typer(
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


for name, command in COMMANDS.items():
    app.command(name, cls=Command)(command)
app.add_typer(weights, name="weights")
