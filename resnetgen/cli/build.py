"""`build`: the module as a file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.faults import show
from resnetgen.cli.options import Device, Except, Set, Spec, Weights, compile_spec, overrides
from resnetgen.cli.verify import agreed, compile_on, held, hold
from resnetgen.language.diagnostics import visible

if TYPE_CHECKING:
    from pathlib import Path

    from resnetgen.compiler import Compiled
    from resnetgen.weights.place import Converted


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
    weights: Weights = None,
    leave: Except = None,
) -> None:
    """Writes the PyTorch module of a network.

    It is one readable file that needs only torch. It is placed whole or not at all. A file in its
    way is replaced only if resnetgen wrote it and nobody edited it since, or with --force.
    Warnings are told, and the module is written all the same.

    With --weights, the names and shapes of all tensors of the checkpoint have to be those of the
    network. They are written to NAME.safetensors beside NAME.py, named and typed as
    load_state_dict(load_file("NAME.safetensors")) takes them, both files or none. Wrappers
    (module., _orig_mod.) are taken off. What --except names is not taken from the checkpoint; it
    is listed, and its initial weights are drawn from the seed 0.

    \b
    Examples:
      resnetgen build resnet50
      resnetgen build resnet152 --set layer3.blocks=11 -o resnet77.py
      resnetgen build my/net.yaml -o build/ --trace
      resnetgen build resnet18 -o - | less
      resnetgen build resnet50 --weights resnet50.pth --set head.classes=10 --except fc
    """
    from resnetgen.codegen.write import destination, refuse_foreign, write_source
    from resnetgen.report.cost import summary

    _check_options(output, weights, leave)
    compiled = compile_spec(spec, overrides(settings))
    _ = compiled.graph  # a flat graph that does not hold together is not printed
    source = compiled.source
    path = None if output == "-" else destination(output, compiled.network.name)
    if path:
        refuse_foreign(path, force)  # before torch works for minutes
    converted = None
    if path and weights is not None:
        converted = _convert(compiled, path, weights, leave or [], force)
    if trace:
        _tell(held(hold(compiled.graph, source)), path)
    if device:
        _tell(agreed(compile_on(compiled.graph, source, device)), path)
    show(compiled.warnings)
    if not path:
        _print(source)
        return
    if converted:
        from resnetgen.weights.place import place

        place(converted, path, source, force=force)
    else:
        write_source(path, source, force)
    lines = source.count("\n")
    print(f"wrote {visible(str(path))} ({lines} lines; {summary(compiled.cost)})")
    if converted:
        said = f"{converted.tensors} tensors, {len(converted.data):,} bytes"
        print(f"wrote {visible(str(converted.path))} ({said})")


def _check_options(output: str | None, weights: str | None, leave: list[str] | None) -> None:
    if leave and weights is None:
        raise typer.BadParameter("says what of --weights is left out", param_hint="--except")
    if weights is not None and output == "-":
        raise typer.BadParameter(
            "is written beside the module, so name a file", param_hint="--weights"
        )


def _convert(
    compiled: Compiled, module: Path, file: str, leave: list[str], force: bool
) -> Converted:
    """The weights of a checkpoint as the module's own, not yet placed; says what was changed."""
    from resnetgen.cli.progress import Progress
    from resnetgen.runtime import require_torch
    from resnetgen.weights.place import Converted, beside, refuse_foreign_weights

    path = beside(module, file)
    refuse_foreign_weights(path, force)
    with Progress() as progress:
        progress("importing torch")
        require_torch()
        from resnetgen.runtime.load import build as build_module
        from resnetgen.weights.fill import fill, match, remarks, seeded
        from resnetgen.weights.read import read

        progress(f"reading {visible(file)}")
        checkpoint = read(file)
        fit = match(checkpoint, compiled.graph, compiled.root.values.get("num_classes"), leave)
        network = seeded(lambda: build_module(compiled.source, compiled.network.name))
        fill(network, checkpoint, fit)
        converted = Converted.of(network, compiled.network.name, path)
    for line in remarks(checkpoint, fit):
        print(line, file=sys.stderr)
    return converted


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
