"""Arithmetic over parameters: parse, evaluate, substitute, simplify, print.

    parse("width * 4")                           ->  Apply("*", (Name("width"), Const(4)))
    evaluate(parse("width * 4"), {"width": 64})  ->  256
    to_text(parse("width * 4"))                  ->  "width * 4"

Text is parsed with `ast` through an allow-list, never with `eval`. An expression is immutable and
hashable, and may be printed again as a spec (`to_text`) or as Python (`to_python`).

Non-goals: attributes, indexing, powers, calls of anything but the functions listed here.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from resnetgen.compiler.diagnostics.model import did_you_mean

Value = bool | int | float | str | tuple["Value", ...]

MAX_VALUE = 10**15  # beyond any size in a network; keeps products of sizes small numbers
MAX_LENGTH = 1000  # characters of one expression
MAX_DEPTH = 64  # operations inside operations
MAX_OPERATIONS = 256  # after names are replaced by their expressions


class ExpressionError(ValueError):
    """What is wrong with an expression, in words for its author."""


class UnknownName(ExpressionError):
    """A name that has no value in the scope of the expression."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no `{name}` here")
        self.name = name


class Expr:
    """An expression. Python's operators on expressions build simplified expressions."""

    __slots__ = ()

    def __add__(self, other: ExprLike) -> Expr:
        return simplify(Apply("+", (self, lift(other))))

    def __radd__(self, other: ExprLike) -> Expr:
        return simplify(Apply("+", (lift(other), self)))

    def __sub__(self, other: ExprLike) -> Expr:
        return simplify(Apply("-", (self, lift(other))))

    def __mul__(self, other: ExprLike) -> Expr:
        return simplify(Apply("*", (self, lift(other))))

    def __rmul__(self, other: ExprLike) -> Expr:
        return simplify(Apply("*", (lift(other), self)))

    def __floordiv__(self, other: ExprLike) -> Expr:
        return simplify(Apply("//", (self, lift(other))))


@dataclass(frozen=True, slots=True)
class Const(Expr):
    """A number, a boolean, a word, or a tuple of these."""

    value: Value


@dataclass(frozen=True, slots=True)
class Name(Expr):
    """A parameter, a `let`, or a name that the language provides, such as `in_channels`."""

    id: str


@dataclass(frozen=True, slots=True)
class Apply(Expr):
    """An operator or a function, named as in `FUNCTIONS`, and its operands."""

    function: str
    operands: tuple[Expr, ...]


ExprLike = Expr | int | float


def lift(operand: ExprLike) -> Expr:
    """A number as an expression."""
    return operand if isinstance(operand, Expr) else Const(operand)


# --- functions


def divisible(value: float, by: int, keep: float = 0.0) -> int:
    """`value` rounded to a multiple of `by`, at least `by`, and never below `keep * value`.

    `make_divisible` of the MobileNet papers' code, where `keep` is 0.9.
    """
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < keep * value else rounded


def _of_numbers(operation: Callable[[Any, Any], Any]) -> Callable[[Value, Value], Value]:
    """The operation on numbers only; Python would also compute `[3, 3] * 1000000000`."""

    def apply(left: Value, right: Value) -> Value:
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise TypeError
        result: Value = operation(left, right)
        return result

    return apply


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "+": _of_numbers(operator.add),
    "-": operator.sub,
    "*": _of_numbers(operator.mul),
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": _of_numbers(operator.mod),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "neg": operator.neg,
    "not": operator.not_,
    "tuple": lambda *items: tuple(items),
    "min": min,
    "max": max,
    "abs": abs,
    "int": int,
    "round": round,
    "floor": math.floor,
    "ceil": math.ceil,
    "log2": math.log2,
    "sqrt": math.sqrt,
    "divisible": divisible,
}
FUNCTION_NAMES = tuple(
    name for name in FUNCTIONS if name.isidentifier() and name not in ("neg", "not", "tuple")
)

# --- text to expression

_BINARY = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


@lru_cache(maxsize=4096)  # the blocks of all networks have the same few hundred texts
def parse(text: str) -> Expr:
    """The expression that a text spells. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression is longer than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        if len(text) > MAX_DEPTH and _depth(tree.body) > MAX_DEPTH:
            raise ExpressionError("it is nested too deeply")
        return _convert(tree.body)
    except SyntaxError as error:
        raise ExpressionError(f"`{text}` is not an expression: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error) if isinstance(error, ExpressionError) else "it is nested too deeply"
        raise ExpressionError(reason) from None


def _depth(node: ast.AST) -> int:
    """How many levels a syntax tree has; names and operators count as one."""
    depth, level = 0, [node]
    while level:
        depth, level = depth + 1, [below for each in level for below in ast.iter_child_nodes(each)]
    return depth - 1


def _convert(node: ast.expr) -> Expr:
    match node:
        case ast.Constant(value=(bool() | int() | float()) as number):
            return Const(number)
        case ast.Name():
            return {"true": Const(True), "false": Const(False)}.get(node.id, Name(node.id))
        case ast.BinOp() if type(node.op) in _BINARY:
            return Apply(_BINARY[type(node.op)], (_convert(node.left), _convert(node.right)))
        case ast.UnaryOp(op=ast.USub()):
            operand = _convert(node.operand)
            return simplify(Apply("neg", (operand,)))
        case ast.UnaryOp(op=ast.Not()):
            return Apply("not", (_convert(node.operand),))
        case ast.BoolOp():
            word = "and" if isinstance(node.op, ast.And) else "or"
            return Apply(word, tuple(_convert(value) for value in node.values))
        case ast.Compare(ops=[comparison]) if type(comparison) in _BINARY:
            sides = (_convert(node.left), _convert(node.comparators[0]))
            return Apply(_BINARY[type(comparison)], sides)
        case ast.IfExp():
            parts = (_convert(node.test), _convert(node.body), _convert(node.orelse))
            return Apply("if", parts)
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTION_NAMES:
            return Apply(name, tuple(_convert(argument) for argument in node.args))
        case ast.Call(func=ast.Name(id=name)):
            hint = (
                did_you_mean(name, FUNCTION_NAMES)
                or f"the functions are {', '.join(FUNCTION_NAMES)}"
            )
            raise ExpressionError(f"there is no function `{name}`; {hint}")
        case ast.BinOp(op=ast.Pow()):
            raise ExpressionError("there is no `**`; write the product out")
    raise ExpressionError(f"`{ast.unparse(node)}` is not allowed in an expression")


# --- expression to value


def evaluate(expr: Expr, env: Mapping[str, Value]) -> Value:
    """The value of an expression; ExpressionError for an unknown name or impossible arithmetic."""
    if isinstance(expr, Const):
        return expr.value
    if isinstance(expr, Name):
        if expr.id not in env:
            raise UnknownName(expr.id)
        return env[expr.id]
    assert isinstance(expr, Apply)
    if expr.function == _TOO_LARGE:
        raise ExpressionError(f"more than {MAX_OPERATIONS} operations, counting those of its names")
    if expr.function == "if":
        test, then, otherwise = expr.operands
        return evaluate(then if evaluate(test, env) else otherwise, env)
    if expr.function in ("and", "or"):
        return _evaluate_boolean(expr, env)
    values = [evaluate(operand, env) for operand in expr.operands]
    try:
        value = FUNCTIONS[expr.function](*values)
    except ZeroDivisionError:
        raise ExpressionError(f"`{to_text(expr)}` divides by zero") from None
    except (TypeError, ValueError, OverflowError):
        shown = ", ".join(str(value) for value in values)
        raise ExpressionError(f"`{to_text(expr)}` has no value for {shown}") from None
    return _bounded(value)


def _evaluate_boolean(expr: Apply, env: Mapping[str, Value]) -> Value:
    stop = expr.function == "or"
    value: Value = not stop
    for operand in expr.operands:
        value = evaluate(operand, env)
        if bool(value) is stop:
            break
    return value


def _bounded(value: Value) -> Value:
    if isinstance(value, int | float) and not -MAX_VALUE <= value <= MAX_VALUE:
        raise ExpressionError(f"a value beyond {MAX_VALUE:.0e}; no network has such sizes")
    return value


# --- names and parts

_TOO_LARGE = "too_large"  # the function of an expression of which only the names are kept


def free_names(expr: Expr) -> Iterator[str]:
    """The names that an expression reads, with repetitions."""
    if isinstance(expr, Name):
        yield expr.id
    elif isinstance(expr, Apply):
        for operand in expr.operands:
            yield from free_names(operand)


def substitute(expr: Expr, bindings: Mapping[str, Expr]) -> Expr:
    """The expression with names replaced, simplified on the way up, and limited in size."""
    return _limited(_substituted(expr, bindings))


def _limited(expr: Expr) -> Expr:
    """The expression; if it is too large to evaluate or read, only the names that it reads.

    Sums of sums double in size with each substitution, so each one has to be limited.
    """
    if _operations(expr, MAX_OPERATIONS) > MAX_OPERATIONS:
        return Apply(_TOO_LARGE, tuple(map(Name, dict.fromkeys(free_names(expr)))))
    return expr


def _substituted(expr: Expr, bindings: Mapping[str, Expr]) -> Expr:
    if isinstance(expr, Name):
        return bindings.get(expr.id, expr)
    if isinstance(expr, Apply):
        operands = tuple(_substituted(operand, bindings) for operand in expr.operands)
        return simplify(Apply(expr.function, operands))
    return expr


def _operations(expr: Expr, most: int) -> int:
    """How many operations an expression has, counted until there are more than `most`."""
    if not isinstance(expr, Apply):
        return 0
    count = 1
    for operand in expr.operands:
        count += _operations(operand, most - count)
        if count > most:
            break
    return count


def replace_parts(expr: Expr, names: Mapping[Expr, Name]) -> Expr:
    """The expression with whole subexpressions replaced by names."""
    if expr in names:
        return names[expr]
    if isinstance(expr, Apply):
        return Apply(expr.function, tuple(replace_parts(each, names) for each in expr.operands))
    return expr


def count_occurrences(expr: Expr, part: Expr) -> int:
    """How often an expression contains a subexpression."""
    if expr == part:
        return 1
    operands = expr.operands if isinstance(expr, Apply) else ()
    return sum(count_occurrences(each, part) for each in operands)


# --- simplification

_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=", "not", "and", "or")


def simplify(expr: Apply) -> Expr:
    """One step of simplification at the root; the operands are already simplified.

    Folds constants; `x * 1`, `x + 0`, `x // 1` -> `x`; `x * a // b` where one divides the other.
    Floats are never reassociated: the printed arithmetic computes the compiler's result, bit for bit.
    """
    if all(isinstance(operand, Const) for operand in expr.operands):
        return _fold(expr)
    if expr.function == "if" and isinstance(expr.operands[0], Const):
        return expr.operands[1] if expr.operands[0].value else expr.operands[2]
    if expr.function == "if" and expr.operands[1] == expr.operands[2]:
        return expr.operands[1]
    if expr.function in ("and", "or"):
        return _boolean(expr)
    if len(expr.operands) != 2:
        return expr
    left, right = expr.operands
    match expr.function:
        case "*" if _is_integer(right, 1):
            return left
        case "*" if _is_integer(left, 1):
            return right
        case "+" if _is_integer(left, 0):
            return right
        case "+" | "-" if _is_integer(right, 0):
            return left
        case "-" if left == right:
            return Const(0)
        case "*" if _is_integer(left) and not _is_integer(right):
            return simplify(Apply("*", (right, left)))
        case "*":
            return _product(expr, left, right)
        case "//":
            return _quotient(expr, left, right)
    return expr


def _boolean(expr: Apply) -> Expr:
    """`x > 1 or false` -> `x > 1`; `x > 1 and false` -> `false`; for comparisons only."""
    decisive = expr.function == "or"
    tests = [operand for operand in expr.operands if not isinstance(operand, Const)]
    if not all(isinstance(each, Apply) and each.function in _COMPARISONS for each in tests):
        return expr
    constants = [operand.value for operand in expr.operands if isinstance(operand, Const)]
    if any(bool(value) is decisive for value in constants):
        return Const(decisive)
    return tests[0] if len(tests) == 1 else Apply(expr.function, tuple(tests))


def _fold(expr: Apply) -> Expr:
    try:
        return Const(evaluate(expr, {}))
    except ExpressionError:
        return expr


def _is_integer(expr: Expr, value: int | None = None) -> bool:
    return isinstance(expr, Const) and type(expr.value) is int and value in (None, expr.value)


def _product(expr: Apply, left: Expr, right: Expr) -> Expr:
    """`x * 2 * 3` -> `x * 6`, for integers."""
    match left, right:
        case Apply("*", (inner, Const(int(a)))), Const(int(b)):
            return simplify(Apply("*", (inner, Const(a * b))))
    return expr


def _quotient(expr: Apply, left: Expr, right: Expr) -> Expr:
    """`x * 64 // 64` -> `x`; `x * 8 // 4` -> `x * 2`; `x * 4 // 8` -> `x // 2`."""
    match left, right:
        case _, Const(1):
            return left
        case Apply("*", (inner, Const(int(a)))), Const(int(b)) if b > 0 and a % b == 0:
            return simplify(Apply("*", (inner, Const(a // b))))
        case Apply("*", (inner, Const(int(a)))), Const(int(b)) if a > 0 and b % a == 0:
            return Apply("//", (inner, Const(b // a)))
    return expr


# --- expression to text

_LEFT_ASSOCIATIVE = ("+", "-", "*", "/", "//", "%")
_PRECEDENCE = {
    **{"if": 1, "or": 2, "and": 3, "not": 4},
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), 5),
    **dict.fromkeys(("+", "-"), 6),
    **dict.fromkeys(("*", "/", "//", "%"), 7),
    "neg": 8,
}
_ATOM = 9
_SPELLED_OUT = {
    "floor": lambda x: f"int({x} // 1)",
    "ceil": lambda x: f"-int(-({x}) // 1)",
    "log2": lambda x: f"math.log2({x})",
    "sqrt": lambda x: f"math.sqrt({x})",
}


def to_text(expr: Expr) -> str:
    """The expression as a spec has it."""
    return _source(expr, python=False)[0]


def to_python(expr: Expr) -> str | None:
    """The expression as Python; None if it would be too large to read."""
    return _source(expr, python=True)[0] if _is_printable(expr) else None


def _is_printable(expr: Expr) -> bool:
    if not isinstance(expr, Apply):
        return True
    if expr.function == _TOO_LARGE or (expr.function == "divisible" and len(expr.operands) == 3):
        return False
    return all(map(_is_printable, expr.operands))


def _source(expr: Expr, python: bool) -> tuple[str, int]:
    """The text of an expression, and the precedence of its outermost operator."""
    if isinstance(expr, Name):
        return expr.id, _ATOM
    if isinstance(expr, Const):
        return repr(expr.value), _ATOM if not _negative(expr) else _PRECEDENCE["neg"]
    assert isinstance(expr, Apply)
    level = _PRECEDENCE.get(expr.function, _ATOM)
    if level == _ATOM:
        return _call_source(expr, python), _ATOM
    parts = [_source(operand, python) for operand in expr.operands]
    groups_left = expr.function in _LEFT_ASSOCIATIVE
    texts = [
        text if inner > level or (inner == level and index == 0 and groups_left) else f"({text})"
        for index, (text, inner) in enumerate(parts)
    ]
    match expr.function:
        case "if":
            return f"{texts[1]} if {texts[0]} else {texts[2]}", level
        case "not":
            return f"not {texts[0]}", level
        case "neg":
            return f"-{texts[0]}", level
    return f" {expr.function} ".join(texts), level


def _negative(expr: Const) -> bool:
    return isinstance(expr.value, int | float) and expr.value < 0


def _call_source(expr: Apply, python: bool) -> str:
    texts = [_source(operand, python)[0] for operand in expr.operands]
    if expr.function == "tuple":
        return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
    if python and expr.function in _SPELLED_OUT:
        return _SPELLED_OUT[expr.function](texts[0])
    if python and expr.function == "divisible":
        return _source(expand_divisible(*expr.operands), python)[0]
    return f"{expr.function}({', '.join(texts)})"


def expand_divisible(value: Expr, by: Expr) -> Expr:
    """`divisible(v, 8)` in terms of `max` and `int`, as the printed module computes it."""
    half = simplify(Apply("/", (by, Const(2))))
    whole = Apply("int", (Apply("+", (value, half)),))
    multiple = Apply("*", (Apply("//", (whole, by)), by))
    return Apply("max", (by, multiple))
