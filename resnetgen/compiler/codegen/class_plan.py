"""What a planned class consists of, what the planning of a file shares, and the head of `__init__`.

    width: 64, 128, ...; stride: 1, 2; shortcut passed in; `width * 4` printed twice
        ->  def __init__(self, in_channels: int, width: int, downsample: nn.Module, stride: int = 1):
                out_channels = width * 4

Goes in: the documents of the modules that a class makes (`pretty.py`). Comes out: a Constructor, whose
arguments are the names that those documents read, required ones first, and whose locals are the
derived names that they contain more than once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resnetgen.compiler.codegen import pretty
from resnetgen.compiler.codegen.classes import ClassGroup, ClassGroups
from resnetgen.compiler.codegen.pretty import MARGIN, Brackets, Doc
from resnetgen.compiler.codegen.scope import Scope
from resnetgen.compiler.frontend.expressions import (
    Apply,
    Const,
    Expr,
    Name,
    Value,
    count_occurrences,
    free_names,
    replace_parts,
    to_python,
)
from resnetgen.compiler.ir.nodes import Network

# --- plans


@dataclass(frozen=True, slots=True)
class ConstructorArgument:
    """An argument of a printed class. `module` is the key of the node whose module is passed in."""

    name: str
    type: str
    default: Value | None = None
    module: str | None = None

    def __str__(self) -> str:
        if self.default is None:
            return f"{self.name}: {self.type}"
        return f"{self.name}: {self.type} = {self.default!r}"


@dataclass(frozen=True, slots=True, eq=False)
class ClassPlan:
    """One printed class; signatures and bodies are lines."""

    name: str
    base: str
    doc: str | tuple[str, ...]  # a text to wrap, or its lines
    arguments: tuple[ConstructorArgument, ...]
    signature: tuple[str, ...]
    init: tuple[str, ...]
    forward_signature: tuple[str, ...]
    forward: tuple[str, ...]
    constants: tuple[str, ...] = ()  # lines before the constructor


@dataclass(slots=True, eq=False)
class FilePlanner:
    """What the plans of one file share: classes, callees first, and what the file needs beside them."""

    network: Network
    groups: ClassGroups
    taken: set[str]  # names of classes
    comments: Mapping[str, str]  # in the network's own class, by the value that they describe
    scopes: dict[ClassGroup, Scope] = field(default_factory=dict)
    plans: dict[ClassGroup, ClassPlan] = field(default_factory=dict)
    classes: list[ClassPlan] = field(default_factory=list)  # those of containers, too
    support: set[str] = field(default_factory=set)
    uses_torch: bool = False
    uses_ordered_dict: bool = False


# --- the head of a constructor


@dataclass(frozen=True, slots=True, eq=False)
class Constructor:
    """The arguments of a class, and its locals by the expressions that they name."""

    arguments: tuple[ConstructorArgument, ...]
    locals: Mapping[Expr, Name]

    def signature(self) -> list[str]:
        """The lines of `def __init__(...) -> None:`."""
        parameters = ("self", *(str(argument) for argument in self.arguments))
        return pretty.lay(Brackets("__init__(", parameters), 4, "def ", " -> None:")

    def assignments(self) -> list[str]:
        """A line for each local, which may read the others."""
        lines = []
        for expr, name in self.locals.items():
            others = {each: other for each, other in self.locals.items() if other != name}
            lines.append(f"{MARGIN}{name.id} = {to_python(replace_parts(expr, others))}")
        return lines

    def shortened(self, doc: Doc) -> Doc:
        """The document with locals in place of their expressions."""
        return pretty.shortened(doc, self.locals)


def constructor(
    scope: Scope, docs: Sequence[Doc], passed_in: Mapping[str, str], *, is_root: bool
) -> Constructor:
    """The arguments and locals with which a constructor makes the modules `docs`.

    `passed_in` names the argument for each module that is passed in, by node. The arguments of the
    network's own class all have defaults: the numbers of its spec.
    """
    local = _locals(scope, docs)
    docs = [pretty.shortened(doc, local) for doc in docs]
    free = {name for doc in docs for name in pretty.names(doc)}
    free |= {name for expr in local for name in free_names(expr)}
    free -= {name.id for name in local.values()}
    scalars = [_argument(scope, name, is_root) for name in _order(scope, is_root) if name in free]
    texts = {part for doc in docs for part in pretty.parts(doc) if isinstance(part, str)}
    modules = [
        ConstructorArgument(name, "nn.Module", None, key)
        for key, name in passed_in.items()
        if name in texts
    ]
    required = [argument for argument in scalars if argument.default is None]
    optional = [argument for argument in scalars if argument.default is not None]
    return Constructor((*required, *modules, *optional), local)


def _locals(scope: Scope, docs: Sequence[Doc]) -> dict[Expr, Name]:
    """The derived names whose expressions are printed more than once, in order."""
    printed = [expr for doc in docs for expr in pretty.expressions(doc)]
    local: dict[Expr, Name] = {}
    for name in (*scope.block.params, *scope.block.let):
        expr = scope.expand(name)
        if not isinstance(expr, Apply) or expr in local or not to_python(expr):
            continue
        if sum(count_occurrences(each, expr) for each in printed) > 1:
            local[expr] = Name(name)
    return local


def _order(scope: Scope, is_root: bool) -> list[str]:
    """The names that may be arguments, in the order of a constructor."""
    block = scope.block
    channels = [name for name in scope.instances[0].values if name.endswith("_channels")]
    order = [*channels, *block.params, *block.let, *scope.added_arguments]
    if is_root:
        order = [*block.params, *channels]
    return list(dict.fromkeys(order))


def _argument(scope: Scope, name: str, is_root: bool) -> ConstructorArgument:
    values = scope.values_of(name, scope.instances)
    kind = _type_name(values)
    if is_root:
        return ConstructorArgument(name, kind, values[0])
    param = scope.block.params.get(name)
    default = param.default.expr if param and param.default else None
    if isinstance(default, Const) and default.value in values:
        value = default.value
        return ConstructorArgument(name, kind, float(value) if kind == "float" else value)  # type: ignore[arg-type]
    return ConstructorArgument(name, kind)


def _type_name(values: Sequence[Value]) -> str:
    """The annotation of an argument that has these values."""
    kinds = {type(value) for value in values}
    axes = next((len(value) for value in values if isinstance(value, tuple)), 0)
    names = ["bool"] if kinds == {bool} else ["float"] if float in kinds else []
    names += ["int"] if int in kinds and not names else []
    names += [f"tuple[{', '.join(['int'] * axes)}]"] if axes else []
    return " | ".join(names) or "int"
