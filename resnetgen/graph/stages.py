"""Stages: a block repeated, with arguments that may vary along the way; and blocks spliced in.

    layer2: {blocks: 4, width: 128, stride: 2}  ->  one block of stride 2, a run of three of stride 1

Evaluation stops where the blocks repeat, so a stage of 200 blocks costs what two cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resnetgen.graph.bias import undecided
from resnetgen.graph.ir import (
    STAGE_NAMES,
    Binding,
    Block,
    BlockNode,
    Bound,
    Instance,
    OpCall,
    Passes,
    Placed,
    Run,
)
from resnetgen.graph.ops import Flow, shown
from resnetgen.language.diagnostics import Note
from resnetgen.language.expressions import Const, Expr, Value, free_names, substitute

if TYPE_CHECKING:
    from resnetgen.graph.place import Broken, Placing, Reference

MOST_NODES = 200_000  # ops of one network, expanded


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


def stages_of(body: Placing) -> dict[str, Stage]:
    """The stages of a block: how many blocks each has, and how many stand before it."""
    counts = {node.key: block_count(body, node) for node in body.block.nodes if node.stage}
    total, before = sum(counts.values()), 0
    stages = {}
    for key, count in counts.items():
        stages[key] = Stage(count, before, total)
        before += count
    return stages


def block_count(body: Placing, node: BlockNode) -> int:
    """The value of `blocks:`; 1 where there is none."""
    if node.repeat is None:
        return 1
    count = body.walk.value(node.repeat, body.values)
    span = node.repeat.span
    if type(count) is not int or count < 1:
        message = f"`blocks` must be a positive integer, not `{shown(count)}`"
        raise body.walk.fault("wrong-value", message, span)
    if count > MOST_NODES:
        message = f"{count} blocks; a network has at most {MOST_NODES} ops"
        raise body.walk.fault("limit", message, span)
    return count


def repeat(
    body: Placing, index: int, node: BlockNode, bound: Bound, inputs: tuple[Reference, ...]
) -> None:
    """Places the blocks of a stage, evaluated until they repeat."""
    stage = _dilated(body, node, body.stages.get(node.key) or _alone(body, node))
    (source, *others) = inputs
    assert source is not None
    runs: list[Run] = []
    flow, at, steady = body.flows[source], 0, not _depends_on_index(node)
    while at < stage.count:
        what = _block_at(body, node, bound, stage, at, flow, others)
        if node.path == ".":
            prefix = f"{node.key}.{at}" if node.repeat else node.key
            source = splice(body, index, node, what, (source, *others), prefix, stage.values(at))
        settled = runs and runs[-1].instance is what and steady and at > 1 and node.path != "."
        times = stage.count - at if settled else 1
        if runs and runs[-1].instance is what:
            runs[-1] = Run(what, runs[-1].count + times)
        else:
            runs.append(Run(what, times))
        at, flow = at + times, what.flow
    if node.path == ".":
        body.where[node.key] = source
        return
    names = tuple(name or "none" for name in inputs)
    paths = tuple(body.path(node, stage.values(at)) for at in range(stage.count))
    body.add(index, Placed(node, node.key, paths, names, tuple(runs), flow))


def _alone(body: Placing, node: BlockNode) -> Stage:
    count = block_count(body, node)
    return Stage(count, 0, count)


def _block_at(
    body: Placing,
    node: BlockNode,
    bound: Bound,
    stage: Stage,
    at: int,
    flow: Flow,
    others: list[Reference],
) -> Instance:
    """The instance of one block of a stage."""
    instead = _stage_arguments(body, node, bound, stage, at)
    here = "the block before"
    body.flows[here] = flow
    values = {**body.values, **stage.values(at)}
    what = body.call(node, bound, values, (here, *others), instead)
    if isinstance(what, Passes):
        raise body.walk.fault("no-value", f"the blocks of `{node.key}` do nothing", node.span)
    if isinstance(what, OpCall):
        message = f"a stage repeats a block, and `{what.op}` is an op"
        raise body.walk.fault("wrong-value", message, node.op_span)
    return what


def _dilated(body: Placing, node: BlockNode, stage: Stage) -> Stage:
    """The stage with its stride; under `output_stride`, a stride beyond it becomes dilation.

    The first block keeps the dilation of the stage before, as timm does.
    """
    limit = body.walk.network.output_stride
    term = node.arguments.get("stride")
    values = {**body.values, **stage.values(0)}
    stride = body.walk.value(term, values) if term else None
    before = body.dilation
    if limit is None or not node.stage:
        return Stage(stage.count, stage.position, stage.total, stride)
    reduction = body.strides.get(body.where.get(node.inputs[0]) or "", 1)
    if reduction > limit and before == 1:
        span = body.walk.network.output_stride_span or node.span
        message = f"the stride is {reduction:g} already before `{node.key}`, beyond {limit}"
        raise body.walk.fault("wrong-value", message, span)
    if type(stride) is int and reduction * stride > limit:
        body.dilation, stride = before * stride, 1
    return Stage(stage.count, stage.position, stage.total, stride, body.dilation, before)


def _stage_arguments(
    body: Placing, node: BlockNode, bound: Bound, stage: Stage, at: int
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
            raise _undeclared(body, node, name)
    return given


def _undeclared(body: Placing, node: BlockNode, name: str) -> Broken:
    """A stage has a stride or a dilation that its block does not declare."""
    term = node.arguments.get(name)
    limit = body.walk.network.output_stride_span
    message = f"the block of `{node.key}` has no parameter `{name}`"
    if term or limit is None:
        return body.walk.fault("unknown-argument", message, term.key_span if term else node.span)
    message = (
        f"the stride of `{node.key}` becomes dilation, and its block has no parameter `{name}`"
    )
    hint = "give the block the parameters `dilation: 1, first_dilation: dilation`"
    return body.walk.fault("unknown-argument", message, limit, hint, Note("the stage", node.span))


def _depends_on_index(node: BlockNode) -> bool:
    def names(slots: Mapping[str, Binding]) -> Iterator[str]:
        for binding in slots.values():
            for term in binding.arguments.values():
                yield from free_names(term.expr)
            yield from names(binding.slots)

    own = (name for term in node.arguments.values() for name in free_names(term.expr))
    return any(name in STAGE_NAMES for name in (*own, *names(node.slots)))


# --- splicing


def splice(
    body: Placing,
    index: int,
    node: BlockNode,
    instance: Instance,
    inputs: tuple[Reference, ...],
    prefix: str,
    stage: Mapping[str, Value],
) -> str:
    """`as: .`: the nodes of a block stand in this one, as if written here. Gives its output."""
    pairs = zip(instance.block.inputs, inputs, strict=True)
    rename = {name: source for name, source in pairs if source is not None}
    plain = not stage
    scope = _spliced_scope(node, instance, stage)
    for each in instance.placed:
        key = each.key if plain else f"{prefix}.{each.key}"
        below = {name: substitute(expr, scope) for name, expr in (each.scope or {}).items()}
        names = tuple(rename[name] for name in each.inputs)
        rename[each.key] = key
        what = undecided(each.what)
        spliced = Placed(
            each.node, key, each.paths, names, what, each.flow, below or scope, node.key
        )
        body.add(index, spliced)
    if plain:
        body.where |= {name: key for name, key in rename.items() if name not in instance.inputs}
    result = rename[instance.outputs[0]]
    body.where[node.key] = result
    return result


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
