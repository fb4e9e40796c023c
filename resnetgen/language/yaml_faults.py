"""syntax_fault(marks, error): why PyYAML gave up, in words for the person who wrote the file.

while parsing a flow mapping: expected ',' or '}'  ->  a `,` or the closing `}` is missing here
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from resnetgen.language.diagnostics import Diagnostic, Note, Span
from resnetgen.language.yaml_marks import Marks

NO_TAG = "write the value alone; quote it to make it a string"
_NO_PAIR, _NO_COLON = "this is not a `key: value` line", "is a `:` missing?"
_ALIGN = "start the keys of one map, and the items of one list, in the same column"


class Reason(NamedTuple):
    """What to look for in PyYAML's "context: problem", and what it means."""

    pattern: str
    message: str
    help: str | None = None
    code: str = "yaml-syntax"


# The first match counts. The two parsers word their problems differently.
REASONS = (
    Reason(
        "alphabetic",
        "`*` and `&` start an alias or an anchor, which specs do not have",
        "quote it",
        "yaml-alias",
    ),
    Reason(
        "ing a tag|undefined tag",
        "tags (`!name`) are not part of the language",
        NO_TAG,
        "yaml-tag",
    ),
    Reason("Unicode character", "this escape stands for no character", None, "yaml-encoding"),
    Reason(
        "escape|hexdec", "unknown escape in double quotes", "use single quotes, or `\\\\` for `\\`"
    ),
    Reason("quoted scalar: found", "the quote is never closed"),
    Reason("mapping values", "a `:` cannot stand here", f"quote a value that holds `: `; {_ALIGN}"),
    Reason(
        "sequence entries", "a list item cannot start here", "start a new line, or write `[a, b]`"
    ),
    Reason("simple key", _NO_PAIR, _NO_COLON),
    Reason("',' or '}'", "a `,` or the closing `}` is missing here"),
    Reason("',' or ']'", "a `,` or the closing `]` is missing here"),
    Reason("block (collection|mapping|sequence)", "this does not fit what stands above it", _ALIGN),
    Reason("block scalar", "a text after `|` or `>` starts on the next line, indented"),
    Reason("node content", "a key or a value is missing here"),
    Reason("document start", "the text goes on after its end", _ALIGN),
    Reason("directive|incompatible", "lines that start with `%` are not part of the language"),
)

# What ends a text of several lines that stand alike: a key, an item, a comment, a document.
_NO_TEXT = re.compile(r":\s|:$|^\s*[-#?&*!|>'\"%@`\[{]")


def syntax_fault(marks: Marks, error: Any) -> Diagnostic:
    """The diagnostic for a `MarkedYAMLError`."""
    text = f"{error.context}: {error.problem}"
    span = marks.point(error.problem_mark)
    start = marks.point(error.context_mark) if error.context_mark else span
    if "cannot start any token" in text:
        return _bad_start(marks.char(span), span)
    if "mapping values" in text and (line := _line_without_colon(marks, span)):
        return Diagnostic("yaml-syntax", _NO_PAIR, line, help=_NO_COLON)
    rows = (*REASONS, Reason("", str(error.problem)))
    reason = next(row for row in rows if re.search(row.pattern, text))
    opened = start != span and ("flow" in text or "quoted scalar: found" in text)
    notes = (Note("opened here", start),) if opened else ()
    place = start if "simple key" in text else span
    return Diagnostic(reason.code, reason.message, place, notes, reason.help)


def _line_without_colon(marks: Marks, span: Span) -> Span | None:
    """The first of the lines above that YAML has joined with this one to a text of several lines."""
    indent = _indent(marks.line(span.line - 1))
    found = None
    for index in range(span.line - 2, -1, -1):
        line = marks.line(index)
        if line.strip() and (_indent(line) != indent or _NO_TEXT.search(line)):
            break
        found = index if line.strip() else found
    if found is None:
        return None
    return Span(marks.source, found + 1, indent + 1, len(marks.line(found).rstrip()) + 1)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _bad_start(char: str, span: Span) -> Diagnostic:
    if char == "\t":
        return Diagnostic("yaml-syntax", "a tab cannot stand here", span, help="use spaces")
    message = f"a value cannot start with `{char}`"
    return Diagnostic("yaml-syntax", message, span, help="quote the value")
