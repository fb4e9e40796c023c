"""A small pretty printer in the manner of Wadler ("A prettier printer", 2003): documents to lines.

A document (Doc) says where lines may break; `lay` breaks them only where they are too long, as
`ruff format` does: all on one line, else the items on one, else each item on a line of its own.

    nn.Conv2d(64, 64, 3)    or    nn.Conv2d(           or    nn.Conv2d(
                                      64, 64, 3                  64,
                                  )                              ...
                                                             )

Only brackets and sums break: the planner keeps what is between them short. An expression is a leaf of
its own (ExprDoc), because which of its parts become locals is decided after the document is made.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnetgen.compiler.frontend.expressions import Expr, Name, free_names, replace_parts, to_python

WIDTH = 88
INDENT = 4
MARGIN = " " * 8  # of a method's body


@dataclass(frozen=True, slots=True)
class Brackets:
    """`open` items `close`: a call, a list, a dict. An item may have a prefix such as `stride=`."""

    open: str
    items: tuple[Doc, ...]
    close: str = ")"


@dataclass(frozen=True, slots=True)
class Prefixed:
    """A prefix and a document: `downsample=` and a call."""

    prefix: str
    doc: Doc


@dataclass(frozen=True, slots=True)
class Repeated:
    """`*(ELEMENT for VARIABLE in range(...))`."""

    element: Doc
    clause: str


@dataclass(frozen=True, slots=True)
class Chain:
    """`a + b + c`, one operand a line in parentheses where it is too long."""

    operator: str
    operands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExprDoc:
    """An expression, some parts of which may still be replaced by locals of the class."""

    expr: Expr


Doc = str | ExprDoc | Brackets | Prefixed | Repeated | Chain


def flat(doc: Doc) -> str:
    """The document on one line."""
    match doc:
        case Brackets(open, items, close):
            return open + ", ".join(flat(item) for item in items) + close
        case Prefixed(prefix, inner):
            return prefix + flat(inner)
        case Repeated(element, clause):
            return f"*({flat(element)} {clause})"
        case Chain(operator, operands):
            return f" {operator} ".join(operands)
        case ExprDoc(expr):
            text = to_python(expr)
            assert text is not None, "the scope chooses expressions that can be printed"
            return text
    return doc


def lay(doc: Doc, indent: int = 0, prefix: str = "", suffix: str = "") -> list[str]:
    """The lines of a document, indented; `prefix` and `suffix` go on the first and the last line."""
    margin = " " * indent
    line = margin + prefix + flat(doc) + suffix
    match doc:
        case Prefixed(own, inner):
            return lay(inner, indent, prefix + own, suffix)
        case Brackets(open, items, close) if len(line) > WIDTH and items:
            return [
                margin + prefix + open,
                *_items(items, indent + INDENT),
                margin + close + suffix,
            ]
        case Repeated(element, clause) if len(line) > WIDTH:
            inside = " " * (indent + INDENT)
            body = [*lay(element, indent + INDENT), inside + clause]
            return [margin + prefix + "*(", *body, margin + ")" + suffix]
        case Chain(operator, operands) if len(line) > WIDTH:
            inside = " " * (indent + INDENT)
            first, *rest = operands
            body = [inside + first, *(f"{inside}{operator} {each}" for each in rest)]
            return [margin + prefix + "(", *body, margin + ")" + suffix]
    return [line]


def _items(items: Sequence[Doc], indent: int) -> list[str]:
    """The items between brackets: on one line without a trailing comma, or one on each line."""
    line = " " * indent + ", ".join(flat(item) for item in items)
    if len(line) <= WIDTH and not any(_is_call(item) for item in items):
        return [line]
    return [each for item in items for each in lay(item, indent, suffix=",")]


def _is_call(doc: Doc) -> bool:
    match doc:
        case Prefixed(_, inner):
            return _is_call(inner)
        case Brackets(close=")") | Repeated():
            return True
    return False


def parsed(text: str) -> Doc:
    """The document of an expression of `forward`: calls, lists and sums may break."""
    if len(text) < WIDTH // 2:
        return text
    return _parsed(text, ast.parse(text, mode="eval").body)


def _parsed(text: str, node: ast.expr) -> Doc:
    def part(inner: ast.expr) -> str:
        return text[inner.col_offset : inner.end_col_offset]  # one line of ASCII

    match node:
        case ast.Call():
            arguments = [_parsed(text, each) for each in node.args]
            keywords = [keyword(str(each.arg), _parsed(text, each.value)) for each in node.keywords]
            return call(part(node.func), [*arguments, *keywords])
        case ast.List():
            return Brackets("[", tuple(_parsed(text, each) for each in node.elts), "]")
        case ast.BinOp(op=ast.Add() | ast.Mult()):
            operands = tuple(part(each) for each in _operands(node))
            return Chain("+" if isinstance(node.op, ast.Add) else "*", operands)
    return part(node)


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return [*_operands(node.left), node.right]
    return [node]


def call(callee: str, items: Sequence[Doc]) -> Brackets:
    """`callee(items)`."""
    return Brackets(f"{callee}(", tuple(items))


def keyword(name: str, doc: Doc) -> Prefixed:
    """`name=doc`."""
    return Prefixed(f"{name}=", doc)


# --- what is inside a document


def parts(doc: Doc) -> Iterator[str | ExprDoc]:
    """The texts and expressions of a document."""
    match doc:
        case Brackets(_, items, _):
            for item in items:
                yield from parts(item)
        case Prefixed(_, inner) | Repeated(inner, _):
            yield from parts(inner)
        case str() | ExprDoc():
            yield doc


def expressions(doc: Doc) -> Iterator[Expr]:
    """The expressions of a document."""
    return (part.expr for part in parts(doc) if isinstance(part, ExprDoc))


def names(doc: Doc) -> set[str]:
    """The names that the expressions of a document read."""
    return {name for expr in expressions(doc) for name in free_names(expr)}


def shortened(doc: Doc, local: Mapping[Expr, Name]) -> Doc:
    """The document with the names of locals in place of their expressions."""
    match doc:
        case ExprDoc(expr):
            return ExprDoc(replace_parts(expr, local))
        case Brackets(open, items, close):
            return Brackets(open, tuple(shortened(item, local) for item in items), close)
        case Prefixed(prefix, inner):
            return Prefixed(prefix, shortened(inner, local))
        case Repeated(inner, clause):
            return Repeated(shortened(inner, local), clause)
    return doc


# --- prose


def sentence(text: str) -> str:
    """The text as a sentence: a capital first, a full stop last."""
    text = " ".join(text.split())
    ended = text if text.endswith((".", "!", "?")) else f"{text}."
    return ended[:1].upper() + ended[1:]
