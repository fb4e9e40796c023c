"""Dialects: the same network under the names of another library, declared in specs/dialects.

    renamed(graph, dialect("detectron2"))       layer1.0.bn2  ->  res2.0.conv2.norm
    canonical(keys, dialect("detectron2"))      res2.0.conv2.norm.weight  ->  layer1.0.bn2.weight

A dialect also says whose tensors it has (`tensors: keras`; how those are called and laid out is a
fact of the ops), which of ours it keeps none of (`without`), and how its networks are built where
that differs from the spec (`set`).

Module paths with numbers in them, read and written: how one naming becomes another.

    Renaming.of("layer<s>.<b>.conv<k>", "res<s + 1>.<b>.conv<k>").forth("layer1.0.conv2")
    -> "res2.0.conv2", which `back` turns into `layer1.0.conv2` again

`<...>` is an expression, as in the paths of a spec. The left side names numbers, the right side
computes with one of them at a time, so that it can be solved for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field

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
from resnetgen.compiler.frontend.inheritance import as_yaml
from resnetgen.compiler.frontend.schema import StrictForm, check_form
from resnetgen.compiler.frontend.tree import entries
from resnetgen.compiler.frontend.yaml_reader import MapTree, python_value
from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.op_def import NO_WEIGHTS, WeightLayout
from resnetgen.compiler.ir.ops import OPS
from resnetgen.weights.errors import WeightsError
from resnetgen.weights.library_index import Settings
from resnetgen.weights.match import Shape

FOLDER = library.LIBRARY / "dialects"
TORCH = "torch"


class DialectForm(StrictForm):
    """A dialect: the names that another library has for the modules of a network."""

    dialect: str = Field(description="its name, that of the file")
    doc: str = Field(description="what it is for: it ends the sentence `this names ...`")
    link: str | None = Field(None, description="where the other library describes its networks")
    tensors: str = Field(TORCH, description="the framework whose tensors it has")
    without: list[str] | None = Field(None, description="tensors that it keeps none of")
    settings: dict[str, Any] | None = Field(
        None, alias="set", description="how its networks are built: keys of a spec"
    )
    names: dict[str, str] = Field(description="module paths of our own, and what they are there")


@dataclass(frozen=True, slots=True)
class Named:
    """One line of `names`, and where its right side stands."""

    renaming: Renaming
    span: Span


@dataclass(frozen=True, slots=True)
class Dialect:
    """How another library names the modules of a network, and keeps their tensors."""

    name: str
    doc: str
    link: str | None
    framework: str
    without: tuple[str, ...]
    settings: Settings
    names: tuple[Named, ...]  # those with the fewest numbers first: they say more

    def module(self, path: str) -> tuple[str, Span] | None:
        """What a module of ours is called there, and the line that says so."""
        for each in self.names:
            theirs = each.renaming.forth(path)
            if theirs is not None:
                return theirs, each.span
        return None

    def own_module(self, path: str) -> str | None:
        """The module of ours that is called so there."""
        found = (each.renaming.back(path) for each in self.names)
        return next((ours for ours in found if ours is not None), None)

    def layout(self, node: Node, tensor: str) -> WeightLayout | None:
        """How a tensor of a node is kept there; None where it is not kept."""
        if tensor in self.without:
            return None
        if self.framework == TORCH:
            return WeightLayout(tensor)
        return OPS[node.op].layouts.get(self.framework, {}).get(tensor)


# --- reading


@cache
def dialects() -> tuple[Dialect, ...]:
    """Those that are shipped, by name."""
    return tuple(_read(path) for path in library.network_files(FOLDER))


def dialect(name: str) -> Dialect:
    """A dialect by its name, or from a file. Raises WeightsError `unknown-dialect`, and SpecError."""
    if name.endswith((".yaml", ".yml")):
        return _read(Path(name).absolute())
    known = {each.name: each for each in dialects()}
    if name in known:
        return known[name]
    help = did_you_mean(name, known) or f"there are {listed(known)}, and files of your own"
    raise WeightsError(Diagnostic("unknown-dialect", f"there is no dialect `{name}`", help=help))


def _read(path: Path) -> Dialect:
    """Raises SpecError, and OSError where there is no such file."""
    return of_tree(library.read_spec(path))


def of_tree(tree: MapTree) -> Dialect:
    """The dialect that a document declares. Raises SpecError."""
    faults = check_form(tree, DialectForm)
    if faults:
        raise SpecError(faults)
    form = DialectForm.model_validate(python_value(tree))
    _check_framework(tree, form.tensors)
    return Dialect(
        form.dialect,
        form.doc,
        form.link,
        form.tensors,
        tuple(form.without or ()),
        tuple((key, as_yaml(value)) for key, value in (form.settings or {}).items()),
        tuple(_named(tree)),
    )


def _check_framework(tree: MapTree, name: str) -> None:
    known = sorted({TORCH}.union(*(op.layouts for op in OPS.values())))
    if name not in known:
        message = f"`{name}` is no framework whose tensors are known"
        help = did_you_mean(name, known) or f"there are {listed(known)}"
        span = tree.entries["tensors"].span
        raise SpecError([Diagnostic("unknown-value", message, span, help=help)])


def _named(tree: MapTree) -> Sequence[Named]:
    found, faults = [], []
    for ours, theirs in entries(tree, "names").items():
        try:
            found.append(Named(Renaming.of(ours, str(python_value(theirs))), theirs.span))
        except ExpressionError as error:
            faults.append(Diagnostic("expression", str(error), theirs.span))
    if faults:
        raise SpecError(faults)
    return sorted(found, key=lambda each: len(each.renaming.theirs.holes))


# --- use


def renamed(graph: Graph, dialect: Dialect) -> Graph:
    """The graph with the dialect's names for all modules that hold weights; the rest keeps its own.

    Raises WeightsError `unnamed-module` where the dialect lacks a name, and SpecError where it gives
    one name to two modules.
    """
    theirs: dict[str, str] = {}
    owners: dict[str, str] = {}
    unnamed = []
    for path in dict.fromkeys(node.module for node in graph.nodes if _holds_weights(node)):
        found = dialect.module(path)
        if found is None:
            unnamed.append(path)
            continue
        theirs[path] = found[0]
        if owners.setdefault(found[0], path) != path:
            raise SpecError([_named_twice(owners[found[0]], path, *found)])
    if unnamed:
        raise WeightsError(_unnamed(graph, dialect, unnamed))
    nodes = (replace(node, module=theirs.get(node.module, node.module)) for node in graph.nodes)
    return replace(graph, nodes=tuple(nodes))


def _holds_weights(node: Node) -> bool:
    return OPS[node.op].weights is not NO_WEIGHTS


def _named_twice(one: str, other: str, name: str, span: Span) -> Diagnostic:
    message = f"`{one}` and `{other}` are both called `{name}`"
    return Diagnostic("module-path", message, span)


def folded(paths: Iterable[str]) -> str:
    """Module paths for a message, those alike in all but numbers as one: `layer*.*.se.fc*`."""
    return listed(dict.fromkeys(re.sub(r"(?<![a-z])\d+|\d+(?=\.|$)", "*", path) for path in paths))


def _unnamed(graph: Graph, dialect: Dialect, paths: Sequence[str]) -> Diagnostic:
    count = f"{len(paths):,} module" + ("s" if len(paths) > 1 else "")
    message = f"`{dialect.name}` has no name for {count} of `{graph.name}`: {folded(paths)}"
    note = Note(f"`{dialect.name}` names {dialect.doc}")
    return Diagnostic("unnamed-module", message, notes=(note,))


def canonical(keys: Iterable[str], dialect: Dialect) -> dict[str, str]:
    """The keys of a checkpoint in a dialect -> the network's own; unknown ones are left out.

    In a file that numbers the tensors of a layer, as `.weights.h5` does, the last part is a number.
    """
    tensors = _tensors(dialect.framework)
    found: dict[str, str] = {}
    for key in keys:
        path, _, tensor = key.rpartition(".")
        module = dialect.own_module(path)
        if module is not None and (dialect.framework == TORCH or tensor in tensors):
            found[key] = f"{module}.{tensors[tensor][0] if tensors else tensor}"
    return found


def readings(keys: Collection[str]) -> Iterator[tuple[Dialect, dict[str, str]]]:
    """The dialects that know all keys of a checkpoint, with our own names of those.

    Without those whose networks are built otherwise: their tensors have to be converted.
    """
    for dialect in dialects():
        names = canonical(keys, dialect)
        if not dialect.settings and len(names) == len(keys) == len({*names.values()}):
            yield dialect, names


def own_shape(key: str, shape: Shape, dialect: Dialect) -> Shape:
    """The shape of a tensor of a dialect, its axes in our order."""
    kept = _tensors(dialect.framework).get(key.rpartition(".")[2])
    if kept is None:
        return shape
    axes = kept[1].axes(len(shape))
    return tuple(shape[axes.index(axis)] for axis in range(len(shape)))


@cache
def _tensors(framework: str) -> Mapping[str, tuple[str, WeightLayout]]:
    """A framework's name of a tensor, or its number in a layer -> torch's name, and its layout.

    Ops agree on these names; of those that share a number, the first has most axes.
    """
    found: dict[str, tuple[str, WeightLayout]] = {}
    for op in OPS.values():
        for number, (own, layout) in enumerate(op.layouts.get(framework, {}).items()):
            found.setdefault(layout.name, (own, layout))
            found.setdefault(str(number), (own, layout))
    return found


_HOLE = re.compile(r"<([^<>]*)>")
_NUMBER = "(0|[1-9][0-9]{0,5})"
Numbers = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path with holes for numbers: the texts around them, one more than there are holes."""

    texts: tuple[str, ...]
    holes: tuple[Expr, ...]

    @classmethod
    def of(cls, text: str) -> PathPattern:
        """`res<s + 1>.<b>`. Raises ExpressionError."""
        parts = _HOLE.split(text)
        return cls(tuple(parts[::2]), tuple(map(parse, parts[1::2])))

    def written(self, numbers: Numbers) -> str:
        """The path with its numbers. Raises ExpressionError where one is no number of a module."""
        written = [self.texts[0]]
        for hole, text in zip(self.holes, self.texts[1:], strict=True):
            value = evaluate(hole, numbers)
            if type(value) is not int or value < 0:
                raise ExpressionError(f"{value} is no number of a module")
            written += [str(value), text]
        return "".join(written)

    def numbers(self, path: str) -> Numbers | None:
        """The numbers for which `written` gives a path; None where there are none."""
        found = _matcher(self.texts)(path)
        if found is None:
            return None
        numbers: dict[str, Value] = {}
        for hole, digits in zip(self.holes, found.groups(), strict=True):
            (name,) = set(free_names(hole))
            numbers[name] = _solved(hole, name, int(digits))
        try:
            return numbers if self.written(numbers) == path else None
        except ExpressionError:
            return None


@lru_cache(maxsize=1024)
def _matcher(texts: tuple[str, ...]) -> Callable[[str], re.Match[str] | None]:
    return re.compile(_NUMBER.join(map(re.escape, texts))).fullmatch


def _solved(hole: Expr, name: str, value: int) -> int:
    """The number for which an expression has a value, if it grows by the same with each number."""
    if hole == Name(name):
        return value
    start, step = evaluate(hole, {name: 0}), 0
    if isinstance(start, int):
        step = int(evaluate(hole, {name: 1}) - start)  # type: ignore[operator]
        return (value - start) // step if step else 0
    return 0


@dataclass(frozen=True, slots=True)
class Renaming:
    """One line of a dialect: paths of our own, and what they are called there."""

    ours: PathPattern
    theirs: PathPattern

    @classmethod
    def of(cls, ours: str, theirs: str) -> Renaming:
        """Raises ExpressionError where the two cannot be read, or not be turned around."""
        left, right = PathPattern.of(ours), PathPattern.of(theirs)
        names = [hole.id for hole in left.holes if isinstance(hole, Name)]
        if len({*names}) < len(left.holes):
            raise ExpressionError(f"`{ours}` holds something else than names, each of them once")
        used = [set(free_names(hole)) for hole in right.holes]
        if any(len(each) != 1 for each in used):
            raise ExpressionError("each `<...>` computes with one number of the left side")
        if set().union(*used) != {*names}:
            raise ExpressionError("both sides have to hold the same numbers")
        return cls(left, right)

    def forth(self, path: str) -> str | None:
        """The name there of a path of our own; None where this line is not about it."""
        return _carried(self.ours, self.theirs, path)

    def back(self, path: str) -> str | None:
        """The path of our own that has a name there."""
        return _carried(self.theirs, self.ours, path)


def _carried(source: PathPattern, target: PathPattern, path: str) -> str | None:
    numbers = source.numbers(path)
    if numbers is None:
        return None
    try:
        return target.written(numbers)
    except ExpressionError:
        return None
