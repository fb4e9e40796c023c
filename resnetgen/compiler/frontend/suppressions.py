"""`allow:` the warnings that a network causes on purpose.

    allow: [bias-before-norm]   ->   `check` and `build` do not report this warning

Errors cannot be allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

from resnetgen.compiler.diagnostics.model import Diagnostic, did_you_mean
from resnetgen.compiler.frontend.tree import MapTree, Scalar, scalars


def allowed_codes(tree: MapTree) -> Sequence[Scalar]:
    """The codes that a network allows, with their spans."""
    return scalars(tree.entries.get("allow"))


def check_allow(tree: MapTree) -> list[Diagnostic]:
    """An error for each allowed code that is not the code of a warning."""
    allowed = allowed_codes(tree)
    if not allowed:
        return []
    from resnetgen.compiler.diagnostics import catalog  # reads files, and few specs allow anything

    known, errors = catalog.codes(), []
    for code in allowed:
        severity = catalog.entry(code.text).severity if code.text in known else None
        if severity != "warning":
            errors.append(_not_a_warning(code, is_error=severity == "error"))
    return errors


def _not_a_warning(code: Scalar, *, is_error: bool) -> Diagnostic:
    from resnetgen.compiler.diagnostics import catalog

    warnings = [each.code for each in catalog.entries() if each.severity == "warning"]
    message = f"there is no warning `{code.text}`"
    if is_error:
        message = f"`{code.text}` is an error, and only warnings can be allowed"
    hint = did_you_mean(code.text, warnings) or f"the warnings are {', '.join(warnings)}"
    return Diagnostic("unknown-value", message, code.span, help=hint)
