"""`draw`: a network as an SVG."""

from __future__ import annotations

from typing import Annotated

from resnetgen.cli.console import output_file
from resnetgen.cli.options import (
    Input,
    Set,
    Spec,
    compile_spec,
    force_option,
    output_file_option,
    overrides,
)

Output = Annotated[str | None, output_file_option(".svg")]
Force = Annotated[
    bool, force_option("Replace a file that resnetgen did not draw, or that was edited since.")
]


def draw(
    spec: Spec,
    output: Output = None,
    input: Input = None,
    settings: Set = None,
    force: Force = False,
) -> None:
    """Draws a network as an SVG.

    Stem, stages and head are rows, equal blocks are folded, every shortcut is an arc, and each
    distinct block is shown in detail beside its stage. The file is self-contained and looks right on
    light and dark pages and on paper.

    \b
    Examples:
      resnetgen draw resnet50
      resnetgen draw my/net.yaml -o net.svg
      resnetgen draw resnet152 --set layer3.blocks=11 -o - | less
    """
    from resnetgen.compiler.codegen.files import file_name
    from resnetgen.reports.draw.page import DRAWING, SUFFIX, draw

    compiled = compile_spec(spec, overrides(settings, input))
    file = output_file(output, file_name(compiled.network.name, SUFFIX), DRAWING, force)
    file.write(draw(compiled.network, compiled.typed))
    file.announce()
