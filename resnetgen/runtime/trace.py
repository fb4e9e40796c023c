"""A live module -> the events of one call: what torch runs, where, on what, giving what.

    capture(module, (2, 3, 224, 224), training=False)
        ->  conv2d in conv1 on 0: (2, 64, 112, 112); batch_norm in bn1 on 1: (2, 64, 112, 112); ...

`capture` is what torch.compile(fullgraph=True) sees: Dynamo on fake tensors. `symbolic` is the
cheap form, torch.fx and the meta device, with one event for each call of a module of torch.nn.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensor


@dataclass(frozen=True, slots=True)
class Event:
    """One call in a traced forward pass.

    `function` is the name of the function, or of the class where a whole module is one event.
    `module` is the path of the innermost module whose `forward` made the call ("" is the network).
    `inputs` are the events whose results it reads, operand by operand; weights are none.
    `shape` is that of its result, batch axis included; None if the result is no tensor.
    `constants` tells apart calls of one function with other arguments.
    """

    function: str
    module: str | None
    inputs: tuple[int, ...]
    shape: tuple[int, ...] | None
    constants: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """The events of a call in order, the first being the input, and what the call returned."""

    graphs: int
    events: tuple[Event, ...]
    outputs: tuple[int | None, ...]  # events
    structure: str  # "tensor", "tuple" or "dict"
    keys: tuple[str, ...] = ()  # of the dict


def capture(module: nn.Module, shape: Sequence[int], *, training: bool) -> Trace:
    """The events under torch.compile(fullgraph=True, dynamic=False).

    The module may be fake (`load.build_fake`), on the meta device or real; its mode is changed.
    Raises what Dynamo raises, above all where it would have to break the graph.
    """
    module.train(training)
    recorder = _Recorder()
    with _mode_of(module), torch.set_grad_enabled(training):
        example = torch.empty(tuple(shape), device=_device_of(module))
        compiled = torch.compile(own_frame(module), backend=recorder, fullgraph=True, dynamic=False)
        returned = compiled(example)
    return recorder.trace(example, returned)


def symbolic(
    module: nn.Module, shape: Sequence[int], *, training: bool, leaves: Container[str] = ()
) -> Trace:
    """The events under torch.fx.symbolic_trace, with shapes from a run on the module's device.

    Meant for modules on the meta device. `leaves` are paths of further modules whose calls are one
    event each. Raises what torch.fx or the run raises.
    """
    module.train(training)
    traced = fx.GraphModule(module, Leaves(leaves).trace(module))
    with torch.no_grad():
        run = _Shapes(traced)
        run.run(torch.empty(tuple(shape), device=_device_of(module)))
    book = _Book()
    for node in traced.graph.nodes:
        book.symbolic(node, traced, run.shapes.get(node))
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    structure, keys, values = _flat(output.args[0])
    return Trace(
        1, tuple(book.events), tuple(book.index.get(value) for value in values), structure, keys
    )


def own_frame(module: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls a module, or what else it is given, and has a code object of its own.

    Dynamo caches by code object and gives up after eight recompilations of one; networks of one
    class must not count against each other.
    """

    def call(*inputs: Tensor) -> Any:
        return module(*inputs)

    return FunctionType(call.__code__.replace(), call.__globals__, closure=call.__closure__)


def _tensors_of(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())


def _mode_of(module: nn.Module) -> Any:
    modes = (each.fake_mode for each in _tensors_of(module) if isinstance(each, FakeTensor))
    return next(modes, nullcontext())


def _device_of(module: nn.Module) -> torch.device:
    return next((each.device for each in _tensors_of(module)), torch.device("cpu"))


class _Recorder:
    """A backend of torch.compile that runs the graph as it is and remembers it."""

    def __init__(self) -> None:
        self.graphs: list[fx.GraphModule] = []
        self.arguments: tuple[Any, ...] = ()
        self.results: Sequence[Any] = ()

    def __call__(self, graph: fx.GraphModule, examples: list[Any]) -> Callable[..., Any]:
        self.graphs.append(graph)

        def run(*arguments: Any) -> Any:
            self.arguments = arguments
            self.results = graph(*arguments)
            return self.results

        return run

    def trace(self, example: Tensor, returned: Any) -> Trace:
        """The events of the one graph; the input and the outputs are known by identity."""
        structure, keys, leaves = _flat(returned)
        if len(self.graphs) != 1:  # zero: the network computes nothing
            return Trace(
                len(self.graphs), (Event("input", None, (), tuple(example.shape)),), (), structure
            )
        nodes = list(self.graphs[0].graph.nodes)
        inputs = [node for node in nodes if node.op == "placeholder"]
        book = _Book()
        for node, argument in zip(inputs, self.arguments, strict=True):
            if argument is example:
                book.input(node, tuple(example.shape))
        for node in nodes:
            book.captured(node)
        values = dict(zip(map(id, self.results), nodes[-1].args[0], strict=True))
        values[id(example)] = next((node for node in inputs if book.index.get(node) == 0), None)
        outputs = tuple(book.index.get(values.get(id(leaf))) for leaf in leaves)
        return Trace(1, tuple(book.events), outputs, structure, keys)


class _Book:
    """Events written down one by one; nodes that hold weights have none."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.index: dict[Any, int] = {}

    def input(self, node: fx.Node, shape: tuple[int, ...] | None) -> None:
        self.add(node, Event("input", None, (), shape))

    def add(self, node: fx.Node, event: Event) -> None:
        self.index[node] = len(self.events)
        self.events.append(event)

    def captured(self, node: fx.Node) -> None:
        """A node of Dynamo's graph."""
        if node.op not in ("call_function", "call_method"):
            return
        value = node.meta.get("example_value")
        shape = tuple(map(int, value.shape)) if isinstance(value, Tensor) else None
        self.call(node, _function_of(node), _captured_path(node), shape)

    def symbolic(
        self, node: fx.Node, traced: fx.GraphModule, shape: tuple[int, ...] | None
    ) -> None:
        """A node of torch.fx's graph."""
        if node.op == "placeholder":
            self.input(node, shape)
        elif node.op == "call_module":
            called = traced.get_submodule(str(node.target))
            if isinstance(called, nn.Identity):
                self.index[node] = self.index[node.args[0]]
            else:
                self.call(node, type(called).__name__, str(node.target), shape)
        elif node.op in ("call_function", "call_method"):
            stack = node.meta.get("nn_module_stack") or {}
            path = next((path for path, _ in reversed(stack.values())), "")
            self.call(node, _function_of(node), path, shape)

    def call(
        self, node: fx.Node, function: str, path: str | None, shape: tuple[int, ...] | None
    ) -> None:
        """A call, with its operands in order."""
        inputs: list[int] = []

        def name(operand: fx.Node) -> str:
            if operand not in self.index:
                return operand.name
            inputs.append(self.index[operand])
            return "_"

        constants = repr(fx.node.map_arg((node.args, dict(node.kwargs)), name))
        self.add(node, Event(function, path, tuple(inputs), shape, constants))


def _function_of(node: fx.Node) -> str:
    """`torch.conv2d` is conv2d, `Tensor.add` and `operator.add` are add."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return str(name)


def _captured_path(node: fx.Node) -> str | None:
    """`G['m'].layer1.0.conv1` under the network `G['m']` is layer1.0.conv1."""
    paths = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    if not paths:
        return None
    path = paths[-1].removeprefix(paths[0])
    for mark in ("['", "']", '["', '"]', "[", "]"):
        path = path.replace(mark, ".")
    return ".".join(part for part in path.split(".") if part)


def _flat(returned: Any) -> tuple[str, tuple[str, ...], list[Any]]:
    """What a network returned -> its structure, the keys of a dict, the values in order."""
    if isinstance(returned, Mapping):
        return "dict", tuple(map(str, returned)), list(returned.values())
    if isinstance(returned, tuple | list):
        return "tuple", (), list(returned)
    return "tensor", (), [returned]


def returned_tensors(returned: Any) -> list[Tensor]:
    """The outputs of a network, whatever their structure."""
    return _flat(returned)[2]


class Leaves(fx.Tracer):
    """Modules of torch.nn are one event each, and those at the given paths."""

    def __init__(self, paths: Container[str]) -> None:
        super().__init__()
        self.paths = paths

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.paths or super().is_leaf_module(
            m, module_qualified_name
        )


class _Shapes(fx.Interpreter):
    """A run that notes the shape of every tensor."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        return value
