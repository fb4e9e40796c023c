"""Faults of options, told at the part of their text that is wrong.

--vary a=5..1   ->   error[wrong-value]: the range `5..1` is empty, marked in `a=5..1`
"""

from __future__ import annotations

import re

from resnetgen.language.diagnostics import Diagnostic, Note, Source, Span, SpecError


def wrong_option(
    option: str,
    text: str,
    part: str,
    message: str,
    help: str | None = None,
    *notes: Note,
    code: str = "wrong-value",
) -> SpecError:
    """A fault of a text of an option, at the first place where `part` stands as a word."""
    found = re.search(rf"(?<![\w.]){re.escape(part)}(?![\w.])", text)
    at = found.start() if found else 0
    span = Span(Source(option, text), 1, at + 1, at + 1 + len(part))
    return SpecError([Diagnostic(code, message, span, notes, help)])
