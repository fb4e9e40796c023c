"""Diagnostics: what is wrong in a spec, where, why, and what to type instead.

    mine.yaml:4:11: error[unknown-name]: there is no op, block or slot `projekt`
      |
    4 | shortcut: projekt
      |           ^^^^^^^
      = help: did you mean `projection`?

`Diagnostic` is the data of one such message, and `render` prints it. A pass reports its errors to a
`DiagnosticCollector` and raises them together as one `SpecError`. The formats for programs (JSON,
GitHub, SARIF) are in `formats.py`, the explanation of each code in `codes/`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Literal, NoReturn

MAX_REPORTED = 20  # errors of one run; nobody fixes more before running again

Severity = Literal["error", "warning"]

_LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A text that was read, and its name as shown to the user."""

    name: str
    text: str
    shipped: bool = False  # a file of the library, which the user does not edit

    def lines(self) -> list[str]:
        """The lines as YAML counts them (`str.splitlines` would also break at form feeds)."""
        return _lines(self)


@lru_cache(maxsize=4)  # every diagnostic of a file shows one of its lines
def _lines(source: Source) -> list[str]:
    return _LINE_BREAK.split(source.text)


@dataclass(frozen=True, slots=True)
class Span:
    """A position in a source: line and column from 1; `end` is exclusive, on the same line."""

    source: Source
    line: int
    column: int
    end: int

    @property
    def file(self) -> str:
        """The name of the source."""
        return self.source.name

    @property
    def text(self) -> str:
        """The text between `column` and `end`."""
        return self.source.lines()[self.line - 1][self.column - 1 : self.end - 1]

    def __str__(self) -> str:
        """`file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Note:
    """One reason, and the position it comes from, if any."""

    text: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """An error or a warning. A note with the same span is printed beside the caret."""

    code: str
    message: str
    span: Span | None = None
    notes: tuple[Note, ...] = ()
    help: str | None = None
    severity: Severity = "error"


# --- raising


class SpecError(Exception):
    """The errors of one pass by position, the first 20 of them; `str()` is the plain rendering."""

    diagnostics: tuple[Diagnostic, ...]

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = truncated(sorted(diagnostics, key=_position))
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        """The diagnostics as they are printed, without colour."""
        return render(self.diagnostics)


def _position(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.span
    return (span.file, span.line, span.column) if span else ("", 0, 0)


def truncated(diagnostics: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The first `MAX_REPORTED`; if some are left out, a note on the last one says so."""
    shown = diagnostics[:MAX_REPORTED]
    if len(diagnostics) > MAX_REPORTED:
        more = Note(f"only the first {MAX_REPORTED} are shown")
        shown[-1] = replace(shown[-1], notes=(*shown[-1].notes, more))
    return tuple(shown)


class DiagnosticCollector:
    """The errors that a pass has reported so far: one of each code at each position.

        errors = DiagnosticCollector()
        errors.report("unknown-name", "there is no block `basik`", span, "did you mean `basic`?")
        if errors:
            raise SpecError(errors)

    With `max_errors`, reporting one more raises at once.
    """

    def __init__(self, max_errors: int | None = None) -> None:
        self.max_errors = max_errors
        self._reported: dict[tuple[str, str, int, int], Diagnostic] = {}

    def __len__(self) -> int:
        return len(self._reported)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._reported.values())

    def report(
        self, code: str, message: str, span: Span, help: str | None = None, *notes: Note
    ) -> None:
        """Adds an error, unless this code was already reported at this position."""
        key = (code, span.file, span.line, span.column)
        self._reported.setdefault(key, Diagnostic(code, message, span, notes, help))
        if self.max_errors is not None and len(self) > self.max_errors:
            raise SpecError(self)

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Adds the errors of another pass; each has a span."""
        for each in diagnostics:
            assert each.span
            self.report(each.code, each.message, each.span, each.help, *each.notes)

    def raise_limit(self, message: str, span: Span) -> NoReturn:
        """Raises everything reported, and that a limit is exceeded: going on may never end."""
        raise SpecError([*self, Diagnostic("limit", message, span)])


# --- printing

_MAX_COLUMNS = 160  # of a source line
_TAB_WIDTH = 4
_STYLES = {"error": "1;31", "warning": "1;33", "place": "1", "gutter": "1;34"}
_INVISIBLE = ("Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn")  # categories of Unicode


def render(diagnostics: Iterable[Diagnostic], *, color: bool = False) -> str:
    """Diagnostics -> text for a terminal, each with its source line and a caret."""
    return "\n\n".join("\n".join(_block(each, color)) for each in diagnostics)


def _block(diagnostic: Diagnostic, color: bool) -> list[str]:
    span, notes = diagnostic.span, diagnostic.notes
    indent = " " * (len(str(span.line)) + 1 if span else 2)
    lines = [_header(diagnostic, color)]
    if span:
        lines += _excerpt(span, _label(diagnostic), indent, diagnostic.severity, color)
    below = [("note", note_text(note)) for note in notes if not _is_label(note, diagnostic)]
    below += [("help", escape_invisible(diagnostic.help))] if diagnostic.help else []
    equals = _paint("=", "gutter", color)
    return lines + [f"{indent}{equals} {kind}: {text}" for kind, text in below]


def _header(diagnostic: Diagnostic, color: bool) -> str:
    span, severity = diagnostic.span, diagnostic.severity
    place = _paint(f"{escape_invisible(str(span))}: ", "place", color) if span else ""
    kind = _paint(escape_invisible(f"{severity}[{diagnostic.code}]"), severity, color)
    return f"{place}{kind}: {escape_invisible(diagnostic.message)}"


def _is_label(note: Note, diagnostic: Diagnostic) -> bool:
    return note.span is not None and note.span == diagnostic.span


def _label(diagnostic: Diagnostic) -> str:
    labels = (note for note in diagnostic.notes if _is_label(note, diagnostic))
    return "; ".join(escape_invisible(note.text) for note in labels)


def note_text(note: Note) -> str:
    """A note in one line, with its position in parentheses."""
    return escape_invisible(f"{note.text} ({note.span})" if note.span else note.text)


def _excerpt(span: Span, label: str, indent: str, style: str, color: bool) -> list[str]:
    lines = span.source.lines()
    if span.line > len(lines) or not span.source.text:
        return []
    shown, offset, width = _clip(lines[span.line - 1], span.column, span.end)
    bar = _paint("|", "gutter", color)
    number = _paint(str(span.line), "gutter", color)
    carets = _paint("^" * width, style, color)
    return [
        f"{indent}{bar}",
        f"{number} {bar} {shown}".rstrip(),
        f"{indent}{bar} {' ' * offset}{carets} {label}".rstrip(),
    ]


def _clip(line: str, column: int, end: int) -> tuple[str, int, int]:
    """A line -> the part that is shown, the offset of the caret and its width, in columns."""
    start = min(column - 1, len(line))
    after = _fit(line[start : start + _MAX_COLUMNS], _MAX_COLUMNS)
    left = line[max(0, start - _MAX_COLUMNS) : start]
    before = _fit(left[::-1], max(_MAX_COLUMNS // 2, _MAX_COLUMNS - _width(after)))[::-1]
    after = _fit(line[start : start + _MAX_COLUMNS], _MAX_COLUMNS - _width(before))
    head = "..." if len(before) < start else ""
    tail = "..." if len(after) < len(line) - start else ""
    marked = _width(after[: max(1, end - column)])
    text = "".join(map(_cell, before + after))
    return f"{head}{text}{tail}", len(head) + _width(before), max(1, marked)


def _fit(text: str, columns: int) -> str:
    """The longest prefix that is at most so many columns wide."""
    return text[: sum(total <= columns for total in accumulate(map(_cell_width, text)))]


def _width(text: str) -> int:
    return sum(map(_cell_width, text))


def _cell_width(char: str) -> int:
    """How many columns a character has on a terminal, as `_cell` shows it."""
    if " " <= char <= "~":
        return 1
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else len(_cell(char))


def _cell(char: str) -> str:
    return " " * _TAB_WIDTH if char == "\t" else escape_invisible(char)


def escape_invisible(text: str) -> str:
    r"""Text that is safe to print: control and format characters appear as `\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _INVISIBLE else c for c in text)


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _paint(text: str, style: str, color: bool) -> str:
    return f"\x1b[{_STYLES.get(style, '1')}m{text}\x1b[0m" if color else text


# --- words for messages

_MAX_WORD = 80  # letters; finding a close match takes quadratic time
_MAX_LISTED = 12  # names in one sentence


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """The closest candidate as a sentence for `help`; None if none is close."""
    match = closest_match(word, candidates)
    return None if match is None else f"did you mean `{match}`?"


def closest_match(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant; one that differs only in case comes first."""
    folded = {each.casefold(): each for each in sorted(candidates, reverse=True)}
    wanted = word.casefold()
    if wanted in folded:
        return folded[wanted]
    if len(word) > _MAX_WORD:
        return None
    # Imported here because most runs report nothing, and it takes longer than this module.
    from difflib import get_close_matches

    close = get_close_matches(wanted, folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def listed(names: Iterable[str]) -> str:
    """`a`, `b`, `c`; of many, the first 12 and how many more there are."""
    quoted = [f"`{each}`" for each in names]
    more = [f"and {len(quoted) - _MAX_LISTED} more"] if len(quoted) > _MAX_LISTED else []
    return ", ".join(quoted[:_MAX_LISTED] + more)
