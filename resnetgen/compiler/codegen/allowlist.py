"""check(text): raises UnsafeOutput unless a printed module has only the shapes that are printed.

    self.conv1 = nn.Conv2d(3, 64, 7)     passes
    self.conv1 = os.system("id")         UnsafeOutput: line 12: the printed file calls `os.system`

The names in a spec are checked where they are read (`compiler/frontend/identifiers.py`). This is a
second lock behind that check and the printer. The statements of constructors and of `forward` are
listed, each expression must be a number, a module or a tensor, and all else is refused. Outside of
methods there are only literals, so importing a module that passes defines classes and does nothing
else. Non-goals: whether the module is correct, and how large the results of its arithmetic are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cache
from types import MappingProxyType
from typing import NoReturn

from resnetgen.compiler.frontend.identifiers import MODULE_NAMES, PRINTED_NAMES
from resnetgen.compiler.ir.init_rules import SQUARED_GAINS
from resnetgen.compiler.ir.op_def import TorchModule
from resnetgen.compiler.ir.ops import OPS

# The kinds of expressions. A bool is a number; a tuple is not, because `(0,) * 10**9` is large.
NUMBER, TUPLE, MODULE, TENSOR = "number", "tuple", "module", "tensor"
NUMERIC = (NUMBER, TUPLE)

_IMPORTS = (
    "import math",
    "import torch",
    "from torch import Tensor, nn",
    "from collections import OrderedDict",
)
_RESULTS = ("Tensor", "tuple[Tensor, ...]", "Tensor | tuple[Tensor, ...]", "dict[str, Tensor]")
_LOOPS = {"module": "self.modules()", "(name, module)": "self.named_modules()"}
_ARITHMETIC = ("int", "max", "min", "round", "abs", "math.log2", "math.sqrt")
_FUNCTIONS = ("torch.cat", "nn.functional.pad", "nn.functional.interpolate")
_METHODS = ("flatten", "view", "view_as")  # of tensors
_MODES = ("'nearest'", "'linear'", "'bilinear'", "'trilinear'")
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_OPERATORS: Mapping[str, tuple[type[ast.operator], ...]] = {
    NUMBER: (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod),
    TENSOR: (ast.Add, ast.Mult),
}
_LARGEST = 10**77  # integer; products of sizes are printed
_MOST_BLOCKS = 200_000  # of a comprehension

# Parts that are always the same, as `ast.unparse` shows them.
_WORD = r"'\w[\w.-]*'"
_DECIMAL = r"-?(\d{1,18}|[\d.]+e[+-]?\d+|\d+\.\d+)"
_LITERAL = rf"({_DECIMAL}|True|False|\({_DECIMAL}(, {_DECIMAL})*,?\))"
_TYPE = r"(int|float|bool|tuple\[int(, int){0,2}\])"
_SELF = re.compile(rf"self(, \w+: (nn\.Module|{_TYPE}( \| {_TYPE})*(={_LITERAL})?))*")
_FORWARD = re.compile(r"self(, \w+: Tensor)+")
_FEATURE_INFO = re.compile(
    rf"feature_info = \((\{{({_WORD}: ({_WORD}|{_DECIMAL})(, )?)+\}}(, |,)?)+\)"
)
_CONDITION = re.compile(
    rf"name == {_WORD}|name in \({_WORD}(, {_WORD})*\)|module\.bias is not None"
    r"|isinstance\(module, (?P<of>[\w. |]+)\)"
)
_TENSOR = rf"(module\.((?!_)\w+\.)?(weight|bias)|module\.get_parameter\({_WORD}\))"
_GAINS = "|".join(SQUARED_GAINS)
_SPREAD = rf"std=math\.sqrt\({_DECIMAL} / fan\)|a=-bound, b=bound"
_INITIALIZATION = re.compile(
    r"nn\.init\.((kaiming|xavier)_(normal|uniform)|(trunc_)?normal|uniform|constant|zeros|ones)_"
    rf"\({_TENSOR}(, mode='fan_(in|out)'|, nonlinearity='({_GAINS})'"
    rf"|, ((std|a|b|gain)=)?{_DECIMAL}|, ({_SPREAD}))*\)"
    r"|fan = module\.weight\[:, 0\]\.numel\(\) // module\.groups"
    rf"|bound = math\.sqrt\({_DECIMAL} / fan\)"
)
# Of the inference target: how the C library is made to keep memory, and a large batch is split.
_RESERVE = "torch.empty(2 ** 25 - 2 ** 12, dtype=torch.uint8, device='cpu')"
_FIRST = ("super().__init__()", _RESERVE)  # in a constructor
_SPLIT = re.compile(
    r"if (\w+)\.is_cpu and \1\.shape\[0\] > 1 and \(?not torch\.compiler\.is_compiling\(\)\)?:\s+"
    r"memory = \1\.nbytes \* \d{1,77} // \(\d{1,18}( \* \d{1,18})+\)\s+"
    r"if memory > 2 \*\* \d\d:\s+half = \1\.shape\[0\] // 2\s+"
    r"return torch\.cat\(\[self\.forward\(\1\[:half\]\), self\.forward\(\1\[half:\]\)\]\)"
)


class UnsafeOutput(AssertionError):
    """A printed module contains something that is not allowed: a bug in the compiler."""


def check(source: str, shipped: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raises UnsafeOutput unless all of a printed module is on the list, and Python compiles it.

    `shipped` are classes that contain nothing of any spec, as `ast.dump` shows them: not checked.
    """
    try:
        # The bytes, as Python will read them from the file: a comment may declare an encoding, and
        # a character may end a line or the text.
        tree = ast.parse(source.encode())
        _check_file(tree, shipped)
        # Finds what the lists do not, such as two arguments of one name; what it folds is small.
        compile(tree, "the printed file", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnsafeOutput(f"the printed file is not Python: {error}") from None


def _check_file(tree: ast.Module, shipped: Mapping[str, str]) -> None:
    classes: set[str] = set()
    exported: list[str] = []
    for node in _without_docstring(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                _require(_text(node) in _IMPORTS, node, "has an import that no printed file has")
            case ast.Assign(
                targets=[ast.Name("__all__")], value=ast.List(elts=[ast.Constant(value=str(name))])
            ):
                exported.append(name)
            case ast.ClassDef(name=name):
                _require(name not in classes, node, "defines a class twice")
                _require(_is_free(name), node, "binds a name that is taken")
                if name not in shipped or ast.dump(node) != shipped[name]:
                    _ClassCheck(classes).check(node)
                classes.add(name)
            case _:
                _refuse(node, "has a statement outside of its classes")
    _require(classes.issuperset(exported), tree, "exports something other than a class")


class _ClassCheck:
    """Checks one class; `classes` are those before it, which its constructor may call."""

    def __init__(self, classes: Set[str]) -> None:
        self.classes = classes
        self.names: dict[str, str] = {}  # the kind of each variable of a method
        self.attributes: dict[str, str] = {}  # the kind of what the constructor stores on self
        self.in_forward = False

    def check(self, node: ast.ClassDef) -> None:
        plain = not (node.keywords or node.decorator_list or getattr(node, "type_params", []))
        match [_dotted(base) for base in node.bases] if plain else [], _without_docstring(node):
            case ["nn.Sequential"], [ast.FunctionDef(name="__init__") as constructor]:
                self.constructor(constructor, is_chain=True)
            case ["nn.Module"], [
                *constants,
                ast.FunctionDef(name="__init__") as constructor,
                ast.FunctionDef(name="forward") as forward,
            ]:
                for each in constants:
                    known = _FEATURE_INFO.fullmatch(_text(each))
                    _require(bool(known), each, "has a class with more than methods")
                self.constructor(constructor, is_chain=False)
                self.forward(forward)
            case _:
                _refuse(node, "has a class of another kind")

    # --- statements

    def parameters(
        self, node: ast.FunctionDef, shape: re.Pattern[str], results: Sequence[str]
    ) -> None:
        """Checks the head of a method, and binds its parameters."""
        plain = not (node.decorator_list or getattr(node, "type_params", []))
        known = plain and shape.fullmatch(_text(node.args)) and _text(node.returns) in results
        _require(bool(known), node, "has a method with another head")
        self.names = {}
        for each in node.args.args[1:]:
            text = _text(each.annotation)
            kind = {"Tensor": TENSOR, "nn.Module": MODULE}.get(text, NUMBER)
            self.bind(each.arg, TUPLE if "tuple" in text else kind, each)

    def bind(self, name: str, kind: str, node: ast.AST) -> None:
        free = _is_free(name) and name not in self.classes
        _require(free and self.names.get(name, kind) == kind, node, f"binds `{name}`")
        self.names[name] = kind

    def constructor(self, node: ast.FunctionDef, *, is_chain: bool) -> None:
        self.parameters(node, _SELF, ("None",))
        for each in node.body:
            match each:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    _require(name not in self.names, each, f"binds `{name}` again")
                    self.bind(name, self.expect(NUMERIC, value), each)
                case ast.Expr(value=ast.Call(args=members, keywords=[]) as call) if is_chain:
                    _require(_text(call.func) == "super().__init__", call, "calls something else")
                    self.members(members)
                case ast.Assign(targets=[ast.Attribute(ast.Name("self"), attr=name)], value=value):
                    taken = name in MODULE_NAMES or name in self.attributes or name[0] == "_"
                    _require(not taken and not is_chain, each, f"stores `self.{name}`")
                    self.attributes[name] = self.kind(value)
                case ast.For():
                    self.initialization(each)
                case _:
                    known = not is_chain and _text(each) in _FIRST
                    _require(known, each, "has another statement")

    def initialization(self, loop: ast.For) -> None:
        """`for module in self.modules()`, and the rules for each class or name."""
        known = _LOOPS.get(_text(loop.target)) == _text(loop.iter) and not loop.orelse
        _require(known, loop, "has another loop")
        waiting = list(loop.body)
        while waiting:  # without recursion: an `elif` is inside the `if` before it
            match waiting.pop():
                case ast.If(test=test, body=body, orelse=orelse):
                    for each in test.values if isinstance(test, ast.BoolOp) else [test]:
                        condition = _CONDITION.fullmatch(_text(each))
                        read = (condition["of"] or "nn.Identity") if condition else ""
                        known = set(read.split(" | ")) <= self.classes | _modules()
                        _require(known, each, "has another condition")
                    waiting += [*body, *orelse]
                case ast.stmt() as rule:
                    known = bool(_INITIALIZATION.fullmatch(_text(rule)))
                    _require(known, rule, "has another rule of initialization")

    def forward(self, node: ast.FunctionDef) -> None:
        self.in_forward = True
        self.parameters(node, _FORWARD, _RESULTS)
        split = isinstance(node.body[0], ast.If) and _SPLIT.fullmatch(_text(node.body[0]))
        _require(not split or split[1] in self.names, node, "splits another value")
        self.statements(node.body[1:] if split else node.body)

    def statements(self, body: Iterable[ast.stmt]) -> None:
        """The statements of `forward`."""
        for each in body:
            match each:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.bind(name, self.expect([TENSOR], value), each)
                case ast.Delete(targets=targets):
                    for target in targets:
                        known = self.names.pop(_dotted(target), None)
                        _require(known is not None, target, "deletes more than a variable")
                case ast.If(test=test, body=inner, orelse=[]) if _text(test) == "self.training":
                    self.statements(inner)
                case ast.Return(value=ast.Tuple(elts=values)):
                    self.expect([TENSOR], *values)
                case ast.Return(value=ast.Dict(keys=keys, values=values)):
                    _require(all(map(_is_word, keys)), each, "has a key that is not a word")
                    self.expect([TENSOR], *values)
                case ast.Return(value=ast.expr() as value):
                    self.expect([TENSOR], value)
                case _:
                    _refuse(each, "has another statement")

    # --- expressions

    def expect(self, kinds: Sequence[str], *nodes: ast.expr) -> str:
        """The kind of expressions that must all be of some kinds; of mixed ones, a tuple's."""
        found = [self.kind(node) for node in nodes]
        for kind, node in zip(found, nodes, strict=True):
            _require(kind in kinds, node, f"has a {kind}")
        return TUPLE if TUPLE in found else found[-1] if found else kinds[0]

    def kind(self, node: ast.expr) -> str:
        """Whether an expression is a number, a module or a tensor."""
        match node:
            case ast.Name(id=name) if name in self.names:
                return self.names[name]
            case ast.Constant(value=int(number)) if number < _LARGEST:
                return NUMBER
            case ast.Constant(value=float()):
                return NUMBER
            case ast.Attribute(value=ast.Name("self"), attr=name) if (
                self.in_forward and name in self.attributes
            ):
                return self.attributes[name]
            case ast.Call() if self.in_forward:
                return self.computation(node)
            case ast.Call():
                return self.construction(node)
            case ast.Subscript():
                return self.item(node)
            case ast.BinOp():
                return self.operation(node)
            case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
                return self.expect([NUMBER], operand)
            case ast.Tuple(elts=items):
                self.expect([NUMBER], *items)
                return TUPLE
            case ast.BoolOp(values=operands):
                return self.expect(NUMERIC, *operands)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.expect(NUMERIC, test, body, orelse)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(
                op, _COMPARISONS
            ):
                self.expect(NUMERIC, left, right)
                return NUMBER
        _refuse(node, f"reads `{_text(node)[:80]}`")

    def operation(self, node: ast.expr) -> str:
        """A chain of operators, in a loop: a sum of many values is nested as deep as it is long."""
        operators, operands = [], []
        while isinstance(node, ast.BinOp):
            operators.append(node.op)
            operands.append(node.right)
            node = node.left
        kind = self.kind(node)
        known = all(isinstance(each, _OPERATORS.get(kind, ())) for each in operators)
        _require(known, node, "has another operator")
        return self.expect([kind], *operands)

    def item(self, node: ast.Subscript) -> str:
        """`x.shape[0]`, `x[:, :, ::2, ::2]`, `self.features[0]`, `self.stem["conv1"]`."""
        match node:
            case ast.Subscript(
                value=ast.Attribute(value=tensor, attr="shape") as shape,
                slice=ast.Constant(value=0),
            ) if not self.is_module(shape):
                self.expect([TENSOR], tensor)
                return NUMBER
            case ast.Subscript(value=tensor, slice=ast.Tuple(elts=slices)):
                for each in slices:
                    match each:
                        case ast.Slice(lower=None, upper=None, step=step):
                            self.expect([NUMBER], *([step] if step else []))
                        case _:
                            _refuse(each, "reads one item of a tensor")
                return self.expect([TENSOR], tensor)
        known = isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int)
        _require(known or _is_word(node.slice), node, "reads another item")
        return self.expect([MODULE], node.value)

    def computation(self, node: ast.Call) -> str:
        """A call in `forward`: of a module, a function of torch, or a method of a tensor."""
        if _dotted(node.func) in _FUNCTIONS:
            for each in node.args:
                if isinstance(each, ast.List):
                    self.expect([TENSOR], *each.elts)
                else:
                    self.expect([TENSOR, *NUMERIC], each)
            self.keywords(node, [NUMBER])
            return TENSOR
        _require(not node.keywords, node, "passes a keyword")
        match node.func:
            case ast.Name("float"):
                return self.expect([NUMBER], *node.args)
            case ast.Attribute(value=tensor, attr=name) if name in _METHODS and not self.is_module(
                node.func
            ):
                self.expect([TENSOR], tensor)
                self.expect([TENSOR, NUMBER], *node.args)
            case callee:
                self.expect([MODULE], callee)
                self.expect([TENSOR], *node.args)
        return TENSOR

    def is_module(self, node: ast.expr) -> bool:
        """Whether it is `self.NAME` of a module that the constructor made."""
        match node:
            case ast.Attribute(value=ast.Name("self"), attr=name):
                return self.attributes.get(name) == MODULE
        return False

    def construction(self, node: ast.Call) -> str:
        """A call in a constructor: arithmetic, a module of torch, or a class of the file."""
        match _dotted(node.func), node.args, node.keywords:
            case callee, numbers, [] if callee in _ARITHMETIC:
                kind = self.expect(NUMERIC, *numbers)
                return kind if len(numbers) > 1 else NUMBER  # `max(kernel)`
            case ("nn.Sequential", members, []) | ("nn.ModuleList", [ast.List(elts=members)], []):
                self.members(members)
            case "nn.ModuleDict", [ast.Dict(keys=keys, values=members)], []:
                _require(all(map(_is_word, keys)), node, "has a key that is not a word")
                self.expect([MODULE], *members)
            case callee, arguments, _ if callee in self.classes:
                self.expect([*NUMERIC, MODULE], *arguments)
                self.keywords(node, [*NUMERIC, MODULE])
            case callee, numbers, _ if callee in _modules():
                self.expect(NUMERIC, *numbers)
                self.keywords(node, NUMERIC)
            case _:
                _refuse(node, f"calls `{_text(node.func)}`")
        return MODULE

    def members(self, members: Sequence[ast.expr]) -> None:
        """Modules, equal ones as a comprehension; or all of them with names."""
        for each in members:
            match each:
                case ast.Call(func=ast.Name("OrderedDict"), args=[]) if len(members) == 1:
                    self.keywords(each, [MODULE])
                case ast.Starred(
                    value=ast.GeneratorExp(
                        elt=member,
                        generators=[ast.comprehension(target=ast.Name(name), iter=span, ifs=[])],
                    )
                ):
                    numbers = re.fullmatch(r"range\((\d{1,6}, )?(\d{1,6})\)", _text(span))
                    small = numbers and int(numbers[2]) <= _MOST_BLOCKS
                    _require(bool(small), each, "has another loop")
                    outside = self.names.copy()
                    self.bind(name, NUMBER, each)
                    self.expect([MODULE], member)
                    self.names = outside
                case _:
                    self.expect([MODULE], each)

    def keywords(self, call: ast.Call, kinds: Sequence[str]) -> None:
        for each in call.keywords:
            _require(each.arg is not None, call, "unpacks a value")
            is_mode = self.in_forward and each.arg == "mode" and _text(each.value) in _MODES
            if not is_mode:
                self.expect(kinds, each.value)


def _is_word(node: ast.expr | None) -> bool:
    return bool(re.fullmatch(_WORD, _text(node)))


@cache
def _modules() -> frozenset[str]:
    """The modules of torch that a printed file makes, beside containers."""
    forms = [form for op in OPS.values() for form in (op.torch, op.container_module)]
    names = {form.callee for form in forms if isinstance(form, TorchModule) and not form.support}
    return frozenset(name.format(n=axes) for name in (*names, "nn.Identity") for axes in (1, 2, 3))


def _dotted(node: ast.expr) -> str:
    """`nn.init.zeros_`; empty for what is not a name with attributes."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _text(node: ast.AST | None) -> str:
    return ast.unparse(node) if node else ""


def _is_free(name: str) -> bool:
    """Whether a name can be bound without hiding one that the file relies on."""
    return name not in PRINTED_NAMES and not name.startswith("__")


def _without_docstring(node: ast.Module | ast.ClassDef) -> list[ast.stmt]:
    match node.body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return node.body


def _require(condition: bool, node: ast.AST, what: str) -> None:
    if not condition:
        _refuse(node, what)


def _refuse(node: ast.AST, what: str) -> NoReturn:
    raise UnsafeOutput(f"line {getattr(node, 'lineno', '?')}: the printed file {what}")
