"""Sides as callables: BUILDERS[side.build](setup) -> a function of the images.

    call = BUILDERS["compiled"](setup)
    call(setup.x)    # compiles, and returns the outputs

A side is one contender of a benchmark: the module that resnetgen prints, run eagerly or by
torch.compile, or the same network of another library (a peer). Each builder imports what it needs when it is called, so that a
cold start includes the import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from resnetgen.runtime.bench.process import Workload
from resnetgen.runtime.bench.sides import Side
from resnetgen.runtime.dtypes import CHANNELS_LAST

Call = Callable[[Tensor], Any]


class SideUnavailable(Exception):
    """A side that cannot be measured; the message is shown under the table."""


@dataclass(frozen=True)
class SideSetup:
    """What a side is built from. `images` are contiguous and in float32, as is `state`."""

    workload: Workload
    side: Side
    state: Mapping[str, Tensor]
    images: Tensor
    dtype: torch.dtype
    layout: str  # the name of the memory format: "contiguous" or "channels_last"

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format of weights and images, for torch."""
        if self.layout == "contiguous":
            return torch.contiguous_format
        return CHANNELS_LAST[self.images.ndim]

    @cached_property
    def x(self) -> Tensor:
        """The images in the dtype and memory format of the side."""
        return self.images.to(self.dtype).contiguous(memory_format=self.memory_format)


def layouts(side: Side, ndim: int) -> list[str]:
    """The layouts of a side that exist for a batch with `ndim` dimensions; at least one."""
    return side.layouts if ndim in CHANNELS_LAST else ["contiguous"]


def _network(setup: SideSetup) -> nn.Module:
    """The printed module, or the network of a peer, with the weights. Raises SideUnavailable."""
    module = (
        _library_network(setup, setup.side.constructor)
        if setup.side.constructor
        else _printed_module(setup)
    )
    module.load_state_dict(setup.state)
    module = module.train(setup.workload.training).to(setup.dtype)
    return module.to(memory_format=setup.memory_format)  # type: ignore[call-overload,no-any-return]


def _printed_module(setup: SideSetup) -> nn.Module:
    from resnetgen.runtime.load import build

    return build(setup.workload.source_path.read_text(encoding="utf-8"), setup.workload.name)


def _library_network(setup: SideSetup, constructor: str) -> nn.Module:
    """A peer's network of the same name, if its tensors have the same names and shapes.

    Raises SideUnavailable.
    """
    path, _, function = constructor.rpartition(".")
    library, name = import_module(path), setup.workload.name
    if name not in library.list_models():
        raise SideUnavailable(f"has no network {name}")
    module: nn.Module = getattr(library, function)(name)
    if _shapes(module.state_dict()) != _shapes(setup.state):
        raise SideUnavailable(f"its {name} has other weights")
    return module


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {key: tensor.shape for key, tensor in state.items()}


def _compiled(setup: SideSetup) -> Call:
    mode = setup.side.compile_mode
    return torch.compile(_network(setup), fullgraph=True, dynamic=False, mode=mode)


def _frozen(setup: SideSetup) -> Call:
    """Freezing, enabled in two ways, both of which are needed.

    Dynamo turns weights into constants only if the setting is on at the first call. The option keeps
    it from reusing the code of another side, which has the same Python code and guards that pass.
    """
    from torch._inductor import config

    frozen: dict[str, Any] = {"freezing": True}
    compiled = torch.compile(_network(setup), fullgraph=True, dynamic=False, options=frozen)

    def call(x: Tensor) -> Any:
        with config.patch(frozen):
            return compiled(x)

    return call


def _regional(setup: SideSetup) -> Call:
    from resnetgen import compile_module

    return compile_module(_network(setup), whole=False)


def _optimized(setup: SideSetup) -> Call:
    from resnetgen import optimize

    workload = setup.workload
    example = torch.randn_like(setup.x)  # not the images on which the error is measured
    return optimize(workload.spec, setup.state, example, **workload.overrides)


def _onnxruntime(setup: SideSetup) -> Call:
    """The printed module as ONNX, run by ONNX Runtime on as many threads as torch uses."""
    import onnxruntime

    program = torch.onnx.export(_network(setup), (setup.x,), dynamo=True, verbose=False)
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    model = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (argument,) = session.get_inputs()

    def call(x: Tensor) -> list[Tensor]:
        return [torch.from_numpy(each) for each in session.run(None, {argument.name: x.numpy()})]

    return call


BUILDERS: dict[str, Callable[[SideSetup], Call]] = {
    "module": _network,
    "compiled": _compiled,
    "frozen": _frozen,
    "regional": _regional,
    "optimized": _optimized,
    "onnxruntime": _onnxruntime,
}
