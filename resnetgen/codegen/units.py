"""The units of a body: what each placed node is in the printed class, and how containers hold them.

A unit is a module at a path, or an expression in `forward`. A chain of units that fills a numbered
container becomes one `nn.Sequential`; other containers are an `nn.ModuleList` or `nn.ModuleDict`
that is indexed, or a class of their own. All give the state_dict the keys that the spec says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from resnetgen.codegen.layout import Brackets, Doc, Prefixed, call, keyword
from resnetgen.graph.paths import in_order


@dataclass(slots=True, eq=False)
class Unit:
    """One step of `forward`: it reads values by key and gives one."""

    value: str
    inputs: tuple[str, ...]
    path: str | None  # None: an expression
    doc: Doc = ""  # the constructor of the module
    write: Callable[[Sequence[str]], str] | None = None  # how the module or expression is applied
    apply: Callable[[str, Sequence[str]], str] | None = None  # a module that is not simply called
    access: str = ""  # `self.conv1`, `self.features[0]`
    home: str = ""  # the path, also of an expression
    name: str = ""  # of its value in `forward`
    first: bool = False  # executed as soon as it can be: the shortcut
    training: bool = False
    joins: bool = False  # a concatenation, whose operands have names

    def move(self, path: str, names: Mapping[str, str]) -> None:
        """Into the class of a container: shorter paths, inputs as that class calls them."""
        self.inputs = tuple(names.get(name, name) for name in self.inputs)
        self.home = self.home.removeprefix(f"{path}.")
        self.path = self.home if self.path else None

    def text(self, inputs: Sequence[str]) -> str:
        """The expression that computes the value."""
        if self.write is not None:
            return self.write(inputs)
        if self.apply is not None:
            return self.apply(self.access, inputs)
        return f"{self.access}({', '.join(inputs)})"


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
