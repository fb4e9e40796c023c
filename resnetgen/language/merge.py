"""merge(base, later): one tree over another, as `extends` and `--set` mean it.

    {width: 64, norm: batch_norm}  over  {width: 32, act: relu}  ->  {width: 64, act: relu, norm: ...}

Spans travel with the values, so that a fault in what was inherited points to the file that wrote it.
Non-goals: which file is over which (`library.py`), and what keys mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resnetgen.language.diagnostics import Diagnostic, Span, SpecError, did_you_mean
from resnetgen.language.reader import MapTree, Scalar, Tree

_WRITTEN = {"nodes", "extends", "params"}  # keys of a block that is written out, not called


def merged(specs: Sequence[MapTree]) -> MapTree:
    """Networks each over the one before; `doc` of an earlier one described the other network."""
    first, *rest = (without(each, "extends") for each in specs)
    for later in rest:
        first = merge(without(first, "doc"), later)
    return first


def merge(base: Tree, later: Tree, *, deferred: bool = False) -> MapTree:
    """`extends`: maps merge deeply, `null` deletes, scalars and lists replace.

    A map that names `op` replaces wholly, and so does a written block (`nodes`) over a call; any
    other refines, also a bare name: `bottleneck` and `{groups: 32}` give
    `{op: bottleneck, groups: 32}`. `deferred`: inside of a block that extends another, which is not
    here yet; what it deletes, and where it puts new nodes, is left to the merge with that.
    """
    assert isinstance(base, MapTree)
    assert isinstance(later, MapTree)
    entries, keys = dict(base.entries), dict(base.keys)
    inside = deferred or "extends" in base.entries
    for key, value in later.entries.items():
        if _deletes(value) and (key in entries or not deferred):
            if key not in entries:
                raise SpecError([_nothing_to_delete(key, later.keys[key], entries)])
            del entries[key], keys[key]
            continue
        entries[key] = merge_value(entries.get(key), value, deferred=inside)
        keys[key] = later.keys[key]
        if isinstance(value, MapTree) and "after" in value.entries:
            entries = _moved_after(entries, key, value.entries["after"], deferred)
    return MapTree(entries, keys, later.span)


def merge_value(base: Tree | None, later: Tree, *, deferred: bool = False) -> Tree:
    """One value over another, as `merge` does for each key."""
    if not isinstance(later, MapTree) or _replaces(later, base):
        return later
    if base is None and not deferred:
        _refuse_deletions(later)
    if isinstance(base, Scalar) and isinstance(base.value, str):
        base = MapTree({"op": base}, {"op": base.span}, base.span)
    return merge(base, later, deferred=deferred) if isinstance(base, MapTree) else later


def _deletes(value: Tree) -> bool:
    return isinstance(value, Scalar) and value.value is None


def _nothing_to_delete(key: str, span: Span, known: Iterable[str]) -> Diagnostic:
    message = f"there is no `{key}` to delete"
    return Diagnostic("unknown-key", message, span, help=did_you_mean(key, known))


def _refuse_deletions(new: MapTree) -> None:
    """A map over nothing has nothing to delete, unless it is a block that extends another."""
    for key, value in new.entries.items() if "extends" not in new.entries else ():
        if _deletes(value):
            raise SpecError([_nothing_to_delete(key, new.keys[key], ())])
        if isinstance(value, MapTree) and "op" not in value.entries:
            _refuse_deletions(value)


def _replaces(later: MapTree, base: Tree | None) -> bool:
    """A call replaces; so does a written block over a call, but not over a written block."""
    written = isinstance(base, MapTree) and bool(_WRITTEN & base.entries.keys())
    return "op" in later.entries or ("nodes" in later.entries and not written)


def _moved_after(
    entries: dict[str, Tree], key: str, after: Tree, deferred: bool
) -> dict[str, Tree]:
    """`after: KEY` places a new node, and is gone then: one that stays had no effect."""
    value = entries[key]
    if not isinstance(after, Scalar) or not isinstance(value, MapTree):
        return entries
    if deferred and after.text not in entries:
        return entries
    value = without(value, "after")
    if after.text not in entries or after.text == key:
        message = f"there is no node `{after.text}` to follow"
        hint = did_you_mean(after.text, (each for each in entries if each != key))
        raise SpecError([Diagnostic("unknown-value", message, after.span, help=hint)])
    ordered: dict[str, Tree] = {}
    for name, tree in entries.items():
        if name != key:
            ordered[name] = tree
        if name == after.text:
            ordered[key] = value
    return ordered


def without(tree: MapTree, *dropped: str) -> MapTree:
    """The map without some of its keys."""
    kept = {key: each for key, each in tree.entries.items() if key not in dropped}
    return MapTree(kept, tree.keys, tree.span)
