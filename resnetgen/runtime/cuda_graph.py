"""use_cuda_graph(module, x) -> the same module; calls with inputs like x are one launch of a CUDA graph.

    module = use_cuda_graph(folded, x)    # in channels_last; nothing is compiled yet
    module(x)                             # the first call compiles and captures, the next ones replay

**The capture has never been run on a device: none was available.** Tests run everything else on a
CPU, where the compiled module is called without a graph, and the capture against a stand-in for
CUDA's graphs.

`torch.cuda.make_graphed_callables` is not used: it returns its own output buffers, which the next
call overwrites, and silently copies a batch of 1 into a buffer for 8.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from resnetgen.runtime.dtypes import CHANNELS_LAST
from resnetgen.runtime.regional.fingerprint import fingerprint
from resnetgen.runtime.trace import with_own_code

WARM_UP = 3  # calls before the capture, as torch's notes on CUDA graphs advise

Model = TypeVar("Model", bound=nn.Module)


def use_cuda_graph(module: Model, x: Tensor) -> Model:
    """Makes calls of a module with inputs of the type of `x` compiled and captured; for evaluation.

    Calls with another shape or dtype, with a gradient of the input, under autocast, and inside
    torch.compile, torch.export or another capture run the module as it was. Weights may be changed
    in place; if they are replaced or moved, the next call captures again. Keys of the `state_dict`
    stay the module's own; copies and pickles are of the plain module. Hooks registered later, and a
    later change of the mode, have no effect. Threads take turns. Errors of torch.compile are raised
    by the call that compiles.
    """
    if x.ndim in CHANNELS_LAST:
        module.to(memory_format=CHANNELS_LAST[x.ndim])  # type: ignore[call-overload]
    module._compiled_call_impl = _GraphedCall(module, x)
    return module


class _GraphedCall:
    """The call of a module: the captured one if it fits, else the plain one."""

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        self.plain: Callable[[Tensor], Any] = module._call_impl
        self.compiled = torch.compile(with_own_code(self.plain), fullgraph=True, dynamic=False)
        self.input_type = _input_type(x)
        self.fingerprint = fingerprint(module)
        self.weights: list[Tensor] = []  # of the capture: referenced, so their memory is not reused
        self.captured: Callable[[Tensor], Any] | None = None
        self.lock = Lock()

    def __call__(self, x: Tensor) -> Any:
        if not self.accepts(x):
            return self.plain(x)
        with self.lock:
            weights = self.fingerprint.tensors()
            if self.captured is None or _addresses(weights) != _addresses(self.weights):
                referenced = [each.detach() for each in weights]
                self.captured, self.weights = self.capture(x), referenced
            return self.captured(x)

    def accepts(self, x: Tensor) -> bool:
        """Whether the captured call returns for `x` what the module would."""
        return not (
            torch.compiler.is_compiling()
            or _input_type(x) != self.input_type
            or (x.requires_grad and torch.is_grad_enabled())
            or torch.is_autocast_enabled(x.device.type)
            or (x.is_cuda and torch.cuda.is_current_stream_capturing())
        )

    def capture(self, x: Tensor) -> Callable[[Tensor], Any]:
        """The compiled call; on a CUDA device captured, for callers in any mode of autograd."""
        if not x.is_cuda:
            return self.compiled
        with torch.inference_mode(False), torch.no_grad():
            return CapturedCall(self.compiled, x)


class CapturedCall:
    """A call in a CUDA graph, with input and outputs at fixed addresses; results are copies of these.

    Calls on several streams wait for each other: one copies its input in when the results of the
    call before it have been copied out.
    """

    def __init__(self, call: Callable[[Tensor], Any], x: Tensor) -> None:
        layout = CHANNELS_LAST.get(x.ndim, torch.contiguous_format)
        self.x = x.detach().clone(memory_format=layout)
        self.graph = torch.cuda.CUDAGraph()
        self.results_copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        stream = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                call(self.x)
        with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            self.returned = call(self.x)

    def __call__(self, x: Tensor) -> Any:
        stream = torch.cuda.current_stream(self.x.device)
        stream.wait_event(self.results_copied)
        self.x.copy_(x)
        self.graph.replay()
        returned = _clone_outputs(self.returned)
        self.results_copied.record(stream)
        return returned


def _clone_outputs(returned: Any) -> Any:
    """What a network returns, a tensor or a tuple or dict of them, in memory of its own."""
    if isinstance(returned, dict):
        return {name: each.clone() for name, each in returned.items()}
    if isinstance(returned, tuple):
        return tuple(each.clone() for each in returned)
    return returned.clone()


def _input_type(x: Tensor) -> tuple[object, ...]:
    return type(x), x.shape, x.dtype, x.device


def _addresses(tensors: list[Tensor]) -> list[int]:
    return [each.data_ptr() for each in tensors]
