"""Nodes that undo or repeat what their neighbours do, and arguments that nothing accepts.

conv: {op: conv, bias: true}, bn: {op: norm}  ->  the norm removes the bias
drop: {op: dropout, rate: 1}                  ->  nothing is left to train on
act1: {op: relu}, act2: {op: relu}            ->  the second changes nothing
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain

from resnetgen.compiler.analysis.lint.context import LintContext
from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Span, did_you_mean
from resnetgen.compiler.ir.nodes import (
    Block,
    Instance,
    InstanceNode,
    OpCall,
    PassThrough,
    Slot,
    SourcedExpr,
)
from resnetgen.compiler.passes.elaborate_checks import declared_arguments


def cancelled_bias(context: LintContext) -> Iterator[Diagnostic]:
    """A bias that the spec sets, where every reader subtracts the mean of each channel.

    A constant added to a channel is part of its mean (arXiv 1502.03167, section 3.2). A norm over
    groups of several channels does not remove it.
    """
    reported = set[Span]()
    for instance in context.instances:
        readers = _readers_in(instance)
        for node in instance.nodes:
            call = node.callee
            if not isinstance(call, OpCall) or not call.attributes.get("bias"):
                continue
            term = call.terms.get("bias")
            norms = readers[node.key]
            if not term or term.span in reported or not norms:
                continue
            if not all(_subtracts_each_mean(norm, node.result.channels) for norm in norms):
                continue
            reported.add(term.span)
            message = f"the bias of `{node.key}` is subtracted again: only norms read it"
            notes = (Note("the norm", norms[0].block_node.span),)
            hint = "leave `bias` out"
            yield Diagnostic("bias-before-norm", message, term.key_span, notes, hint, "warning")


def _subtracts_each_mean(node: InstanceNode, channels: int) -> bool:
    call = node.callee
    if not isinstance(call, OpCall) or not call.definition.is_norm:
        return False
    return bool(call.attributes.get("groups", channels) == channels)


def _readers_in(instance: Instance) -> dict[str, list[InstanceNode]]:
    """The readers of each value inside its block, past calls that do nothing; none if it is an output."""
    direct: dict[str, list[InstanceNode]] = {node.key: [] for node in instance.nodes}
    for node in instance.nodes:
        for name in dict.fromkeys(node.inputs):
            if name in direct:
                direct[name].append(node)
    readers: dict[str, list[InstanceNode]] = {}
    for index in reversed(instance.schedule):  # after all that read it
        key = instance.nodes[index].key
        behind = [
            readers[each.key] if isinstance(each.callee, PassThrough) else [each]
            for each in direct[key]
        ]
        known = key not in instance.outputs and all(behind)
        readers[key] = list(dict.fromkeys(chain.from_iterable(behind))) if known else []
    return readers


def dropped_all(context: LintContext) -> Iterator[Diagnostic]:
    """A rate of 1: all values are dropped in every training step."""
    reported = set[Span]()
    for instance in context.instances:
        for node in instance.nodes:
            call = node.callee
            if not isinstance(call, OpCall) or not call.definition.training_only:
                continue
            term = call.terms.get("rate")
            if call.attributes["rate"] != 1 or term is None or term.span in reported:
                continue
            reported.add(term.span)
            message = f"`{node.key}` drops all that it reads: its rate is 1"
            hint = "a rate is the share that is dropped; 1 - rate is kept"
            elsewhere = node.block_node.span.file != term.span.file
            notes = (Note("this node", node.block_node.span),) if elsewhere else ()
            yield Diagnostic("drops-everything", message, term.span, notes, hint, "warning")


def repeated_ops(context: LintContext) -> Iterator[Diagnostic]:
    """An activation after the same activation, or a norm after a norm."""
    reported = set[Span]()
    for instance in context.instances:
        by_key = {node.key: node for node in instance.nodes}
        for node in instance.nodes:
            before = _computed(by_key, node.inputs[0])
            if before is None or not _repeats(before, node) or node.block_node.span in reported:
                continue
            reported.add(node.block_node.span)
            message = f"`{node.key}` does again what `{before.key}` has just done"
            notes = (Note(f"`{before.key}`", before.block_node.span),)
            span, hint = node.block_node.span, "take one of them out"
            yield Diagnostic("repeated-op", message, span, notes, hint, "warning")


def _computed(by_key: Mapping[str, InstanceNode], key: str) -> InstanceNode | None:
    """The node that computes a value, past calls that do nothing, also inside blocks."""
    while (node := by_key.get(key)) and not node.op:
        if isinstance(node.callee, PassThrough):
            key = node.inputs[0]
        else:
            last = node.runs[-1].instance
            by_key, key = {each.key: each for each in last.nodes}, last.outputs[0]
    return node


def _repeats(before: InstanceNode, node: InstanceNode) -> bool:
    if not before.op or not node.op:
        return False
    one, other = before.op.definition, node.op.definition
    same_activation = other.kind == "activation" and before.op.name == node.op.name
    return same_activation or (one.is_norm and other.is_norm)


# --- arguments that nothing accepts


def unused_arguments(context: LintContext) -> Iterator[Diagnostic]:
    """Arguments that a block passes to its own slot, and that nothing accepts.

    Contents of a slot may ignore an argument. It is used if the slot's default accepts it, or anything
    that is bound to the slot.
    """
    accepted: dict[SourcedExpr, set[str]] = {}
    slots: dict[SourcedExpr, tuple[str, str]] = {}  # the names of the argument and of the slot
    for instance in context.instances:
        for node in instance.nodes:
            content, slot = _content(node), _own_slot(instance.block, node)
            if content is None or slot is None:
                continue
            default = declared_arguments(instance.block.slots[slot].target)
            for name, term in node.block_node.arguments.items():
                accepted.setdefault(term, set()).update(content, default)
                slots[term] = name, slot
    for term, (name, slot) in slots.items():
        if name not in accepted[term]:
            message = f"nothing bound to `{slot}` accepts `{name}`"
            hint = (
                did_you_mean(name, accepted[term]) or "remove it, or bind a block that accepts it"
            )
            yield Diagnostic("unused-argument", message, term.key_span, (), hint, "warning")


def _own_slot(block: Block, node: InstanceNode) -> str | None:
    """The block's own slot through which a node calls."""
    target = node.block_node.target
    return target.name if isinstance(target, Slot) and target.name in block.slots else None


def _content(node: InstanceNode) -> Collection[str] | None:
    """The parameters of what a node calls; None where it does nothing."""
    if node.op:
        return node.op.definition.attributes
    return node.runs[0].instance.block.params if node.runs else None
