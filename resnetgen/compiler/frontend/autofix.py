"""The fixes that leave no choice, applied to the text where the diagnostics point.

    stages: {layer1: {blocks: 2, widht: 16}}   ->   stages: {layer1: {blocks: 2, width: 16}}
    conv: {op: conv, out: 8, bias: true}       ->   conv: {op: conv, out: 8}

The text is edited in place, so comments and layout stay. A fix is kept only if the check then
reports less. Non-goals: fixes that need a choice, such as a new name, the width of a tab, or which
of two nodes to remove.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile

from resnetgen.compiler.diagnostics.model import Diagnostic, Source, Span, SpecError
from resnetgen.compiler.frontend.tree import ListTree, MapTree, Tree
from resnetgen.compiler.frontend.yaml_reader import parse

Check = Callable[[str], Sequence[Diagnostic]]

_BYTE_ORDER_MARK = "\ufeff"
_MAX_CHECKS = 6  # of one trial; each may report errors that another one hid


@dataclass(frozen=True, slots=True)
class Edit:
    """A part of a text, by offsets in code points, and its replacement."""

    start: int
    end: int
    text: str


def apply_fixes(text: str, name: str, check: Check) -> str:
    """The text after every fix that reduces what `check` reports; `name` is that of its source.

    Calling it again changes nothing more.
    """
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    text = text.removeprefix(mark)
    reported, rejected = check(text), set[tuple[str, str]]()
    while edits := _collect_fixes(text, name, reported, rejected):
        one_by_one = [[edit] for edit in edits.values()] if len(edits) > 1 else []
        for trial in [list(edits.values()), *one_by_one]:
            if improved := _improved(text, name, check, reported, trial):
                text, reported = improved
                break
        else:
            rejected |= edits.keys()
    return mark + text


def _improved(
    text: str, name: str, check: Check, reported: Sequence[Diagnostic], edits: Sequence[Edit]
) -> tuple[str, Sequence[Diagnostic]] | None:
    """The edited text and what the check reports then, if that is less.

    An error may hide others, which are only reported once it is fixed: they are fixed on the way.
    """
    for _ in range(_MAX_CHECKS):
        text = _apply(text, edits)
        remaining = check(text)
        if _counts(remaining) < _counts(reported):
            return text, remaining
        edits = list(_collect_fixes(text, name, remaining, set()).values())
        if not edits:
            break
    return None


def _counts(reported: Iterable[Diagnostic]) -> tuple[int, int]:
    """Errors first, then warnings."""
    severities = [each.severity for each in reported]
    return severities.count("error"), severities.count("warning")


def _collect_fixes(
    text: str, name: str, reported: Iterable[Diagnostic], rejected: set[tuple[str, str]]
) -> dict[tuple[str, str], Edit]:
    """The fixes of a text, without overlaps, by the message and position of their diagnostic."""
    edits: dict[tuple[str, str], Edit] = {}
    for each in reported:
        key = (each.message, str(each.span))
        if each.span is None or each.span.file != name or key in rejected:
            continue
        edit = _fix_for(text, each, each.span)
        if edit and all(edit.end <= e.start or e.end <= edit.start for e in edits.values()):
            edits[key] = edit
    return edits


def _apply(text: str, edits: Iterable[Edit]) -> str:
    for edit in sorted(edits, key=lambda each: each.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


# --- the fix of one diagnostic

_CORRECTED_CODES = (
    "expression",
    "unknown-argument",
    "unknown-key",
    "unknown-name",
    "unknown-value",
    "unused-argument",
)
# The entries that are removed, and whether a map or list with no other entry is removed as well: it
# would have no effect then. A stage or a node without arguments is still a stage or a node.
_REMOVED_CODES = {
    "bias-before-norm": False,
    "redundant-override": True,
    "repeated-argument": False,
    "unused-allow": True,
}


def _fix_for(text: str, diagnostic: Diagnostic, span: Span) -> Edit | None:
    """The fix of one diagnostic, if there is only one."""
    code = diagnostic.code
    if code in _CORRECTED_CODES:
        return _correction(text, diagnostic, span)
    if code == "unquoted-comma":
        return _quotation(text, diagnostic, span)
    # "take it out", "leave `bias` out"; where that does not help, the message says what to write.
    if code not in _REMOVED_CODES or not re.search(r"\bout\Z", diagnostic.help or ""):
        return None
    return _removal(text, span, _REMOVED_CODES[code])


# --- misspelt words

_DID_YOU_MEAN = re.compile(r"did you mean `(.+)`\?")
_MIN_LETTERS = 4  # in a shorter word, one letter may well be meant


def _correction(text: str, diagnostic: Diagnostic, span: Span) -> Edit | None:
    """The edit that puts the suggested word in place of the misspelt one, if it is clearly what was meant."""
    suggestion = _DID_YOU_MEAN.fullmatch(diagnostic.help or "")
    start = _offset(text, span.line, span.column)
    written = text[start : _offset(text, span.line, span.end)]
    words = dict.fromkeys(re.findall(r"`(\w[\w.-]*)`", diagnostic.message))
    matches = [match for word in words for match in _whole_words(word, written)]
    if not suggestion or len(matches) != 1:
        return None
    (match,) = matches
    if not is_typo(match[0], suggestion[1]):
        return None
    return Edit(start + match.start(), start + match.end(), suggestion[1])


def _whole_words(word: str, text: str) -> Iterator[re.Match[str]]:
    return re.finditer(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])", text)


def is_typo(written: str, meant: str) -> bool:
    """Whether two words differ by one letter added, missing or wrong, or by two swapped ones.

    Case does not count. Digits do: `conv2` is not a typo for `conv1`.
    """
    one, other = written.casefold(), meant.casefold()
    if one == other:
        return True
    head = _common_prefix(one, other)
    one, other = one[head:], other[head:]
    tail = _common_prefix(one[::-1], other[::-1])
    one, other = one[: len(one) - tail], other[: len(other) - tail]
    swapped = len(one) == 2 and one == other[::-1]
    short = max(len(written), len(meant)) < _MIN_LETTERS
    digits = any(each.isdigit() for each in one + other)
    return not short and not digits and (swapped or max(len(one), len(other)) == 1)


def _common_prefix(one: str, other: str) -> int:
    """How many letters two words have in common at the start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


# --- commas in flow maps


def _quotation(text: str, diagnostic: Diagnostic, span: Span) -> Edit | None:
    """The edit that puts the expression in quotes, as the help shows it."""
    start = _offset(text, span.line, span.column)
    shown = re.search(r"""(["'])(.+)\1\Z""", diagnostic.help or "")
    if not shown or not text.startswith(shown[2], start):
        return None
    return Edit(start, start + len(shown[2]), shown[0])


# --- entries that have no effect

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")


def _removal(text: str, span: Span, with_parent: bool) -> Edit | None:
    """The edit that removes a key and its value, or an item of a list.

    With `with_parent`, a map or list that has no other entry is removed too.
    """
    try:
        chain = _path_to(parse(Source(span.file, text)), span)
    except SpecError:
        return None
    for parent, index in reversed(chain):
        starts = [(each.line, each.column) for each in _entry_spans(parent)]
        if len(starts) > 1:
            is_flow = text[_offset(text, parent.span.line, parent.span.column)] in "{["
            remove = _removal_from_flow if is_flow else _removal_of_lines
            return remove(text, [_offset(text, *each) for each in starts], index)
        if not with_parent:
            break
    return None


def _path_to(tree: Tree, span: Span) -> list[tuple[MapTree | ListTree, int]]:
    """The maps and lists from the top to the entry at a position, each with the index inside it."""
    if not isinstance(tree, MapTree | ListTree):
        return []
    values = list(tree.entries.values()) if isinstance(tree, MapTree) else list(tree.items)
    for index, (start, value) in enumerate(zip(_entry_spans(tree), values, strict=True)):
        if (start.line, start.column) == (span.line, span.column):
            return [(tree, index)]
        if below := _path_to(value, span):
            return [(tree, index), *below]
    return []


def _entry_spans(parent: MapTree | ListTree) -> list[Span]:
    """Where the entries of a map or the items of a list start."""
    if isinstance(parent, MapTree):
        return list(parent.key_spans.values())
    return [each.span for each in parent.items]


def _removal_from_flow(text: str, starts: Sequence[int], index: int) -> Edit | None:
    """The edit that removes one entry of `{...}` or `[...]` and the comma left over, if all of that is on one line."""
    start = starts[index]
    if index + 1 < len(starts):
        end = starts[index + 1]
    else:
        start = text.rindex(",", 0, start)
        end = _end_of_last_entry(text, starts[index])
    return None if re.search(r"[\r\n#]", text[start:end]) else Edit(start, end, "")


def _end_of_last_entry(text: str, start: int) -> int:
    """Where the last entry of `{...}` or `[...]` ends: at the closing bracket."""
    depth = 0
    for token in re.finditer(r""""(?:\\.|[^"\\])*"|'[^']*'|[][{}]""", text[start:]):
        depth += (token[0] in "{[") - (token[0] in "}]")
        if depth < 0:
            return start + token.start()
    return len(text)


def _removal_of_lines(text: str, starts: Sequence[int], index: int) -> Edit | None:
    """The edit that removes one entry in block form: its line, and the lines below that are indented further."""
    lines = _LINE.findall(text)[:-1]
    offsets = list(accumulate(map(len, lines), initial=0))
    first = sum(offset <= starts[index] for offset in offsets[:-1]) - 1
    if text[offsets[first] : starts[index]].strip(" -"):
        return None
    indent = _indent(lines[first])
    last = first
    for number in range(first + 1, len(lines)):
        is_blank = not lines[number].strip() or lines[number].lstrip().startswith("#")
        if not is_blank and _indent(lines[number]) <= indent:
            break
        last = last if is_blank else number
    return Edit(offsets[first], offsets[last + 1], "")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _offset(text: str, line: int, column: int) -> int:
    """The offset of a position, counted in code points; line and column are those of a `Span`."""
    lines = _LINE.finditer(text)
    return next(each.start() for number, each in enumerate(lines, 1) if number == line) + column - 1
