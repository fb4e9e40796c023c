"""resnetgen: YAML declares a residual network; this compiles it to PyTorch source and exact costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Compiled",
    "SpecError",
    "WeightsError",
    "compile_module",
    "compile_spec",
    "load",
    "optimize",
]

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import torch

    from resnetgen.compiler import Compiled, compile_spec
    from resnetgen.language.diagnostics import SpecError
    from resnetgen.runtime.regions import compile_module
    from resnetgen.weights import WeightsError

_HOMES = {
    "Compiled": "resnetgen.compiler",
    "SpecError": "resnetgen.language.diagnostics",
    "WeightsError": "resnetgen.weights",
    "compile_module": "resnetgen.runtime.regions",
    "compile_spec": "resnetgen.compiler",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: `import resnetgen` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'resnetgen' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


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

    from resnetgen.compiler import compile_spec
    from resnetgen.runtime.load import build

    if leave and weights is None:
        raise ValueError("`leave` says what of `weights` is not loaded, and there are none")
    compiled = compile_spec(spec, **overrides)
    make = partial(build, compiled.source, compiled.network.name)
    if weights is None:
        return make()
    from resnetgen.weights.fill import filled
    from resnetgen.weights.read import read

    left = [leave] if isinstance(leave, str) else list(leave)
    done = filled(make, read(weights), compiled.graph, compiled.classes, left)
    _log(done.told)
    return done.module


def optimize(
    spec: str | Path,
    state_dict: Mapping[str, torch.Tensor],
    example_input: torch.Tensor,
    **overrides: object,
) -> torch.nn.Module:
    """A module that computes what a network computes in evaluation, in fewer calls.

    Norms are folded into weights; on a CPU a convolution, its addition and its ReLU are one call of
    oneDNN. Nothing is compiled. `state_dict` is that of the network, `example_input` a batch such as
    the module will get: it is made for its dtype (float32 or bfloat16) and device. Overrides are as
    for `compile_spec`. Raises SpecError if the spec is wrong, OSError if it cannot be read, and
    WeightsError where the weights do not fit.
    """
    from resnetgen.compiler import compile_spec
    from resnetgen.runtime.inference import inference_module
    from resnetgen.weights.fill import in_own_names, match
    from resnetgen.weights.read import Checkpoint

    compiled = compile_spec(spec, **overrides)
    given = in_own_names(Checkpoint("state_dict", state_dict), compiled.flat)
    fit = match(given, compiled.flat, compiled.classes)
    state = {key: given.tensors[source] for key, source in fit.sources.items()}
    plan, source = compiled.inference, compiled.inference_source
    module = inference_module(plan, source, state, example_input.dtype)
    return module.to(example_input.device)


def _log(lines: Iterable[str]) -> None:
    from logging import getLogger

    for line in lines:
        getLogger("resnetgen").warning("%s", line)
