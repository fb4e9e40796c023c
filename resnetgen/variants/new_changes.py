"""changes(base, later) -> the tree that `extends` has to merge over one spec to get another.

    {block: bottleneck, stages: {layer3: {blocks: 6, width: 256}}}     base
    {block: bottleneck, stages: {layer3: {blocks: 15, width: 256}}}    later
        ->  {stages: {layer3: {blocks: 15}}}

Non-goal: the order of keys. A key that is new stands at the end.
"""

from __future__ import annotations

from resnetgen.language.library import canonical
from resnetgen.language.reader import MapTree, Scalar, Tree


def changes(base: MapTree, later: MapTree) -> MapTree:
    """What differs, as `merge` takes it: `null` deletes, a call of another block replaces."""
    entries: dict[str, Tree] = {}
    for key, value in later.entries.items():
        before = base.entries.get(key)
        if before and canonical(before) == canonical(value):
            continue
        entries[key] = value
        if isinstance(before, MapTree) and isinstance(value, MapTree):
            entries[key] = changes(before, value) if _calls_alike(before, value) else value
    gone = base.entries.keys() - later.entries.keys()
    entries |= {key: Scalar(None, "null", base.keys[key], False) for key in sorted(gone)}
    return MapTree(entries, later.keys, later.span)


def _calls_alike(before: MapTree, value: MapTree) -> bool:
    """Whether neither map calls another block than the other."""
    one, other = before.entries.get("op"), value.entries.get("op")
    return (one and canonical(one)) == (other and canonical(other))
