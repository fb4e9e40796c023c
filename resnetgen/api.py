"""Specs as torch modules: load(spec), optimize(spec, state_dict, x), load_plan(path).

    load("resnet50", weights="resnet50.pth")    the network, to train or to run
    load_plan("resnet50.plan.json")             what `optimize` or `build` made of it for inference

These are names of `resnetgen` itself. What a function needs it imports when it is called, so that
a plan is loaded without the compiler.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from os import PathLike
    from pathlib import Path

    import torch

    from resnetgen.pipeline import Compiled


def load(
    spec: str | Path,
    *,
    weights: str | Path | None = None,
    leave: str | Iterable[str] = (),
    **overrides: object,
) -> torch.nn.Module:
    """The network of a spec as a torch module, with fresh weights or with those of a checkpoint.

    `spec` is a path or the name of a library network; overrides are as for `compile_spec`.
    `weights` is a file of safetensors or of torch.save. All its tensors have to be those of the
    network, but for the modules in `leave`, which keep their initial weights:

        load("resnet50", weights="resnet50.pth", leave="fc", **{"head.classes": 10})

    What was left or converted is logged by `resnetgen`, by default on stderr. Raises SpecError if
    the spec is wrong, OSError if it cannot be read, WeightsError if the weights cannot be read or
    do not fit.
    """
    from functools import partial

    from resnetgen.pipeline import compile_spec
    from resnetgen.runtime.load import build

    if leave and weights is None:
        raise ValueError("`leave` says what of `weights` is not loaded, and there are none")
    compiled = compile_spec(spec, **overrides)
    make = partial(build, compiled.source, compiled.network.name)
    if weights is None:
        return make()
    from resnetgen.weights.load import filled
    from resnetgen.weights.read import read

    left = [leave] if isinstance(leave, str) else list(leave)
    done = filled(make, read(weights), compiled.graph, compiled.classes, left)
    _log(done.told)
    return done.module


def optimize(
    spec: str | Path,
    state_dict: Mapping[str, torch.Tensor],
    example_input: torch.Tensor,
    *,
    plan: str | PathLike[str] | None = None,
    **overrides: object,
) -> torch.nn.Module:
    """A module that computes what a network computes in evaluation, in fewer calls.

    Norms are folded into weights; on a CPU a convolution, its addition and its ReLU are one call of
    oneDNN, and nothing is compiled. On a CUDA device the first call compiles the module whole and
    captures it in one CUDA graph for inputs of the type of `example_input`; others run it as it is
    (never run on a device yet: `runtime/cuda_graph.py`). `state_dict` is that of the network,
    `example_input` a batch such as the module will get: it is made for its dtype (float32 or
    bfloat16; float16 and float64 run unfused) and device. In bfloat16 and float16 its first images
    run once in float32, and weights are rounded so that values keep their means for such images
    (`runtime/rounding.py`). Overrides are as for `compile_spec`.

    `plan` names a NAME.plan.json. Where it was made for this spec, these weights, type, device and
    versions, its module is loaded; else the module is made and stored there, with NAME.py and
    NAME.safetensors beside it, and the reason is logged by `resnetgen`. See `load_plan`.

    Raises SpecError if the spec is wrong, OSError if it cannot be read, WeightsError where the
    weights do not fit, WriteError (`resnetgen.compiler.codegen.files`) where the plan cannot be stored, and
    TypeError or ValueError where the example is no batch of the network's, or a weight is not
    finite (`runtime/load.py`); in bfloat16 and float16 also what torch raises where the network
    cannot run on such images.
    """
    with _uncollected():
        from resnetgen.pipeline import compile_spec
        from resnetgen.runtime.load import check

        compiled = compile_spec(spec, **overrides)
        check(state_dict, example_input, compiled.network)
        if plan is None:
            module = _optimized(compiled, state_dict, example_input)
        else:
            module = _planned(plan, compiled, state_dict, example_input)
    if not example_input.is_cuda:
        return module
    from resnetgen.runtime.cuda_graph import graphed

    return graphed(module, example_input)


def load_plan(path: str | PathLike[str]) -> torch.nn.Module:
    """The module of a NAME.plan.json, in evaluation, without gradients, on the device of the plan.

    Plans are written by `optimize(..., plan=PATH)`, and by `resnetgen build` with `--target
    inference --weights FILE`. Nothing is compiled or folded, and the weights stay mapped from their
    file: replace that by renaming, never write into it. Raises WeightsError `unfit-plan` where the
    plan or one of its files is missing, damaged or edited, or was made for another resnetgen, torch
    or device; nothing of them is executed then.
    """
    with _uncollected():
        from resnetgen.runtime.plans import load

        return load(path)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which here would look through all of torch (80 ms) for nothing."""
    import gc

    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _planned(
    path: str | PathLike[str],
    compiled: Compiled,
    state_dict: Mapping[str, torch.Tensor],
    example_input: torch.Tensor,
) -> torch.nn.Module:
    """The module of a plan where it fits; else one that is made, and stored there."""
    from resnetgen.runtime.plans import key, load, save
    from resnetgen.weights.plan_file import PlanError

    wanted = key(compiled.network, state_dict, example_input)
    try:
        return load(path, wanted)
    except PlanError as error:
        reason = error.diagnostic.message
    module = _optimized(compiled, state_dict, example_input)
    save(path, wanted, module, compiled.inference_source, compiled.inference)
    _log([f"{reason}; made anew"])
    return module


def _optimized(
    compiled: Compiled, state_dict: Mapping[str, torch.Tensor], example_input: torch.Tensor
) -> torch.nn.Module:
    from resnetgen.runtime.inference import inference_module
    from resnetgen.runtime.load import check_finite
    from resnetgen.weights.load import in_own_names, match
    from resnetgen.weights.read import Checkpoint

    given = in_own_names(Checkpoint("state_dict", state_dict), compiled.flat)
    fit = match(given, compiled.flat, compiled.classes)
    state = {key: given.tensors[source] for key, source in fit.sources.items()}
    check_finite(state)
    plan, source = compiled.inference, compiled.inference_source
    module = inference_module(plan, source, state, example_input.dtype, example_input)
    return module.to(example_input.device)


def _log(lines: Iterable[str]) -> None:
    from logging import getLogger

    for line in lines:
        getLogger("resnetgen").warning("%s", line)
