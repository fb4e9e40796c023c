"""A live module -> the events of one call: what torch runs, in which module, on what, of what shape.

    trace_with_dynamo(module, (2, 3, 224, 224), training=False)
        ->  0 input                                (2, 3, 224, 224)
            1 conv2d      in conv1  reads 0        (2, 64, 112, 112)
            2 batch_norm  in bn1    reads 1        (2, 64, 112, 112)
            ...

`trace_with_dynamo` is what torch.compile(fullgraph=True) captures, on fake tensors. `trace_with_fx`
takes a tenth of the time: torch.fx on the meta device, with one event for each call of a module of
torch.nn. Neither computes anything.
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

    `function` is the name of the function, or of the class if a whole module is one event.
    `module` is the path of the innermost module whose `forward` made the call ("" is the network).
    `inputs` are the events whose results it reads, operand by operand; weights are not events.
    `shape` is that of its result, with the batch axis; None if the result is not a tensor.
    `constants` are its other arguments, as text: they distinguish calls of one function.
    """

    function: str
    module: str | None
    inputs: tuple[int, ...]
    shape: tuple[int, ...] | None
    constants: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """The events of a call in order, the first of which is the input, and what the call returned."""

    graphs: int
    events: tuple[Event, ...]
    outputs: tuple[int | None, ...]  # events
    structure: str  # "tensor", "tuple" or "dict"
    keys: tuple[str, ...] = ()  # of the dict


def trace_with_dynamo(module: nn.Module, shape: Sequence[int], *, training: bool) -> Trace:
    """The events under torch.compile(fullgraph=True, dynamic=False).

    The module may be fake (`load.build_fake`), on the meta device or real; its mode is changed.
    Raises what Dynamo raises, in particular where it would have to break the graph.
    """
    module.train(training)
    recorder = _Recorder()
    with _fake_mode(module), torch.set_grad_enabled(training):
        example = torch.empty(tuple(shape), device=_device_of(module))
        call = with_own_code(module)
        compiled = torch.compile(call, backend=recorder, fullgraph=True, dynamic=False)
        returned = compiled(example)
    return recorder.trace(example, returned)


def trace_with_fx(
    module: nn.Module, shape: Sequence[int], *, training: bool, leaves: Container[str] = ()
) -> Trace:
    """The events under torch.fx.symbolic_trace, with shapes from a run on the module's device.

    Meant for modules on the meta device. `leaves` are paths of further modules whose calls are one
    event each. Raises what torch.fx or the run raises.
    """
    module.train(training)
    traced = fx.GraphModule(module, LeafTracer(leaves).trace(module))
    with torch.no_grad():
        run = _ShapeRecorder(traced)
        run.run(torch.empty(tuple(shape), device=_device_of(module)))
    log = _EventLog()
    for node in traced.graph.nodes:
        log.add_fx_node(node, traced, run.shapes.get(node))
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    structure, keys, values = _flatten(output.args[0])
    outputs = tuple(log.index.get(value) for value in values)
    return Trace(1, tuple(log.events), outputs, structure, keys)


def output_tensors(returned: Any) -> list[Tensor]:
    """The outputs of a network in order, whatever their structure."""
    return _flatten(returned)[2]


def _flatten(returned: Any) -> tuple[str, tuple[str, ...], list[Any]]:
    """What a network returned -> its structure, the keys of a dict, the values in order."""
    if isinstance(returned, Mapping):
        return "dict", tuple(map(str, returned)), list(returned.values())
    if isinstance(returned, tuple | list):
        return "tuple", (), list(returned)
    return "tensor", (), [returned]


def with_own_code(module: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls a module, or another callable, and has a code object of its own.

    Dynamo caches by code object and gives up after eight recompilations of one: networks of the same
    class must not count against each other.
    """

    def call(*inputs: Tensor) -> Any:
        return module(*inputs)

    return FunctionType(call.__code__.replace(), call.__globals__, closure=call.__closure__)


def _tensors_of(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())


def _fake_mode(module: nn.Module) -> Any:
    modes = (each.fake_mode for each in _tensors_of(module) if isinstance(each, FakeTensor))
    return next(modes, nullcontext())


def _device_of(module: nn.Module) -> torch.device:
    return next((each.device for each in _tensors_of(module)), torch.device("cpu"))


# --- Dynamo


class _Recorder:
    """A backend of torch.compile that runs the graph as it is and records it."""

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
        """The events of the one graph; the input and the outputs are recognised by identity."""
        structure, keys, leaves = _flatten(returned)
        if len(self.graphs) != 1:  # zero: the network computes nothing
            start = Event("input", None, (), tuple(example.shape))
            return Trace(len(self.graphs), (start,), (), structure)
        nodes = list(self.graphs[0].graph.nodes)
        placeholders = [node for node in nodes if node.op == "placeholder"]
        log = _EventLog()
        for node, argument in zip(placeholders, self.arguments, strict=True):
            if argument is example:
                log.add_input(node, tuple(example.shape))
        for node in nodes:
            log.add_dynamo_node(node)
        nodes_of = dict(zip(map(id, self.results), nodes[-1].args[0], strict=True))
        nodes_of[id(example)] = next((n for n in placeholders if log.index.get(n) == 0), None)
        outputs = tuple(log.index.get(nodes_of.get(id(leaf))) for leaf in leaves)
        return Trace(1, tuple(log.events), outputs, structure, keys)


# --- torch.fx


class LeafTracer(fx.Tracer):
    """Traces each module of torch.nn as one call, and so those at the given paths."""

    def __init__(self, paths: Container[str]) -> None:
        super().__init__()
        self.paths = paths

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.paths or super().is_leaf_module(
            m, module_qualified_name
        )


class _ShapeRecorder(fx.Interpreter):
    """A run that records the shape of every tensor."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        return value


# --- graphs of both kinds -> events


class _EventLog:
    """The events so far, and the event of each node; nodes of weights have none."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.index: dict[Any, int] = {}

    def add_input(self, node: fx.Node, shape: tuple[int, ...] | None) -> None:
        self._add(node, Event("input", None, (), shape))

    def add_dynamo_node(self, node: fx.Node) -> None:
        """A node of a graph that Dynamo captured."""
        if node.op not in ("call_function", "call_method"):
            return
        value = node.meta.get("example_value")
        shape = tuple(map(int, value.shape)) if isinstance(value, Tensor) else None
        self._add_call(node, _function_name(node), _dynamo_path(node), shape)

    def add_fx_node(
        self, node: fx.Node, traced: fx.GraphModule, shape: tuple[int, ...] | None
    ) -> None:
        """A node of a graph that torch.fx traced."""
        if node.op == "placeholder":
            self.add_input(node, shape)
        elif node.op == "call_module":
            called = traced.get_submodule(str(node.target))
            if isinstance(called, nn.Identity):
                self.index[node] = self.index[node.args[0]]
            else:
                self._add_call(node, type(called).__name__, str(node.target), shape)
        elif node.op in ("call_function", "call_method"):
            stack = node.meta.get("nn_module_stack") or {}
            path = next((path for path, _ in reversed(stack.values())), "")
            self._add_call(node, _function_name(node), path, shape)

    def _add_call(
        self, node: fx.Node, function: str, path: str | None, shape: tuple[int, ...] | None
    ) -> None:
        """A call; its operands are `_` in the text of its arguments."""
        inputs: list[int] = []

        def name(operand: fx.Node) -> str:
            if operand not in self.index:
                return operand.name
            inputs.append(self.index[operand])
            return "_"

        constants = repr(fx.node.map_arg((node.args, dict(node.kwargs)), name))
        self._add(node, Event(function, path, tuple(inputs), shape, constants))

    def _add(self, node: fx.Node, event: Event) -> None:
        self.index[node] = len(self.events)
        self.events.append(event)


def _function_name(node: fx.Node) -> str:
    """`conv2d` for `torch.conv2d`; `add` for `Tensor.add` and for `operator.add`."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return str(name)


def _dynamo_path(node: fx.Node) -> str | None:
    """`layer1.0.conv1` for `G['m'].layer1.0.conv1` in the network `G['m']`."""
    paths = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    if not paths:
        return None
    path = paths[-1].removeprefix(paths[0])
    for mark in ("['", "']", '["', '"]', "[", "]"):
        path = path.replace(mark, ".")
    return ".".join(part for part in path.split(".") if part)
