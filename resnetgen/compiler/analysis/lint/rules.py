"""lint(context) -> warnings about what is valid and probably a mistake. This module lists the rules.

    se: {op: attention, ratoi: 1 / 8}  ->  nothing bound to `attention` accepts `ratoi`

Rules about numbers look at typed instances, so they see blocks as the network uses them. Rules about
text look at the file that was checked, and at no other. Non-goal: errors, which the passes before this
report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from resnetgen.compiler.analysis.lint.context import LintContext
from resnetgen.compiler.analysis.lint.coverage import blind_taps, lost_input
from resnetgen.compiler.analysis.lint.init import unused_init
from resnetgen.compiler.analysis.lint.nodes import (
    cancelled_bias,
    dropped_all,
    repeated_ops,
    unused_arguments,
)
from resnetgen.compiler.analysis.lint.text import is_overridden, without_effect
from resnetgen.compiler.diagnostics.model import Diagnostic, truncated
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.suppressions import allowed_codes
from resnetgen.compiler.frontend.tree import Scalar

RULES: tuple[Callable[[LintContext], Iterator[Diagnostic]], ...] = (
    lost_input,
    blind_taps,
    cancelled_bias,
    dropped_all,
    repeated_ops,
    unused_arguments,
    unused_init,
)


def lint(context: LintContext) -> list[Diagnostic]:
    """The warnings about a network in the order of their positions, without those that it allows."""
    warnings = [warning for rule in RULES for warning in rule(context)]
    warnings += without_effect(context.document)
    allowed = allowed_codes(context.document.tree)
    silenced = {each.text for each in allowed}
    kept = [warning for warning in warnings if warning.code not in silenced]
    if not is_overridden(context.document):
        codes = {warning.code for warning in warnings}
        unused = (each for each in allowed if each.text not in codes)
        kept += [_unused_allow(each) for each in unused if context.is_own(each.span)]
    return list(truncated(sorted(kept, key=_position)))


def lint_block(document: Document) -> list[Diagnostic]:
    """The warnings about the text of a file that declares a block; sizes depend on its callers."""
    return sorted(without_effect(document), key=_position)


def _position(warning: Diagnostic) -> tuple[str, int, int]:
    assert warning.span
    return warning.span.file, warning.span.line, warning.span.column


def _unused_allow(code: Scalar) -> Diagnostic:
    message = f"there is no `{code.text}` to allow here"
    return Diagnostic("unused-allow", message, code.span, (), "take it out", "warning")
