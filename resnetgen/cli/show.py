"""`show`: what a network is, as text."""

from __future__ import annotations

from resnetgen.cli.options import Set, Spec, compile_spec, overrides


def show(spec: Spec, settings: Set = None) -> None:
    """Shows the elaborated network as text.

    Stem, stages and head, then each distinct block once, with attributes and shapes.

    \b
    Examples:
      resnetgen show resnet50
      resnetgen show resnet50 --set shortcut=identity
    """
    from resnetgen.report.text import show as text

    compiled = compile_spec(spec, overrides(settings))
    print(text(compiled.network, compiled.measured))
