"""Dialects: the same network under the names of another library, declared in specs/dialects.

    renamed(graph, dialect("detectron2"))       layer1.0.bn2  ->  res2.0.conv2.norm
    canonical(keys, dialect("detectron2"))      res2.0.conv2.norm.weight  ->  layer1.0.bn2.weight

A dialect also says whose tensors it has (`tensors: keras`; how those are called and laid out is a
fact of the ops), which of ours it keeps none of (`without`), and how its networks are built where
that differs from the spec (`set`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from resnetgen.graph.ir import Graph, Node
from resnetgen.graph.opdef import NO_WEIGHTS, Layout
from resnetgen.graph.ops import OPS
from resnetgen.language import library
from resnetgen.language.diagnostics import (
    Diagnostic,
    Note,
    Span,
    SpecError,
    did_you_mean,
    listed,
)
from resnetgen.language.expressions import ExpressionError
from resnetgen.language.override import as_yaml
from resnetgen.language.reader import MapTree, plain
from resnetgen.language.spec import Form, check_form
from resnetgen.language.trees import entries
from resnetgen.weights import WeightsError
from resnetgen.weights.fit import Shape
from resnetgen.weights.networks import Settings
from resnetgen.weights.patterns import Renaming

FOLDER = library.LIBRARY / "dialects"
TORCH = "torch"


class DialectForm(Form):
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

    def layout(self, node: Node, tensor: str) -> Layout | None:
        """How a tensor of a node is kept there; None where it is not kept."""
        if tensor in self.without:
            return None
        if self.framework == TORCH:
            return Layout(tensor)
        return OPS[node.op].layouts.get(self.framework, {}).get(tensor)


# --- reading


@cache
def dialects() -> tuple[Dialect, ...]:
    """Those that are shipped, by name."""
    return tuple(_read(path) for path in library.networks(FOLDER))


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
    return of_tree(library.read_shipped(path))


def of_tree(tree: MapTree) -> Dialect:
    """The dialect that a document declares. Raises SpecError."""
    faults = check_form(tree, DialectForm)
    if faults:
        raise SpecError(faults)
    form = DialectForm.model_validate(plain(tree))
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
            found.append(Named(Renaming.of(ours, str(plain(theirs))), theirs.span))
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
def _tensors(framework: str) -> Mapping[str, tuple[str, Layout]]:
    """A framework's name of a tensor, or its number in a layer -> torch's name, and its layout.

    Ops agree on these names; of those that share a number, the first has most axes.
    """
    found: dict[str, tuple[str, Layout]] = {}
    for op in OPS.values():
        for number, (own, layout) in enumerate(op.layouts.get(framework, {}).items()):
            found.setdefault(layout.name, (own, layout))
            found.setdefault(str(number), (own, layout))
    return found
