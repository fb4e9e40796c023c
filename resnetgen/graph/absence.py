"""Absence: why a value is `none`, and the faults of what needs it all the same.

gate: {op: none}                    why: `gate` is `none`
out: {op: relu, inputs: gate}       no-value: `out` reads `gate`, which is `none` here
"""

from __future__ import annotations

from collections.abc import Iterable

from resnetgen.graph.ir import Block, BlockNode
from resnetgen.graph.values import Broken, Values
from resnetgen.language.diagnostics import Note, Span

_HINT = "only `add`, `mul` and `concat` do without a value; `identity` passes one on"


class Absence:
    """The values of one instance that are `none`, each with the note that says why.

    `inputs` are the inputs of its block that the call leaves out.
    """

    def __init__(self, facts: Values, block: Block, inputs: Iterable[str]) -> None:
        self.facts = facts
        self.why = {
            name: Note(f"`{name}` is `none` in a call of `{block.name}`") for name in inputs
        }

    def passed_on(self, node: BlockNode, source: str) -> None:
        """A node is left out, and `source`, which stands for it, may be `none`."""
        if source == "none":
            self.why[node.key] = Note(f"`none` stands for `{node.key}`", node.read_spans["none"])
        elif source in self.why:
            self.why[node.key] = self.why[source]

    def fault(self, message: str, name: str, read: Span, how: str = "read here") -> Broken:
        """`none` is read where a value is needed: told at its cause, which may have many readers.

        Not so where only the reader stands in the file that the person is writing.
        """
        why, own = self.why.get(name), self.facts.network.span.source
        if why is None or why.span is None or (read.source is own and why.span.source is not own):
            return self.facts.fault("no-value", message, read, _HINT, *([why] if why else []))
        notes = [Note(how, read)] if read != why.span else []
        return self.facts.fault("no-value", message, why.span, _HINT, *notes)

    def dropped_shortcut(self, node: BlockNode) -> Broken:
        """`else: none` of a shortcut that is the identity: the residual addition would vanish."""
        message = "`else: none` takes the shortcut away wherever its policy is the identity"
        policy = self.facts.ambient["shortcut"].span
        notes = [Note("the policy", policy)] if policy else []
        hint = (
            "leave `else` out: the identity passes its input; a plain network says `shortcut: none`"
        )
        return self.facts.fault("no-value", message, node.read_spans["none"], hint, *notes)
