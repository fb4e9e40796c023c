"""`build`: the module as a file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.options import Device, Set, Spec, compile_spec, overrides
from resnetgen.cli.verify import agreed, compile_on, held, hold
from resnetgen.language.diagnostics import visible

if TYPE_CHECKING:
    from pathlib import Path


def build(
    spec: Spec,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A file, a folder, or - for standard output. [default: ./NAME.py]",
        ),
    ] = None,
    settings: Set = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace what resnetgen did not write, or what was edited since."
        ),
    ] = False,
    trace: Annotated[
        bool,
        typer.Option(
            "--trace",
            help="Before the file is placed, capture the module with torch.compile(fullgraph=True)"
            " and hold it against every prediction. Needs torch.",
        ),
    ] = False,
    device: Annotated[
        Device | None,
        typer.Option(
            "--compile",
            help="Before the file is placed, compile and run the module there. Needs torch.",
        ),
    ] = None,
) -> None:
    """Writes the PyTorch module of a network.

    It is one readable file that needs only torch. It is placed whole or not at all. A file in its
    way is replaced only if resnetgen wrote it and nobody edited it since, or with --force.

    \b
    Examples:
      resnetgen build resnet50
      resnetgen build resnet152 --set layer3.blocks=11 -o resnet77.py
      resnetgen build my/net.yaml -o build/ --trace
      resnetgen build resnet18 -o - | less
    """
    from resnetgen.codegen.write import destination, refuse_foreign, write_source
    from resnetgen.report.cost import summary

    compiled = compile_spec(spec, overrides(settings))
    _ = compiled.graph  # a flat graph that does not hold together is not printed
    source = compiled.source
    path = None if output == "-" else destination(output, compiled.network.name)
    if path:
        refuse_foreign(path, force)  # before torch works for minutes
    if trace:
        _tell(held(hold(compiled.graph, source)), path)
    if device:
        _tell(agreed(compile_on(compiled.graph, source, device)), path)
    if not path:
        _print(source)
        return
    write_source(path, source, force)
    lines = source.count("\n")
    print(f"wrote {visible(str(path))} ({lines} lines; {summary(compiled.cost)})")


def _tell(text: str, path: Path | None) -> None:
    """Standard output is the module's where it is printed."""
    print(text, file=sys.stdout if path else sys.stderr, flush=True)


def _print(source: str) -> None:
    """The bytes that the file would have, whatever the encoding of the terminal."""
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.flush()
        sys.stdout.buffer.write(source.encode())
    else:
        print(source, end="")
