"""YAML text -> positioned tree; the only place that knows PyYAML.

    {width: 010}  ->  MapTree({"width": Scalar(10, "010", span)})

The tree is built from parser events without recursion, under caps, with the scalar rules of
YAML 1.2's core schema. All faults that do not stop the parser are raised together.

Non-goals: which keys a spec may have, expressions, names, files that a spec refers to.

Where PyYAML's events and marks stand in a source.

a scalar `groups` from line 4, column 2 to line 4, column 8  ->  Span(source, line 5, columns 3 to 9)

syntax_fault(marks, error): why PyYAML gave up, in words for the person who wrote the file.

while parsing a flow mapping: expected ',' or '}'  ->  a `,` or the closing `}` is missing here
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias

import yaml

from resnetgen.compiler.diagnostics.model import (
    MAX_REPORTED,
    Diagnostic,
    Note,
    Source,
    Span,
    SpecError,
)
from resnetgen.compiler.frontend.yaml_scalars import (
    MAX_ERRORS_PER_CAUSE,
    ScalarError,
    check_characters,
    decode_utf8,
    read_bytes,
    resolve,
    scalar_text,
)


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


NO_TAG = "write the value alone; quote it to make it a string"
_NO_PAIR, _NO_COLON = "this is not a `key: value` line", "is a `:` missing?"
_ALIGN = "start the keys of one map, and the items of one list, in the same column"


class ParserMessage(NamedTuple):
    """What to look for in PyYAML's "context: problem", and what it means."""

    pattern: str
    message: str
    help: str | None = None
    code: str = "yaml-syntax"


# The first match counts. The two parsers word their problems differently.
SYNTAX_MESSAGES = (
    ParserMessage(
        "alphabetic",
        "`*` and `&` start an alias or an anchor, which specs do not have",
        "quote it",
        "yaml-alias",
    ),
    ParserMessage(
        "ing a tag|undefined tag",
        "tags (`!name`) are not part of the language",
        NO_TAG,
        "yaml-tag",
    ),
    ParserMessage(
        "Unicode character", "this escape stands for no character", None, "yaml-encoding"
    ),
    ParserMessage(
        "escape|hexdec", "unknown escape in double quotes", "use single quotes, or `\\\\` for `\\`"
    ),
    ParserMessage("quoted scalar: found", "the quote is never closed"),
    ParserMessage(
        "mapping values", "a `:` cannot stand here", f"quote a value that holds `: `; {_ALIGN}"
    ),
    ParserMessage(
        "sequence entries", "a list item cannot start here", "start a new line, or write `[a, b]`"
    ),
    ParserMessage("simple key", _NO_PAIR, _NO_COLON),
    ParserMessage("',' or '}'", "a `,` or the closing `}` is missing here"),
    ParserMessage("',' or ']'", "a `,` or the closing `]` is missing here"),
    ParserMessage(
        "block (collection|mapping|sequence)", "this does not fit what stands above it", _ALIGN
    ),
    ParserMessage("block scalar", "a text after `|` or `>` starts on the next line, indented"),
    ParserMessage("node content", "a key or a value is missing here"),
    ParserMessage("document start", "the text goes on after its end", _ALIGN),
    ParserMessage(
        "directive|incompatible", "lines that start with `%` are not part of the language"
    ),
)

# What ends a text of several lines that stand alike: a key, an item, a comment, a document.
_NO_TEXT = re.compile(r":\s|:$|^\s*[-#?&*!|>'\"%@`\[{]")


def syntax_error(marks: Marks, error: Any) -> Diagnostic:
    """The diagnostic for a `MarkedYAMLError`."""
    text = f"{error.context}: {error.problem}"
    span = marks.point(error.problem_mark)
    start = marks.point(error.context_mark) if error.context_mark else span
    if "cannot start any token" in text:
        return _bad_start(marks.char(span), span)
    if "mapping values" in text and (line := _line_without_colon(marks, span)):
        return Diagnostic("yaml-syntax", _NO_PAIR, line, help=_NO_COLON)
    rows = (*SYNTAX_MESSAGES, ParserMessage("", str(error.problem)))
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


MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_QUOTED = 100  # of what was written, inside a message

# libyaml's parser is 16 times as fast; the wheel of a rare platform lacks it.
LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without parts; `text` is what was written, without quotes."""

    value: str | int | float | bool | None
    text: str
    span: Span
    quoted: bool


@dataclass(frozen=True, slots=True)
class ListTree:
    """A list, in block or flow form."""

    items: tuple[Tree, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class MapTree:
    """A map; its keys keep their raw text (`0`, `1.10`), `keys` says where each stands."""

    entries: dict[str, Tree]
    keys: dict[str, Span]
    span: Span


Tree: TypeAlias = Scalar | ListTree | MapTree


def read(path: Path, name: str | None = None) -> MapTree:
    """File -> tree; `SpecError` for its content, `OSError` for what is not a readable file."""
    return parse(decode_utf8(read_bytes(path), str(path) if name is None else name))


def parse(source: Source) -> MapTree:
    """Text of one document whose top level is a map -> tree."""
    source = check_characters(source)
    root = _Builder(source).build()
    if isinstance(root, MapTree):
        return root
    empty = root is None or (isinstance(root, Scalar) and root.value is None)
    what = "empty" if empty else "a list" if isinstance(root, ListTree) else "a single value"
    span = root.span if root else Span(source, 1, 1, 2)
    message = f"a spec is a map of `key: value` lines; this is {what}"
    raise SpecError([Diagnostic("not-a-map", message, span)])


def parse_value(text: str, source_name: str) -> Tree:
    """The value of `--set KEY=VALUE` -> tree: a scalar, `[...]` or `{...}`; empty is null."""
    source = check_characters(Source(source_name, text))
    builder = _Builder(source)
    root = builder.build()
    if root is None:
        return Scalar(None, "", Span(source, 1, 1, 2), quoted=False)
    if isinstance(root, Scalar) or builder.marks.char(root.span) in "[{":
        return root
    message = "a list or map given here is written in one line"
    help = "write `[a, b]` or `{key: value}`"
    raise SpecError([Diagnostic("yaml-syntax", message, root.span, help=help)])


def python_value(tree: Tree) -> object:
    """Tree -> dicts, lists and scalar values."""
    if isinstance(tree, MapTree):
        return {key: python_value(value) for key, value in tree.entries.items()}
    if isinstance(tree, ListTree):
        return [python_value(item) for item in tree.items]
    return tree.value


def locate(tree: Tree, path: Sequence[str | int]) -> Span:
    """The span of the value at a path, or of the last value on the way that exists."""
    for step in path:
        below = _child(tree, step)
        if below is None:
            break
        tree = below
    return tree.span


def key_span(tree: Tree, path: Sequence[str | int]) -> Span:
    """The span of the key that ends a path; of the item in a list; else as `locate`."""
    parent = tree
    for step in path[:-1]:
        below = _child(parent, step)
        if below is None:
            return parent.span
        parent = below
    if path and isinstance(parent, MapTree) and str(path[-1]) in parent.keys:
        return parent.keys[str(path[-1])]
    return locate(parent, path[-1:])


def _child(tree: Tree, step: str | int) -> Tree | None:
    if isinstance(tree, MapTree):
        return tree.entries.get(str(step))
    if isinstance(tree, ListTree) and isinstance(step, int) and 0 <= step < len(tree.items):
        return tree.items[step]
    return None


_SHARE = "write the value out; what networks or blocks share goes through `extends:`"


class _Stop(Exception):
    """Enough is known: reading on would be slow or would only repeat what was said."""


@dataclass(slots=True)
class _Frame:
    """A list or map that is still open; `end` is the end of its part on its first line."""

    span: Span
    is_map: bool
    flow: bool
    end: int = 0
    items: list[Tree] = field(default_factory=list)
    entries: dict[str, Tree] = field(default_factory=dict)
    keys: dict[str, Span] = field(default_factory=dict)
    key: Scalar | None = None
    open_parens: int = 0  # of an expression that a comma split, and that was reported

    @property
    def wants_key(self) -> bool:
        return self.is_map and self.key is None


def _events(text: str) -> Iterator[Any]:
    """The parser's events, one at a time; every failure is a `MarkedYAMLError`."""
    mark: Any = None
    try:
        for event in yaml.parse(text, Loader=LOADER):
            mark = event.end_mark
            yield event
    except (ValueError, OverflowError, yaml.reader.ReaderError) as error:
        # The Python parser converts escapes and versions without looking at their size.
        problem = "directive" if "limit" in str(error) else "Unicode character"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark) from None


class _Builder:
    """Events of one source -> tree; collects faults and goes on where it can."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.marks = Marks(source)
        self.root: Tree | None = None
        self.stack: list[_Frame] = []
        self.nodes = 0
        self.documents = 0
        self.faults: list[Diagnostic] = []
        self.causes: Counter[Hashable] = Counter()

    def build(self) -> Tree | None:
        """The tree, or None for a text without a value; `SpecError` with all faults."""
        with suppress(_Stop):
            try:
                for event in _events(self.source.text):
                    self.take(event)
            except yaml.MarkedYAMLError as error:
                if not any(frame.open_parens for frame in self.stack):  # it was told already
                    self.fault(syntax_error(self.marks, error))
        if self.faults:
            raise SpecError(self.faults)
        return self.root

    def take(self, event: Any) -> None:
        """One event."""
        if isinstance(event, yaml.NodeEvent):
            self.node(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.close(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                message = "a file holds one document; a second one starts here"
                self.stop(
                    "yaml-documents", message, self.marks.span(event), "put it into another file"
                )

    def node(self, event: Any) -> None:
        """The start of a value or key."""
        span = self.marks.span(event)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.stop("limit", f"a spec has at most {MAX_NODES:,} keys and values", span)
        if isinstance(event, yaml.AliasEvent):
            self.alias(str(event.anchor), span)
            return
        if event.anchor is not None:
            self.unknown("yaml-alias", f"anchors (`&{_short(event.anchor)}`)", span, event.anchor)
        if event.tag is not None:
            written = _short(event.tag.replace("tag:yaml.org,2002:", "!!"))
            self.unknown("yaml-tag", f"tags (`{written}`)", span, event.tag)
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event, span)
        else:
            self.open(event, span)

    def alias(self, anchor: str, span: Span) -> None:
        """`*name`: a fault, unless it is the value of a `<<` that was reported."""
        key = self.stack[-1].key if self.stack else None
        if not (key and _is_merge(key)):
            self.unknown("yaml-alias", f"aliases (`*{_short(anchor)}`)", span, anchor)
        self.put(Scalar(None, f"*{anchor}", span, quoted=False))

    def unknown(self, code: str, what: str, span: Span, cause: Hashable) -> None:
        """A form of YAML that specs do not have; an anchor and its aliases are one cause."""
        help = NO_TAG if code == "yaml-tag" else _SHARE
        message = f"{what} are not part of the language"
        self.fault(Diagnostic(code, message, span, help=help), (code, cause))

    def scalar(self, event: Any, span: Span) -> None:
        """A value or key without parts."""
        text, quoted = event.value, bool(event.style)
        frame = self.stack[-1] if self.stack else None
        if frame and frame.flow and not quoted and self.split_by_comma(frame, event, span):
            self.put(Scalar(text, text, span, quoted), checked=False)
            return
        as_text = quoted or (frame is not None and frame.wants_key)
        try:
            value = scalar_text(text) if as_text else resolve(scalar_text(text))
        except ScalarError as error:
            self.fault(Diagnostic(error.code, str(error), span))
            value = None
        self.put(Scalar(value, text, span, quoted))

    def split_by_comma(self, frame: _Frame, event: Any, span: Span) -> bool:
        """Is this a piece of `{out: max(a, b)}`? The first piece is reported, the rest is not."""
        opened = event.value.count("(") - event.value.count(")")
        if frame.open_parens:
            frame.open_parens = max(0, frame.open_parens + opened)
            return True
        rest = self.marks.line(event.end_mark.line)[event.end_mark.column :]
        if opened <= 0 or frame.wants_key or not rest.lstrip().startswith(","):
            return False
        frame.open_parens = opened
        key = f"{_short(frame.key.text)}: " if frame.key else ""
        whole = _expression(self.marks.line(span.line - 1)[span.column - 1 :])
        help = f"quote the expression: {key}{_quote(_short(whole))}"
        message = "the comma ends this value here"
        self.fault(Diagnostic("unquoted-comma", message, span, help=help))
        return True

    def open(self, event: Any, span: Span) -> None:
        """`[`, `{`, or the first item or key of a block."""
        if len(self.stack) >= MAX_DEPTH:
            self.stop("limit", f"lists and maps nest at most {MAX_DEPTH} deep", span)
        is_map = isinstance(event, yaml.MappingStartEvent)
        self.stack.append(_Frame(span, is_map, bool(event.flow_style), span.end))

    def close(self, event: Any) -> None:
        """The end of a list or map."""
        frame = self.stack.pop()
        start, mark = frame.span, event.end_mark
        end = mark.column + 1 if frame.flow and mark.line == start.line - 1 else frame.end
        span = Span(self.source, start.line, start.column, end)
        if frame.is_map:
            self.put(MapTree(frame.entries, frame.keys, span))
        else:
            self.put(ListTree(tuple(frame.items), span))

    def put(self, tree: Tree, checked: bool = True) -> None:
        """A finished tree goes to the list or map that is open, as an item, key or value."""
        if not self.stack:
            self.root = tree
            return
        frame = self.stack[-1]
        if tree.span.line == frame.span.line:
            frame.end = max(frame.end, tree.span.end)
        if not frame.is_map:
            frame.items.append(tree)
        elif frame.key is None:
            frame.key = self.key(frame, tree) if checked else _as_key(tree)
        else:
            frame.entries[frame.key.text] = tree
            frame.key = None

    def key(self, frame: _Frame, tree: Tree) -> Scalar:
        """A tree in the place of a key: must be a word, and new."""
        key, span = _as_key(tree), tree.span
        if not key.text or self.marks.char(span) in ("|", ">"):
            self.fault(Diagnostic("yaml-key", "a key is one word, plain or quoted", span))
        elif _is_merge(key):
            self.unknown("yaml-alias", "merge keys (`<<`)", span, "<<")
        elif first := frame.keys.get(key.text):
            message, note = f"key `{_short(key.text)}` is given twice", Note("first here", first)
            self.fault(Diagnostic("duplicate-key", message, span, (note,)), first)
        frame.keys.setdefault(key.text, span)
        return key

    def fault(self, fault: Diagnostic, cause: Hashable = None) -> None:
        """Keep a fault; at most two per cause, and no more than a person reads."""
        self.causes[cause] += 1
        if cause is not None and self.causes[cause] > MAX_ERRORS_PER_CAUSE:
            return
        self.faults.append(fault)
        if len(self.faults) > MAX_REPORTED:
            raise _Stop

    def stop(self, code: str, message: str, span: Span, help: str | None = None) -> NoReturn:
        """Keep a fault and read no further."""
        self.faults.append(Diagnostic(code, message, span, help=help))
        raise _Stop


def _as_key(tree: Tree) -> Scalar:
    return tree if isinstance(tree, Scalar) else Scalar(None, "", tree.span, quoted=True)


def _short(text: str) -> str:
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}..."


def _is_merge(key: Scalar) -> bool:
    return key.text == "<<" and not key.quoted


def _expression(text: str) -> str:
    """The expression that a text starts with: up to the `,`, `}` or `]` outside parentheses."""
    depth = 0
    for index, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth <= 0 and char in ",}]":
            return text[:index].strip()
    return text.strip()


def _quote(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'
