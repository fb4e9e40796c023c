"""`draw`: the network as a picture."""

from __future__ import annotations

from typing import Annotated

from resnetgen.cli.console import print_exactly
from resnetgen.cli.options import (
    Input,
    Set,
    Spec,
    compile_spec,
    force_option,
    overrides,
    placed_option,
)
from resnetgen.compiler.diagnostics.model import visible

Output = Annotated[str | None, placed_option(".svg")]
Force = Annotated[
    bool, force_option("Replace what resnetgen did not draw, or what was edited since.")
]


def draw(
    spec: Spec,
    output: Output = None,
    input: Input = None,
    settings: Set = None,
    force: Force = False,
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
    from resnetgen.compiler.codegen.files import destination
    from resnetgen.reports.draw.page import SUFFIX, draw, refuse_foreign_drawing, write_drawing

    compiled = compile_spec(spec, overrides(settings, input))
    if output == "-":
        print_exactly(draw(compiled.network, compiled.measured))
        return
    path = destination(output, compiled.network.name, SUFFIX)
    refuse_foreign_drawing(path, force)
    write_drawing(path, draw(compiled.network, compiled.measured), force)
    print(f"wrote {visible(str(path))}")
