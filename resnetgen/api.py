"""The public functions, which `resnetgen` itself exports: networks as torch modules.

    load("resnet50", weights="resnet50.pth")        a network, to train or to run
    optimize("resnet50", model.state_dict(), x)     a module that runs it faster, for inference
    load_plan("resnet50.plan.json")                 such a module, from files that were stored before
    compile_module(model)                           torch.compile, with equal blocks compiled once

`resnetgen.compile_spec`, which needs no torch, is in `pipeline.py`. Every function here imports what
it needs when it is called, so a plan is loaded without the compiler.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from os import PathLike
    from pathlib import Path

    import torch

    from resnetgen.pipeline import Compiled

Model = TypeVar("Model", bound="torch.nn.Module")


def load(
    spec: str | Path,
    *,
    weights: str | Path | None = None,
    leave: str | Iterable[str] = (),
    **overrides: object,
) -> torch.nn.Module:
    """Builds the network of a spec, with initial weights or with those of a checkpoint.

        load("resnet50")
        load("resnet50", weights="resnet50.pth", leave="fc", **{"head.classes": 10})

    Args:
        spec, overrides: as for `compile_spec`.
        weights: a file of safetensors or of torch.save with the tensors of the network. Prefixes of
            wrappers (`module.`, `_orig_mod.`) are removed, and keys of other torch libraries are
            converted.
        leave: paths of modules that keep their initial weights, such as "fc".

    Returns a module in training mode, in float32, on the CPU. It maps a batch (N, channels, *size) to
    the outputs of the spec: a tensor, or a tuple or dict of tensors. What was left or converted is
    logged by `resnetgen`, by default on stderr.

    Raises SpecError and OSError as `compile_spec`; WeightsError if the checkpoint cannot be read or does
    not fit the network; ValueError for `leave` without `weights`.
    """
    from functools import partial

    from resnetgen.pipeline import compile_spec
    from resnetgen.runtime.load import build

    if leave and weights is None:
        raise ValueError("`leave` has no effect without `weights`")
    compiled = compile_spec(spec, **overrides)
    make = partial(build, compiled.source, compiled.network.name)
    if weights is None:
        return make()
    from resnetgen.weights.load import load_weights
    from resnetgen.weights.read import read

    left = [leave] if isinstance(leave, str) else list(leave)
    loaded = load_weights(make, read(weights), compiled.checked_graph, compiled.num_classes, left)
    _log(loaded.remarks)
    return loaded.module


def optimize(
    spec: str | Path,
    state_dict: Mapping[str, torch.Tensor],
    example_input: torch.Tensor,
    *,
    plan: str | PathLike[str] | None = None,
    **overrides: object,
) -> torch.nn.Module:
    """Builds a module that computes what a network computes in evaluation, in fewer calls.

        optimize("resnet50", model.state_dict(), images)
        optimize("resnet50", model.state_dict(), images, plan="resnet50.plan.json")

    Norms are folded into weights. On a CPU a convolution, the addition after it and its ReLU are one
    call of oneDNN; nothing is compiled. On a CUDA device the first call compiles the module whole and
    captures it in a CUDA graph, which calls with the shape and dtype of `example_input` replay; other
    calls run the module as it is. The CUDA path has never been run on a device.

    Args:
        spec, overrides: as for `compile_spec`.
        state_dict: the weights of the network, on any device, in any floating-point dtype. Copied.
        example_input: a batch (N, channels, *size) like those that the module will get. The module
            is made for its device and dtype: float32 and bfloat16 are fused, float16 and float64 run
            unfused. In bfloat16 and float16, its first images run once in float32, and weights are
            rounded so that values keep their means for such images (`runtime/rounding.py`).
        plan: a path NAME.plan.json. If a plan for this spec, these weights, this dtype, device and
            versions is stored there, it is loaded. Otherwise the module is made and stored there,
            with NAME.py and NAME.safetensors beside it, and `resnetgen` logs why. See `load_plan`.

    Returns a module in evaluation mode, without gradients, for every batch that the network accepts.

    Raises SpecError and OSError as `compile_spec`; WeightsError if the weights do not fit; TypeError and
    ValueError for another `state_dict` (values not finite) or example; WriteError if the plan cannot be
    stored; and in bfloat16 and float16 what torch raises if the network cannot run on the example.
    """
    with _gc_paused():
        from resnetgen.pipeline import compile_spec
        from resnetgen.runtime.load import check_optimize_inputs

        compiled = compile_spec(spec, **overrides)
        check_optimize_inputs(state_dict, example_input, compiled.network)
        if plan is None:
            module = _optimize(compiled, state_dict, example_input)
        else:
            module = _load_or_store_plan(plan, compiled, state_dict, example_input)
    if example_input.is_cuda:
        from resnetgen.runtime.cuda_graph import use_cuda_graph

        module = use_cuda_graph(module, example_input)
    return module


def load_plan(path: str | PathLike[str]) -> torch.nn.Module:
    """Loads an optimized module from its two files; nothing is executed, compiled or folded.

        load_plan("resnet50.plan.json")      with resnet50.safetensors beside it

    Plans are written by `optimize(..., plan=PATH)`, and by `resnetgen build` with `--target
    inference --weights FILE`.

    Returns the module in evaluation mode, without gradients, on the device of the plan. Its weights
    stay mapped from their file: to replace the file, rename another one to it; never write into it.

    Raises WeightsError `unfit-plan` if one of the files is missing, damaged or edited, or was made for
    another device or version of resnetgen or torch.
    """
    with _gc_paused():
        from resnetgen.runtime.plans import load_plan

        return load_plan(path)


def compile_module(model: Model, *, whole: bool | None = None) -> Model:
    """Compiles a model as `torch.compile` does, but equal blocks only once, for any mode.

        model = compile_module(load("resnet152"))
        model(x)    # compiles: one function for the 35 equal blocks of layer3

    Works on any torch.nn.Module whose `forward` accepts one tensor; the same model is returned, and
    the first call compiles. Weights, keys of the `state_dict`, modes, gradients and updates of
    statistics stay the model's own; copies and pickles are of the uncompiled model. Shapes are
    static: code is made for each type of input, each mode and each choice of frozen weights, when it
    is first used. Weights and submodules may be replaced later; hooks registered later, and numbers
    such as `eps` changed later, have no effect.

    Args:
        model: the model to compile, in training or in evaluation.
        whole: True compiles one graph, as torch.compile(fullgraph=True); False compiles by blocks
            wherever that is possible. By default blocks are used on a CPU, if the model has enough
            equal ones for it to pay; `resnetgen` logs at level INFO which it was, and why.

    Errors of torch.compile are raised by the call that compiles.
    """
    from resnetgen.runtime.regional.compile import compile_by_regions

    return compile_by_regions(model, whole=whole)


# --- steps of `optimize`


def _optimize(
    compiled: Compiled, state_dict: Mapping[str, torch.Tensor], example_input: torch.Tensor
) -> torch.nn.Module:
    """The module of the inference target with folded weights."""
    from resnetgen.runtime.inference import inference_module
    from resnetgen.runtime.load import check_finite_weights
    from resnetgen.weights.load import match_checkpoint, with_network_keys
    from resnetgen.weights.read import Checkpoint

    checkpoint = with_network_keys(Checkpoint("state_dict", state_dict), compiled.flat_graph)
    match = match_checkpoint(checkpoint, compiled.flat_graph, compiled.num_classes)
    state = {key: checkpoint.tensors[source] for key, source in match.sources.items()}
    check_finite_weights(state)
    plan, source = compiled.inference_plan, compiled.inference_source
    module = inference_module(plan, source, state, example_input.dtype, example_input)
    return module.to(example_input.device)


def _load_or_store_plan(
    path: str | PathLike[str],
    compiled: Compiled,
    state_dict: Mapping[str, torch.Tensor],
    example_input: torch.Tensor,
) -> torch.nn.Module:
    """The module of a stored plan if it fits; otherwise a new one, which is stored there."""
    from resnetgen.runtime.plans import load_plan, plan_key, save_plan
    from resnetgen.weights.plan_file import PlanError

    key = plan_key(compiled.network, state_dict, example_input)
    try:
        return load_plan(path, key)
    except PlanError as error:
        reason = error.diagnostic.message
    module = _optimize(compiled, state_dict, example_input)
    save_plan(path, key, module, compiled.inference_source, compiled.inference_plan.forward)
    _log([f"{reason}; made again"])
    return module


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Without the garbage collector, which would search all of torch (80 ms) and find nothing."""
    import gc

    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _log(lines: Iterable[str]) -> None:
    from logging import getLogger

    for line in lines:
        getLogger("resnetgen").warning("%s", line)
