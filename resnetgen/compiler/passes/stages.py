"""Stages: a block repeated, with arguments that may vary along the way; and blocks spliced in.

layer2: {blocks: 4, width: 128, stride: 2}  ->  one block of stride 2, three of stride 1

The default bias of convolutions: false exactly where every reader is a norm.

Strides: how far a value is reduced against the input of the body that computes it.

conv1 of stride 2, pool of stride 2, layer2 of stride 2   ->   2, 4, 8
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from resnetgen.compiler.diagnostics.model import Note
from resnetgen.compiler.frontend.expressions import Const, Expr, Value, free_names, substitute
from resnetgen.compiler.ir.nodes import (
    STAGE_NAMES,
    Binding,
    Block,
    BlockNode,
    BoundSlot,
    Callee,
    Instance,
    InstanceNode,
    OpCall,
    PassThrough,
    Slot,
)
from resnetgen.compiler.ir.op_def import format_value
from resnetgen.compiler.passes.evaluate import ErrorReported, EvalContext

MAX_OPS = 200_000  # ops of one network, expanded


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage among the stages of its network, with what the network makes of its stride."""

    count: int  # blocks
    position: int  # blocks in the stages before it
    total: int  # blocks in all stages
    stride: Value | None = None  # of its first block
    dilation: int = 1
    first_dilation: int = 1

    def values(self, at: int) -> dict[str, Value]:
        """What the expressions of its block number `at` may read."""
        return stage_values(at, self.count, self.position, self.total)


def stage_values(at: int, count: int, position: int, total: int) -> dict[str, Any]:
    """`index`, `position`, `total`, `first`, `last` of block `at` of a stage of `count` blocks."""
    return {
        "index": at,
        "position": position + at,
        "total": total,
        "first": at == 0,
        "last": at == count - 1,
    }


def stages_of(facts: EvalContext, block: Block, values: Mapping[str, Value]) -> dict[str, Stage]:
    """The stages of a block: how many blocks each has, and how many stand before it."""
    nodes = {node.key: node for node in block.nodes if node.stage}
    counts = {key: block_count(facts, node, values) for key, node in nodes.items()}
    total, before = sum(counts.values()), 0
    if total > MAX_OPS:
        longest = max(counts, key=lambda key: counts[key])
        raise too_many_ops(facts, nodes[longest], f"{total} blocks in all stages")
    stages = {}
    for key, count in counts.items():
        stages[key] = Stage(count, before, total)
        before += count
    return stages


def block_count(facts: EvalContext, node: BlockNode, values: Mapping[str, Value]) -> int:
    """The value of `blocks:`; 1 where there is none."""
    if node.repeat is None:
        return 1
    count = facts.value(node.repeat, values)
    span = node.repeat.span
    if type(count) is not int or count < 1:
        message = f"`blocks` must be a positive integer, not `{format_value(count)}`"
        raise facts.error("wrong-value", message, span)
    if count > MAX_OPS:
        raise too_many_ops(facts, node, f"{count} blocks")
    return count


def too_many_ops(facts: EvalContext, node: BlockNode, what: str) -> ErrorReported:
    """The network is too long, with this stage at the latest."""
    span = node.repeat.span if node.repeat else node.span
    return facts.error("limit", f"{what}; a network has at most {MAX_OPS} ops", span)


def with_stride(
    facts: EvalContext,
    node: BlockNode,
    stage: Stage,
    values: Mapping[str, Value],
    reduction: float,
    dilation: int,
) -> Stage:
    """The stage with its stride; under `output_stride`, a stride beyond it becomes dilation.

    `reduction` and `dilation` are those of the value that the stage reads. The first block keeps
    the dilation of the stage before, as timm does.
    """
    limit = facts.network.output_stride
    term = node.arguments.get("stride")
    stride = facts.value(term, {**values, **stage.values(0)}) if term else None
    if limit is None or not node.stage:
        return replace(stage, stride=stride)
    if reduction > limit and dilation == 1:
        span = facts.network.output_stride_span or node.span
        message = f"the stride is {reduction:g} already before `{node.key}`, beyond {limit}"
        raise facts.error("wrong-value", message, span)
    after = dilation
    if type(stride) is int and reduction * stride > limit:
        after, stride = dilation * stride, 1
    return replace(stage, stride=stride, dilation=after, first_dilation=dilation)


def stage_arguments(
    facts: EvalContext, node: BlockNode, bound: BoundSlot, stage: Stage, at: int
) -> dict[str, Value]:
    """The arguments that the stage itself gives: its stride to the first block, its dilation."""
    given: dict[str, Value] = {}
    if "stride" in node.arguments:
        given["stride"] = stage.stride if at == 0 and stage.stride is not None else 1
    if stage.dilation > 1:
        given["dilation"] = stage.dilation
        if at == 0:
            given["first_dilation"] = stage.first_dilation
    known = bound.target.params if isinstance(bound.target, Block) else given
    for name in given:
        if name not in known:
            raise _undeclared(facts, node, name)
    return given


def _undeclared(facts: EvalContext, node: BlockNode, name: str) -> ErrorReported:
    """A stage has a stride or a dilation that its block does not declare."""
    term = node.arguments.get(name)
    limit = facts.network.output_stride_span
    message = f"the block of `{node.key}` has no parameter `{name}`"
    if term or limit is None:
        return facts.error("unknown-argument", message, term.key_span if term else node.span)
    message = (
        f"the stride of `{node.key}` becomes dilation, and its block has no parameter `{name}`"
    )
    hint = "give the block the parameters `dilation: 1, first_dilation: dilation`"
    return facts.error("unknown-argument", message, limit, hint, Note("the stage", node.span))


def depends_on_index(node: BlockNode) -> bool:
    """Whether the blocks of a stage differ by where they stand in it."""

    def names(slots: Mapping[str, Binding]) -> Iterator[str]:
        for binding in slots.values():
            for term in binding.arguments.values():
                yield from free_names(term.expr)
            yield from names(binding.slots)

    own = (name for term in node.arguments.values() for name in free_names(term.expr))
    return any(name in STAGE_NAMES for name in (*own, *names(node.slots)))


def spliced_nodes(
    node: BlockNode,
    instance: Instance,
    names: Mapping[str, str],
    prefix: str,
    stage: Mapping[str, Value],
) -> tuple[list[InstanceNode], dict[str, str]]:
    """`as: .`: the nodes of a block as nodes of the one that calls it, and their keys there.

    `names` says what the inputs of the block are called there.
    """
    rename = {**names, **{each.key: f"{prefix}{each.key}" for each in instance.nodes}}
    scope = _spliced_scope(node, instance, stage)
    placed: list[InstanceNode] = []
    for each in instance.nodes:
        below = {name: substitute(expr, scope) for name, expr in (each.scope or {}).items()}
        inputs = tuple(rename[name] for name in each.inputs)
        placed.append(
            replace(
                each,
                key=rename[each.key],
                inputs=inputs,
                callee=undecided(each.callee),
                scope=below or scope,
                group=node.key,
            )
        )
    return placed, rename


def _spliced_scope(
    node: BlockNode, instance: Instance, stage: Mapping[str, Value]
) -> dict[str, Expr]:
    """The names of a spliced block in terms of the names of the block that it stands in."""
    scope: dict[str, Expr] = {}
    for name, value in instance.values.items():
        term, param = node.arguments.get(name), instance.block.params.get(name)
        if term and name in instance.given and not stage:
            scope[name] = term.expr
        elif param and param.default and name not in instance.given:
            scope[name] = substitute(param.default.expr, scope)
        elif name in instance.block.let:
            scope[name] = substitute(instance.block.let[name].expr, scope)
        else:
            scope[name] = Const(value)
    return scope


def decide_biases(placed: list[InstanceNode]) -> list[InstanceNode]:
    """A convolution's bias is false exactly where every reader is a norm."""
    readers: dict[str, list[InstanceNode]] = {each.key: [] for each in placed}
    for each in placed:
        for name in each.inputs:
            if name in readers:
                readers[name].append(each)

    def norms(key: str) -> bool:
        found = readers[key]
        return bool(found) and all(
            norms(each.key) if isinstance(each.callee, PassThrough) else _is_norm(each)
            for each in found
        )

    for index, each in enumerate(placed):
        if each.op and each.op.attributes.get("bias", True) is None:
            attributes = {**each.op.attributes, "bias": not norms(each.key)}
            call = replace(each.op, attributes=attributes)
            placed[index] = replace(each, callee=call)
    return placed


def undecided(what: Callee) -> Callee:
    """A convolution whose bias was not written, before its readers are known: where it is spliced."""
    if not isinstance(what, OpCall) or "bias" in what.terms:
        return what
    attribute = what.definition.attributes.get("bias")
    if attribute is None or attribute.default is not None:
        return what
    return replace(what, attributes={**what.attributes, "bias": None})


def _is_norm(placed: InstanceNode) -> bool:
    if placed.op:
        return placed.op.definition.is_norm
    return placed.block_node.target == Slot("norm")


def reduction(placed: InstanceNode, before: Mapping[str, float]) -> float:
    """How far the value of a placed node is reduced; `before` says it of what the node reads.

    Below 1 after an enlargement.
    """
    source = max((before.get(name, 1) for name in placed.inputs), default=1)
    return source * _stride(placed)


def _stride(placed: InstanceNode) -> float:
    if placed.op:
        return placed.op.definition.stride(placed.op.attributes)
    runs = placed.runs
    return math.prod(run.instance.stride**run.count for run in runs)
