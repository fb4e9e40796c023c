"""`draw`: the network as a picture."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from resnetgen.cli.options import Set, Spec, compile_spec, overrides
from resnetgen.language.diagnostics import visible


def draw(
    spec: Spec,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A file, a folder, or - for standard output. [default: ./NAME.svg]",
        ),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(metavar="CxHxW", help="Channels and size of the input, such as 3x320x320."),
    ] = None,
    settings: Set = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace what resnetgen did not draw, or what was edited since."
        ),
    ] = False,
) -> None:
    """Draws a network as an SVG.

    Stem, stages and head stand in rows, equal blocks are folded, every shortcut is an arc, and each
    distinct block is shown from inside beside its stage. The file needs nothing else and suits
    light and dark pages and paper.

    \b
    Examples:
      resnetgen draw resnet50
      resnetgen draw my/net.yaml -o net.svg
      resnetgen draw resnet152 --set layer3.blocks=11 -o - | less
    """
    from resnetgen.codegen.write import destination
    from resnetgen.draw.svg import SUFFIX, draw, refuse_foreign_drawing, write_drawing

    compiled = compile_spec(spec, overrides(settings, input))
    if output == "-":
        _print(draw(compiled.network, compiled.measured))
        return
    path = destination(output, compiled.network.name, SUFFIX)
    refuse_foreign_drawing(path, force)
    write_drawing(path, draw(compiled.network, compiled.measured), force)
    print(f"wrote {visible(str(path))}")


def _print(text: str) -> None:
    """The bytes that the file would have, whatever the encoding of the terminal."""
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
    else:
        print(text, end="")
