"""Stages: a block repeated, with arguments that vary along the way; and blocks spliced in.

    layer2: {blocks: 4, width: 128, stride: 2}  ->  one block of stride 2, three of stride 1
    head: {op: default}, spliced (`as: .`)      ->  its nodes, as nodes of the network's own block

And what is decided only once all nodes of a block are known: the default bias of a convolution,
which is false exactly where every reader is a norm, and by how much each value is reduced.

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

MAX_OPS = 50_000  # of one network, expanded

# --- stages


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage among the stages of its network, and what the network makes of its stride."""

    count: int  # blocks
    position: int  # blocks in the stages before it
    total: int  # blocks in all stages
    stride: Value | None = None  # of its first block
    dilation: int = 1
    first_dilation: int = 1

    def values(self, index: int) -> dict[str, Value]:
        """What the expressions of its block number `index` may read."""
        return stage_values(index, self.count, self.position, self.total)


def stage_values(index: int, count: int, position: int, total: int) -> dict[str, Any]:
    """`index`, `position`, `total`, `first`, `last` of a block of a stage of `count` blocks."""
    return {
        "index": index,
        "position": position + index,
        "total": total,
        "first": index == 0,
        "last": index == count - 1,
    }


def stages_of(ctx: EvalContext, block: Block, values: Mapping[str, Value]) -> dict[str, Stage]:
    """The stages of a block: how many blocks each has, and how many are before it."""
    nodes = {node.key: node for node in block.nodes if node.stage}
    counts = {key: block_count(ctx, node, values) for key, node in nodes.items()}
    total, position = sum(counts.values()), 0
    if total > MAX_OPS:
        longest = max(counts, key=lambda key: counts[key])
        raise too_many_ops(ctx, nodes[longest], f"{total} blocks in all stages")
    stages = {}
    for key, count in counts.items():
        stages[key] = Stage(count, position, total)
        position += count
    return stages


def block_count(ctx: EvalContext, node: BlockNode, values: Mapping[str, Value]) -> int:
    """The value of `blocks:`; 1 if there is none."""
    if node.repeat is None:
        return 1
    count = ctx.value(node.repeat, values)
    if type(count) is not int or count < 1:
        message = f"`blocks` must be a positive integer, not `{format_value(count)}`"
        raise ctx.error("wrong-value", message, node.repeat.span)
    if count > MAX_OPS:
        raise too_many_ops(ctx, node, f"{count} blocks")
    return count


def too_many_ops(ctx: EvalContext, node: BlockNode, what: str) -> ErrorReported:
    """The network is too large, with this stage at the latest."""
    span = node.repeat.span if node.repeat else node.span
    return ctx.error("limit", f"{what}; a network has at most {MAX_OPS} ops", span)


def depends_on_index(node: BlockNode) -> bool:
    """Whether the blocks of a stage differ by their index in it."""

    def read(slots: Mapping[str, Binding]) -> Iterator[str]:
        for binding in slots.values():
            for term in binding.arguments.values():
                yield from free_names(term.expr)
            yield from read(binding.slots)

    own = (name for term in node.arguments.values() for name in free_names(term.expr))
    return any(name in STAGE_NAMES for name in (*own, *read(node.slots)))


# --- the stride and the dilation of a stage


def with_stride(
    ctx: EvalContext,
    node: BlockNode,
    stage: Stage,
    values: Mapping[str, Value],
    reduction: float,
    dilation: int,
) -> Stage:
    """The stage with its stride; a stride beyond the network's `output_stride` becomes dilation.

    `reduction` and `dilation` are those of the value that the stage reads. The first block keeps
    the dilation of the stage before, as in timm.
    """
    limit = ctx.network.output_stride
    term = node.arguments.get("stride")
    stride = ctx.value(term, {**values, **stage.values(0)}) if term else None
    if limit is None or not node.stage:
        return replace(stage, stride=stride)
    if reduction > limit and dilation == 1:
        span = ctx.network.output_stride_span or node.span
        message = f"the stride is {reduction:g} already before `{node.key}`, beyond {limit}"
        raise ctx.error("wrong-value", message, span)
    after = dilation
    if type(stride) is int and reduction * stride > limit:
        after, stride = dilation * stride, 1
    return replace(stage, stride=stride, dilation=after, first_dilation=dilation)


def stage_arguments(
    ctx: EvalContext, node: BlockNode, bound: BoundSlot, stage: Stage, index: int
) -> dict[str, Value]:
    """The arguments that the stage sets for one of its blocks: stride and dilation.

    Only the first block strides.
    """
    given: dict[str, Value] = {}
    if "stride" in node.arguments:
        given["stride"] = stage.stride if index == 0 and stage.stride is not None else 1
    if stage.dilation > 1:
        given["dilation"] = stage.dilation
        if index == 0:
            given["first_dilation"] = stage.first_dilation
    known = bound.target.params if isinstance(bound.target, Block) else given
    for name in given:
        if name not in known:
            raise _undeclared(ctx, node, name)
    return given


def _undeclared(ctx: EvalContext, node: BlockNode, name: str) -> ErrorReported:
    """A stage has a stride or a dilation, and its block no such parameter."""
    term = node.arguments.get(name)
    limit = ctx.network.output_stride_span
    if term or limit is None:
        message = f"the block of `{node.key}` has no parameter `{name}`"
        return ctx.error("unknown-argument", message, term.key_span if term else node.span)
    message = (
        f"the stride of `{node.key}` becomes dilation, and its block has no parameter `{name}`"
    )
    hint = "give the block the parameters `dilation: 1, first_dilation: dilation`"
    return ctx.error("unknown-argument", message, limit, hint, Note("the stage", node.span))


# --- splicing


def spliced_nodes(
    node: BlockNode,
    instance: Instance,
    inputs: Mapping[str, str],
    prefix: str,
    stage_values: Mapping[str, Value],
) -> tuple[list[InstanceNode], dict[str, str]]:
    """`as: .`: the nodes of a block as nodes of the one that calls it, and their keys there.

    `inputs`: what the inputs of the block are called there; `stage_values`: what its index decides.
    """
    keys = {**inputs, **{each.key: f"{prefix}{each.key}" for each in instance.nodes}}
    scope = _spliced_scope(node, instance, stage_values)
    nodes = [
        replace(
            each,
            key=keys[each.key],
            inputs=tuple(keys[name] for name in each.inputs),
            callee=with_open_bias(each.callee),
            scope={name: substitute(expr, scope) for name, expr in (each.scope or {}).items()}
            or scope,
            group=node.key,
        )
        for each in instance.nodes
    ]
    return nodes, keys


def _spliced_scope(
    node: BlockNode, instance: Instance, stage_values: Mapping[str, Value]
) -> dict[str, Expr]:
    """The names of a spliced block in terms of the names of the block that calls it."""
    scope: dict[str, Expr] = {}
    for name, value in instance.values.items():
        term, param = node.arguments.get(name), instance.block.params.get(name)
        if term and name in instance.given and not stage_values:
            scope[name] = term.expr
        elif param and param.default and name not in instance.given:
            scope[name] = substitute(param.default.expr, scope)
        elif name in instance.block.let:
            scope[name] = substitute(instance.block.let[name].expr, scope)
        else:
            scope[name] = Const(value)
    return scope


# --- the bias of convolutions


def decide_biases(nodes: list[InstanceNode]) -> list[InstanceNode]:
    """The nodes with each open bias decided: false exactly where every reader is a norm."""
    readers: dict[str, list[InstanceNode]] = {node.key: [] for node in nodes}
    for node in nodes:
        for name in node.inputs:
            if name in readers:
                readers[name].append(node)

    def only_norms_read(key: str) -> bool:
        todo, seen = [key], {key}
        while todo:
            behind = readers[todo.pop()]
            passing = {node.key for node in behind if isinstance(node.callee, PassThrough)}
            if not behind or not all(node.key in passing or _is_norm(node) for node in behind):
                return False
            todo += passing - seen
            seen |= passing
        return True

    def decided(node: InstanceNode) -> InstanceNode:
        if node.op is None or node.op.attributes.get("bias", True) is not None:
            return node
        attributes = {**node.op.attributes, "bias": not only_norms_read(node.key)}
        return replace(node, callee=replace(node.op, attributes=attributes))

    return [decided(node) for node in nodes]


def _is_norm(node: InstanceNode) -> bool:
    if node.op:
        return node.op.definition.is_norm
    return node.block_node.target == Slot("norm")


def with_open_bias(callee: Callee) -> Callee:
    """A convolution whose bias was not written, as before it was decided: splicing adds readers."""
    if not isinstance(callee, OpCall) or "bias" in callee.terms:
        return callee
    attribute = callee.definition.attributes.get("bias")
    if attribute is None or attribute.default is not None:
        return callee
    return replace(callee, attributes={**callee.attributes, "bias": None})


# --- reductions


def reduction(node: InstanceNode, before: Mapping[str, float]) -> float:
    """By how much the value of a node is smaller than the input of its block; below 1 if larger.

    `before`: the reductions of what the node reads.
    """
    source = max((before.get(name, 1) for name in node.inputs), default=1)
    if node.op:
        return source * node.op.definition.stride(node.op.attributes)
    return source * math.prod(run.instance.stride**run.count for run in node.runs)
