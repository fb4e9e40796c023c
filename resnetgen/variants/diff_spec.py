"""spec_changes(a, b): where two specs differ, as dotted paths of their trees after inheritance.

    stages.layer3.blocks: 6 -> 23        block.groups: 32 (added)        nodes: the order of its keys

A bare name is what it stands for: `bottleneck` and `{op: bottleneck, groups: 32}` differ in `groups`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from resnetgen.language.library import OF_ITSELF, canonical
from resnetgen.language.merge import without
from resnetgen.language.reader import ListTree, MapTree, Scalar, Tree

_ORDERED = ("stages", "nodes")  # whose order is that of execution and of the state_dict


@dataclass(frozen=True, slots=True)
class SpecChange:
    """A path, and what stands there in either spec; None: nothing does."""

    path: str
    before: Tree | None
    after: Tree | None

    @property
    def of_order(self) -> bool:
        """Whether both have the same keys in another order; the values are then lists of keys."""
        return self.path.endswith(ORDER)


ORDER = " (order)"


def spec_changes(before: MapTree, after: MapTree) -> tuple[SpecChange, ...]:
    """The differences of two trees, in the order of the first; what is new stands at the end."""
    return tuple(_changes("", without(before, *OF_ITSELF), without(after, *OF_ITSELF)))


def _changes(path: str, before: MapTree, after: MapTree) -> Iterator[SpecChange]:
    for key in dict.fromkeys((*before.entries, *after.entries)):
        here = f"{path}.{key}" if path else key
        old, new = before.entries.get(key), after.entries.get(key)
        if old is None or new is None:
            yield SpecChange(here, old, new)
            continue
        one, other = _as_maps(old, new)
        if isinstance(one, MapTree) and isinstance(other, MapTree):
            yield from _changes(here, one, other)
            if key in _ORDERED:
                yield from _order(here, one, other)
        elif canonical(old) != canonical(new):
            yield SpecChange(here, old, new)


def _as_maps(one: Tree, other: Tree) -> tuple[Tree, Tree]:
    """A name beside a call as a call without arguments."""
    if isinstance(one, MapTree) and isinstance(other, Scalar) and "op" in one.entries:
        return one, _call(other)
    if isinstance(other, MapTree) and isinstance(one, Scalar) and "op" in other.entries:
        return _call(one), other
    return one, other


def _call(name: Scalar) -> MapTree:
    return MapTree({"op": name}, {"op": name.span}, name.span)


def _order(path: str, before: MapTree, after: MapTree) -> Iterator[SpecChange]:
    old = _common(before, after.entries)
    new = _common(after, before.entries)
    if canonical(old) != canonical(new):
        yield SpecChange(path + ORDER, old, new)


def _common(tree: MapTree, other: Mapping[str, Tree]) -> ListTree:
    """The keys of a map that another has too."""
    keys = [Scalar(key, key, tree.keys[key], quoted=False) for key in tree.entries if key in other]
    return ListTree(tuple(keys), tree.span)
