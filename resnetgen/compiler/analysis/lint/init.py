"""Inherited rules of `init:` for a role that no node has any more.

extends: resnet50d, block: preact_bottleneck    ->  the rule for `last_norm` has no effect
"""

from __future__ import annotations

from collections.abc import Iterator

from resnetgen.compiler.analysis.lint.context import LintContext
from resnetgen.compiler.diagnostics.model import Diagnostic, Note

# What may have replaced the nodes that had the role, most likely first.
_REPLACING = ("block", "stages", "stem", "head", "nodes", "define", "network")


def unused_init(context: LintContext) -> Iterator[Diagnostic]:
    """A rule of a base for a role that the blocks of this network do not have."""
    spans = context.document.tree.key_spans
    replacing = [spans[key] for key in _REPLACING if key in spans]
    for role, span in context.network.unused_init.items():
        message = f"no node has the role `{role}` here, for which a base has a rule in `init`"
        notes = (Note("the rule", span),)
        hint = f"write `init: {{{role}: null}}`, or give the role to a node"
        at = context.nearest(replacing)
        yield Diagnostic("unused-name", message, at, notes, hint, "warning")
