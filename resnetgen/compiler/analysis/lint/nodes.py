"""Nodes that undo or repeat what their neighbours do, and arguments that nothing accepts.

conv: {op: conv, bias: true}, bn: {op: norm}  ->  the norm removes the bias
drop: {op: dropout, rate: 1}                  ->  nothing is left to train on
act1: {op: relu}, act2: {op: relu}            ->  the second changes nothing
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from resnetgen.compiler.analysis.lint.context import LintContext
from resnetgen.compiler.analysis.lint.readers import Readers, ValueReaders
from resnetgen.compiler.analysis.lint.without import without_entry
from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Span, SpecError, did_you_mean
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.ir.nodes import (
    Block,
    Instance,
    InstanceNode,
    OpCall,
    PassThrough,
    Slot,
    SourcedExpr,
)
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.compiler.passes.elaborate_checks import declared_arguments
from resnetgen.compiler.passes.instantiate import instances_below, instantiate


def cancelled_bias(context: LintContext) -> Iterator[Diagnostic]:
    """A bias where every reader subtracts the mean of each channel, also across blocks.

    A constant added to a channel is part of its mean (arXiv 1502.03167, section 3.2). A norm over
    groups of several channels does not remove it.
    """
    for setting in _bias_settings(context.typed.instance).values():
        hint = _without_bias(context, setting) if setting.norm else None
        if setting.norm and hint:
            message = f"the bias of `{setting.key}` is subtracted again: only norms read it"
            notes = (Note("the norm", setting.norm),)
            yield Diagnostic("bias-before-norm", message, setting.span, notes, hint, "warning")


@dataclass(slots=True)
class BiasSetting:
    """What gives some convolutions a bias: an argument of the spec, or the default."""

    key: str  # of the first of them
    span: Span
    name: str  # of the argument
    is_default: bool
    norm: Span | None = None  # the first norm that removes one
    removed: set[Span] = field(default_factory=set)  # the nodes of which norms remove the bias
    needed: set[Span] = field(default_factory=set)


def _bias_settings(root: Instance) -> dict[Span, BiasSetting]:
    """What gives the convolutions of a network their biases, by position."""
    readers, settings = ValueReaders(root), dict[Span, BiasSetting]()
    for instance in instances_below(root):
        for node in instance.nodes:
            call = node.callee
            if not isinstance(call, OpCall) or not call.attributes.get("bias"):
                continue
            place, term = node.block_node.span, call.terms.get("bias")
            span, name = (term.key_span, term.key_span.text) if term else (place, "bias")
            setting = settings.setdefault(span, BiasSetting(node.key, span, name, not term))
            norms = _norms(readers.of(instance, node.key), node.result.channels)
            if norms:
                setting.norm = setting.norm or norms[0]
            (setting.removed if norms else setting.needed).add(place)
    return settings


def _norms(readers: Readers, channels: int) -> list[Span]:
    """The readers, sorted, if each of them subtracts the mean of each channel."""
    norms = [each for each in readers if each and _subtracts_each_mean(each, channels)]
    spans = [norm.block_node.span for norm in norms] if len(norms) == len(readers) else []
    return sorted(spans, key=lambda span: (span.file, span.line, span.column))


def _without_bias(context: LintContext, setting: BiasSetting) -> str | None:
    """What to write so that no bias is removed by a norm, and no other one is lost; None if nothing does."""
    if not setting.is_default and context.is_own(setting.span):
        after = _settings_without(context.document, setting.span)
        if after is not None and _is_improved(setting, after):
            return f"leave `{setting.name}` out"
    if setting.needed:
        return None
    why = ": the default looks at readers in the same block only" if setting.is_default else ""
    return f"write `{setting.name}: false`{why}"


def _is_improved(setting: BiasSetting, after: Collection[BiasSetting]) -> bool:
    """Whether `after` a change norms remove none of the biases of a setting, and those needed stay."""
    removed = {span for each in after for span in each.removed}
    needed = {span for each in after for span in each.needed}
    return not removed & setting.removed and setting.needed <= needed


def _settings_without(document: Document, span: Span) -> Collection[BiasSetting] | None:
    """The settings of a network without an entry of its file; None if that is an error."""
    shorter = without_entry(document, span)
    try:
        return _bias_settings(instantiate(elaborate(shorter))).values() if shorter else None
    except SpecError:
        return None


def _subtracts_each_mean(node: InstanceNode, channels: int) -> bool:
    call = node.callee
    if not isinstance(call, OpCall) or not call.definition.is_norm:
        return False
    return bool(call.attributes.get("groups", channels) == channels)


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
