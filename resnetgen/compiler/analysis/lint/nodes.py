"""Nodes that undo or repeat what stands beside them, and arguments that nothing takes.

conv: {op: conv, bias: true}, bn: {op: norm}  ->  the norm takes the bias away again
drop: {op: dropout, rate: 1}                  ->  nothing is left to train on
act1: {op: relu}, act2: {op: relu}            ->  the second changes nothing
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

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


def cancelled_bias(facts: LintContext) -> Iterator[Diagnostic]:
    """A bias that was asked for, where every reader subtracts the mean of each channel.

    A constant added to a channel is part of its mean (arXiv 1502.03167, section 3.2). Not so before
    a norm over groups of several channels.
    """
    told = set[Span]()
    for instance in facts.instances:
        for placed in instance.nodes:
            call = placed.callee
            if not isinstance(call, OpCall) or not call.attributes.get("bias"):
                continue
            term = call.terms.get("bias")
            norms = _readers(instance, placed.key)
            if not term or term.span in told or not norms:
                continue
            if not all(_subtracts_each_mean(norm, placed.result.channels) for norm in norms):
                continue
            told.add(term.span)
            message = f"the bias of `{placed.key}` is taken away again: only norms read it"
            notes = (Note("the norm", norms[0].block_node.span),)
            hint = "leave `bias` out"
            yield Diagnostic("bias-before-norm", message, term.key_span, notes, hint, "warning")


def _subtracts_each_mean(placed: InstanceNode, channels: int) -> bool:
    call = placed.callee
    if not isinstance(call, OpCall) or not call.definition.is_norm:
        return False
    return bool(call.attributes.get("groups", channels) == channels)


def _readers(instance: Instance, key: str) -> list[InstanceNode]:
    """What reads a value inside its block, past calls that do nothing; none where it leaves it."""
    if key in instance.outputs:
        return []
    found: list[InstanceNode] = []
    for each in instance.nodes:
        if key in each.inputs:
            if isinstance(each.callee, PassThrough):
                below = _readers(instance, each.key)
                if not below:
                    return []
                found += below
            else:
                found.append(each)
    return found


def dropped_all(facts: LintContext) -> Iterator[Diagnostic]:
    """A rate of 1: whatever reaches it is dropped in every step of training."""
    told = set[Span]()
    for instance in facts.instances:
        for placed in instance.nodes:
            call = placed.callee
            if not isinstance(call, OpCall) or not call.definition.training_only:
                continue
            term = call.terms.get("rate")
            if call.attributes["rate"] != 1 or term is None or term.span in told:
                continue
            told.add(term.span)
            message = f"`{placed.key}` drops all that it reads: its rate is 1"
            hint = "a rate is the share that is dropped; 1 - rate is kept"
            elsewhere = placed.block_node.span.file != term.span.file
            notes = (Note("this node", placed.block_node.span),) if elsewhere else ()
            yield Diagnostic("drops-everything", message, term.span, notes, hint, "warning")


def repeated_ops(facts: LintContext) -> Iterator[Diagnostic]:
    """An activation behind the same activation, or a norm behind a norm."""
    told = set[Span]()
    for instance in facts.instances:
        by_key = {placed.key: placed for placed in instance.nodes}
        for placed in instance.nodes:
            before = _computed(by_key, placed.inputs[0])
            if before is None or not _repeats(before, placed) or placed.block_node.span in told:
                continue
            told.add(placed.block_node.span)
            message = f"`{placed.key}` does again what `{before.key}` has just done"
            notes = (Note(f"`{before.key}`", before.block_node.span),)
            span, hint = placed.block_node.span, "take one of them out"
            yield Diagnostic("repeated-op", message, span, notes, hint, "warning")


def _computed(by_key: Mapping[str, InstanceNode], key: str) -> InstanceNode | None:
    """The node that computes a value, past calls that do nothing, and inside the last of blocks."""
    placed = by_key.get(key)
    if placed is None or placed.op:
        return placed
    if isinstance(placed.callee, PassThrough):
        return _computed(by_key, placed.inputs[0])
    last = placed.runs[-1].instance
    return _computed({each.key: each for each in last.nodes}, last.outputs[0])


def _repeats(before: InstanceNode, placed: InstanceNode) -> bool:
    if not before.op or not placed.op:
        return False
    one, other = before.op.definition, placed.op.definition
    same_activation = other.kind == "activation" and before.op.name == placed.op.name
    return same_activation or (one.is_norm and other.is_norm)


# --- arguments that nothing takes


def unused_arguments(facts: LintContext) -> Iterator[Diagnostic]:
    """Arguments that a block offers to its own slot, and that nothing takes.

    A call through a slot is an offer: it is as it should be where the slot's default, or anything
    that stands there, takes it.
    """
    takes: dict[SourcedExpr, set[str]] = {}
    slots: dict[SourcedExpr, tuple[str, str]] = {}  # the argument and the slot of an offer
    for instance in facts.instances:
        for placed in instance.nodes:
            content, slot = _content(placed), _own_slot(instance.block, placed)
            if content is None or slot is None:
                continue
            default = declared_arguments(instance.block.slots[slot].target)
            for name, term in placed.block_node.arguments.items():
                takes.setdefault(term, set()).update(content, default)
                slots[term] = name, slot
    for term, (name, slot) in slots.items():
        if name not in takes[term]:
            message = f"nothing that stands in `{slot}` takes `{name}`"
            hint = did_you_mean(name, takes[term]) or "take it out, or bind a block that takes it"
            yield Diagnostic("unused-argument", message, term.key_span, (), hint, "warning")


def _own_slot(block: Block, placed: InstanceNode) -> str | None:
    """The block's own slot through which a node calls."""
    target = placed.block_node.target
    return target.name if isinstance(target, Slot) and target.name in block.slots else None


def _content(placed: InstanceNode) -> Collection[str] | None:
    """The parameters of what a node calls; None where it does nothing."""
    if placed.op:
        return placed.op.definition.attributes
    return placed.runs[0].instance.block.params if placed.runs else None
