"""Dialects: the same network under the names of another library, declared in specs/dialects.

    rename_modules(graph, load_dialect("detectron2"))   layer1.0.bn2  ->  res2.0.conv2.norm
    network_keys(keys, load_dialect("detectron2"))      res2.0.conv2.norm.weight -> layer1.0.bn2.weight

A dialect is a list of renamings, read both ways, each for all modules whose paths differ in numbers:

    layer<s>.<b>.bn<k>: res<s + 1>.<b>.conv<k>.norm

`<...>` is an expression, as in the paths of a spec. On the left it is a name; on the right it computes
with one of these names, so that it can be solved for it.

A dialect also says which framework lays out its tensors (`tensors: keras`; how these are named and
laid out is defined by the ops), which tensors of a network it does not store (`without`), and how its
networks are built where that differs from the spec (`set`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field

from resnetgen.compiler.analysis.name_ranges import name_patterns
from resnetgen.compiler.diagnostics.model import (
    Diagnostic,
    Note,
    Span,
    SpecError,
    did_you_mean,
    listed,
)
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.expressions import (
    Expr,
    ExpressionError,
    Name,
    Value,
    evaluate,
    free_names,
    parse,
)
from resnetgen.compiler.frontend.schema import StrictForm, check_form
from resnetgen.compiler.frontend.tree import MapTree, entries_at, python_value
from resnetgen.compiler.frontend.yaml_writer import value_to_flow
from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.op_def import WeightLayout
from resnetgen.compiler.ir.ops import OPS
from resnetgen.weights.errors import WeightsError
from resnetgen.weights.keys import mask_numbers, module_of, tensor_of
from resnetgen.weights.library_index import Settings
from resnetgen.weights.match import Shape

DIALECT_FOLDER = library.LIBRARY / "dialects"
TORCH = "torch"


class DialectForm(StrictForm):
    """The document that declares a dialect."""

    dialect: str = Field(description="its name, that of the file")
    doc: str = Field(description="what it names: it ends the sentence `this names ...`")
    link: str | None = Field(None, description="where the other library describes its networks")
    tensors: str = Field(TORCH, description="the framework that lays out its tensors")
    without: list[str] | None = Field(None, description="tensors that it does not store")
    settings: dict[str, Any] | None = Field(
        None, alias="set", description="how its networks are built: keys of a spec"
    )
    names: dict[str, str] = Field(description="module paths of a network, and their names in it")


@dataclass(frozen=True)
class Dialect:
    """How another library names the modules of a network and stores their tensors."""

    name: str
    doc: str
    link: str | None
    framework: str
    without: tuple[str, ...]
    settings: Settings
    renamings: tuple[Renaming, ...]  # those with the fewest numbers first: they are more specific

    def to_dialect(self, path: str) -> tuple[str, Span | None] | None:
        """The name of a module of the network, and the line that defines it."""
        for renaming in self.renamings:
            name = renaming.to_dialect(path)
            if name is not None:
                return name, renaming.span
        return None

    def to_network(self, path: str) -> str | None:
        """The module of the network that has a name in this dialect."""
        about = self._by_masked_name.get(mask_numbers(path), ())
        modules = (renaming.to_network(path) for renaming in about)
        return next((module for module in modules if module is not None), None)

    @cached_property
    def _by_masked_name(self) -> Mapping[str, Sequence[Renaming]]:
        """The renamings by the only names that they can match: there may be many keys to look up."""
        by_name: dict[str, list[Renaming]] = {}
        for renaming in self.renamings:
            by_name.setdefault(mask_numbers("0".join(renaming.dialect.texts)), []).append(renaming)
        return by_name

    def layout(self, node: Node, tensor: str) -> WeightLayout | None:
        """How a tensor of a node is stored; None if it is not."""
        if tensor in self.without:
            return None
        if self.framework == TORCH:
            return WeightLayout(tensor)
        return OPS[node.op].layouts.get(self.framework, {}).get(tensor)


# --- reading


@cache
def shipped_dialects() -> tuple[Dialect, ...]:
    """The dialects of the library, by name."""
    return tuple(_read(path) for path in library.network_files(DIALECT_FOLDER))


def load_dialect(name: str) -> Dialect:
    """A dialect by its name, or from a file. Raises WeightsError `unknown-dialect`, and SpecError."""
    if name.endswith((".yaml", ".yml")):
        return _read(Path(name).absolute())
    known = {each.name: each for each in shipped_dialects()}
    if name in known:
        return known[name]
    help = did_you_mean(name, known) or f"the dialects are {listed(known)}; or name a file of one"
    raise WeightsError(Diagnostic("unknown-dialect", f"there is no dialect `{name}`", help=help))


def _read(path: Path) -> Dialect:
    """Raises SpecError, and OSError if there is no such file."""
    return from_tree(library.read_spec(path))


def from_tree(tree: MapTree) -> Dialect:
    """The dialect that a document declares. Raises SpecError."""
    errors = check_form(tree, DialectForm)
    if errors:
        raise SpecError(errors)
    form = DialectForm.model_validate(python_value(tree))
    _check_framework(tree, form.tensors)
    return Dialect(
        form.dialect,
        form.doc,
        form.link,
        form.tensors,
        tuple(form.without or ()),
        tuple((key, value_to_flow(value)) for key, value in (form.settings or {}).items()),
        tuple(_renamings(tree)),
    )


def _check_framework(tree: MapTree, name: str) -> None:
    known = sorted({TORCH}.union(*(op.layouts for op in OPS.values())))
    if name not in known:
        message = f"the tensors of `{name}` are not known"
        help = did_you_mean(name, known) or f"the frameworks are {listed(known)}"
        span = tree.entries["tensors"].span
        raise SpecError([Diagnostic("unknown-value", message, span, help=help)])


def _renamings(tree: MapTree) -> Sequence[Renaming]:
    renamings, errors = [], []
    for path, name in entries_at(tree, "names").items():
        try:
            renamings.append(Renaming.parse(path, str(python_value(name)), name.span))
        except ExpressionError as error:
            errors.append(Diagnostic("expression", str(error), name.span))
    if errors:
        raise SpecError(errors)
    return sorted(renamings, key=lambda renaming: len(renaming.dialect.holes))


# --- a network under the names of a dialect


def rename_modules(graph: Graph, dialect: Dialect) -> Graph:
    """The graph with the dialect's names for all modules that have weights; the others keep theirs.

    Raises WeightsError `unnamed-module` if the dialect lacks a name, and SpecError if it has one
    name for two modules.
    """
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    unnamed = []
    for path in dict.fromkeys(node.module for node in graph.nodes if _has_weights(node)):
        named = dialect.to_dialect(path)
        if named is None:
            unnamed.append(path)
            continue
        names[path], span = named
        owner = owners.setdefault(names[path], path)
        if owner != path:
            message = f"`{owner}` and `{path}` are both called `{names[path]}`"
            raise SpecError([Diagnostic("module-path", message, span)])
    if unnamed:
        raise WeightsError(_unnamed(graph, dialect, unnamed))
    nodes = (replace(node, module=names.get(node.module, node.module)) for node in graph.nodes)
    return replace(graph, nodes=tuple(nodes))


def _has_weights(node: Node) -> bool:
    return OPS[node.op].has_weights


def _unnamed(graph: Graph, dialect: Dialect, paths: Sequence[str]) -> Diagnostic:
    count = f"{len(paths):,} module" + ("s" if len(paths) > 1 else "")
    message = f"`{dialect.name}` has no name for {count} of `{graph.name}`: {path_summary(paths)}"
    note = Note(f"`{dialect.name}` names {dialect.doc}")
    return Diagnostic("unnamed-module", message, notes=(note,))


def path_summary(paths: Iterable[str]) -> str:
    """Module paths for a message, those that differ in numbers alone as one: `layer*.*.se.fc*`."""
    return listed(name_patterns(paths))


# --- a checkpoint in a dialect, under the names of the network


def network_keys(keys: Iterable[str], dialect: Dialect) -> dict[str, str]:
    """{key in the dialect: key of the network}, without the keys that the dialect does not know.

    In a file that numbers the tensors of a layer, as `.weights.h5` does, the last part is a number.
    """
    names = ((key, _network_key(key, dialect)) for key in keys)
    return {key: name for key, name in names if name is not None}


def _network_key(key: str, dialect: Dialect) -> str | None:
    tensors = _tensors(dialect.framework)
    module, tensor = dialect.to_network(module_of(key)), tensor_of(key)
    if module is None or (dialect.framework != TORCH and tensor not in tensors):
        return None
    return f"{module}.{tensors[tensor][0] if tensors else tensor}"


def matching_dialects(keys: Collection[str]) -> Iterator[tuple[Dialect, dict[str, str]]]:
    """The dialects that know all keys of a checkpoint, with `network_keys` in each.

    Without those whose networks are built differently: their tensors have to be converted.
    """
    for dialect in shipped_dialects():
        if not dialect.settings:
            names = {}
            for key in keys:
                name = _network_key(key, dialect)
                if name is None:
                    break
                names[key] = name
            if len(names) == len(keys) == len({*names.values()}):
                yield dialect, names


def network_shape(key: str, shape: Shape, dialect: Dialect) -> Shape:
    """The shape of a tensor in a dialect, its axes in the order of the network."""
    stored = _tensors(dialect.framework).get(tensor_of(key))
    if stored is None:
        return shape
    axes = stored[1].axes(len(shape))
    return tuple(shape[axes.index(axis)] for axis in range(len(shape)))


@cache
def _tensors(framework: str) -> Mapping[str, tuple[str, WeightLayout]]:
    """{a framework's name of a tensor, or its number in a layer: torch's name, and its layout}.

    Ops agree on these names; of those that share a number, the first has most axes.
    """
    tensors: dict[str, tuple[str, WeightLayout]] = {}
    for op in OPS.values():
        for number, (name, layout) in enumerate(op.layouts.get(framework, {}).items()):
            tensors.setdefault(layout.name, (name, layout))
            tensors.setdefault(str(number), (name, layout))
    return tensors


# --- renamings: module paths with numbers in them, matched and formatted


@dataclass(frozen=True, slots=True)
class Renaming:
    """One line of `names`: modules of a network, and their names in the dialect.

    Renaming.parse("layer<s>.<b>.conv<k>", "res<s + 1>.<b>.conv<k>").to_dialect("layer1.0.conv2")
    -> "res2.0.conv2", which `to_network` turns into `layer1.0.conv2` again
    """

    network: PathPattern
    dialect: PathPattern
    span: Span | None = None

    @classmethod
    def parse(cls, network: str, dialect: str, span: Span | None = None) -> Renaming:
        """Raises ExpressionError if a side cannot be read, or the right one not solved."""
        left, right = PathPattern.parse(network), PathPattern.parse(dialect)
        names = [hole.id for hole in left.holes if isinstance(hole, Name)]
        if len({*names}) < len(left.holes):
            raise ExpressionError(f"`<...>` is not a name, or not used once only, in `{network}`")
        used = [set(free_names(hole)) for hole in right.holes]
        if any(len(each) != 1 for each in used):
            raise ExpressionError("each `<...>` on the right has to use one name of the left side")
        if set().union(*used) != {*names}:
            raise ExpressionError("both sides have to use the same names in `<...>`")
        return cls(left, right, span)

    def to_dialect(self, path: str) -> str | None:
        """The name of a module of the network; None if this line is not about it."""
        return _carry(path, self.network, self.dialect)

    def to_network(self, path: str) -> str | None:
        """The module of the network with a name in the dialect; None if this line has none."""
        return _carry(path, self.dialect, self.network)


def _carry(path: str, source: PathPattern, target: PathPattern) -> str | None:
    """The path in the target pattern with the numbers that it has in the source pattern."""
    numbers = source.match(path)
    if numbers is None:
        return None
    try:
        return target.format(numbers)
    except ExpressionError:
        return None


_HOLE = re.compile(r"<([^<>]*)>")
_NUMBER = "(0|[1-9][0-9]{0,5})"
Numbers = Mapping[str, Value]  # by the names in the holes


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path with holes for numbers, and the texts around them: one more than there are holes."""

    texts: tuple[str, ...]
    holes: tuple[Expr, ...]

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """`res<s + 1>.<b>`. Raises ExpressionError."""
        parts = _HOLE.split(text)
        return cls(tuple(parts[::2]), tuple(map(parse, parts[1::2])))

    def format(self, numbers: Numbers) -> str:
        """The path with its numbers. Raises ExpressionError if one cannot number a module."""
        parts = [self.texts[0]]
        for hole, text in zip(self.holes, self.texts[1:], strict=True):
            value = evaluate(hole, numbers)
            if type(value) is not int or value < 0:
                raise ExpressionError(f"{value} cannot number a module")
            parts += [str(value), text]
        return "".join(parts)

    def match(self, path: str) -> Numbers | None:
        """The numbers for which `format` returns the path; None if there are none."""
        matched = _matcher(self.texts)(path)
        if matched is None:
            return None
        numbers: dict[str, Value] = {}
        for hole, digits in zip(self.holes, matched.groups(), strict=True):
            (name,) = set(free_names(hole))
            numbers[name] = _solve(hole, name, int(digits))
        try:
            return numbers if self.format(numbers) == path else None
        except ExpressionError:
            return None


@lru_cache(maxsize=1024)
def _matcher(texts: tuple[str, ...]) -> Callable[[str], re.Match[str] | None]:
    return re.compile(_NUMBER.join(map(re.escape, texts))).fullmatch


def _solve(hole: Expr, name: str, value: int) -> int:
    """The number for which a linear expression has a value; any number for another expression.

    The caller checks the answer, so a wrong one only means that the path does not match.
    """
    if hole == Name(name):
        return value
    start, step = evaluate(hole, {name: 0}), 0
    if isinstance(start, int):
        step = int(evaluate(hole, {name: 1}) - start)  # type: ignore[operator]
        return (value - start) // step if step else 0
    return 0
