"""YAML text -> positioned tree; the only module that knows PyYAML.

    {width: 010}  ->  MapTree({"width": Scalar(10, "010", span)}, ...)

The tree is built from parser events without recursion, within limits, with the scalar rules of
YAML 1.2's core schema. All errors that do not stop the parser are raised together.

Non-goals: which keys a spec may have, expressions, names, files that a spec refers to.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml

from resnetgen.compiler.diagnostics.model import (
    MAX_REPORTED,
    Diagnostic,
    Note,
    Source,
    Span,
    SpecError,
)
from resnetgen.compiler.frontend.tree import ListTree, MapTree, Scalar, Tree
from resnetgen.compiler.frontend.yaml_scalars import (
    MAX_ERRORS_PER_CAUSE,
    ScalarError,
    check_characters,
    read_source,
    resolve,
    scalar_text,
)

MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_ITEMS = 256  # of a list; the longest of real networks are what DenseNet joins, below 100
MAX_QUOTED = 100  # characters of the input, inside a message

# libyaml's parser is 16 times as fast; the wheels of some platforms lack it.
LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path, name: str | None = None) -> MapTree:
    """File -> tree; SpecError for its content, OSError for what is not a readable file."""
    return parse(read_source(path, str(path) if name is None else name))


def parse(source: Source) -> MapTree:
    """Text of one document whose top level is a map -> tree."""
    source = check_characters(source)
    root = _TreeBuilder(source).build()
    if isinstance(root, MapTree):
        return root
    empty = root is None or (isinstance(root, Scalar) and root.value is None)
    kind = "empty" if empty else "a list" if isinstance(root, ListTree) else "a single value"
    span = root.span if root else Span(source, 1, 1, 2)
    message = f"a spec is a map of `key: value` lines; this is {kind}"
    raise SpecError([Diagnostic("not-a-map", message, span)])


def parse_value(text: str, source_name: str) -> Tree:
    """The value of `--set KEY=VALUE` -> tree: a scalar, `[...]` or `{...}`; empty is null."""
    source = check_characters(Source(source_name, text))
    builder = _TreeBuilder(source)
    root = builder.build()
    if root is None:
        return Scalar(None, "", Span(source, 1, 1, 2), quoted=False)
    if isinstance(root, Scalar) or builder.marks.char(root.span) in "[{":
        return root
    message = "a list or map given here must be on one line"
    help = "write `[a, b]` or `{key: value}`"
    raise SpecError([Diagnostic("yaml-syntax", message, root.span, help=help)])


# --- from events to the tree

_NO_TAG = "write only the value; quote it to make it a string"
_NO_ALIAS = "write the value out; use `extends:` for what networks or blocks share"


class _Stop(Exception):
    """Raised to stop reading: the rest would be slow to read, or repeat what was reported."""


@dataclass(slots=True)
class _OpenTree:
    """A list or map that is not closed yet; `end` is where it ends on its first line, so far."""

    span: Span
    is_map: bool
    flow: bool
    end: int = 0
    items: list[Tree] = field(default_factory=list)
    entries: dict[str, Tree] = field(default_factory=dict)
    keys: dict[str, Span] = field(default_factory=dict)
    key: Scalar | None = None  # of a map, while its value is read
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
        # The Python parser converts escapes and versions without checking their size.
        problem = "directive" if "limit" in str(error) else "Unicode character"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark) from None


class _TreeBuilder:
    """Events of one source -> tree; collects errors and continues where it can."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.marks = Marks(source)
        self.root: Tree | None = None
        self.stack: list[_OpenTree] = []
        self.nodes = 0
        self.documents = 0
        self.errors: list[Diagnostic] = []
        self.causes: Counter[Hashable] = Counter()

    def build(self) -> Tree | None:
        """The tree, or None for a text without a value; SpecError with all errors."""
        with suppress(_Stop):
            try:
                for event in _events(self.source.text):
                    self.handle(event)
            except yaml.MarkedYAMLError as error:
                if not any(each.open_parens for each in self.stack):  # else it is a consequence
                    self.report(syntax_error(self.marks, error))
        if self.errors:
            raise SpecError(self.errors)
        return self.root

    def handle(self, event: Any) -> None:
        """One event."""
        if isinstance(event, yaml.NodeEvent):
            self.node(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.close(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                message = "a file contains one document; a second one starts here"
                span = self.marks.span(event)
                self.abort("yaml-documents", message, span, "put it in another file")

    def node(self, event: Any) -> None:
        """The start of a value or key."""
        span = self.marks.span(event)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.abort("limit", f"a spec has at most {MAX_NODES:,} keys and values", span)
        if isinstance(event, yaml.AliasEvent):
            self.alias(str(event.anchor), span)
            return
        if event.anchor is not None:
            what = f"anchors (`&{_short(event.anchor)}`)"
            self.unsupported("yaml-alias", what, span, event.anchor)
        if event.tag is not None:
            written = _short(event.tag.replace("tag:yaml.org,2002:", "!!"))
            self.unsupported("yaml-tag", f"tags (`{written}`)", span, event.tag)
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event, span)
        else:
            self.open(event, span)

    def alias(self, anchor: str, span: Span) -> None:
        """`*name`: an error, unless it is the value of a `<<` that was reported."""
        key = self.stack[-1].key if self.stack else None
        if not (key and _is_merge(key)):
            self.unsupported("yaml-alias", f"aliases (`*{_short(anchor)}`)", span, anchor)
        self.add(Scalar(None, f"*{anchor}", span, quoted=False))

    def scalar(self, event: Any, span: Span) -> None:
        """A value or key without parts."""
        text, quoted = event.value, bool(event.style)
        parent = self.stack[-1] if self.stack else None
        if parent and parent.flow and not quoted and self.is_split_by_comma(parent, event, span):
            self.add(Scalar(text, text, span, quoted), check_key=False)
            return
        is_text = quoted or (parent is not None and parent.wants_key)
        try:
            value = scalar_text(text) if is_text else resolve(scalar_text(text))
        except ScalarError as error:
            self.report(Diagnostic(error.code, str(error), span))
            value = None
        self.add(Scalar(value, text, span, quoted))

    def is_split_by_comma(self, parent: _OpenTree, event: Any, span: Span) -> bool:
        """Whether this is a piece of `{out: max(a, b)}`; the first piece is reported."""
        opened = event.value.count("(") - event.value.count(")")
        if parent.open_parens:
            parent.open_parens = max(0, parent.open_parens + opened)
            return True
        rest = self.marks.line(event.end_mark.line)[event.end_mark.column :]
        if opened <= 0 or parent.wants_key or not rest.lstrip().startswith(","):
            return False
        parent.open_parens = opened
        key = f"{_short(parent.key.text)}: " if parent.key else ""
        whole = _expression(self.marks.line(span.line - 1)[span.column - 1 :])
        help = f"quote the expression: {key}{_quote(_short(whole))}"
        message = "the comma ends this value here"
        self.report(Diagnostic("unquoted-comma", message, span, help=help))
        return True

    def open(self, event: Any, span: Span) -> None:
        """`[`, `{`, or the first item or key in block form."""
        if len(self.stack) >= MAX_DEPTH:
            self.abort("limit", f"lists and maps nest at most {MAX_DEPTH} deep", span)
        is_map = isinstance(event, yaml.MappingStartEvent)
        self.stack.append(_OpenTree(span, is_map, bool(event.flow_style), span.end))

    def close(self, event: Any) -> None:
        """The end of a list or map."""
        closed = self.stack.pop()
        start, mark = closed.span, event.end_mark
        end = mark.column + 1 if closed.flow and mark.line == start.line - 1 else closed.end
        span = Span(self.source, start.line, start.column, end)
        if closed.is_map:
            self.add(MapTree(closed.entries, closed.keys, span))
        else:
            self.add(ListTree(tuple(closed.items), span))

    def add(self, tree: Tree, check_key: bool = True) -> None:
        """Adds a finished tree to the list or map that is open, as an item, key or value."""
        if not self.stack:
            self.root = tree
            return
        parent = self.stack[-1]
        if tree.span.line == parent.span.line:
            parent.end = max(parent.end, tree.span.end)
        if not parent.is_map:
            if len(parent.items) >= MAX_ITEMS:
                self.abort("limit", f"a list has at most {MAX_ITEMS} values", tree.span)
            parent.items.append(tree)
        elif parent.key is None:
            parent.key = self.checked_key(parent, tree) if check_key else _as_key(tree)
        else:
            parent.entries[parent.key.text] = tree
            parent.key = None

    def checked_key(self, parent: _OpenTree, tree: Tree) -> Scalar:
        """A tree in the position of a key, which must be one word that the map does not have."""
        key, span = _as_key(tree), tree.span
        if not key.text or self.marks.char(span) in ("|", ">"):
            self.report(Diagnostic("yaml-key", "a key is one word, plain or quoted", span))
        elif _is_merge(key):
            self.unsupported("yaml-alias", "merge keys (`<<`)", span, "<<")
        elif first := parent.keys.get(key.text):
            message, note = f"key `{_short(key.text)}` is given twice", Note("first here", first)
            self.report(Diagnostic("duplicate-key", message, span, (note,)), first)
        parent.keys.setdefault(key.text, span)
        return key

    def unsupported(self, code: str, what: str, span: Span, cause: Hashable) -> None:
        """Reports YAML that is not allowed in specs; an anchor and its aliases are one cause."""
        help = _NO_TAG if code == "yaml-tag" else _NO_ALIAS
        message = f"{what} are not part of the language"
        self.report(Diagnostic(code, message, span, help=help), (code, cause))

    def report(self, error: Diagnostic, cause: Hashable = None) -> None:
        """Adds an error: at most two of one cause, and stops after `MAX_REPORTED`."""
        self.causes[cause] += 1
        if cause is not None and self.causes[cause] > MAX_ERRORS_PER_CAUSE:
            return
        self.errors.append(error)
        if len(self.errors) > MAX_REPORTED:
            raise _Stop

    def abort(self, code: str, message: str, span: Span, help: str | None = None) -> NoReturn:
        """Adds an error and stops reading."""
        self.errors.append(Diagnostic(code, message, span, help=help))
        raise _Stop


def _as_key(tree: Tree) -> Scalar:
    return tree if isinstance(tree, Scalar) else Scalar(None, "", tree.span, quoted=True)


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


def _short(text: str) -> str:
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}..."


# --- from marks to spans


class Marks:
    """Spans in one source. PyYAML's marks count lines and code points from 0, with either parser.

    a scalar `groups` from line 4, column 2 to line 4, column 8  ->  line 5, columns 3 to 9
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.lines = source.lines()

    def span(self, event: Any) -> Span:
        """The span of an event, as far as it is on its first line."""
        start, end = event.start_mark, event.end_mark
        last = end.column if end.line == start.line else len(self.line(start.line).rstrip())
        column = start.column + 1
        return Span(self.source, start.line + 1, column, max(last, column) + 1)

    def point(self, mark: Any) -> Span:
        """A span of one character; on an empty line it moves to the end of the text above."""
        line, column = (mark.line, mark.column) if mark else (0, 0)
        while line > 0 and not self.line(line).strip():
            line, column = line - 1, len(self.line(line - 1).rstrip())
        return Span(self.source, line + 1, column + 1, column + 2)

    def char(self, span: Span) -> str:
        """The first character of a span; empty at the end of a line."""
        return self.line(span.line - 1)[span.column - 1 : span.column]

    def line(self, index: int) -> str:
        """A line by its index from 0; empty after the last."""
        return self.lines[index] if index < len(self.lines) else ""


# --- syntax errors


class ParserMessage(NamedTuple):
    """What to look for in PyYAML's "context: problem", and how to say it to the author."""

    pattern: str
    message: str
    help: str | None = None
    code: str = "yaml-syntax"


_NOT_A_PAIR, _NO_COLON = "this is not a `key: value` line", "is a `:` missing?"
_ALIGN = "start the keys of one map, and the items of one list, in the same column"

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
        _NO_TAG,
        "yaml-tag",
    ),
    ParserMessage("Unicode character", "this escape is not a character", None, "yaml-encoding"),
    ParserMessage(
        "escape|hexdec", "unknown escape in double quotes", "use single quotes, or `\\\\` for `\\`"
    ),
    ParserMessage("quoted scalar: found", "the quote is never closed"),
    ParserMessage(
        "mapping values",
        "a `:` is not allowed here",
        f"quote a value that contains `: `; {_ALIGN}",
    ),
    ParserMessage(
        "sequence entries", "a list item cannot start here", "start a new line, or write `[a, b]`"
    ),
    ParserMessage("simple key", _NOT_A_PAIR, _NO_COLON),
    ParserMessage("',' or '}'", "a `,` or the closing `}` is missing here"),
    ParserMessage("',' or ']'", "a `,` or the closing `]` is missing here"),
    ParserMessage(
        "block (collection|mapping|sequence)", "this does not fit the lines above it", _ALIGN
    ),
    ParserMessage("block scalar", "text after `|` or `>` starts on the next line, indented"),
    ParserMessage("node content", "a key or a value is missing here"),
    ParserMessage("document start", "there is more text after the end of the document", _ALIGN),
    ParserMessage(
        "directive|incompatible", "lines that start with `%` are not part of the language"
    ),
)

# A line that cannot be part of a text of several lines: a key, an item, a comment, a document.
_NOT_TEXT = re.compile(r":\s|:$|^\s*[-#?&*!|>'\"%@`\[{]")


def syntax_error(marks: Marks, error: Any) -> Diagnostic:
    """Why PyYAML stopped, in words for the author of the file: a MarkedYAMLError -> Diagnostic.

    while parsing a flow mapping: expected ',' or '}'  ->  a `,` or the closing `}` is missing here
    """
    text = f"{error.context}: {error.problem}"
    span = marks.point(error.problem_mark)
    start = marks.point(error.context_mark) if error.context_mark else span
    if "cannot start any token" in text:
        return _bad_start(marks.char(span), span)
    if "mapping values" in text and (line := _line_without_colon(marks, span)):
        return Diagnostic("yaml-syntax", _NOT_A_PAIR, line, help=_NO_COLON)
    rows = (*SYNTAX_MESSAGES, ParserMessage("", str(error.problem)))
    row = next(row for row in rows if re.search(row.pattern, text))
    is_unclosed = start != span and ("flow" in text or "quoted scalar: found" in text)
    notes = (Note("opened here", start),) if is_unclosed else ()
    position = start if "simple key" in text else span
    return Diagnostic(row.code, row.message, position, notes, row.help)


def _bad_start(char: str, span: Span) -> Diagnostic:
    if char == "\t":
        return Diagnostic("yaml-syntax", "a tab is not allowed here", span, help="use spaces")
    message = f"a value cannot start with `{char}`"
    return Diagnostic("yaml-syntax", message, span, help="quote the value")


def _line_without_colon(marks: Marks, span: Span) -> Span | None:
    """The first of the lines above that YAML has joined with this one into one plain text."""
    indent = _indent(marks.line(span.line - 1))
    first = None
    for index in range(span.line - 2, -1, -1):
        line = marks.line(index)
        if line.strip() and (_indent(line) != indent or _NOT_TEXT.search(line)):
            break
        first = index if line.strip() else first
    if first is None:
        return None
    return Span(marks.source, first + 1, indent + 1, len(marks.line(first).rstrip()) + 1)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
