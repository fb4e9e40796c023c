"""Sides as calls: BUILDERS[side.build](given) -> a function of the images.

    call = BUILDERS["compiled"](given)
    call(given.x)    # compiles, and gives the outputs

Each imports what it needs when it is called, so that a cold start pays for it.
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
    """Why a side cannot be measured, in words for the table."""


@dataclass(frozen=True)
class SideSetup:
    """What a side is built from; `images` are contiguous and in float32."""

    workload: Workload
    side: Side
    state: Mapping[str, Tensor]
    images: Tensor
    dtype: torch.dtype
    layout: str

    @property
    def format(self) -> torch.memory_format:
        """The memory format of weights and images."""
        return (
            CHANNELS_LAST[self.images.ndim]
            if self.layout != "contiguous"
            else torch.contiguous_format
        )

    @cached_property
    def x(self) -> Tensor:
        """The images as the side gets them."""
        return self.images.to(self.dtype).contiguous(memory_format=self.format)


def layouts(side: Side, axes: int) -> list[str]:
    """The layouts of a side that a batch of so many axes can have, at least one."""
    return side.layouts if axes in CHANNELS_LAST else ["contiguous"]


def _network(given: SideSetup) -> nn.Module:
    """The printed module, or the peer's, with the weights. Raises Unfit."""
    module = _peer(given, given.side.constructor) if given.side.constructor else _own(given)
    module.load_state_dict(given.state)
    module = module.train(given.workload.training).to(given.dtype)
    return module.to(memory_format=given.format)  # type: ignore[call-overload,no-any-return]


def _own(given: SideSetup) -> nn.Module:
    from resnetgen.runtime.load import build

    return build(given.workload.source.read_text(encoding="utf-8"), given.workload.name)


def _peer(given: SideSetup, constructor: str) -> nn.Module:
    """A peer's network of that name, if it has the same weights. Raises Unfit."""
    path, _, function = constructor.rpartition(".")
    library, name = import_module(path), given.workload.name
    if name not in library.list_models():
        raise SideUnavailable(f"has no network {name}")
    module: nn.Module = getattr(library, function)(name)
    if _shapes(module.state_dict()) != _shapes(given.state):
        raise SideUnavailable(f"its {name} has other weights")
    return module


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {key: tensor.shape for key, tensor in state.items()}


def _compiled(given: SideSetup) -> Call:
    mode = given.side.compile_mode
    return torch.compile(_network(given), fullgraph=True, dynamic=False, mode=mode)


def _frozen(given: SideSetup) -> Call:
    """Freezing, asked for twice: both are needed.

    Dynamo makes constants of weights only where the setting holds at the first call. The option keeps
    it from taking the code of another side, which has the same Python code and guards that fit.
    """
    from torch._inductor import config

    frozen: dict[str, Any] = {"freezing": True}
    compiled = torch.compile(_network(given), fullgraph=True, dynamic=False, options=frozen)

    def call(x: Tensor) -> Any:
        with config.patch(frozen):
            return compiled(x)

    return call


def _regional(given: SideSetup) -> Call:
    from resnetgen import compile_module

    return compile_module(_network(given), whole=False)


def _optimized(given: SideSetup) -> Call:
    from resnetgen import optimize

    subject = given.workload
    example = torch.randn_like(given.x)  # not the images on which the error is taken
    return optimize(subject.spec, given.state, example, **subject.overrides)


def _session(given: SideSetup) -> Call:
    """The printed module as ONNX, run by ONNX Runtime on as many threads as torch takes."""
    import onnxruntime

    program = torch.onnx.export(_network(given), (given.x,), dynamo=True, verbose=False)
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    model = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()

    def call(x: Tensor) -> list[Tensor]:
        return [torch.from_numpy(each) for each in session.run(None, {entry.name: x.numpy()})]

    return call


BUILDERS: dict[str, Callable[[SideSetup], Call]] = {
    "module": _network,
    "compiled": _compiled,
    "frozen": _frozen,
    "regional": _regional,
    "optimized": _optimized,
    "session": _session,
}
