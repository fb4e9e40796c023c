"""`show` and `draw`: a network as text, and as a picture."""

from __future__ import annotations

from typing import Annotated

import typer

from resnetgen.cli.console import output_file, print_bytes
from resnetgen.cli.options import (
    ForceEdited,
    Input,
    Set,
    Spec,
    compile_spec,
    output_file_option,
    overrides,
)

Output = Annotated[str | None, output_file_option(".svg")]


def show(
    spec: Spec,
    settings: Set = None,
    expanded: Annotated[
        bool,
        typer.Option(
            "--expanded",
            help="Print the spec instead, with everything that it extends and every --set applied. It"
            " is self-contained: blocks from files beside the spec are included.",
        ),
    ] = False,
) -> None:
    """Shows the elaborated network as text.

    Stem, stages and head, then each distinct block once, with attributes and shapes. With
    --expanded, a YAML spec that compiles to the same network.

    \b
    Examples:
      resnetgen show resnet50
      resnetgen show resnet50 --set shortcut=identity
      resnetgen show my/net.yaml --set layer3.blocks=11 --expanded > my/net77.yaml
    """
    compiled = compile_spec(spec, overrides(settings))
    if expanded:
        from resnetgen.compiler.frontend.yaml_writer import to_yaml
        from resnetgen.compiler.passes.expand import expand

        print_bytes(to_yaml(expand(compiled.document, compiled.network)).encode())
        return
    from resnetgen.reports.show import show as as_text

    print(as_text(compiled.network, compiled.typed))


def draw(
    spec: Spec,
    output: Output = None,
    input: Input = None,
    settings: Set = None,
    force: ForceEdited = False,
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
