"""`build`: the module as a file."""

from __future__ import annotations

import sys
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.console import print_exactly, torch_at_work
from resnetgen.cli.errors import BROKEN, WRONG_SPEC, Failed, show
from resnetgen.cli.options import (
    DeviceName,
    Set,
    Spec,
    compile_spec,
    force_option,
    overrides,
    placed_option,
)
from resnetgen.cli.verify import agreed, compile_on, held, verify_module
from resnetgen.compiler.diagnostics.model import Diagnostic, visible

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from resnetgen.pipeline import Compiled
    from resnetgen.weights.safetensors_file import Converted


class Target(StrEnum):
    """What a module is for."""

    torch = "torch"
    inference = "inference"


Output = Annotated[str | None, placed_option(".py")]
Force = Annotated[
    bool, force_option("Replace what resnetgen did not write, or what was edited since.")
]
Trace = Annotated[
    bool,
    typer.Option(
        "--trace",
        help="Before the file is placed, capture the module with torch.compile(fullgraph=True)"
        " and hold it against every prediction. Needs torch.",
    ),
]
CompileOn = Annotated[
    DeviceName | None,
    typer.Option(
        "--compile",
        help="Before the file is placed, compile and run the module there. Needs torch.",
    ),
]
TargetOption = Annotated[
    Target,
    typer.Option("--target", help="What the module is for: training and all else, or inference."),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="A checkpoint (safetensors or torch.save) that has to fit the network; its tensors are"
        " written to NAME.safetensors beside the module. Needs torch.",
    ),
]
Except = Annotated[
    list[str] | None,
    typer.Option(
        "--except",
        metavar="MODULE",
        help="With --weights: leave this module, such as fc, at its initial weights. Repeatable.",
    ),
]


def build(
    spec: Spec,
    output: Output = None,
    settings: Set = None,
    force: Force = False,
    target: TargetOption = Target.torch,
    trace: Trace = False,
    device: CompileOn = None,
    weights: Weights = None,
    leave: Except = None,
) -> None:
    """Writes the PyTorch module of a network.

    It is one readable file that needs only torch. It is placed whole or not at all. A file in its
    way is replaced only if resnetgen wrote it and nobody edited it since, or with --force.

    With --weights, the names and shapes of all tensors of the checkpoint have to be those of the
    network. They are written to NAME.safetensors beside NAME.py, as load_state_dict takes them,
    both files or none. Wrappers (module., _orig_mod.) are taken off. What --except names keeps
    initial weights, which are drawn from the seed 0.

    --target inference writes what evaluation computes as one straight-line forward: norms are
    folded into weights, and on a CPU a convolution, its addition and its ReLU are one call of
    oneDNN. Its weights are made of a checkpoint of the network; before they are written, both
    modules run on random images and have to agree in float64. NAME.plan.json is written with them,
    all three files or none: `resnetgen.load_plan("NAME.plan.json")` is the module, at once.

    \b
    Examples:
      resnetgen build resnet50
      resnetgen build resnet152 --set layer3.blocks=11 -o resnet77.py
      resnetgen build my/net.yaml -o build/ --trace
      resnetgen build resnet18 -o - | less
      resnetgen build resnet50 --weights resnet50.pth --set head.classes=10 --except fc
      resnetgen build resnet50 --target inference --weights resnet50.pth -o fast.py
    """
    _check_options(output, weights, leave)
    _check_target(target, trace, device)
    compiled = compile_spec(spec, overrides(settings))
    _ = compiled.graph  # a network that does not hold together has no file
    source = compiled.inference_source if target == Target.inference else compiled.source
    path = _destination(output, compiled, force)
    converted = _converted(compiled, target, path, weights, leave or [], force)
    _hold(compiled, path, trace, device)
    show(compiled.warnings)
    if path:
        _place(compiled, path, source, converted, force)
    else:
        print_exactly(source)


def _destination(output: str | None, compiled: Compiled, force: bool) -> Path | None:
    """Where the module goes; None for standard output. Raises WriteError before torch works."""
    from resnetgen.compiler.codegen.files import destination, refuse_to_overwrite

    if output == "-":
        return None
    path = destination(output, compiled.network.name)
    refuse_to_overwrite(path, force)
    return path


def _check_options(output: str | None, weights: str | None, leave: list[str] | None) -> None:
    if leave and weights is None:
        raise typer.BadParameter("says what of --weights is left out", param_hint="--except")
    if weights is not None and output == "-":
        raise typer.BadParameter(
            "is written beside the module, so name a file", param_hint="--weights"
        )


def _check_target(target: Target, trace: bool, device: DeviceName | None) -> None:
    if target == Target.inference and (trace or device):
        option = "--trace" if trace else "--compile"
        raise typer.BadParameter("is for the module of `--target torch`", param_hint=option)


def _converted(
    compiled: Compiled,
    target: Target,
    module: Path | None,
    file: str | None,
    leave: list[str],
    force: bool,
) -> Converted | None:
    """The weights of a checkpoint as the module's own, not yet placed; says what was changed."""
    if module is None or file is None:
        return None
    from resnetgen.weights import plan_file
    from resnetgen.weights.safetensors_file import Converted, beside, refuse_foreign_plan

    path = beside(module, file, force)
    if target == Target.inference:
        refuse_foreign_plan(plan_file.beside(module), force)
    with torch_at_work() as progress:
        from resnetgen.runtime.load import build as build_module
        from resnetgen.weights.load import filled, seeded
        from resnetgen.weights.read import read

        progress(f"reading {visible(file)}")
        make = partial(seeded, partial(build_module, compiled.source, compiled.network.name))
        done = filled(make, read(file), compiled.graph, compiled.classes, leave)
        if target == Target.inference:
            progress("folding norms into weights")
            converted = _folded(compiled, done.module, module)
        else:
            converted = Converted.of(done.module, compiled.network.name, path)
    print("".join(f"{line}\n" for line in done.told), end="", file=sys.stderr)
    return converted


def _folded(compiled: Compiled, network: nn.Module, to: Path) -> Converted:
    """The weights and the plan of a module for inference. Raises Failed where that is not shown."""
    from resnetgen.runtime.compare import trial_input
    from resnetgen.runtime.inference import difference, explained, inference_module
    from resnetgen.runtime.plans import files, key

    plan, source, state = compiled.inference, compiled.inference_source, network.state_dict()
    made = inference_module(plan, source, state)
    of = key(compiled.network, state, next(network.parameters()))
    image = trial_input([compiled.graph])
    try:
        found = difference(plan, source, network, image)
        right = explained(found, network, image)
    except ValueError as error:
        message = f"with these weights, nothing can be shown on random images: {error}"
        raise Failed([Diagnostic("wild-weights", message)], WRONG_SPEC) from None
    if not right:
        message = f"the folded module computes something else: {found:.1e} of its spread off"
        raise Failed([Diagnostic("broken-prediction", message)], BROKEN)
    return files(to, of, made, source, plan)


def _hold(compiled: Compiled, path: Path | None, trace: bool, device: DeviceName | None) -> None:
    """Holds the module against torch as far as was asked; standard output is a printed module's."""
    told = sys.stdout if path else sys.stderr
    if trace:
        print(held(verify_module(compiled.graph, compiled.source)), file=told, flush=True)
    if device:
        print(agreed(compile_on(compiled.graph, compiled.source, device)), file=told, flush=True)


def _place(
    compiled: Compiled, path: Path, source: str, converted: Converted | None, force: bool
) -> None:
    """Writes the module, and its weights and plan where there are any: all or none."""
    from resnetgen.reports.numbers import summary

    if converted:
        from resnetgen.weights.safetensors_file import place

        place(converted, path, source, force=force)
    else:
        from resnetgen.compiler.codegen.files import write_source

        write_source(path, source, force)
    lines = source.count("\n")
    print(f"wrote {visible(str(path))} ({lines} lines; {summary(compiled.cost)})")
    if converted:
        said = f"{converted.tensors} tensors, {len(converted.data):,} bytes"
        print(f"wrote {visible(str(converted.path))} ({said})")
    if converted and converted.plan is not None:
        from resnetgen.weights import plan_file

        print(
            f"wrote {visible(str(plan_file.beside(path)))} ({len(compiled.inference.folded.steps)} steps)"
        )
