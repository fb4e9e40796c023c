"""check(text): raises UnsafeOutput unless all syntax of a printed module is on an allow-list.

    self.conv1 = nn.Conv2d(3, 64, 7)     passes
    self.conv1 = os.system("id")         UnsafeOutput: line 12: the printed file calls `os.system`

The names in a spec are checked where they are read (`compiler/frontend/identifiers.py`). This is a
second lock behind that check and the printer: whatever a mistake there lets through is refused here,
because everything is that is not listed. Outside of methods nothing may be called, so importing a
module that passes defines classes and does nothing else. Non-goal: whether the module is correct.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from types import EllipsisType

from resnetgen.compiler.ir.op_def import TorchModule
from resnetgen.compiler.ir.ops import OPS

_IMPORTS = ("import torch", "from torch import Tensor, nn", "from collections import OrderedDict")
_MODULES = frozenset(["torch", "Tensor", "nn", "OrderedDict"])
_TYPES = frozenset(["int", "float", "bool", "str", "tuple", "dict"])
_BUILTINS = frozenset(["super", "range", "isinstance", "int", "max", "min", "round", "abs"])
_CALLABLE = _BUILTINS | {"OrderedDict"}
_BASES = frozenset(["nn.Module", "nn.Sequential"])
_METHODS = frozenset(["__init__", "forward"])  # that a class defines
# Attributes that classes inherit from nn.Module, and methods of tensors.
_INHERITED = frozenset(["forward", "training", "modules", "named_modules", "register_buffer"])
_OF_TENSORS = frozenset(["flatten", "view", "view_as", "repeat", "bernoulli_", "get_parameter"])
_PACKAGES = frozenset(["nn.init", "nn.functional", "torch.compiler"])
_DTYPES = frozenset(["torch.uint8"])
_NOT_CALLED = _PACKAGES | _DTYPES | {"nn.Module"}
_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict", "Identity")
_FUNCTIONS = ("torch.cat", "torch.compiler.is_compiling", "torch.empty", "torch.tensor", "nn.functional.pad",
              "nn.functional.interpolate", "nn.functional.avg_pool{n}d", "nn.functional.conv{n}d")  # fmt: skip
_RULES = ("kaiming_normal_", "kaiming_uniform_", "xavier_normal_", "xavier_uniform_", "normal_",
          "uniform_", "trunc_normal_", "constant_", "zeros_", "ones_")  # fmt: skip
AXES = (1, 2, 3)  # of an image

# A string other than a docstring must be a word: below one of these nodes, or an argument of those.
_MAY_CONTAIN_WORDS = (ast.Dict, ast.Subscript, ast.keyword, ast.Compare)
_ACCEPT_WORDS = frozenset(["register_buffer", "get_parameter"])
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")

_STATEMENTS = (ast.Assign, ast.Delete, ast.Expr, ast.Return, ast.If, ast.For)
_EXPRESSIONS = (
    ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Call, ast.keyword, ast.Starred,
    ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.GeneratorExp, ast.comprehension, ast.BinOp,
    ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp,
)  # fmt: skip
_SYNTAX = (*_STATEMENTS, *_EXPRESSIONS, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
           ast.expr_context, ast.arguments, ast.arg)  # fmt: skip


class UnsafeOutput(AssertionError):
    """A printed module contains something that is not allowed: a bug in the compiler."""


def check(source: str, shipped: frozenset[str] = frozenset()) -> None:
    """Raises UnsafeOutput unless all syntax of a printed module is on the list.

    `shipped` are classes that contain nothing of any spec, as `ast.dump` shows them: not checked.
    """
    try:
        # The bytes, as Python will read them from the file: a comment may declare an encoding, and
        # a character may end a line or the text.
        tree = ast.parse(source.encode())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnsafeOutput(f"the printed file is not Python: {error}") from None
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    classes = frozenset(names)
    _require(len(names) == len(classes), tree, "defines a class twice")
    for node in _without_docstring(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            _require(ast.unparse(node) in _IMPORTS, node, "imports something other than torch")
        elif isinstance(node, ast.ClassDef):
            if ast.dump(node) not in shipped:
                _check_class(node, classes)
        else:
            _require(_is_all(node, classes), node, "has a statement outside of its classes")


def _is_all(node: ast.stmt, classes: frozenset[str]) -> bool:
    """`__all__ = ["ResNet"]`"""
    match node:
        case ast.Assign(
            targets=[ast.Name("__all__")], value=ast.List(elts=[ast.Constant(value=name)])
        ):
            return name in classes
    return False


def _check_class(node: ast.ClassDef, classes: frozenset[str]) -> None:
    bases = [_dotted(base) for base in node.bases]
    _require(len(bases) == 1 and bases[0] in _BASES, node, "has a class of another kind")
    plain = not (node.keywords or node.decorator_list or getattr(node, "type_params", []))
    _require(plain, node, "has a decorated class")
    _require(_is_free(node.name, classes - {node.name}), node, "binds a name that is taken")
    attributes = _INHERITED | {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)
    }
    for each in _without_docstring(node):
        match each:
            case ast.FunctionDef():
                _check_function(each, classes, attributes)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=None):
                attributes |= {name}
                _check_nodes([annotation], frozenset(), classes, attributes, calls=False)
            case ast.Assign(targets=[ast.Name()], value=value):
                _check_nodes([value], frozenset(), classes, attributes, calls=False)
            case _:
                _require(False, each, "has a class with more than methods")


def _check_function(
    node: ast.FunctionDef, classes: frozenset[str], attributes: frozenset[str]
) -> None:
    _require(node.name in _METHODS, node, "defines another method")
    plain = not (node.decorator_list or getattr(node, "type_params", []))
    _require(plain, node, "has a decorated method")
    signature = [node.args, *([node.returns] if node.returns else [])]
    _check_nodes(signature, frozenset(), classes, attributes, calls=False)
    bound = [each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)]
    _require(bound[:1] == ["self"], node, "has a method without `self`")
    bound += [
        each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]
    for name in bound[1:]:
        _require(name != "self" and _is_free(name, classes), node, f"binds `{name}`")
    _check_nodes(_without_docstring(node), frozenset(bound), classes, attributes, calls=True)


def _check_nodes(
    nodes: Iterable[ast.AST],
    bound: frozenset[str],
    classes: frozenset[str],
    attributes: frozenset[str],
    *,
    calls: bool,
) -> None:
    """Raises UnsafeOutput for what is not allowed below some nodes.

    `bound` are the names of the function, `attributes` the attributes of `self`.
    """
    known = bound | classes | _MODULES | _TYPES | _BUILTINS
    words: set[int] = set()  # the strings where words are allowed
    for node in (below for each in nodes for below in ast.walk(each)):  # parents come first
        _require(isinstance(node, _SYNTAX), node, f"has a `{type(node).__name__}`")
        match node:
            case ast.Name():
                _require(node.id in known, node, f"reads `{node.id}`")
            case ast.Attribute():
                _require(
                    _is_attribute(node, attributes), node, f"reads the attribute `{node.attr}`"
                )
            case ast.Call():
                callee = ast.unparse(node.func)
                _require(calls, node, f"calls `{callee}` when it is imported")
                _require(_is_called(node.func, classes, attributes), node, f"calls `{callee}`")
                if isinstance(node.func, ast.Attribute) and node.func.attr in _ACCEPT_WORDS:
                    words |= {id(each) for each in node.args}
            case ast.Delete(targets=targets):
                names = all(isinstance(each, ast.Name) for each in targets)
                _require(names, node, "deletes something other than a variable")
            case ast.Starred(value=value):
                _require(isinstance(value, ast.GeneratorExp), node, "unpacks a value")
            case ast.keyword(arg=None):
                _require(False, node, "unpacks a value")
            case ast.Constant(value=str(text)):
                _require(id(node) in words and bool(_WORD.match(text)), node, "has a text")
            case ast.Constant(value=value):
                _require(
                    isinstance(value, bool | int | float | EllipsisType | None),
                    node,
                    "has a constant",
                )
        if isinstance(node, _MAY_CONTAIN_WORDS):
            words |= {id(each) for each in ast.iter_child_nodes(node)}


def _is_attribute(node: ast.Attribute, attributes: frozenset[str]) -> bool:
    """Whether an attribute may be read, or bound where it is one of `self`."""
    base = node.value
    if isinstance(base, ast.Call):
        return node.attr in _OF_TENSORS or (node.attr == "__init__" and _is_super(base))
    dotted = _dotted(node)
    root = dotted.partition(".")[0]
    if root in _MODULES:
        return dotted in _library() and isinstance(node.ctx, ast.Load)
    if dotted == f"self.{node.attr}":
        return not node.attr.startswith("_") and node.attr in attributes
    return not node.attr.startswith("_") and isinstance(node.ctx, ast.Load)


def _is_called(callee: ast.expr, classes: frozenset[str], attributes: frozenset[str]) -> bool:
    """Whether a printed module may call it."""
    while isinstance(callee, ast.Subscript):  # self.blocks[0](x)
        callee = callee.value
        if not isinstance(callee, ast.Attribute | ast.Subscript):
            return False
    if isinstance(callee, ast.Name):
        return callee.id in _CALLABLE or callee.id in classes
    if not isinstance(callee, ast.Attribute):
        return False
    dotted = _dotted(callee)
    if dotted.partition(".")[0] in _MODULES:
        return dotted in _library() and dotted not in _NOT_CALLED
    if dotted == f"self.{callee.attr}":
        return callee.attr in attributes
    return callee.attr in _OF_TENSORS or (callee.attr == "__init__" and _is_super(callee.value))


def _is_super(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name("super"), args=[], keywords=[]):
            return True
    return False


@cache
def _library() -> frozenset[str]:
    """The dotted names of torch that are allowed in a printed file."""
    forms = [form for op in OPS.values() for form in (op.torch, op.container_module)]
    modules = {form.callee for form in forms if isinstance(form, TorchModule) and not form.support}
    names = [
        *modules,
        *_FUNCTIONS,
        *(f"nn.{name}" for name in _CONTAINERS),
        *(f"nn.init.{name}" for name in _RULES),
    ]
    attributes = frozenset(name.format(n=axes) for name in names for axes in AXES)
    return attributes | _BASES | _PACKAGES | _DTYPES


def _dotted(node: ast.expr) -> str:
    """`nn.init.zeros_`; empty for what is not a name with attributes."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _is_free(name: str, classes: frozenset[str]) -> bool:
    """Whether a name can be bound without hiding one that the file relies on."""
    return name not in classes | _MODULES | _TYPES | _BUILTINS and not name.startswith("__")


def _without_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[ast.stmt]:
    match node.body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            yield from rest
        case body:
            yield from body


def _require(condition: bool, node: ast.AST, what: str) -> None:
    if not condition:
        raise UnsafeOutput(f"line {getattr(node, 'lineno', '?')}: the printed file {what}")
