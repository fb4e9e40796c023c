"""Where a number was written: an argument followed through parameters and `let` to the text.

conv1: {stride: stride}  <-  layer2: {block: {...}, stride: 2}
conv3: {out: out}        <-  let: {out: width * expansion}  <-  layer2: {width: 128}

The way of a value: the ops that made it, from its own back to the input of the network.

    layer2.0.add reads bn2     ->  bn2, conv2, act1, bn1, conv1 | the blocks of layer1, the stem
    layer2.0.add reads x       ->                               | the blocks of layer1, the stem

Where two ways meet again, what stands before the bar made the difference. Only faults are told so:
the types on the way are computed anew. Of a join the first value counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from resnetgen.compiler.diagnostics.model import Span
from resnetgen.compiler.frontend.expressions import Const, Name, free_names
from resnetgen.compiler.ir.nodes import (
    SHORTCUT,
    Block,
    BlockNode,
    Instance,
    InstanceNode,
    Network,
    OpCall,
    SourcedExpr,
)
from resnetgen.compiler.ir.shape_rules import ShapeError, TensorType

Names = Mapping[str, SourcedExpr]  # what the names of a block stand for in one call of it


def bind_names(block: Block, given: Names) -> dict[str, SourcedExpr]:
    """What the names of a block stand for in a call that gives some arguments."""
    names = dict(given)
    for name, param in block.params.items():
        if param.default and name not in names:
            names[name] = resolve(param.default, names)
    for name, term in block.let.items():
        names[name] = resolve(term, names)
    return names


def resolve(term: SourcedExpr, names: Names) -> SourcedExpr:
    """The text that a term stands for: of a bare name, what was written for it."""
    if isinstance(term.expr, Name) and term.expr.id in names:
        return names[term.expr.id]
    return with_names(term, names)


def with_names(term: SourcedExpr, names: Names) -> SourcedExpr:
    """A term, and what its names stand for."""
    return SourcedExpr(term.expr, term.span, term.key_span, names)


def ancestors(term: SourcedExpr) -> Iterator[SourcedExpr]:
    """A term and all from which its value was computed, the nearest first."""
    return _reached(term, lambda each: True)


def own_terms(term: SourcedExpr, network: Network) -> list[SourcedExpr]:
    """The person's own texts behind a value: one, or those from which a library block computes it.

    A bare name says nothing of a value: it is taken only where there is no other.
    """

    def passes(each: SourcedExpr) -> bool:
        return isinstance(each.expr, Name) or not is_own(each.span, network)

    own = [each for each in _reached(term, passes) if is_own(each.span, network)]
    return [each for each in own if not isinstance(each.expr, Name)] or own[:1]


def _reached(term: SourcedExpr, passes: Callable[[SourcedExpr], bool]) -> Iterator[SourcedExpr]:
    """A term and what it reads, and what that reads in turn, as far as a test lets pass."""
    seen, todo = set[int](), deque([term])
    while todo:
        here = todo.popleft()
        if id(here) in seen:
            continue
        seen.add(id(here))
        yield here
        if passes(here):
            names = free_names(here.expr)
            todo.extend(here.names[name] for name in names if name in here.names)


def is_own(span: Span, network: Network) -> bool:
    """Whether a place is the person's to change: their spec, or a file that is not of the library."""
    return span.source is network.span.source or not span.source.shipped


def term_to_blame(term: SourcedExpr, network: Network) -> SourcedExpr:
    """The text to blame for a value that does not suit; of the library only for want of other."""
    own = own_terms(term, network)
    return next((each for each in own if not _is_choice(each)), next(iter(own), term))


def _is_choice(term: SourcedExpr) -> bool:
    """Whether a text chooses among numbers, and is none."""
    return isinstance(term.expr, Const) and type(term.expr.value) is bool


def mistyped_term(term: SourcedExpr, network: Network) -> SourcedExpr:
    """The same for a value of a wrong type: of several numbers behind it, one that is no integer."""
    own = own_terms(term, network)
    odd = (
        each for each in own if isinstance(each.expr, Const) and type(each.expr.value) is not int
    )
    return next(odd, None) or term_to_blame(term, network)


Types = Mapping[str, TensorType | None]


@dataclass(frozen=True, slots=True)
class CallSite:
    """A call on the way to a fault: who called, which node, at which path; `types` are the caller's."""

    instance: Instance
    node: InstanceNode
    path: str
    types: Types
    index: int  # which block of a stage


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One op on a way, and what was written for it; without `call`, a node that is left out here."""

    key: str
    block_node: BlockNode
    call: OpCall | None
    source: TensorType
    result: TensorType
    terms: Mapping[str, SourcedExpr]
    policy: bool = False  # part of what a network means by `shortcut`


def names_at(frames: Sequence[CallSite], instance: Instance) -> Names:
    """What the names of an instance stand for, when it is reached by these calls.

    An instance keeps the origins of its first caller; equal ones may have others.
    """
    if not frames:
        return instance.origins
    names = frames[0].instance.origins
    below = [*(frame.instance for frame in frames[1:]), instance]
    for frame, called in zip(frames, below, strict=True):
        names = names_of_call(frame.node, called, names)
    return names


def names_of_call(placed: InstanceNode, called: Instance, names: Names) -> Names:
    """What the names of a block stand for in a call of it by a node, whose own names are given."""
    if placed.scope is not None:  # its node was written in a block that is spliced
        return called.origins
    arguments = placed.block_node.arguments
    given = {
        name: resolve(arguments[name], names) if name in arguments else called.origins[name]
        for name in called.given
        if name in arguments or name in called.origins
    }
    return bind_names(called.block, given)


def full_trace(
    instance: Instance, types: Types, key: str, frames: Sequence[CallSite]
) -> list[TraceStep]:
    """The legs of a value of an instance, the nearest first, back to the input of the network."""
    legs, reached = trace(instance, types, key, names_at(frames, instance))
    while frames:
        *above, frame = frames
        names = names_at(above, frame.instance)
        before, index = trace_calls(frame.node, frame.types, names, instance, reached, frame.index)
        further, reached = trace(frame.instance, frame.types, frame.node.inputs[index], names)
        legs += [*before, *further]
        instance, frames = frame.instance, above
    return legs


def trace(instance: Instance, types: Types, key: str, names: Names) -> tuple[list[TraceStep], str]:
    """The legs of a value within an instance, and the input of the block to which they lead."""
    by_key = {placed.key: placed for placed in instance.nodes}
    legs: list[TraceStep] = []
    while key in by_key:
        placed = by_key[key]
        source, index = types.get(placed.inputs[0]), 0
        if placed.runs:
            called = placed.runs[-1].instance
            inner, index = trace_calls(placed, types, names, called, called.block.inputs[0], None)
            policy = placed.block_node.target == SHORTCUT
            for leg in inner:
                inside = f"{placed.key}.{leg.key}"
                legs.append(replace(leg, key=inside, policy=leg.policy or policy))
        elif source is not None:
            call = placed.op
            terms, policy = attribute_terms(placed, names), placed.block_node.target == SHORTCUT
            result = types.get(key) or source
            legs.append(TraceStep(placed.key, placed.block_node, call, source, result, terms, policy))
        legs += bypassed_steps(instance, placed, placed.inputs[index], types, names)
        key = placed.inputs[index]
    return legs, key


def attribute_terms(placed: InstanceNode, names: Names) -> Mapping[str, SourcedExpr]:
    """What was written for the attributes of an op, or for a node that passes its input."""
    call = placed.op
    terms = dict(call.terms) if call else {}
    if placed.scope is None:
        known = call.definition.attributes if call else placed.block_node.arguments
        own = placed.block_node.arguments.items()
        terms |= {name: resolve(term, names) for name, term in own if name in known}
    return terms


def bypassed_steps(
    instance: Instance, reader: InstanceNode, key: str, types: Types, names: Names
) -> list[TraceStep]:
    """The nodes between a node and a value that it reads that do nothing here."""
    source = types.get(key)
    if reader.scope is not None or source is None:
        return []
    nodes = {node.key: node for node in instance.block.nodes}
    present = {placed.key for placed in instance.nodes}
    for name in reader.block_node.inputs:
        found: list[TraceStep] = []
        while name in nodes and name not in present:
            node = nodes[name]
            terms = {each: resolve(term, names) for each, term in node.arguments.items()}
            policy = node.target == SHORTCUT
            found.append(TraceStep(name, node, None, source, source, terms, policy))
            name = node.otherwise or node.inputs[0]
        if name == key and found:
            return found
    return []


def trace_calls(
    placed: InstanceNode, types: Types, names: Names, last: Instance, reached: str, at: int | None
) -> tuple[list[TraceStep], int]:
    """The legs of the blocks that a node calls, and which of its inputs they lead to.

    With `at`, of those before that block, from the input of `last` that its legs reached.
    """
    if at is not None and reached != last.block.inputs[0]:
        return [], last.block.inputs.index(reached)
    legs: list[TraceStep] = []
    for instance, inner in reversed(_blocks(placed, types, at)):
        found, reached = trace(
            instance, inner, instance.outputs[0], names_of_call(placed, instance, names)
        )
        legs += found
        if reached != instance.block.inputs[0]:
            return legs, instance.block.inputs.index(reached)
    return legs, 0


def _blocks(placed: InstanceNode, types: Types, upto: int | None) -> list[tuple[Instance, Types]]:
    """The blocks that a node calls one after the other, with their types; equal ones once."""
    here, *others = (types.get(name) for name in placed.inputs)
    blocks: list[tuple[Instance, Types]] = []
    left = sum(run.count for run in placed.runs) if upto is None else upto
    for run in placed.runs:
        count, left = min(run.count, left), left - run.count
        for _ in range(count):
            if here is None:
                return blocks
            inputs = dict(zip(run.instance.block.inputs, (here, *others), strict=True))
            inner = types_of(run.instance, inputs)
            before, here = here, inner.get(run.instance.outputs[0])
            blocks.append((run.instance, inner))
            if here == before:
                break
    return blocks


def types_of(instance: Instance, inputs: Types) -> Types:
    """The types of the values of an instance; a join that does not fit passes its first."""
    types = dict(inputs)
    for index in instance.schedule:
        placed = instance.nodes[index]
        known = [kind for name in placed.inputs if (kind := types.get(name))]
        if not known:
            continue
        if placed.op:
            try:
                types[placed.key] = placed.op.definition.shape(placed.op.attributes, known)
            except ShapeError:
                types[placed.key] = known[0]
        elif placed.runs:
            blocks = _blocks(placed, types, None)
            last, inner = blocks[-1]
            types[placed.key] = inner.get(last.outputs[0])
        else:
            types[placed.key] = known[0]
    return types


def diverge(
    one: list[TraceStep], other: list[TraceStep]
) -> tuple[list[TraceStep], list[TraceStep], list[TraceStep]]:
    """Two ways -> what only the first has, what only the second has, what both have."""
    shared = 0
    for left, right in zip(reversed(one), reversed(other), strict=False):
        if left.block_node is not right.block_node or left.source != right.source or left.key != right.key:
            break
        shared += 1
    at = len(one) - shared
    return one[:at], other[: len(other) - shared], one[at:]
