"""graphed(module, x) -> the same module; calls with inputs like x are one launch of a CUDA graph.

    module = graphed(folded, x)     # in channels_last; nothing is compiled yet
    module(x)                       # the first call compiles and captures, the next ones replay

**The capture was never run: no CUDA device was at hand.** Tests run the rest on a CPU, where the
compiled module is called without one, and the capture against a stand-in for CUDA's graphs.
`torch.cuda.make_graphed_callables` is not used: it hands out its own output buffers, which the next
call overwrites, and copies a batch of 1 into a buffer for 8 without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from resnetgen.runtime.dtypes import CHANNELS_LAST
from resnetgen.runtime.regional.fingerprint import structure
from resnetgen.runtime.trace import own_frame

WARM_UP = 3  # calls before the capture, as torch's notes on CUDA graphs advise

Model = TypeVar("Model", bound=nn.Module)


def graphed(module: Model, x: Tensor) -> Model:
    """A module for evaluation, compiled whole and captured for inputs of the type of `x`.

    Other shapes and dtypes, gradients of the input, autocast and an enclosing torch.compile, export
    or capture have the module as it was. Weights may be changed in place; where they are replaced
    or moved, the next call captures anew. Keys of the `state_dict` are the module's own; copies and
    pickles are of the plain module. Hooks that are registered later, and the mode of the module,
    are not seen. Threads take turns. Errors of torch.compile are raised by the call.
    """
    if x.ndim in CHANNELS_LAST:
        module.to(memory_format=CHANNELS_LAST[x.ndim])  # type: ignore[call-overload]
    module._compiled_call_impl = _Graphed(module, x)
    return module


class _Graphed:
    """The call of a module: the captured one where it fits."""

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        self.plain: Callable[[Tensor], Any] = module._call_impl
        self.whole = torch.compile(own_frame(self.plain), fullgraph=True, dynamic=False)
        self.type = _type(x)
        self.known = structure(module)
        self.weights: list[Tensor] = []  # of the capture: kept, so that nothing gets their memory
        self.recorded: Callable[[Tensor], Any] | None = None
        self.lock = Lock()

    def __call__(self, x: Tensor) -> Any:
        if not self.takes(x):
            return self.plain(x)
        with self.lock:
            weights = self.known.tensors()
            if self.recorded is None or _places(weights) != _places(self.weights):
                kept = [each.detach() for each in weights]
                self.recorded, self.weights = self.record(x), kept
            return self.recorded(x)

    def takes(self, x: Tensor) -> bool:
        """Whether the captured call gives for `x` what the module would."""
        return not (
            torch.compiler.is_compiling()
            or _type(x) != self.type
            or (x.requires_grad and torch.is_grad_enabled())
            or torch.is_autocast_enabled(x.device.type)
            or (x.is_cuda and torch.cuda.is_current_stream_capturing())
        )

    def record(self, x: Tensor) -> Callable[[Tensor], Any]:
        """The compiled call; on a CUDA device it is captured, for callers in any mode of autograd."""
        if not x.is_cuda:
            return self.whole
        with torch.inference_mode(False), torch.no_grad():
            return Recording(self.whole, x)


class Recording:
    """A call in a CUDA graph, with input and outputs at fixed places; results are copied from there.

    Calls on several streams wait for each other: a copy into the input waits until the results
    of the call before are copied out.
    """

    def __init__(self, call: Callable[[Tensor], Any], x: Tensor) -> None:
        layout = CHANNELS_LAST.get(x.ndim, torch.contiguous_format)
        self.x = x.detach().clone(memory_format=layout)
        self.graph, self.free = torch.cuda.CUDAGraph(), torch.cuda.Event()  # type: ignore[no-untyped-call]
        stream = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                call(self.x)
        with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            self.returned = call(self.x)

    def __call__(self, x: Tensor) -> Any:
        stream = torch.cuda.current_stream(self.x.device)
        stream.wait_event(self.free)
        self.x.copy_(x)
        self.graph.replay()
        returned = _copied(self.returned)
        self.free.record(stream)
        return returned


def _copied(returned: Any) -> Any:
    """What a network returns, a tensor, a tuple or a dict of them, in memory of its own."""
    if isinstance(returned, dict):
        return {name: each.clone() for name, each in returned.items()}
    if isinstance(returned, tuple):
        return tuple(each.clone() for each in returned)
    return returned.clone()


def _type(x: Tensor) -> tuple[object, ...]:
    return type(x), x.shape, x.dtype, x.device


def _places(tensors: list[Tensor]) -> list[int]:
    return [each.data_ptr() for each in tensors]
