"""lint(facts) -> warnings: what is sound and yet hardly meant.

    se: {op: attention, ratoi: 1 / 8}  ->  nothing that stands in `attention` takes `ratoi`

Rules about numbers look at instances and measured types, so they see what a network makes of its
blocks; rules about what was written look at the file that was named, and at no other. Faults are not
found here: a network that has one is refused before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from resnetgen.compiler.analysis.lint.context import LintContext
from resnetgen.compiler.analysis.lint.coverage import blind_taps, lost_input
from resnetgen.compiler.analysis.lint.nodes import (
    cancelled_bias,
    dropped_all,
    repeated_ops,
    unused_arguments,
)
from resnetgen.compiler.analysis.lint.text import is_overridden, written_in_vain
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
)


def lint(facts: LintContext) -> list[Diagnostic]:
    """The warnings about a network, each at its place, less those that it allows."""
    found = [warning for rule in RULES for warning in rule(facts)]
    found += written_in_vain(facts.document)
    permitted = allowed_codes(facts.document.tree)
    silent = {each.text for each in permitted}
    told = [warning for warning in found if warning.code not in silent]
    if not is_overridden(facts.document):
        codes = {warning.code for warning in found}
        idle = (each for each in permitted if each.text not in codes)
        told += [_allowed_in_vain(each) for each in idle if facts.is_own(each.span)]
    return list(truncated(sorted(told, key=_place)))


def lint_block(document: Document) -> list[Diagnostic]:
    """The warnings about a file that declares a block; of numbers nothing is known without a caller."""
    return sorted(written_in_vain(document), key=_place)


def _place(warning: Diagnostic) -> tuple[str, int, int]:
    assert warning.span
    return warning.span.file, warning.span.line, warning.span.column


def _allowed_in_vain(code: Scalar) -> Diagnostic:
    message = f"there is no `{code.text}` to allow here"
    return Diagnostic("unused-allow", message, code.span, (), "take it out", "warning")
