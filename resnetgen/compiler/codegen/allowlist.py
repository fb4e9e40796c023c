"""hold(text): a printed module is held against an allow-list of syntax before anybody gets it.

    self.conv1 = nn.Conv2d(3, 64, 7)     holds
    self.conv1 = os.system("id")         BrokenPrint: line 12: calls `os.system`

Names of a spec are checked where they are read (`compiler/frontend/identifiers.py`). This is the second lock: what
a mistake in that check or in the printer lets through is found here, whatever it is, because all
that is not listed is refused. Outside of functions nothing is called, so that importing a module
that holds defines classes and does nothing else. Non-goals: whether the module is correct.
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
# What a class has of nn.Module, and what values have of Tensor.
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

# A string that is no docstring is a word, and stands in one of these or as an argument of those.
_HOLDS_WORDS = (ast.Dict, ast.Subscript, ast.keyword, ast.Compare)
_TAKES_WORDS = frozenset(["register_buffer", "get_parameter"])
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
    """A printed module holds something that none may hold: a defect of the compiler."""


def check(source: str, shipped: frozenset[str] = frozenset()) -> None:
    """Raises BrokenPrint unless all syntax of a printed module is on the list.

    `shipped` are classes that hold nothing of any spec, as `ast.dump` has them: those are let be.
    """
    try:
        # The bytes, as Python will read them from the file: with what it takes for a declaration
        # of an encoding, for a line end, and for the end of the text.
        tree = ast.parse(source.encode())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnsafeOutput(f"the printed file is no Python: {error}") from None
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    classes = frozenset(names)
    _demand(len(names) == len(classes), tree, "defines a class twice")
    for node in _without_docstring(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            _demand(ast.unparse(node) in _IMPORTS, node, "imports something else than torch")
        elif isinstance(node, ast.ClassDef):
            if ast.dump(node) not in shipped:
                _class(node, classes)
        else:
            _demand(_is_all(node, classes), node, "states something outside of the classes")


def _is_all(node: ast.stmt, classes: frozenset[str]) -> bool:
    """`__all__ = ["ResNet"]`"""
    match node:
        case ast.Assign(
            targets=[ast.Name("__all__")], value=ast.List(elts=[ast.Constant(value=name)])
        ):
            return name in classes
    return False


def _class(node: ast.ClassDef, classes: frozenset[str]) -> None:
    bases = [_dotted(base) for base in node.bases]
    _demand(len(bases) == 1 and bases[0] in _BASES, node, "has a class of another kind")
    plain = not (node.keywords or node.decorator_list or getattr(node, "type_params", []))
    _demand(plain, node, "has a decorated class")
    _demand(_is_free(node.name, classes - {node.name}), node, "binds a name that is taken")
    own = _INHERITED | {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)
    }
    for each in _without_docstring(node):
        match each:
            case ast.FunctionDef():
                _function(each, classes, own)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=None):
                own |= {name}
                _check([annotation], frozenset(), classes, own, calls=False)
            case ast.Assign(targets=[ast.Name()], value=value):
                _check([value], frozenset(), classes, own, calls=False)
            case _:
                _demand(False, each, "has a class that holds more than methods")


def _function(node: ast.FunctionDef, classes: frozenset[str], own: frozenset[str]) -> None:
    _demand(node.name in _METHODS, node, "defines another method")
    plain = not (node.decorator_list or getattr(node, "type_params", []))
    _demand(plain, node, "has a decorated method")
    signature = [node.args, *([node.returns] if node.returns else [])]
    _check(signature, frozenset(), classes, own, calls=False)
    bound = [each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)]
    _demand(bound[:1] == ["self"], node, "has a method that takes no `self`")
    bound += [
        each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]
    for name in bound[1:]:
        _demand(name != "self" and _is_free(name, classes), node, f"binds `{name}`")
    _check(_without_docstring(node), frozenset(bound), classes, own, calls=True)


def _check(
    nodes: Iterable[ast.AST],
    bound: frozenset[str],
    classes: frozenset[str],
    own: frozenset[str],
    *,
    calls: bool,
) -> None:
    """Raises BrokenPrint for what must not stand below some nodes.

    `bound` are the names of the function, `own` the attributes of `self`.
    """
    known = bound | classes | _MODULES | _TYPES | _BUILTINS
    words: set[int] = set()  # the strings that stand where words may stand
    for node in (below for each in nodes for below in ast.walk(each)):  # parents come first
        _demand(isinstance(node, _SYNTAX), node, f"has a `{type(node).__name__}`")
        match node:
            case ast.Name():
                _demand(node.id in known, node, f"reads `{node.id}`")
            case ast.Attribute():
                _demand(_is_attribute(node, own), node, f"reads the attribute `{node.attr}`")
            case ast.Call():
                callee = ast.unparse(node.func)
                _demand(calls, node, f"calls `{callee}` when it is imported")
                _demand(_is_called(node.func, classes, own), node, f"calls `{callee}`")
                if isinstance(node.func, ast.Attribute) and node.func.attr in _TAKES_WORDS:
                    words |= {id(each) for each in node.args}
            case ast.Delete(targets=targets):
                names = all(isinstance(each, ast.Name) for each in targets)
                _demand(names, node, "deletes what is no variable")
            case ast.Starred(value=value):
                _demand(isinstance(value, ast.GeneratorExp), node, "unpacks a value")
            case ast.keyword(arg=None):
                _demand(False, node, "unpacks a value")
            case ast.Constant(value=str(text)):
                _demand(id(node) in words and bool(_WORD.match(text)), node, "has a text")
            case ast.Constant(value=value):
                _demand(
                    isinstance(value, bool | int | float | EllipsisType | None),
                    node,
                    "has a constant",
                )
        if isinstance(node, _HOLDS_WORDS):
            words |= {id(each) for each in ast.iter_child_nodes(node)}


def _is_attribute(node: ast.Attribute, own: frozenset[str]) -> bool:
    """Whether an attribute may be read, or bound where it is one of `self`."""
    base = node.value
    if isinstance(base, ast.Call):
        return node.attr in _OF_TENSORS or (node.attr == "__init__" and _is_super(base))
    dotted = _dotted(node)
    root = dotted.partition(".")[0]
    if root in _MODULES:
        return dotted in _library() and isinstance(node.ctx, ast.Load)
    if dotted == f"self.{node.attr}":
        return not node.attr.startswith("_") and node.attr in own
    return not node.attr.startswith("_") and isinstance(node.ctx, ast.Load)


def _is_called(callee: ast.expr, classes: frozenset[str], own: frozenset[str]) -> bool:
    """Whether a call is one of those that modules consist of."""
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
        return callee.attr in own
    return callee.attr in _OF_TENSORS or (callee.attr == "__init__" and _is_super(callee.value))


def _is_super(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name("super"), args=[], keywords=[]):
            return True
    return False


@cache
def _library() -> frozenset[str]:
    """The dotted names of torch that a printed file may say."""
    forms = [form for op in OPS.values() for form in (op.torch, op.container_module)]
    modules = {form.callee for form in forms if isinstance(form, TorchModule) and not form.support}
    names = [
        *modules,
        *_FUNCTIONS,
        *(f"nn.{name}" for name in _CONTAINERS),
        *(f"nn.init.{name}" for name in _RULES),
    ]
    own = frozenset(name.format(n=axes) for name in names for axes in AXES)
    return own | _BASES | _PACKAGES | _DTYPES


def _dotted(node: ast.expr) -> str:
    """`nn.init.zeros_`; empty for what is not a name with attributes."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _is_free(name: str, classes: frozenset[str]) -> bool:
    """Whether binding a name hides nothing that the file relies on."""
    return name not in classes | _MODULES | _TYPES | _BUILTINS and not name.startswith("__")


def _without_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[ast.stmt]:
    match node.body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            yield from rest
        case body:
            yield from body


def _demand(holds: bool, node: ast.AST, what: str) -> None:
    if not holds:
        raise UnsafeOutput(f"line {getattr(node, 'lineno', '?')}: the printed file {what}")
