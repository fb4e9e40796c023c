"""compile_function(module, tensors, inputs) -> CompiledFunction: one function for all equal modules.

    f = compile_function(layer1[1], [*weights, x], [x])
    f([*weights_of_layer1_2, y])    # the same code for another block: a list of its outputs

Dynamo captures the module as one graph whose inputs are weights, statistics and operands alike;
Inductor compiles it, and the resulting function is called directly. No guard is evaluated in such a
call: `partition.py` and `compile.py` know by fingerprints and types which function fits. Compiling
computes nothing: the types of the results are known as soon as there is a graph, so the next region
can be compiled before this one has run.

    with parallel_kernel_builds(backward=True):
        ...    # compile graph after graph; the C++ compiler works while Python goes on
    # here all kernels are loaded

Inductor hands each kernel to a pool of threads, and then waits for the kernels of the graph. Within
`parallel_kernel_builds` it waits at the end only. To that end a method of Inductor is replaced; if
there is none of that name, each graph waits for its own kernels as usual.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch._functorch.config as autograd
from torch import Tensor, fx, nn
from torch._inductor.async_compile import AsyncCompile
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch.utils.checkpoint import CheckpointPolicy

from resnetgen.runtime.trace import output_tensors, with_own_code

# --- one function


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The type of a tensor, without its values."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    requires_grad: bool

    @classmethod
    def of(cls, tensor: Tensor) -> TensorSpec:
        """The type of a tensor, fake or real."""
        return cls(tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad)

    def empty(self) -> Tensor:
        """A tensor of this type; one that requires gradients is not a leaf, just as a result."""
        tensor = torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.device)
        if not self.requires_grad:
            return tensor
        return tensor.copy_(torch.zeros((), device=self.device, requires_grad=True))


@dataclass(frozen=True, slots=True)
class CompiledFunction:
    """A function of some of the tensors of a region, and the types of its results.

    `arguments` are indices into the tensors, `outputs` indices into the tensors and then the results.
    """

    function: Callable[..., Sequence[Tensor]]
    arguments: tuple[int, ...]
    result_specs: tuple[TensorSpec, ...]
    outputs: tuple[int, ...]

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """What the module returns, as a list."""
        results = self.function(*[tensors[index] for index in self.arguments])
        return self._outputs(tensors, results)

    def empty_outputs(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Tensors of the types of what the module returns; nothing is computed."""
        return self._outputs(tensors, [each.empty() for each in self.result_specs])

    def _outputs(self, tensors: Sequence[Tensor], results: Sequence[Tensor]) -> list[Tensor]:
        values = [*tensors, *results]
        return [values[index] for index in self.outputs]


def compile_function(
    module: nn.Module, tensors: Sequence[Tensor], inputs: Sequence[Tensor]
) -> CompiledFunction:
    """Compiles a module in the current modes, for inputs of these types; their values are not read.

    `tensors` are the module's own, and then the inputs. Raises LookupError if the module reads or
    returns anything else, and what torch raises if it is not one graph.
    """
    backend = _Backend()
    call = torch.compile(with_own_code(module), backend=backend, fullgraph=True, dynamic=False)
    returned = output_tensors(call(*inputs))
    return backend.compiled_function(tensors, returned)


class _Backend:
    """Inductor, but its function is kept, and the one call that Dynamo makes computes nothing."""

    def __init__(self) -> None:
        self.function: Callable[..., Sequence[Tensor]] = lambda: ()  # if there is no graph
        self.result_specs: tuple[TensorSpec, ...] = ()
        self.arguments: Sequence[Tensor] = ()
        self.results: Sequence[Tensor] = ()

    def __call__(self, graph: fx.GraphModule, examples: list[Any]) -> Callable[..., Any]:
        (results,) = next(iter(reversed(graph.graph.nodes))).args
        self.result_specs = tuple(TensorSpec.of(each.meta["example_value"]) for each in results)
        options = {"joint_custom_post_pass": _RecomputeMasks()}
        self.function = torch._inductor.compile(graph, examples, options)

        def first_call(*arguments: Tensor) -> Sequence[Tensor]:
            self.arguments = arguments
            self.results = [each.empty() for each in self.result_specs]
            return self.results

        return first_call

    def compiled_function(
        self, tensors: Sequence[Tensor], returned: Sequence[Tensor]
    ) -> CompiledFunction:
        """The function, after the first call; its arguments and results are recognised by identity."""
        arguments = _indices(self.arguments, tensors)
        outputs = _indices(returned, [*tensors, *self.results])
        return CompiledFunction(self.function, arguments, self.result_specs, outputs)


class _RecomputeMasks(CustomGraphPass):
    """Computes the mask of a ReLU again in the backward pass instead of keeping it.

    The result of the ReLU at the end of a block is kept by the next block anyway. Torch, which sees
    one block alone, keeps a mask of bytes instead, because that is smaller. Writing masks and reading
    them took three quarters of the time of all kernels of a training step.
    """

    def __call__(self, graph: fx.Graph) -> None:
        for node in graph.find_nodes(op="call_function", target=torch.ops.aten.le.Scalar):
            node.meta["recompute"] = CheckpointPolicy.MUST_RECOMPUTE

    def uuid(self) -> bytes:
        """Part of the key under which Inductor caches what it compiles."""
        return get_hash_for_files((__file__,))


def _indices(wanted: Sequence[Tensor], among: Sequence[Tensor]) -> tuple[int, ...]:
    index = {id(each): number for number, each in enumerate(among)}
    if any(id(each) not in index for each in wanted):
        raise LookupError(
            "a part of it reads or returns something other than a tensor of its modules"
        )
    return tuple(index[id(each)] for each in wanted)


# --- kernels of many graphs


@contextmanager
def parallel_kernel_builds(*, backward: bool) -> Iterator[None]:
    """Waits for kernels only at the end; nothing that is compiled inside may be called inside.

    With `backward`, the backward pass of a graph is compiled with its forward pass instead of when it
    is first needed. Raises what the C++ compiler reports about a kernel.
    """
    option = "force_non_lazy_backward_lowering"
    eager = (
        autograd.patch(option, True) if backward and hasattr(autograd, option) else nullcontext()
    )
    with eager, _deferred_waits():
        yield


@contextmanager
def _deferred_waits() -> Iterator[None]:
    """Calls of `AsyncCompile.wait` are made at the end; those of other threads at once, as usual."""
    wait = getattr(AsyncCompile, "wait", None)
    if wait is None:
        yield
        return
    this_thread, deferred = threading.get_ident(), []

    def defer(compiler: Any, scope: dict[str, Any]) -> None:
        if threading.get_ident() == this_thread:
            deferred.append((compiler, scope))
        else:
            wait(compiler, scope)

    AsyncCompile.wait = defer  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        AsyncCompile.wait = wait  # type: ignore[method-assign]
    for compiler, scope in deferred:
        wait(compiler, scope)
