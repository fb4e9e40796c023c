"""`allow`: the warnings that a network brings about on purpose.

    allow: [bias-before-norm]   ->   `check` and `build` do not tell of it

Only warnings can be allowed: an error is none the less one.
"""

from __future__ import annotations

from collections.abc import Sequence

from resnetgen.compiler.diagnostics.model import Diagnostic, did_you_mean
from resnetgen.compiler.frontend.tree import scalars
from resnetgen.compiler.frontend.yaml_reader import MapTree, Scalar


def allowed_codes(tree: MapTree) -> Sequence[Scalar]:
    """The codes that a network allows, each where it is written."""
    return scalars(tree.entries.get("allow"))


def check_allow(tree: MapTree) -> list[Diagnostic]:
    """The codes there are that no warning has."""
    if not allowed_codes(tree):
        return []
    from resnetgen.compiler.diagnostics import (
        catalog,  # only a spec that allows something pays for it
    )

    known = catalog.codes()
    severities = {
        each.text: catalog.entry(each.text).severity if each.text in known else None
        for each in allowed_codes(tree)
    }
    wrong = [each for each in allowed_codes(tree) if severities[each.text] != "warning"]
    return [_wrong_code(each, is_error=each.text in known) for each in wrong]


def _wrong_code(code: Scalar, *, is_error: bool) -> Diagnostic:
    from resnetgen.compiler.diagnostics import catalog

    warnings = [each.code for each in catalog.entries() if each.severity == "warning"]
    message = f"there is no warning `{code.text}`"
    if is_error:
        message = f"`{code.text}` is an error, and only warnings can be allowed"
    hint = did_you_mean(code.text, warnings) or f"there are {', '.join(warnings)}"
    return Diagnostic("unknown-value", message, code.span, help=hint)
