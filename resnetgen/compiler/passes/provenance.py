"""Where a number was written, and which ops a value went through. Used to explain errors.

Terms: an argument, followed through parameters and `let` to the text of the spec.

    conv1: {stride: stride}  <-  layer2: {block: {...}, stride: 2}
    conv3: {out: out}        <-  let: {out: width * expansion}  <-  layer2: {width: 128}

Traces: the ops behind a value, from its own back to the input of the network. Of a join, the first
operand is followed.

    layer2.0.add reads bn2     ->  bn2, conv2, act1, bn1, conv1 | the blocks of layer1, the stem
    layer2.0.add reads x       ->                               | the blocks of layer1, the stem

Where two traces meet again, what is before the bar made the difference. Types are inferred again
along a trace, since they are needed for errors only.
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

Names = Mapping[str, SourcedExpr]  # the term that each name of a block refers to, in one call
Types = Mapping[str, TensorType | None]  # of the values of an instance; None: it is `none`

# --- terms


def bind_names(block: Block, given: Names) -> dict[str, SourcedExpr]:
    """What the names of a block refer to in a call that gives some arguments."""
    names = dict(given)
    for name, param in block.params.items():
        if param.default and name not in names:
            names[name] = resolve(param.default, names)
    for name, term in block.let.items():
        names[name] = resolve(term, names)
    return names


def resolve(term: SourcedExpr, names: Names) -> SourcedExpr:
    """The term that a bare name refers to; any other term with its names attached."""
    if isinstance(term.expr, Name) and term.expr.id in names:
        return names[term.expr.id]
    return with_names(term, names)


def with_names(term: SourcedExpr, names: Names) -> SourcedExpr:
    """A term, and what its names refer to."""
    return SourcedExpr(term.expr, term.span, term.key_span, names)


def ancestors(term: SourcedExpr) -> Iterator[SourcedExpr]:
    """A term and everything that its value was computed from, the nearest first."""
    return _search(term, lambda each: True)


def _search(term: SourcedExpr, goes_on: Callable[[SourcedExpr], bool]) -> Iterator[SourcedExpr]:
    """A term and the terms behind it, breadth first, through those that `goes_on` accepts."""
    seen, todo = set[int](), deque([term])
    while todo:
        current = todo.popleft()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if goes_on(current):
            read = free_names(current.expr)
            todo.extend(current.names[name] for name in read if name in current.names)


# --- terms that the user can change


def is_own(span: Span, network: Network) -> bool:
    """Whether the user can change it: it is in their spec, or in a file outside the library."""
    return span.source is network.span.source or not span.source.shipped


def own_terms(term: SourcedExpr, network: Network) -> list[SourcedExpr]:
    """The user's terms behind a value: one, or those from which a library block computes it.

    A bare name explains nothing about a value: it is returned only if there is nothing else.
    """

    def goes_on(each: SourcedExpr) -> bool:
        return isinstance(each.expr, Name) or not is_own(each.span, network)

    own = [each for each in _search(term, goes_on) if is_own(each.span, network)]
    return [each for each in own if not isinstance(each.expr, Name)] or own[:1]


def term_to_blame(term: SourcedExpr, network: Network) -> SourcedExpr:
    """The term to blame for a wrong value; one of the library only if there is no other."""
    own = own_terms(term, network)
    return next((each for each in own if not _is_switch(each)), next(iter(own), term))


def _is_switch(term: SourcedExpr) -> bool:
    """Whether a term chooses between numbers, and is not a number."""
    return isinstance(term.expr, Const) and type(term.expr.value) is bool


def mistyped_term(term: SourcedExpr, network: Network) -> SourcedExpr:
    """The term to blame for a value of the wrong type: a number that is not an integer, if any."""
    own = own_terms(term, network)
    odd = (
        each for each in own if isinstance(each.expr, Const) and type(each.expr.value) is not int
    )
    return next(odd, None) or term_to_blame(term, network)


# --- names along calls


@dataclass(frozen=True, slots=True)
class CallSite:
    """A call that led to an error: the caller, the node that calls, and its path there."""

    instance: Instance
    node: InstanceNode
    path: str
    types: Types  # of the caller
    index: int  # of the called block in its stage


def names_at(call_sites: Sequence[CallSite], instance: Instance) -> Names:
    """What the names of an instance refer to, when it is reached by these calls.

    An instance has the origins of its first caller; other callers may have others.
    """
    if not call_sites:
        return instance.origins
    names = call_sites[0].instance.origins
    called = [*(each.instance for each in call_sites[1:]), instance]
    for call_site, callee in zip(call_sites, called, strict=True):
        names = names_of_call(call_site.node, callee, names)
    return names


def names_of_call(node: InstanceNode, callee: Instance, names: Names) -> Names:
    """What the names of a block refer to in a call of it by a node with these names."""
    if node.scope is not None:  # spliced: its arguments were written in another block
        return callee.origins
    arguments = node.block_node.arguments
    given = {
        name: resolve(arguments[name], names) if name in arguments else callee.origins[name]
        for name in callee.given
        if name in arguments or name in callee.origins
    }
    return bind_names(callee.block, given)


def attribute_terms(node: InstanceNode, names: Names) -> Names:
    """The terms of the attributes of an op, or of a node that passes its input on."""
    terms = dict(node.op.terms) if node.op else {}
    if node.scope is None:
        arguments = node.block_node.arguments
        known = node.op.definition.attributes if node.op else arguments
        terms |= {name: resolve(term, names) for name, term in arguments.items() if name in known}
    return terms


# --- traces


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One op of a trace, and the terms of its attributes; without `call`, a bypassed node."""

    key: str
    block_node: BlockNode
    call: OpCall | None
    source: TensorType
    result: TensorType
    terms: Names
    policy: bool = False  # part of what the network binds to `shortcut`


def full_trace(
    instance: Instance, types: Types, key: str, call_sites: Sequence[CallSite]
) -> list[TraceStep]:
    """The trace of a value of an instance, back to the input of the network."""
    steps, reached = trace(instance, types, key, names_at(call_sites, instance))
    while call_sites:
        *outer, site = call_sites
        names = names_at(outer, site.instance)
        before, operand = trace_calls(
            site.node, site.types, names, stop=(instance, reached, site.index)
        )
        further, reached = trace(site.instance, site.types, site.node.inputs[operand], names)
        steps += [*before, *further]
        instance, call_sites = site.instance, outer
    return steps


def trace(instance: Instance, types: Types, key: str, names: Names) -> tuple[list[TraceStep], str]:
    """The trace of a value within an instance, and the input of the block that it ends at."""
    nodes = {node.key: node for node in instance.nodes}
    steps: list[TraceStep] = []
    while key in nodes:
        node = nodes[key]
        source, operand = types.get(node.inputs[0]), 0
        policy = node.block_node.target == SHORTCUT
        if node.runs:
            inner, operand = trace_calls(node, types, names)
            steps += [
                replace(step, key=f"{key}.{step.key}", policy=step.policy or policy)
                for step in inner
            ]
        elif source is not None:
            terms, result = attribute_terms(node, names), types.get(key) or source
            steps.append(TraceStep(key, node.block_node, node.op, source, result, terms, policy))
        key = node.inputs[operand]
        steps += bypassed_steps(instance, node, key, types, names)
    return steps, key


def trace_calls(
    node: InstanceNode,
    types: Types,
    names: Names,
    stop: tuple[Instance, str, int] | None = None,
) -> tuple[list[TraceStep], int]:
    """The trace through the blocks that a node runs, and the index of the input that it ends at.

    With `stop`, an instance, its input and the index of its block: only through those before it.
    """
    count = None
    if stop:
        last, reached, count = stop
        if reached != last.block.inputs[0]:
            return [], last.block.inputs.index(reached)
    steps: list[TraceStep] = []
    for instance, inner in reversed(_typed_blocks(node, types, count)):
        names_inside = names_of_call(node, instance, names)
        further, reached = trace(instance, inner, instance.outputs[0], names_inside)
        steps += further
        if reached != instance.block.inputs[0]:
            return steps, instance.block.inputs.index(reached)
    return steps, 0


def bypassed_steps(
    instance: Instance, reader: InstanceNode, key: str, types: Types, names: Names
) -> list[TraceStep]:
    """The nodes between a node and a value that it reads which are left out here."""
    source = types.get(key)
    if reader.scope is not None or source is None:
        return []
    nodes = {node.key: node for node in instance.block.nodes}
    present = {node.key for node in instance.nodes}
    for name in reader.block_node.inputs:
        steps: list[TraceStep] = []
        while name in nodes and name not in present:
            node = nodes[name]
            terms = {each: resolve(term, names) for each, term in node.arguments.items()}
            policy = node.target == SHORTCUT
            steps.append(TraceStep(name, node, None, source, source, terms, policy))
            name = node.otherwise or node.inputs[0]
        if name == key and steps:
            return steps
    return []


def diverge(
    one: list[TraceStep], other: list[TraceStep]
) -> tuple[list[TraceStep], list[TraceStep], list[TraceStep]]:
    """Two traces -> what only the first has, what only the second has, what both have."""
    shared = 0
    for left, right in zip(reversed(one), reversed(other), strict=False):
        same_node = left.block_node is right.block_node and left.key == right.key
        if not same_node or left.source != right.source:
            break
        shared += 1
    end = len(one) - shared
    return one[:end], other[: len(other) - shared], one[end:]


# --- types along a trace


def types_of(instance: Instance, inputs: Types) -> Types:
    """The types of the values of an instance; a join that does not fit passes its first operand."""
    types = dict(inputs)
    for index in instance.schedule:
        node = instance.nodes[index]
        known = [source for name in node.inputs if (source := types.get(name))]
        if not known:
            continue
        if node.op:
            try:
                types[node.key] = node.op.definition.shape(node.op.attributes, known)
            except ShapeError:
                types[node.key] = known[0]
        elif node.runs:
            last, inner = _typed_blocks(node, types)[-1]
            types[node.key] = inner.get(last.outputs[0])
        else:
            types[node.key] = known[0]
    return types


def _typed_blocks(
    node: InstanceNode, types: Types, count: int | None = None
) -> list[tuple[Instance, Types]]:
    """The blocks that a node runs, or the first of them, with their types; equal ones once."""
    current, *others = (types.get(name) for name in node.inputs)
    blocks: list[tuple[Instance, Types]] = []
    left = sum(run.count for run in node.runs) if count is None else count
    for run in node.runs:
        times, left = min(run.count, left), left - run.count
        for _ in range(times):
            if current is None:
                return blocks
            inputs = dict(zip(run.instance.block.inputs, (current, *others), strict=True))
            inner = types_of(run.instance, inputs)
            before, current = current, inner.get(run.instance.outputs[0])
            blocks.append((run.instance, inner))
            if current == before:
                break
    return blocks
