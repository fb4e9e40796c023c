"""Module paths of an instance: `*` numbered, and the order in which torch would register them.

    conv1.0  conv1.1  bn1  conv1.*      ->  conv1.0  conv1.1  bn1  conv1.2
                                            registered: conv1.0  conv1.1  conv1.2  bn1

A container stands where its first member does: the order is depth first by first appearance, which
is the order of the state_dict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from resnetgen.graph.ir import Instance, OpCall, Passes, Placed


@dataclass(slots=True)
class Trie:
    """The modules of a block by path: a leaf names a placed node and which of its blocks."""

    children: dict[str, Trie] = field(default_factory=dict)
    leaf: tuple[int, int] | None = None  # (index into placed, index into its paths)

    def leaves(self) -> Iterator[tuple[int, int]]:
        """The leaves in registration order."""
        if self.leaf is not None:
            yield self.leaf
        for child in self.children.values():
            yield from child.leaves()


def numbered_paths(placed: Sequence[Placed]) -> tuple[tuple[str, ...], ...]:
    """The paths of every placed node, with `*` replaced by the next free number of its container."""
    taken: dict[str, int] = {}
    return tuple(tuple(_numbered(path, taken) for path in each.paths) for each in placed)


def _numbered(path: str, taken: dict[str, int]) -> str:
    components: list[str] = []
    for component in path.split("."):
        container = ".".join(components)
        if component == "*":
            component = str(taken.get(container, 0))
        if component.isdigit():
            taken[container] = max(taken.get(container, 0), int(component) + 1)
        components.append(component)
    return ".".join(components)


def trie(placed: Sequence[Placed], paths: Sequence[Sequence[str]]) -> Trie:
    """The containers of a block. A path that is given twice keeps its first place."""
    root = Trie()
    for index, each in enumerate(paths):
        for number, path in enumerate(each):
            here = root
            for component in path.split("."):
                here = here.children.setdefault(component, Trie())
            if here.leaf is None:
                here.leaf = (index, number)
    return root


def conflict(instance: Instance) -> tuple[Placed, str] | None:
    """A placed node whose module path another one has too, or lies inside; and why that cannot be.

    Equal nodes without weights may share a path: they are one module (`as: relu`).
    """
    paths = numbered_paths(instance.placed)
    owners: dict[str, Placed] = {}
    for placed, own in zip(instance.placed, paths, strict=True):
        for path in own:
            if path in owners and not _shareable(owners[path], placed):
                return (
                    placed,
                    f"`{owners[path].key}` and `{placed.key}` are both the module `{path}`",
                )
            owners[path] = placed
    for path, placed in owners.items():
        components = path.split(".")
        for length in range(1, len(components)):
            outer = ".".join(components[:length])
            if outer in owners:
                return (
                    placed,
                    f"the module `{path}` lies inside `{outer}`, which is not a container",
                )
    return None


def _shareable(one: Placed, other: Placed) -> bool:
    if not isinstance(one.what, OpCall) or not isinstance(other.what, OpCall):
        return isinstance(one.what, Passes) and isinstance(other.what, Passes)
    from resnetgen.graph.ops import OPS

    stateless = not OPS[one.what.op].weights({**one.what.attributes, "out": 1}, 1, 1)
    return (
        stateless and one.what.op == other.what.op and one.what.attributes == other.what.attributes
    )
