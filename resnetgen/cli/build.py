"""`build`: the module of a network as a file, with its weights if there is a checkpoint."""

from __future__ import annotations

import sys
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from resnetgen.cli.console import OutputFile, announce, output_file, torch_progress
from resnetgen.cli.errors import COMPILER_ERROR, SPEC_ERROR, Failed, show_diagnostics
from resnetgen.cli.options import (
    DeviceName,
    ForceEdited,
    Set,
    Spec,
    compile_spec,
    output_file_option,
    overrides,
)
from resnetgen.cli.verify import compile_on, compile_summary, verify_module, verify_summary
from resnetgen.compiler.diagnostics.model import Diagnostic, escape_invisible

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from resnetgen.pipeline import Compiled
    from resnetgen.weights.safetensors_file import WeightsFile


class Target(StrEnum):
    """What a module is for."""

    torch = "torch"
    inference = "inference"


Output = Annotated[str | None, output_file_option(".py")]
Trace = Annotated[
    bool,
    typer.Option(
        "--trace",
        help="Before writing, capture the module with torch.compile(fullgraph=True) and check every"
        " prediction against it. Needs torch.",
    ),
]
CompileOn = Annotated[
    DeviceName | None,
    typer.Option(
        "--compile",
        help="Before writing, compile and run the module on this device. Needs torch.",
    ),
]
TargetOption = Annotated[
    Target,
    typer.Option(
        "--target", help="What the module is for: any use, training included; or inference only."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="A checkpoint of the network (safetensors or torch.save); its tensors are written to"
        " NAME.safetensors beside the module. Needs torch.",
    ),
]
Except = Annotated[
    list[str] | None,
    typer.Option(
        "--except",
        metavar="MODULE",
        help="With --weights: keep the initial weights of this module, such as fc. Repeatable.",
    ),
]


def build(
    spec: Spec,
    output: Output = None,
    settings: Set = None,
    force: ForceEdited = False,
    target: TargetOption = Target.torch,
    trace: Trace = False,
    device: CompileOn = None,
    weights: Weights = None,
    leave: Except = None,
) -> None:
    """Writes the PyTorch module of a network.

    The module is one readable file that needs only torch. It is written whole or not at all. An
    existing file is replaced only if resnetgen wrote it and nobody edited it since, or with --force;
    SPEC, what it extends and FILE never are. A name that would hide a module of Python or torch, such
    as random.py, is an error.

    With --weights, the tensors of a checkpoint are written to NAME.safetensors beside NAME.py, ready
    for load_state_dict: both files or neither. Their names and shapes must be those of the network;
    the prefixes of wrappers (module., _orig_mod.) are removed. Modules that --except names keep
    their initial weights, drawn with seed 0.

    With --target inference, the module computes what the network computes in evaluation mode, in
    one straight-line forward: norms are folded into weights, and on a CPU a convolution, its
    addition and its ReLU become one call of oneDNN. Its weights are computed from a checkpoint of
    the network; before anything is written, both modules run on random images and must agree in
    float64. NAME.plan.json is written as well, all three files or none;
    `resnetgen.load_plan("NAME.plan.json")` loads the module from them.

    \b
    Examples:
      resnetgen build resnet50
      resnetgen build resnet152 --set layer3.blocks=11 -o resnet77.py
      resnetgen build my/net.yaml -o build/ --trace
      resnetgen build resnet18 -o - | less
      resnetgen build resnet50 --weights r50.pth --set head.classes=10 --except fc
      resnetgen build resnet50 --target inference --weights r50.pth -o fast.py
    """
    from resnetgen.compiler.codegen.files import MODULE, file_name
    from resnetgen.compiler.frontend.input_file import note_input

    _check_options(output, weights, leave)
    _check_target(target, trace, device)
    compiled = compile_spec(spec, overrides(settings))
    _ = compiled.checked_graph  # checks the flat graph: a network that fails gets no file
    source = compiled.inference_source if target == Target.inference else compiled.source
    if weights is not None:
        note_input(weights)
    file = output_file(output, file_name(compiled.network.name, ".py"), MODULE, force)
    converted = _convert(compiled, target, file, weights, leave or [])
    _check_in_torch(compiled, trace, device, sys.stdout if file.path else sys.stderr)
    show_diagnostics(compiled.warnings)
    _write(compiled, file, source, converted)


def _check_options(output: str | None, weights: str | None, leave: list[str] | None) -> None:
    if leave and weights is None:
        raise typer.BadParameter("has no effect without --weights", param_hint="--except")
    if weights is not None and output == "-":
        raise typer.BadParameter(
            "writes a second file beside the module, so -o must name a file",
            param_hint="--weights",
        )


def _check_target(target: Target, trace: bool, device: DeviceName | None) -> None:
    if target == Target.inference and (trace or device):
        option = "--trace" if trace else "--compile"
        raise typer.BadParameter("is only for `--target torch`", param_hint=option)


def _convert(
    compiled: Compiled, target: Target, out: OutputFile, checkpoint: str | None, leave: list[str]
) -> WeightsFile | None:
    """The weights of a checkpoint as those of the module; reports on stderr what was changed."""
    if out.path is None or checkpoint is None:
        return None
    from resnetgen.compiler.codegen.files import refuse_to_overwrite
    from resnetgen.weights import plan_file
    from resnetgen.weights.safetensors_file import WeightsFile, weights_path

    path = weights_path(out.path, out.force)
    if target == Target.inference:
        refuse_to_overwrite(plan_file.plan_path(out.path), plan_file.PLAN, out.force)
    with torch_progress() as progress:
        from resnetgen.runtime.load import build as build_module
        from resnetgen.weights.load import build_seeded, load_weights
        from resnetgen.weights.read import read

        progress(f"reading {escape_invisible(checkpoint)}")
        make = partial(build_seeded, partial(build_module, compiled.source, compiled.network.name))
        done = load_weights(
            make, read(checkpoint), compiled.checked_graph, compiled.num_classes, leave
        )
        if target == Target.inference:
            progress("folding norms into weights")
            converted = _fold(compiled, done.module, out.path)
        else:
            converted = WeightsFile.from_module(done.module, compiled.network.name, path)
    print("".join(f"{line}\n" for line in done.remarks), end="", file=sys.stderr)
    return converted


def _fold(compiled: Compiled, network: nn.Module, to: Path) -> WeightsFile:
    """The weights and the plan of a module for inference. Raises Failed if the two disagree."""
    from resnetgen.runtime.compare import trial_input
    from resnetgen.runtime.inference import explained_by_rounding, folding_error, inference_module
    from resnetgen.runtime.plans import plan_files, plan_key

    plan, source, state = compiled.inference_plan, compiled.inference_source, network.state_dict()
    folded = inference_module(plan, source, state)
    key = plan_key(compiled.network, state, next(network.parameters()))
    image = trial_input([compiled.checked_graph])
    try:
        error = folding_error(plan, source, network, image)
        is_rounding = explained_by_rounding(error, network, image)
    except ValueError as reason:
        message = f"these weights cannot be checked on random images: {reason}"
        raise Failed([Diagnostic("wild-weights", message)], SPEC_ERROR) from None
    if not is_rounding:
        message = f"the folded module computes something else: off by {error:.1e} of its spread"
        raise Failed([Diagnostic("broken-prediction", message)], COMPILER_ERROR)
    return plan_files(to, key, folded, plan.forward)


def _check_in_torch(compiled: Compiled, trace: bool, device: DeviceName | None, to: TextIO) -> None:
    """Runs the checks that were asked for. Raises Failed if one fails."""
    if trace:
        report = verify_module(compiled.checked_graph, compiled.source)
        print(verify_summary(report), file=to, flush=True)
    if device:
        compiled_on = compile_on(compiled.checked_graph, compiled.source, device)
        print(compile_summary(compiled_on), file=to, flush=True)


def _write(compiled: Compiled, file: OutputFile, source: str, weights: WeightsFile | None) -> None:
    """Writes the module, with its weights and its plan if there are any: all or none."""
    from resnetgen.reports.numbers import cost_summary

    if weights is None or file.path is None:
        file.write(source)
    else:
        from resnetgen.weights.safetensors_file import write_with_module

        write_with_module(weights, file.path, source, force=file.force)
    lines = source.count("\n")
    file.announce(f"{lines} lines; {cost_summary(compiled.cost)}")
    if weights is None or file.path is None:
        return
    announce(weights.path, f"{weights.tensors} tensors, {len(weights.data):,} bytes")
    if weights.plan is not None:
        from resnetgen.weights.plan_file import plan_path

        announce(plan_path(file.path), f"{len(compiled.inference_plan.forward.folded.steps)} steps")
