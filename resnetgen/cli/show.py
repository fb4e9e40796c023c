"""`show`: what a network is, as text."""

from __future__ import annotations

from typing import Annotated

import typer

from resnetgen.cli.console import print_bytes
from resnetgen.cli.options import Set, Spec, compile_spec, overrides


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
