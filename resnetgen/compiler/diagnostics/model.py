"""What is said to the person who wrote a spec: where, what is wrong, why, what to type instead.

A fault is a `Diagnostic`; a pass collects them and raises one `SpecError`. This module prints them:

    specs/mine.yaml:4:11: error[unknown-value]: `projekt` is no shortcut
      |
    4 | shortcut: projekt
      |           ^^^^^^^
      = help: did you mean `projection`?

Faults of one pass, one a cause: a place is told once of each code.

faults.record("unknown-name", "there is no block `basik`", span, "did you mean `basic`?")
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Literal, NoReturn

MAX_REPORTED = 20  # that are told at once: more than a person mends before the next run
COLUMNS = 160
TAB = 4
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_LONGEST_WORD = 80
_MOST_LISTED = 12  # names in one sentence
_INVISIBLE = ("Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn")
_STYLES = {"error": "1;31", "warning": "1;33", "place": "1", "gutter": "1;34"}


Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One text that was read, and its name as shown to the person."""

    name: str
    text: str
    shipped: bool = False  # a file of the library, which is not the person's to change

    def lines(self) -> list[str]:
        """The lines as YAML counts them (`str.splitlines` would also break at form feeds)."""
        return _lines(self)


@lru_cache(maxsize=4)
def _lines(source: Source) -> list[str]:
    """Each of the faults of a file shows some of its lines."""
    return _LINE_BREAK.split(source.text)


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a source: line and column from 1; `end` is exclusive, on the same line."""

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
        """What stands there."""
        return self.source.lines()[self.line - 1][self.column - 1 : self.end - 1]

    def __str__(self) -> str:
        """`file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Note:
    """A reason, and the place it stems from."""

    text: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One fault, or a warning. A note with its very span is printed beside the caret."""

    code: str
    message: str
    span: Span | None = None
    notes: tuple[Note, ...] = ()
    help: str | None = None
    severity: Severity = "error"


class SpecError(Exception):
    """The faults that one pass found, the first 20 of them; its text is their plain rendering."""

    diagnostics: tuple[Diagnostic, ...]

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = truncated(sorted(diagnostics, key=_order))
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        """The faults as they are printed without colour."""
        return render(self.diagnostics)


def truncated(faults: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """As many faults as are told; the last says that there are more."""
    told = faults[:MAX_REPORTED]
    if len(faults) > MAX_REPORTED:
        more = Note(f"there are more; {MAX_REPORTED} are told at once")
        told[-1] = replace(told[-1], notes=(*told[-1].notes, more))
    return tuple(told)


def _order(fault: Diagnostic) -> tuple[str, int, int]:
    return (fault.span.file, fault.span.line, fault.span.column) if fault.span else ("", 0, 0)


def render(diagnostics: Iterable[Diagnostic], *, color: bool = False) -> str:
    """Diagnostics -> text for a terminal, with the source line and a caret for each."""
    return "\n\n".join("\n".join(_block(each, color)) for each in diagnostics)


def _block(fault: Diagnostic, color: bool) -> list[str]:
    indent = " " * (len(str(fault.span.line)) + 1 if fault.span else 2)
    lines = [_header(fault, color)]
    if fault.span:
        lines += _excerpt(fault.span, _label(fault), indent, fault.severity, color)
    said = [("note", _note(note)) for note in fault.notes if not _is_label(note, fault)]
    said += [("help", visible(fault.help))] if fault.help else []
    equals = _paint("=", "gutter", color)
    return lines + [f"{indent}{equals} {kind}: {text}" for kind, text in said]


def _header(fault: Diagnostic, color: bool) -> str:
    place = _paint(f"{visible(str(fault.span))}: ", "place", color) if fault.span else ""
    kind = _paint(visible(f"{fault.severity}[{fault.code}]"), fault.severity, color)
    return f"{place}{kind}: {visible(fault.message)}"


def _is_label(note: Note, fault: Diagnostic) -> bool:
    return note.span is not None and note.span == fault.span


def _label(fault: Diagnostic) -> str:
    return "; ".join(visible(note.text) for note in fault.notes if _is_label(note, fault))


def _note(note: Note) -> str:
    return visible(f"{note.text} ({note.span})" if note.span else note.text)


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
    """A line -> what is shown of it, the offset of the caret and its width, in columns."""
    start = min(column - 1, len(line))
    after = _fit(line[start : start + COLUMNS], COLUMNS)
    left = line[max(0, start - COLUMNS) : start]
    before = _fit(left[::-1], max(COLUMNS // 2, COLUMNS - _width(after)))[::-1]
    after = _fit(line[start : start + COLUMNS], COLUMNS - _width(before))
    head = "..." if len(before) < start else ""
    tail = "..." if len(after) < len(line) - start else ""
    marked = _width(after[: max(1, end - column)])
    text = "".join(map(_cell, before + after))
    return f"{head}{text}{tail}", len(head) + _width(before), max(1, marked)


def _fit(text: str, columns: int) -> str:
    """The longest prefix that takes at most so many columns."""
    return text[: sum(total <= columns for total in accumulate(map(_cell_width, text)))]


def _width(text: str) -> int:
    return sum(map(_cell_width, text))


def _cell_width(char: str) -> int:
    """How many columns a terminal gives to a character as it is shown."""
    if " " <= char <= "~":
        return 1
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else len(_cell(char))


def _cell(char: str) -> str:
    return " " * TAB if char == "\t" else visible(char)


def visible(text: str) -> str:
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


def as_json(diagnostics: Iterable[Diagnostic]) -> list[dict[str, object]]:
    """Diagnostics -> plain data, one map for each."""
    return [
        {
            "code": fault.code,
            "severity": fault.severity,
            "message": fault.message,
            **_place(fault.span),
            "notes": [{"text": note.text, **_place(note.span)} for note in fault.notes],
            "help": fault.help,
        }
        for fault in diagnostics
    ]


def _place(span: Span | None) -> dict[str, object]:
    if span is None:
        return {"file": None, "line": None, "column": None, "end": None}
    return {"file": span.file, "line": span.line, "column": span.column, "end": span.end}


def as_github(diagnostics: Iterable[Diagnostic]) -> str:
    """Diagnostics -> workflow commands of GitHub Actions, one line for each."""
    return "\n".join(map(_github_line, diagnostics))


def _github_line(fault: Diagnostic) -> str:
    said = [visible(fault.message), *(f"note: {_note(note)}" for note in fault.notes)]
    said += [f"help: {visible(fault.help)}"] if fault.help else []
    where = _github_place(fault.span) if fault.span else ""
    title = _github_property(visible(fault.code))
    return f"::{fault.severity} {where}title={title}::{_github_text(chr(10).join(said))}"


def _github_place(span: Span) -> str:
    file = _github_property(visible(span.file))
    return f"file={file},line={span.line},col={span.column},endColumn={span.end},"


def _github_text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github_text(text).replace(":", "%3A").replace(",", "%2C")


def closest_match(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant, if one is close: equal but for case comes first."""
    folded = {each.casefold(): each for each in sorted(candidates, reverse=True)}
    wanted = word.casefold()
    if wanted in folded:
        return folded[wanted]
    if len(word) > _LONGEST_WORD:  # the comparison takes quadratic time
        return None
    # Not at the top: most runs have no fault, and this import takes longer than the module.
    from difflib import get_close_matches

    close = get_close_matches(wanted, folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """The same as a sentence for `help`."""
    found = closest_match(word, candidates)
    return None if found is None else f"did you mean `{found}`?"


def listed(names: Iterable[str]) -> str:
    """`a`, `b`, `c`; of many the first, and how many more there are."""
    known = [f"`{each}`" for each in names]
    more = [f"and {len(known) - _MOST_LISTED} more"] if len(known) > _MOST_LISTED else []
    return ", ".join(known[:_MOST_LISTED] + more)


class DiagnosticCollector:
    """The faults so far. Raises SpecError once there are more than `most`; None: as many as come."""

    def __init__(self, max_errors: int | None = None) -> None:
        self.most = max_errors
        self._found: dict[tuple[str, str, int, int], Diagnostic] = {}

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._found.values())

    def report(
        self, code: str, message: str, span: Span, help: str | None = None, *notes: Note
    ) -> None:
        """Records a fault, unless its code was found at this place before."""
        place = (code, span.file, span.line, span.column)
        self._found.setdefault(place, Diagnostic(code, message, span, notes, help))
        if self.most is not None and len(self) > self.most:
            raise SpecError(self)

    def extend(self, faults: Iterable[Diagnostic]) -> None:
        """Records faults that another pass found."""
        for each in faults:
            assert each.span
            self.report(each.code, each.message, each.span, each.help, *each.notes)

    def raise_limit(self, message: str, span: Span) -> NoReturn:
        """A limit is exceeded: raises SpecError, for reading on would take long or never end."""
        raise SpecError([*self, Diagnostic("limit", message, span)])

    def clear(self) -> None:
        """Forgets all."""
        self._found.clear()
