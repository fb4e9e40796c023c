"""spec_changes(before, after): where two specs differ after inheritance, as dotted paths.

    stages.layer3.blocks: 6 -> 23        block.groups: 32 (added)        stages (order): ...

A name alone is a call without arguments: `bottleneck` and `{op: bottleneck, groups: 32}` differ in
`groups`. Keys that only describe a network are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from resnetgen.compiler.frontend.library import canonical_text
from resnetgen.compiler.frontend.title import DESCRIPTIVE_KEYS
from resnetgen.compiler.frontend.tree import ListTree, MapTree, Scalar, Tree, without

_ORDERED = ("stages", "nodes")  # whose order is that of execution and of the state_dict
_ORDER = " (order)"


@dataclass(frozen=True, slots=True)
class SpecChange:
    """A path, and its value in both specs; None where it is absent."""

    path: str
    before: Tree | None
    after: Tree | None


def spec_changes(before: MapTree, after: MapTree) -> tuple[SpecChange, ...]:
    """The differences of two trees in the order of the first, with new keys at the end."""
    old, new = (without(each, *DESCRIPTIVE_KEYS) for each in (before, after))
    return tuple(_changes("", old, new))


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
                yield from _change_of_order(here, one, other)
        elif canonical_text(old) != canonical_text(new):
            yield SpecChange(here, old, new)


def _as_maps(one: Tree, other: Tree) -> tuple[Tree, Tree]:
    """A name compared with a call becomes a call without arguments."""
    if isinstance(one, MapTree) and isinstance(other, Scalar) and "op" in one.entries:
        return one, _call(other)
    if isinstance(other, MapTree) and isinstance(one, Scalar) and "op" in other.entries:
        return _call(one), other
    return one, other


def _call(name: Scalar) -> MapTree:
    return MapTree({"op": name}, {"op": name.span}, name.span)


def _change_of_order(path: str, before: MapTree, after: MapTree) -> Iterator[SpecChange]:
    old = _common_keys(before, after.entries)
    new = _common_keys(after, before.entries)
    if canonical_text(old) != canonical_text(new):
        yield SpecChange(path + _ORDER, old, new)


def _common_keys(tree: MapTree, other: Mapping[str, Tree]) -> ListTree:
    """The keys of a map that another has too."""
    keys = [
        Scalar(key, key, tree.key_spans[key], quoted=False) for key in tree.entries if key in other
    ]
    return ListTree(tuple(keys), tree.span)
