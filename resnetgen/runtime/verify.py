"""verify(graph, source) -> VerifyReport: every prediction of the compiler, checked against torch.

Checked are the shapes and operands of all nodes, in evaluation and in training mode; parameters; the
keys of the state_dict in order; and what the network returns. Nothing is computed: torch traces the
printed module on fake tensors (`trace.py`), and the nodes of the graph are matched with the events:

    layer1.0.add = add(layer1.0.bn3, layer1.0.downsample.1)
        ->  the `add` whose operands are the events of those two nodes

The event of a node whose op is a module is looked for at the path of that module, the event of any
other node among the readers of its first operand; each must read exactly what the graph says. Order
does not matter, since the printed `forward` may run a shortcut before or after the branch beside it.
Nothing distinguishes equal calls (same function, module, operands and constants): they are counted.

Every event that computes a tensor must belong to a node: one that is left over is a mismatch too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
from torch import nn

from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.op_def import TorchModule
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.flatten import graph_cost, state_dict
from resnetgen.compiler.passes.infer_types import INPUT
from resnetgen.runtime.errors import error_summary, mute_fake_tensor_log
from resnetgen.runtime.load import build, build_fake
from resnetgen.runtime.trace import Event, Trace, trace_with_dynamo, trace_with_fx

BATCH = 2
MODES = {"eval": False, "training": True}
_ONLY_IN_TRAINING = ("drop_path",)  # the printed class returns its input in evaluation
_NO_ARITHMETIC = ("view",)  # how a value is passed to a module, as for channel_conv


@dataclass(frozen=True)
class VerifyReport:
    """What was checked, and each wrong prediction as a sentence."""

    graphs: Mapping[str, int] = field(default_factory=dict)  # by mode; only under torch.compile
    nodes: Mapping[str, int] = field(default_factory=dict)  # nodes checked, by mode
    parameters: int = 0
    keys: int = 0
    mismatches: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every prediction was right."""
        return not self.mismatches


def verify(
    graph: Graph,
    source: str,
    *,
    compile: bool = True,
    progress: Callable[[str], None] | None = None,
) -> VerifyReport:
    """Checks the predictions of a graph (with types) against the printed module.

    With `compile`, the events are those that torch.compile(fullgraph=True) captures; without, those
    of torch.fx, which takes a tenth of the time. Whatever the module raises is a mismatch.
    """
    show = progress or (lambda text: None)
    show(f"building {graph.name} without memory")
    try:
        module = _build(source, graph.name, fake=compile)
    except Exception as error:  # anything that the printed text raises
        return VerifyReport(mismatches=(f"the module cannot be built: {error_summary(error)}",))
    mismatches = [*_parameter_mismatches(graph, module), *_key_mismatches(graph, module)]
    graphs: dict[str, int] = {}
    nodes: dict[str, int] = {}
    for mode, training in MODES.items():
        show(f"{mode}: {'capturing with torch.compile' if compile else 'tracing with torch.fx'}")
        try:
            with mute_fake_tensor_log():
                trace = _trace(graph, module, compile=compile, training=training)
        except Exception as error:
            mismatches.append(f"{mode}: torch cannot run the network: {error_summary(error)}")
            continue
        if compile:
            graphs[mode] = trace.graphs
        show(f"{mode}: matching {len(trace.events)} events with the graph")
        nodes[mode], wrong = _trace_mismatches(graph, trace, training)
        mismatches += [f"{mode}: {each}" for each in wrong]
    keys = len(module.state_dict())
    return VerifyReport(graphs, nodes, _parameters(module), keys, tuple(mismatches))


def _build(source: str, name: str, *, fake: bool) -> nn.Module:
    if fake:
        return build_fake(source, name)
    with torch.device("meta"):
        return build(source, name)


def _trace(graph: Graph, module: nn.Module, *, compile: bool, training: bool) -> Trace:
    shape = (BATCH, *graph.input.shape)
    if compile:
        return trace_with_dynamo(module, shape, training=training)
    leaves = {node.module for node in graph.nodes if _is_module(node)}
    return trace_with_fx(module, shape, training=training, leaves=leaves)


# --- parameters and keys


def _parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def _parameter_mismatches(graph: Graph, module: nn.Module) -> Iterator[str]:
    predicted, actual = graph_cost(graph).params, _parameters(module)
    if predicted != actual:
        yield f"parameters: predicted {predicted:,}, the module has {actual:,}"


def _key_mismatches(graph: Graph, module: nn.Module) -> Iterator[str]:
    predicted = state_dict(graph)
    actual = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    for key, shape in predicted.items():
        if key not in actual:
            yield f"state_dict: predicted {key}, and the module has no such key"
        elif shape != actual[key]:
            yield f"state_dict: {key}: predicted {shape}, the module has {actual[key]}"
    for key in actual:
        if key not in predicted:
            yield f"state_dict: the module has {key}, which was not predicted"
    if predicted.keys() != actual.keys():
        return
    for first, second in zip(predicted, actual, strict=True):
        if first != second:
            yield f"state_dict: the order differs from {first} on; the module has {second} there"
            return


# --- the events of a call


def _trace_mismatches(graph: Graph, trace: Trace, training: bool) -> tuple[int, list[str]]:
    """How many nodes were checked, and what is wrong."""
    mismatches = []
    if trace.graphs != 1:
        mismatches.append(f"torch.compile captured {trace.graphs} graphs, not one")
    matcher = GraphMatcher(graph, trace, batch=BATCH, training=training)
    mismatches += matcher.mismatches
    mismatches += _output_mismatches(graph, trace, matcher, training)
    return matcher.checked, mismatches


def _output_mismatches(
    graph: Graph, trace: Trace, matcher: GraphMatcher, training: bool
) -> Iterator[str]:
    names = graph.outputs + (graph.train_outputs if training else ())
    if len(names) > 1 and trace.structure == "tensor":
        yield f"predicted {len(names)} outputs, and the network returns one tensor"
        return
    for position, (name, event) in enumerate(zip_longest(names, trace.outputs)):
        if position >= len(names) or position >= len(trace.outputs):
            yield f"predicted {len(names)} outputs, and the network returns {len(trace.outputs)}"
            return
        if matcher.first_equal(event) != matcher.values[name]:
            yield (
                f"output {position}: predicted the value of {name}, and the network returns another"
            )


class GraphMatcher:
    """Matches the nodes of a graph, in order, with the events of a trace.

    Afterwards `mismatches` has a sentence for each difference, `checked` is the number of nodes, and
    `values` has the event whose result is the value of each node. Of equal events, only the first is
    kept, in `events`; `unmatched` counts how many of them no node has yet.
    """

    def __init__(self, graph: Graph, trace: Trace, *, batch: int, training: bool) -> None:
        self.axes, self.batch, self.training = len(graph.input.size), batch, training
        self.mismatches: list[str] = []
        self.checked = 0
        self._index(trace)
        self.values = {INPUT: 0}  # node -> event
        self.names = {0: INPUT}  # event -> the last node whose value is its result
        self.unmatched[0] -= 1
        self.wrong_shapes: set[str] = set()  # nodes
        nodes = [node for node in graph.nodes if training or not node.training]
        for node in nodes:
            self._match(node)
        self._report_unmatched(nodes)

    def _index(self, trace: Trace) -> None:
        numbers: dict[Event, int] = {}
        self._first: list[int] = []  # event -> the first event that is equal to it
        self.events: dict[int, Event] = {}
        self.unmatched: Counter[int] = Counter()
        self.readers: dict[int, list[int]] = defaultdict(list)
        self.inside: dict[str | None, list[int]] = defaultdict(list)  # by module
        for number, event in enumerate(trace.events):
            inputs = tuple(self._first[source] for source in event.inputs)
            event = Event(event.function, event.module, inputs, event.shape, event.constants)
            first = numbers.setdefault(event, number)
            self._first.append(first)
            self.unmatched[first] += 1
            if first == number:
                self.events[first] = event
                self.inside[event.module].append(first)
                for source in dict.fromkeys(inputs):
                    self.readers[source].append(first)

    def first_equal(self, event: int | None) -> int | None:
        """The first of all events that are equal to this one."""
        return None if event is None else self._first[event]

    # --- one node

    def _match(self, node: Node) -> None:
        self.checked += 1
        sources = [self.values[name] for name in node.inputs]
        matched = self._events_of(node, sources)
        if not matched and self._may_do_nothing(node):
            self.values[node.name] = sources[0]
            return
        if not matched:
            matched = self._closest(node, sources)
        if not matched:
            where = f" in {node.module}" if _is_module(node) else ""
            call = f"{node.op} of {', '.join(node.inputs)}"
            self.mismatches.append(f"{node.name}: predicted {call}, but torch ran none{where}")
            self.values[node.name] = sources[0]  # so that what follows is still compared
            return
        for event in matched:
            self.unmatched[event] -= 1
        self.values[node.name], self.names[matched[-1]] = matched[-1], node.name
        self._check_shape(node, self.events[matched[-1]])

    def _events_of(self, node: Node, sources: Sequence[int]) -> list[int]:
        """The events of a node, its result last; empty if there are none."""
        if not _is_module(node):
            functions = _function_names(node, self.axes)
            return self._join_events(functions, sources[0], sources[1:], sources)
        for candidate in self._candidates(node):
            operands, between = self._operands(candidate, node.module)
            if set(operands) == set(sources):
                return [*(each for each in between if self.unmatched[each]), candidate]
        return []

    def _candidates(self, node: Node) -> Iterator[int]:
        """Unmatched events that may be the result of a node's module."""
        functions, definition = _function_names(node, self.axes), OPS[node.op].torch
        assert isinstance(definition, TorchModule)
        for inside in self.inside.get(node.module, ()):
            results = self.readers[inside] if definition.call else [inside]
            for each in results:
                if self.unmatched[each] and self.events[each].function in functions:
                    yield each

    def _operands(self, result: int, path: str) -> tuple[list[int], list[int]]:
        """What the result of a module is computed from, and the module's own events between them."""
        operands: list[int] = []
        between: list[int] = []
        todo, seen = list(self.events[result].inputs), set[int]()
        while todo:
            source = todo.pop()
            if source in seen:
                continue
            seen.add(source)
            event = self.events[source]
            if source not in self.names and (event.module == path or _passes_value_on(event)):
                between.append(source)
                todo += event.inputs
            else:
                operands.append(source)
        return operands, between

    def _join_events(
        self, functions: frozenset[str], first: int, rest: Sequence[int], operands: Sequence[int]
    ) -> list[int]:
        """One event that reads all operands, or a chain from the left: `a + b + c`."""
        for event in self._reading(functions, operands):
            return [event]
        if len(rest) < 2:
            return []
        for event in self._reading(functions, (first, rest[0])):
            chain = self._join_events(functions, event, rest[1:], (event, *rest[1:]))
            if chain:
                return [event, *chain]
        return []

    def _reading(self, functions: frozenset[str], operands: Sequence[int]) -> Iterator[int]:
        """Unmatched events of these functions with exactly these operands."""
        expected = tuple(operands)
        for number in self.readers[expected[0]]:
            event = self.events[number]
            if self.unmatched[number] and event.inputs == expected and _computes(event, functions):
                yield number

    def _check_shape(self, node: Node, event: Event) -> None:
        """Reports a wrong shape once, at the first node that has it."""
        assert node.type is not None
        if event.shape == (self.batch, *node.type.shape):
            return
        if not self.wrong_shapes.intersection(node.inputs):
            actual = _size(event)
            self.mismatches.append(f"{node.name}: predicted {node.type}, torch computed {actual}")
        self.wrong_shapes.add(node.name)

    def _may_do_nothing(self, node: Node) -> bool:
        off = node.op in _ONLY_IN_TRAINING and not self.training
        return off or OPS[node.op].is_identity(node.attributes)

    # --- where nothing fits

    def _closest(self, node: Node, sources: Sequence[int]) -> list[int]:
        """The event that was probably meant if none matches; reports how it differs."""
        number = self._similar(node, sources)
        if number is None:
            return []
        event = self.events[number]
        read = list(event.inputs)
        if _is_module(node) and event.module == node.module:
            read = self._operands(number, node.module)[0]
        if sorted({*read}) != sorted({*sources}) or not _is_module(node):
            predicted, actual = ", ".join(node.inputs), ", ".join(map(self._describe, read))
            text = f"predicted to read {predicted}; in torch it reads {actual}"
        elif event.module != node.module:
            text = f"predicted in {node.module}, torch ran it in {event.module or 'the network'}"
        else:
            text = f"predicted {node.op}, torch ran `{event.function}`"
        self.mismatches.append(f"{node.name}: {text}")
        return [number]

    def _similar(self, node: Node, sources: Sequence[int]) -> int | None:
        """An event at the node's module, or one of its function that reads one of its operands."""
        functions = _function_names(node, self.axes)
        readers = [each for source in sources for each in self.readers[source]]
        same_function = [
            each
            for each in readers
            if self.unmatched[each] and _computes(self.events[each], functions)
        ]
        if not _is_module(node):
            return next(iter(same_function), None)
        at_module = [
            each
            for each in self.inside.get(node.module, ())
            if self.unmatched[each] and self.events[each].shape and each in readers
        ]
        return next(iter([*self._candidates(node), *at_module, *same_function]), None)

    def _report_unmatched(self, nodes: Sequence[Node]) -> None:
        by_module = {node.module: node for node in nodes if _is_module(node)}
        for number, event in self.events.items():
            if event.shape is None or self.unmatched[number] <= 0:
                continue
            node = by_module.get(event.module or "")
            # A module may do more than compute its result: batch_norm counts its batches.
            if node and event.function not in _function_names(node, self.axes):
                continue
            call = self._describe(number)
            self.mismatches.append(
                f"torch also ran {call}: {_size(event)}, which was not predicted"
            )

    def _describe(self, number: int) -> str:
        """The node of an event; the call, if it has none."""
        if number in self.names:
            return self.names[number]
        event = self.events[number]
        return f"`{event.function}` in {event.module or 'the network'}"


def _is_module(node: Node) -> bool:
    return isinstance(OPS[node.op].torch, TorchModule)


def _function_names(node: Node, axes: int) -> frozenset[str]:
    """The functions that compute a node, and the classes whose call is one event."""
    definition = OPS[node.op]
    forms = [definition.torch, definition.container_module]
    modules = [form for form in forms if isinstance(form, TorchModule) and not form.call]
    classes = [module.callee.format(n=axes).removeprefix("nn.") for module in modules]
    return frozenset((*definition.traced_as, *classes))


def _passes_value_on(event: Event) -> bool:
    return event.shape is None or event.function in _NO_ARITHMETIC


def _computes(event: Event, functions: frozenset[str]) -> bool:
    return event.shape is not None and event.function in functions


def _size(event: Event) -> str:
    """The shape without the batch axis, as the compiler writes it."""
    return " x ".join(map(str, (event.shape or ())[1:])) or "a number"
