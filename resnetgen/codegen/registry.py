"""What the planning of one file knows: the classes so far, and what the file needs beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

from resnetgen.codegen.scope import Scope
from resnetgen.codegen.structure import Structure, Structures
from resnetgen.graph.ir import Instance, Network
from resnetgen.language.expressions import Value


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a printed class. `module` names the node whose module is handed in."""

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
    arguments: tuple[Argument, ...]
    signature: tuple[str, ...]
    init: tuple[str, ...]
    forward_signature: tuple[str, ...]
    forward: tuple[str, ...]
    constants: tuple[str, ...] = ()  # lines before the constructor


@dataclass(slots=True, eq=False)
class Registry:
    """The classes of one file, callees first, and the support classes that it needs."""

    network: Network
    structures: Structures
    taken: set[str]  # names of classes
    scopes: dict[int, Scope] = field(default_factory=dict)
    plans: dict[int, ClassPlan] = field(default_factory=dict)
    printed: list[ClassPlan] = field(default_factory=list)
    support: set[str] = field(default_factory=set)
    uses_torch: bool = False

    def structure(self, instance: Instance) -> Structure:
        """The class of an instance."""
        return self.structures.of[id(instance)]

    def plan(self, structure: Structure) -> ClassPlan:
        """The plan of a class that was planned before."""
        return self.plans[id(structure)]

    def scope(self, structure: Structure) -> Scope:
        """The arithmetic of a class."""
        return self.scopes[id(structure)]
