"""compiled(module, tensors, inputs) -> Code: one function for all equal modules.

Dynamo captures the module as one graph whose inputs are weights, statistics and operands alike;
Inductor compiles it, and what that gives is called directly afterwards. No guard is evaluated in
such a call: `regions.py` and `region_split.py` know by structures and types which code fits.
Nothing is computed here: the types of the results are known as soon as there is a graph, so that
the module behind can be compiled before this one has run.

Kernels of many graphs, built side by side.

    with side_by_side(backward=True):
        ...    # compile graph after graph: the C++ compiler works beside Python
    # here all kernels are loaded

Inductor hands each kernel to a pool of threads, and then waits for those of the graph. Within
`side_by_side` the waiting is left to the end. That takes the place of a method of Inductor; where
there is none of that name, each graph waits for itself as ever.
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

from resnetgen.runtime.trace import own_frame, returned_tensors


@dataclass(frozen=True, slots=True)
class Blank:
    """The type of a result, without its numbers."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    requires_grad: bool

    @classmethod
    def of(cls, tensor: Tensor) -> Blank:
        """The type of a tensor, fake or real."""
        return cls(tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad)

    def tensor(self) -> Tensor:
        """A tensor of the type; one that requires gradients is, like a result, no leaf."""
        made = torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.device)
        if not self.requires_grad:
            return made
        return made.copy_(torch.zeros((), device=self.device, requires_grad=True))


@dataclass(frozen=True, slots=True)
class Code:
    """A compiled function: which of the tensors it takes, what it makes, what of both is wanted."""

    function: Callable[..., Sequence[Tensor]]
    takes: tuple[int, ...]
    makes: tuple[Blank, ...]
    gives: tuple[int, ...]  # places among the tensors and then the results

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """What the module returns, in a list."""
        return self._given(tensors, self.function(*[tensors[place] for place in self.takes]))

    def blanks(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The same in type, without computing it."""
        return self._given(tensors, [each.tensor() for each in self.makes])

    def _given(self, tensors: Sequence[Tensor], results: Sequence[Tensor]) -> list[Tensor]:
        among = [*tensors, *results]
        return [among[place] for place in self.gives]


def compiled(module: nn.Module, tensors: Sequence[Tensor], inputs: Sequence[Tensor]) -> Code:
    """Compiles a module in the modes of now, for inputs of these types; their numbers are not read.

    The code takes `tensors`: the module's own, and then the inputs. Raises LookupError where the
    module reads or returns anything else, and what torch raises where it is not one graph.
    """
    backend = _Backend()
    call = torch.compile(own_frame(module), backend=backend, fullgraph=True, dynamic=False)
    return backend.code(tensors, returned_tensors(call(*inputs)))


class _Backend:
    """Inductor, but its function is kept, and the one call that Dynamo makes computes nothing."""

    def __init__(self) -> None:
        self.function: Callable[..., Sequence[Tensor]] = lambda: ()  # where there is no graph
        self.makes: tuple[Blank, ...] = ()
        self.arguments: Sequence[Tensor] = ()
        self.results: Sequence[Tensor] = ()

    def __call__(self, graph: fx.GraphModule, examples: list[Any]) -> Callable[..., Any]:
        (results,) = next(iter(reversed(graph.graph.nodes))).args
        self.makes = tuple(Blank.of(each.meta["example_value"]) for each in results)
        options = {"joint_custom_post_pass": _MasksFromValues()}
        self.function = torch._inductor.compile(graph, examples, options)

        def first(*arguments: Tensor) -> Sequence[Tensor]:
            self.arguments, self.results = arguments, [each.tensor() for each in self.makes]
            return self.results

        return first

    def code(self, tensors: Sequence[Tensor], returned: Sequence[Tensor]) -> Code:
        """The code, after the first call; arguments and results are known by identity."""
        takes = _places(self.arguments, tensors)
        gives = _places(returned, [*tensors, *self.results])
        return Code(self.function, takes, self.makes, gives)


class _MasksFromValues(CustomGraphPass):
    """The mask of a ReLU is computed again in the backward pass, and not kept.

    The ReLU that ends a block gives a value that the next block keeps; of the block alone, torch
    sees that a mask of bytes is smaller. In a whole graph the value is there anyway. Writing the
    mask and reading it took three quarters of the time of all kernels of a training step.
    """

    def __call__(self, graph: fx.Graph) -> None:
        for node in graph.find_nodes(op="call_function", target=torch.ops.aten.le.Scalar):
            node.meta["recompute"] = CheckpointPolicy.MUST_RECOMPUTE

    def uuid(self) -> bytes:
        """Part of the key under which Inductor caches what it compiles."""
        return get_hash_for_files((__file__,))


def _places(wanted: Sequence[Tensor], among: Sequence[Tensor]) -> tuple[int, ...]:
    places = {id(each): place for place, each in enumerate(among)}
    if any(id(each) not in places for each in wanted):
        raise LookupError("a part of it reads or returns what is no tensor of its modules")
    return tuple(places[id(each)] for each in wanted)


@contextmanager
def side_by_side(*, backward: bool) -> Iterator[None]:
    """Leaves waiting for kernels to the end; nothing that is compiled inside may be called inside.

    `backward` compiles the backward pass of a graph with its forward pass, instead of when it is
    first needed. Raises what the C++ compiler has against a kernel.
    """
    option = "force_non_lazy_backward_lowering"
    eager = (
        autograd.patch(option, True) if backward and hasattr(autograd, option) else nullcontext()
    )
    with eager, _waiting_last():
        yield


@contextmanager
def _waiting_last() -> Iterator[None]:
    """`AsyncCompile.wait` notes whose kernels are wanted; other threads wait as ever."""
    wait = getattr(AsyncCompile, "wait", None)
    if wait is None:
        yield
        return
    own, noted = threading.get_ident(), []

    def note(compiler: Any, scope: dict[str, Any]) -> None:
        if threading.get_ident() == own:
            noted.append((compiler, scope))
        else:
            wait(compiler, scope)

    AsyncCompile.wait = note  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        AsyncCompile.wait = wait  # type: ignore[method-assign]
    for compiler, scope in noted:
        wait(compiler, scope)
