"""Containers: the modules of a class as a tree of paths, and what holds them in the printed class.

A chain of units that fills a numbered container becomes one `nn.Sequential`; other containers are an
`nn.ModuleList` or `nn.ModuleDict` that is indexed, or a class of their own (`body.py`). All give the
state_dict the keys that the spec says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from resnetgen.codegen.layout import Brackets, Doc, Prefixed, call, keyword
from resnetgen.codegen.units import Unit
from resnetgen.graph.paths import in_order


@dataclass(slots=True, eq=False)
class Container:
    """Modules by path: a leaf holds units (several, if they share the module)."""

    children: dict[str, Container] = field(default_factory=dict)
    units: list[Unit] = field(default_factory=list)

    def leaves(self) -> Iterator[Unit]:
        """The units below, in registration order."""
        yield from self.units
        for child in self.children.values():
            yield from child.leaves()

    @property
    def is_leaf(self) -> bool:
        """Whether it is a module and not a container."""
        return not self.children

    @property
    def is_numbered(self) -> bool:
        """Whether all its members have numbers."""
        return all(name.isdigit() for name in self.children)


def containers(units: Sequence[Unit]) -> Container:
    """The tree of modules, members as torch registers them."""
    root = Container()
    for unit in units:
        here = root
        for component in unit.path.split(".") if unit.path else ():
            here = here.children.setdefault(component, Container())
        if unit.path:
            here.units.append(unit)
    return _ordered(root)


def _ordered(container: Container) -> Container:
    """Members by number where all have one."""
    names = in_order(container.children)
    children = {name: _ordered(container.children[name]) for name in names}
    return Container(children, container.units)


def is_chain(members: Sequence[Unit], readers: Mapping[str, Sequence[Unit | None]]) -> bool:
    """Whether each member reads just the one before it, which nothing else reads."""
    for before, unit in pairwise(members):
        if unit.inputs != (before.value,) or list(readers[before.value]) != [unit]:
            return False
    plain = all(unit.apply is None and len(unit.inputs) == 1 for unit in members)
    return plain and len({unit.training for unit in members}) == 1


def sequential(container: Container, *, nested: bool = False) -> Doc | None:
    """`nn.Sequential(...)` of a chain; None where a name is no number.

    A container inside another may have names; one that a class holds is rather an indexed dict.
    """
    if container.is_leaf:
        return container.units[0].doc if len(container.units) == 1 else None
    docs: dict[str, Doc] = {}
    for name, child in container.children.items():
        doc = sequential(child, nested=True)
        if doc is None:
            return None
        docs[name] = doc
    if not container.is_numbered:
        pairs = [keyword(name, doc) for name, doc in docs.items()]
        return call("nn.Sequential", [call("OrderedDict", pairs)]) if nested else None
    return call("nn.Sequential", numbered(docs))


def numbered(docs: Mapping[str, Doc]) -> list[Doc]:
    """Modules by number; holes keep their numbers."""
    last = max(int(name) for name in docs)
    return [docs.get(str(number), "nn.Identity()") for number in range(last + 1)]


def indexed(container: Container, docs: Mapping[str, Doc]) -> Doc:
    """`nn.ModuleList([...])` or `nn.ModuleDict({...})`."""
    if container.is_numbered:
        return call("nn.ModuleList", [Brackets("[", tuple(numbered(docs)), "]")])
    pairs = tuple(Prefixed(f'"{name}": ', doc) for name, doc in docs.items())
    return call("nn.ModuleDict", [Brackets("{", pairs, "}")])
