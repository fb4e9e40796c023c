"""fixed(text, find) -> text: the mends that are mechanical, made where the diagnostics point.

    stages: {layer1: {blocks: 2, widht: 16}}   ->   stages: {layer1: {blocks: 2, width: 16}}
    conv: {op: conv, out: 8, bias: true}       ->   conv: {op: conv, out: 8}

The text is edited, not written anew, so comments and layout stay. A mend is kept only if what is
found in the text becomes less by it. Non-goals: mends that need a choice, such as a new name, the
width of a tab, or which of two nodes to take out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile

from resnetgen.compiler.diagnostics.model import Diagnostic, Source, Span, SpecError
from resnetgen.compiler.frontend.yaml_reader import ListTree, MapTree, Tree, parse

Check = Callable[[str], Sequence[Diagnostic]]

_RENAMED = (
    "expression",
    "unknown-argument",
    "unknown-key",
    "unknown-name",
    "unknown-value",
    "unused-argument",
)
# What is taken out; and whether also the map or list that holds nothing else, which has no effect
# then. A stage or a node without arguments of its own is one all the same.
_REMOVED = {
    "bias-before-norm": False,
    "redundant-override": True,
    "repeated-argument": False,
    "unused-allow": True,
}
_MEANT = re.compile(r"did you mean `(.+)`\?")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_BYTE_ORDER_MARK = "\ufeff"
_MOST_PASSES = 6  # of the compiler, each of which may find faults behind those of another
_SHORTEST = 4  # letters of a word in which one slip leaves no doubt


@dataclass(frozen=True, slots=True)
class Edit:
    """A part of a text, by offsets in code points, and what is to stand there."""

    start: int
    end: int
    text: str


def apply_fixes(text: str, name: str, find: Check) -> str:
    """The text after every mend that lessens what `find` finds in it; `name` is that of its source.

    A second call changes nothing more, unless `find` does.
    """
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    text = text.removeprefix(mark)
    found, refused = find(text), set[tuple[str, str]]()
    while edits := _edits(text, name, found, refused):
        single = [[edit] for edit in edits.values()] if len(edits) > 1 else []
        for trial in [list(edits.values()), *single]:
            if less := _lessened(text, name, find, found, trial):
                text, found = less
                break
        else:
            refused |= edits.keys()
    return mark + text


def _lessened(
    text: str, name: str, find: Check, found: Sequence[Diagnostic], edits: Sequence[Edit]
) -> tuple[str, Sequence[Diagnostic]] | None:
    """The edited text and what is found in it, if that is less.

    A sound form brings faults to light that were not looked for before: they are mended on the way.
    """
    for _ in range(_MOST_PASSES):
        text = _applied(text, edits)
        left = find(text)
        if _weight(left) < _weight(found):
            return text, left
        edits = list(_edits(text, name, left, set()).values())
        if not edits:
            break
    return None


def _weight(found: Iterable[Diagnostic]) -> tuple[int, int]:
    """Errors first, then warnings."""
    severities = [each.severity for each in found]
    return severities.count("error"), severities.count("warning")


def _edits(
    text: str, name: str, found: Iterable[Diagnostic], refused: set[tuple[str, str]]
) -> dict[tuple[str, str], Edit]:
    """The mends of a text, none over another, each under what tells it apart."""
    edits: dict[tuple[str, str], Edit] = {}
    for each in found:
        key = (each.message, str(each.span))
        if each.span is None or each.span.file != name or key in refused:
            continue
        edit = _edit(text, each, each.span)
        if edit and all(edit.end <= e.start or e.end <= edit.start for e in edits.values()):
            edits[key] = edit
    return edits


def _edit(text: str, fault: Diagnostic, span: Span) -> Edit | None:
    """The mend of one diagnostic, if it has a mechanical one."""
    if fault.code in _RENAMED:
        return _renamed(text, fault, span)
    if fault.code == "unquoted-comma":
        return _quoted(text, fault, span)
    return _removed(text, span, _REMOVED[fault.code]) if fault.code in _REMOVED else None


def _applied(text: str, edits: Iterable[Edit]) -> str:
    for edit in sorted(edits, key=lambda each: each.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


# --- misspelt words


def _renamed(text: str, fault: Diagnostic, span: Span) -> Edit | None:
    """The word that was probably meant, where there is no doubt about it."""
    meant = _MEANT.fullmatch(fault.help or "")
    start = _offset(text, span.line, span.column)
    written = text[start : _offset(text, span.line, span.end)]
    words = dict.fromkeys(re.findall(r"`(\w[\w.-]*)`", fault.message))
    places = [place for word in words for place in _whole(word, written)]
    if not meant or len(places) != 1:
        return None
    (place,) = places
    if not is_slip(place[0], meant[1]):
        return None
    return Edit(start + place.start(), start + place.end(), meant[1])


def _whole(word: str, text: str) -> Iterator[re.Match[str]]:
    return re.finditer(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])", text)


def is_slip(written: str, meant: str) -> bool:
    """Whether two words differ by one letter too many, too few, wrong, or by two swapped ones.

    Case does not count. A digit does: `conv2` is no slip for `conv1`.
    """
    one, other = written.casefold(), meant.casefold()
    if one == other:
        return True
    head = _shared(one, other)
    one, other = one[head:], other[head:]
    tail = _shared(one[::-1], other[::-1])
    one, other = one[: len(one) - tail], other[: len(other) - tail]
    swapped = len(one) == 2 and one == other[::-1]
    short = max(len(written), len(meant)) < _SHORTEST
    digits = any(each.isdigit() for each in one + other)
    return not short and not digits and (swapped or max(len(one), len(other)) == 1)


def _shared(one: str, other: str) -> int:
    """The length of what two words begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


# --- commas in flow maps


def _quoted(text: str, fault: Diagnostic, span: Span) -> Edit | None:
    """The quotes that the help shows, around the expression that stands there."""
    start = _offset(text, span.line, span.column)
    shown = re.search(r"""(["'])(.+)\1\Z""", fault.help or "")
    if not shown or not text.startswith(shown[2], start):
        return None
    return Edit(start, start + len(shown[2]), shown[0])


# --- entries that have no effect


def _removed(text: str, span: Span, climbs: bool) -> Edit | None:
    """A key and its value, or an item of a list; and what holds it alone, where `climbs`."""
    try:
        chain = _holders(parse(Source(span.file, text)), span)
    except SpecError:
        return None
    for holder, index in reversed(chain):
        starts = [(each.line, each.column) for each in _starts(holder)]
        if len(starts) > 1:
            opens = text[_offset(text, holder.span.line, holder.span.column)] in "{["
            remove = _removed_from_flow if opens else _removed_lines
            return remove(text, [_offset(text, *each) for each in starts], index)
        if not climbs:
            break
    return None


def _starts(holder: MapTree | ListTree) -> list[Span]:
    """Where the entries of a map or the items of a list begin."""
    if isinstance(holder, MapTree):
        return list(holder.keys.values())
    return [each.span for each in holder.items]


def _holders(tree: Tree, span: Span) -> list[tuple[MapTree | ListTree, int]]:
    """The way from the top of a document to the entry that begins at a place."""
    if not isinstance(tree, MapTree | ListTree):
        return []
    below = list(tree.entries.values()) if isinstance(tree, MapTree) else list(tree.items)
    for index, (start, value) in enumerate(zip(_starts(tree), below, strict=True)):
        if (start.line, start.column) == (span.line, span.column):
            return [(tree, index)]
        if found := _holders(value, span):
            return [(tree, index), *found]
    return []


def _removed_from_flow(text: str, starts: Sequence[int], index: int) -> Edit | None:
    """One entry of `{...}` or `[...]`, with the comma that is left over, where it stands on one line."""
    start = starts[index]
    if index + 1 < len(starts):
        end = starts[index + 1]
    else:
        start = text.rindex(",", 0, start)
        end = _end_of_entry(text, starts[index])
    return None if re.search(r"[\r\n#]", text[start:end]) else Edit(start, end, "")


def _end_of_entry(text: str, start: int) -> int:
    """Where the last entry of `{...}` or `[...]` ends: at the bracket that closes it."""
    depth = 0
    for token in re.finditer(r""""(?:\\.|[^"\\])*"|'[^']*'|[][{}]""", text[start:]):
        depth += (token[0] in "{[") - (token[0] in "}]")
        if depth < 0:
            return start + token.start()
    return len(text)


def _removed_lines(text: str, starts: Sequence[int], index: int) -> Edit | None:
    """One entry of a map or list in lines: its line, and those that are indented further below it."""
    lines = _LINE.findall(text)[:-1]
    offsets = list(accumulate(map(len, lines), initial=0))
    first = sum(offset <= starts[index] for offset in offsets[:-1]) - 1
    if text[offsets[first] : starts[index]].strip(" -"):
        return None
    indent = _indent(lines[first])
    last = first
    for number in range(first + 1, len(lines)):
        blank = not lines[number].strip() or lines[number].lstrip().startswith("#")
        if not blank and _indent(lines[number]) <= indent:
            break
        last = last if blank else number
    return Edit(offsets[first], offsets[last + 1], "")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _offset(text: str, line: int, column: int) -> int:
    """The offset of a place, counted from 1 in code points as a `Span` has it."""
    lines = _LINE.finditer(text)
    return next(each.start() for number, each in enumerate(lines, 1) if number == line) + column - 1
