"""verify(graph, source) -> Report: every prediction of the compiler, held against torch.

Shapes and operands of all nodes in evaluation and in training mode, parameters, the keys of the
state_dict in order, what the network returns. Nothing is computed: torch traces on fake tensors.

The nodes of a graph <-> the events of a trace.

    layer1.0.add = add(layer1.0.bn3, layer1.0.downsample.1)
        ->  the `add` whose operands are the events of those two nodes

A node whose op is a module is sought at its module's path, one whose op is a function among the
readers of its first operand; both must read exactly what the graph says. Order plays no part, since
the printed forward may run a shortcut before or after the branch beside it. Equal calls (same
function, module, operands and constants) are told apart by nothing, so they are counted.

Every event that computes a tensor must belong to a node: what is left over is a fault too.
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
from resnetgen.runtime.errors import quiet, reason
from resnetgen.runtime.load import build, build_fake
from resnetgen.runtime.trace import Event, Trace, capture, symbolic

_ONLY_IN_TRAINING = ("drop_path",)  # the printed class returns its input in evaluation
_NO_ARITHMETIC = ("view",)  # how a value is handed to a module, as for channel_conv


class Matching:
    """One walk over a graph; afterwards `faults` says what does not fit, `checked` counts nodes."""

    def __init__(self, graph: Graph, trace: Trace, *, batch: int, training: bool) -> None:
        self.axes, self.batch, self.training = len(graph.input.size), batch, training
        self.faults: list[str] = []
        self.checked = 0
        self._index(trace)
        self.values = {INPUT: 0}  # node -> event
        self.names = {0: INPUT}  # event -> the last node that it is the value of
        self.free[0] -= 1
        self.astray: set[str] = set()  # nodes whose shape is not as predicted
        nodes = [node for node in graph.nodes if training or not node.training]
        for node in nodes:
            self._node(node)
        self._left_over(nodes)

    def _index(self, trace: Trace) -> None:
        """Equal events become one, with a count."""
        first: dict[Event, int] = {}
        self.same: list[int] = []
        self.events: dict[int, Event] = {}
        self.free: Counter[int] = Counter()
        self.readers: dict[int, list[int]] = defaultdict(list)
        self.inside: dict[str | None, list[int]] = defaultdict(list)
        for number, event in enumerate(trace.events):
            inputs = tuple(self.same[source] for source in event.inputs)
            event = Event(event.function, event.module, inputs, event.shape, event.constants)
            index = first.setdefault(event, number)
            self.same.append(index)
            self.free[index] += 1
            if index == number:
                self.events[index] = event
                self.inside[event.module].append(index)
                for source in dict.fromkeys(inputs):
                    self.readers[source].append(index)

    def value(self, name: str) -> int:
        """The event whose result is the value of a node, or of the input."""
        return self.values[name]

    def event(self, number: int | None) -> int | None:
        """The number that stands for all events equal to this one."""
        return None if number is None else self.same[number]

    # --- one node

    def _node(self, node: Node) -> None:
        self.checked += 1
        sources = [self.values[name] for name in node.inputs]
        found = self._found(node, sources)
        if not found and self._may_pass(node):
            self.values[node.name] = sources[0]
            return
        if not found:
            found = self._guess(node, sources)
        if not found:
            where = f" in {node.module}" if _is_module(node) else ""
            self.faults.append(f"{node.name}: predicted {_call(node)}, but torch ran none{where}")
            self.values[node.name] = sources[0]  # so that what follows is still compared
            return
        for index in found:
            self.free[index] -= 1
        self.values[node.name], self.names[found[-1]] = found[-1], node.name
        self._shape(node, self.events[found[-1]])

    def _found(self, node: Node, sources: Sequence[int]) -> list[int]:
        """The events of a node, its value last; empty if there are none."""
        if not _is_module(node):
            return self._joined(_names(node, self.axes), sources[0], sources[1:], sources)
        for candidate in self._candidates(node):
            leaves, within = self._leaves(candidate, node.module)
            if set(leaves) == set(sources):
                return [*(each for each in within if self.free[each]), candidate]
        return []

    def _candidates(self, node: Node) -> Iterator[int]:
        """Free events that may be the result of a node's module."""
        names, definition = _names(node, self.axes), OPS[node.op].torch
        assert isinstance(definition, TorchModule)
        for index in self.inside.get(node.module, ()):
            results = self.readers[index] if definition.call else [index]
            yield from (
                each for each in results if self.free[each] and self.events[each].function in names
            )

    def _leaves(self, index: int, path: str) -> tuple[list[int], list[int]]:
        """What a module's result is computed from, and the events between: those of the module."""
        leaves: list[int] = []
        within: list[int] = []
        todo, seen = list(self.events[index].inputs), set[int]()
        while todo:
            source = todo.pop()
            if source in seen:
                continue
            seen.add(source)
            event = self.events[source]
            if source not in self.names and (event.module == path or _hands_over(event)):
                within.append(source)
                todo += event.inputs
            else:
                leaves.append(source)
        return leaves, within

    def _joined(
        self, names: frozenset[str], first: int, rest: Sequence[int], operands: Sequence[int]
    ) -> list[int]:
        """One event that reads all operands, or a chain from the left: `a + b + c`."""
        for index in self._reading(names, operands):
            return [index]
        if len(rest) < 2:
            return []
        for index in self._reading(names, (first, rest[0])):
            chain = self._joined(names, index, rest[1:], (index, *rest[1:]))
            if chain:
                return [index, *chain]
        return []

    def _reading(self, names: frozenset[str], operands: Sequence[int]) -> Iterator[int]:
        wanted = tuple(operands)
        for index in self.readers[wanted[0]]:
            event = self.events[index]
            if self.free[index] and event.inputs == wanted and _computes(event, names):
                yield index

    def _guess(self, node: Node, sources: Sequence[int]) -> list[int]:
        """The event that was probably meant where none fits; says how it differs."""
        near = self._near(node, sources)
        if near is None:
            return []
        event = self.events[near]
        read = list(event.inputs)
        if _is_module(node) and event.module == node.module:
            read = self._leaves(near, node.module)[0]
        if sorted({*read}) != sorted({*sources}) or not _is_module(node):
            expected, actual = ", ".join(node.inputs), ", ".join(map(self._said, read))
            said = f"predicted to read {expected}; in torch it reads {actual}"
        elif event.module != node.module:
            said = f"predicted in {node.module}, torch ran it in {event.module or 'the network'}"
        else:
            said = f"predicted {node.op}, torch ran `{event.function}`"
        self.faults.append(f"{node.name}: {said}")
        return [near]

    def _near(self, node: Node, sources: Sequence[int]) -> int | None:
        """An event at the node's module, or one of its function that reads an operand of it."""
        names = _names(node, self.axes)
        readers = [index for source in sources for index in self.readers[source]]
        alike = [i for i in readers if self.free[i] and _computes(self.events[i], names)]
        if not _is_module(node):
            return next(iter(alike), None)
        inside = self.inside.get(node.module, ())
        there = [i for i in inside if self.free[i] and self.events[i].shape and i in readers]
        return next(iter([*self._candidates(node), *there, *alike]), None)

    def _shape(self, node: Node, event: Event) -> None:
        """Says a wrong shape once, at the first node that has it."""
        assert node.type is not None
        if event.shape == (self.batch, *node.type.shape):
            return
        if not self.astray.intersection(node.inputs):
            self.faults.append(f"{node.name}: predicted {node.type}, torch computed {_size(event)}")
        self.astray.add(node.name)

    def _may_pass(self, node: Node) -> bool:
        idle = node.op in _ONLY_IN_TRAINING and not self.training
        return idle or OPS[node.op].neutral(node.attributes)

    # --- what no node explains

    def _left_over(self, nodes: Sequence[Node]) -> None:
        held = {node.module: node for node in nodes if _is_module(node)}
        for index, event in self.events.items():
            if event.shape is None or self.free[index] <= 0:
                continue
            owner = held.get(event.module or "")
            # A module may do more than compute its result: batch_norm counts its batches.
            if owner and event.function not in _names(owner, self.axes):
                continue
            self.faults.append(
                f"torch also ran {self._said(index)}: {_size(event)}, which was not predicted"
            )

    def _said(self, index: int) -> str:
        if index in self.names:
            return self.names[index]
        event = self.events[index]
        return f"`{event.function}` in {event.module or 'the network'}"


def _is_module(node: Node) -> bool:
    return isinstance(OPS[node.op].torch, TorchModule)


def _names(node: Node, axes: int) -> frozenset[str]:
    """The functions that compute a node, and the classes that stand for it."""
    definition = OPS[node.op]
    forms = [definition.torch, definition.in_container]
    modules = [form for form in forms if isinstance(form, TorchModule) and not form.call]
    classes = [module.callee.format(n=axes).removeprefix("nn.") for module in modules]
    return frozenset((*definition.calls, *classes))


def _hands_over(event: Event) -> bool:
    return event.shape is None or event.function in _NO_ARITHMETIC


def _computes(event: Event, names: frozenset[str]) -> bool:
    return event.shape is not None and event.function in names


def _call(node: Node) -> str:
    return f"{node.op} of {', '.join(node.inputs)}"


def _size(event: Event) -> str:
    """The shape without the batch axis, as the compiler writes it."""
    return " x ".join(map(str, (event.shape or ())[1:])) or "a number"


BATCH = 2
MODES = {"eval": False, "training": True}


@dataclass(frozen=True)
class VerifyReport:
    """What was checked, and each prediction that did not hold, as a sentence."""

    graphs: Mapping[str, int] = field(default_factory=dict)  # by mode; only under torch.compile
    nodes: Mapping[str, int] = field(default_factory=dict)  # nodes checked, by mode
    parameters: int = 0
    keys: int = 0
    mismatches: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every prediction held."""
        return not self.mismatches


def verify(
    graph: Graph,
    source: str,
    *,
    compile: bool = True,
    progress: Callable[[str], None] | None = None,
) -> VerifyReport:
    """Holds the predictions of a graph (with types) against the printed module.

    With `compile`, the events are those that torch.compile(fullgraph=True) captures; without, those
    of torch.fx, which takes a tenth of the time. Whatever the module raises is a mismatch.
    """
    say = progress or (lambda text: None)
    say(f"building {graph.name} without memory")
    try:
        module = _built(source, graph.name, fake=compile)
    except Exception as error:  # it is the printed text that is on trial
        return VerifyReport(mismatches=(f"the module cannot be built: {reason(error)}",))
    faults = [*_parameter_faults(graph, module), *_key_faults(graph, module)]
    graphs: dict[str, int] = {}
    nodes: dict[str, int] = {}
    for mode, training in MODES.items():
        say(f"{mode}: {'capturing with torch.compile' if compile else 'tracing with torch.fx'}")
        try:
            with quiet():
                trace = _traced(graph, module, compile=compile, training=training)
        except Exception as error:
            faults.append(f"{mode}: torch cannot run the network: {reason(error)}")
            continue
        if compile:
            graphs[mode] = trace.graphs
        say(f"{mode}: matching {len(trace.events)} events with the graph")
        nodes[mode], found = _trace_faults(graph, trace, training)
        faults += [f"{mode}: {fault}" for fault in found]
    return VerifyReport(graphs, nodes, _parameters(module), len(module.state_dict()), tuple(faults))


def _built(source: str, name: str, *, fake: bool) -> nn.Module:
    if fake:
        return build_fake(source, name)
    with torch.device("meta"):
        return build(source, name)


def _traced(graph: Graph, module: nn.Module, *, compile: bool, training: bool) -> Trace:
    shape = (BATCH, *graph.input.shape)
    if compile:
        return capture(module, shape, training=training)
    leaves = {node.module for node in graph.nodes if isinstance(OPS[node.op].torch, TorchModule)}
    return symbolic(module, shape, training=training, leaves=leaves)


def _parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def _parameter_faults(graph: Graph, module: nn.Module) -> Iterator[str]:
    predicted, actual = graph_cost(graph).params, _parameters(module)
    if predicted != actual:
        yield f"parameters: predicted {predicted:,}, the module has {actual:,}"


def _key_faults(graph: Graph, module: nn.Module) -> Iterator[str]:
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
    if predicted.keys() == actual.keys():
        swapped = (pair for pair in zip(predicted, actual, strict=True) if pair[0] != pair[1])
        for first, second in swapped:
            yield f"state_dict: the order differs from {first} on; the module has {second} there"
            return


def _trace_faults(graph: Graph, trace: Trace, training: bool) -> tuple[int, list[str]]:
    faults = [] if trace.graphs == 1 else [f"torch.compile captured {trace.graphs} graphs, not one"]
    matching = Matching(graph, trace, batch=BATCH, training=training)
    faults += matching.faults
    faults += _output_faults(graph, trace, matching, training)
    return matching.checked, faults


def _output_faults(graph: Graph, trace: Trace, matching: Matching, training: bool) -> Iterator[str]:
    names = graph.outputs + (graph.train_outputs if training else ())
    if len(names) > 1 and trace.structure == "tensor":
        yield f"predicted {len(names)} outputs, and the network returns one tensor"
        return
    for place, (name, number) in enumerate(zip_longest(names, trace.outputs)):
        if place >= len(names) or place >= len(trace.outputs):
            yield f"predicted {len(names)} outputs, and the network returns {len(trace.outputs)}"
            return
        if matching.event(number) != matching.value(name):
            yield f"output {place}: predicted the value of {name}, and the network returns another"
