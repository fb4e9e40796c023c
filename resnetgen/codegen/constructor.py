"""The head of a printed constructor: the arguments of a class, and the locals computed from them.

def __init__(self, in_channels: int, width: int, downsample: nn.Module, stride: int = 1) -> None:
    out_channels = width * 4
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnetgen.codegen import layout
from resnetgen.codegen.layout import MARGIN, Brackets, Doc
from resnetgen.codegen.registry import Argument
from resnetgen.codegen.scope import Scope
from resnetgen.language.expressions import (
    Apply,
    Const,
    Expr,
    Name,
    Value,
    free_names,
    occurrences,
    python,
    replaced,
)


@dataclass(frozen=True, slots=True, eq=False)
class Constructor:
    """The arguments of a class, and its locals by the expressions that they stand for."""

    arguments: tuple[Argument, ...]
    locals: Mapping[Expr, Name]

    def signature(self) -> list[str]:
        """The lines of `def __init__(...) -> None:`."""
        parameters = ("self", *(str(argument) for argument in self.arguments))
        return layout.lay(Brackets("__init__(", parameters), 4, "def ", " -> None:")

    def assignments(self) -> list[str]:
        """A line for each local, which may read those of the others."""
        lines = []
        for expr, name in self.locals.items():
            others = {each: own for each, own in self.locals.items() if own != name}
            lines.append(f"{MARGIN}{name.id} = {python(replaced(expr, others))}")
        return lines

    def shortened(self, doc: Doc) -> Doc:
        """A document that reads the locals."""
        return layout.shortened(doc, self.locals)


def constructor(
    scope: Scope, docs: Sequence[Doc], handed: Mapping[str, str], *, is_root: bool
) -> Constructor:
    """What the constructor of a class needs before it makes what `docs` say.

    `handed` names the argument of each module that is handed in. The arguments of the network's own
    class all have defaults: the numbers of its spec.
    """
    local = _locals(scope, docs)
    docs = [layout.shortened(doc, local) for doc in docs]
    free = {name for doc in docs for name in layout.names(doc)}
    free |= {name for expr in local for name in free_names(expr)}
    free -= {name.id for name in local.values()}
    scalars = [_argument(scope, name, is_root) for name in _order(scope, is_root) if name in free]
    texts = {part for doc in docs for part in layout.parts(doc) if isinstance(part, str)}
    modules = [Argument(own, "nn.Module", None, key) for key, own in handed.items() if own in texts]
    required = [argument for argument in scalars if argument.default is None]
    optional = [argument for argument in scalars if argument.default is not None]
    return Constructor((*required, *modules, *optional), local)


def _locals(scope: Scope, docs: Sequence[Doc]) -> dict[Expr, Name]:
    """The derived names that stand at least twice in what is printed, in order."""
    printed = [expr for doc in docs for expr in layout.expressions(doc)]
    found: dict[Expr, Name] = {}
    for name in (*scope.block.params, *scope.block.let):
        expr = scope.expand(name)
        if not isinstance(expr, Apply) or expr in found or not python(expr):
            continue
        if sum(occurrences(each, expr) for each in printed) > 1:
            found[expr] = Name(name)
    return found


def _order(scope: Scope, is_root: bool) -> list[str]:
    """The names that may be arguments, as a constructor has them."""
    block = scope.block
    channels = [name for name in scope.instances[0].values if name.endswith("_channels")]
    order = [*channels, *block.params, *block.let, *scope.promoted]
    if is_root:
        order = [*block.params, *channels]
    return list(dict.fromkeys(order))


def _argument(scope: Scope, name: str, is_root: bool) -> Argument:
    values = scope.values_of(name, scope.instances)
    kind = _type_name(values)
    if is_root:
        return Argument(name, kind, values[0])
    param = scope.block.params.get(name)
    default = param.default.expr if param and param.default else None
    if isinstance(default, Const) and default.value in values:
        return Argument(name, kind, float(default.value) if kind == "float" else default.value)  # type: ignore[arg-type]
    return Argument(name, kind)


def _type_name(values: Sequence[Value]) -> str:
    """The annotation of an argument that has these values."""
    kinds = {type(value) for value in values}
    axes = next((len(value) for value in values if isinstance(value, tuple)), 0)
    names = ["bool"] if kinds == {bool} else ["float"] if float in kinds else []
    names += ["int"] if int in kinds and not names else []
    names += [f"tuple[{', '.join(['int'] * axes)}]"] if axes else []
    return " | ".join(names) or "int"
