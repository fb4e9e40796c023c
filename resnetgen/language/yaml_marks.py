"""Where PyYAML's events and marks stand in a source.

a scalar `groups` from line 4, column 2 to line 4, column 8  ->  Span(source, line 5, columns 3 to 9)
"""

from __future__ import annotations

from typing import Any

from resnetgen.language.diagnostics import Source, Span


class Marks:
    """The places of one source; PyYAML counts lines and code points from 0, with either parser."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.lines = source.lines()

    def span(self, event: Any) -> Span:
        """Where an event stands, on its first line."""
        start, end = event.start_mark, event.end_mark
        last = end.column if end.line == start.line else len(self.line(start.line).rstrip())
        column = start.column + 1
        return Span(self.source, start.line + 1, column, max(last, column) + 1)

    def point(self, mark: Any) -> Span:
        """A place of one character; one on an empty line moves to the end of the text above."""
        line, column = (mark.line, mark.column) if mark else (0, 0)
        while line > 0 and not self.line(line).strip():
            line, column = line - 1, len(self.line(line - 1).rstrip())
        return Span(self.source, line + 1, column + 1, column + 2)

    def char(self, span: Span) -> str:
        """The character that a span starts with; empty at the end of a line."""
        return self.line(span.line - 1)[span.column - 1 : span.column]

    def line(self, index: int) -> str:
        """A line by its index from 0; none follows the last."""
        return self.lines[index] if index < len(self.lines) else ""
