"""merge(base, later): one tree over another, as `extends` and `--set` mean it.

    {width: 64, norm: batch_norm}  over  {width: 32, act: relu}  ->  {width: 64, act: relu, norm: ...}

Spans travel with the values, so that a fault in what was inherited points to the file that wrote it.
Non-goals: which file is over which (`library.py`), and what keys mean.

override(tree, key, value): one `--set KEY=VALUE` over a spec, as `extends` would have it.

    layer3.blocks=11  ->  {stages: {layer3: {blocks: 11}}}, merged over the tree

Faults of a value are told in a source of the name `--set KEY`.

linear(orders): one order out of several, that of the files which a spec extends.

    extends: [resnet50d, resnet101]  ->  resnet50, resnet50c, resnet50d, resnet101

Each file stands once, after all that it extends, and lists keep their order. This is how Python
orders the bases of a class, read from behind: there the first named wins, here the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Span, SpecError, did_you_mean
from resnetgen.compiler.frontend.tree import entries
from resnetgen.compiler.frontend.yaml_reader import MapTree, Scalar, Tree, parse_value

_WRITTEN = {"nodes", "extends", "params"}  # keys of a block that is written out, not called


def merge_specs(specs: Sequence[MapTree]) -> MapTree:
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


def apply_override(tree: MapTree, key: str, value: object) -> MapTree:
    """The spec with one value set: the longest keys that match, stages first. Raises SpecError."""
    leaf = parse_value(value if isinstance(value, str) else as_yaml(value), f"--set {key}")
    path = _path(tree, key)
    _refuse_unknown(tree, path, leaf, key)
    for name in reversed(path):
        leaf = MapTree({name: leaf}, {name: leaf.span}, leaf.span)
    return merge(tree, leaf)


def _path(tree: MapTree, key: str) -> list[str]:
    """`layer3.blocks` -> [stages, layer3, blocks]."""
    steps = key.split(".")
    stages = tree.entries.get("stages")
    in_stages = bool(_longest(stages, steps))
    path, here = (["stages"], stages) if in_stages else ([], tree)
    while steps:
        taken = _longest(here, steps) or 1
        name = ".".join(steps[:taken])
        path.append(name)
        here = here.entries.get(name) if isinstance(here, MapTree) else None
        steps = steps[taken:]
    return path


def _refuse_unknown(tree: MapTree, path: list[str], leaf: Tree, key: str) -> None:
    """A path that leads nowhere is a mistake of the call. Raises SpecError."""
    from resnetgen.compiler.frontend.schema import NetworkForm

    names = [field.alias or name for name, field in NetworkForm.model_fields.items()]
    if path[0] not in names:
        known = [*entries(tree, "stages"), *names]
        new = f"a new stage is `stages.{path[0]}`" if isinstance(leaf, MapTree) else None
        help = " ".join(filter(None, (did_you_mean(path[0], known), new)))
        message = f"there is no stage and no key `{path[0]}` in this network"
        raise _refused("unknown-key", message, leaf, key, help)
    if path[0] == "extends":
        message = "`extends` has been followed before anything is set"
        help = "write a file that extends the other spec, and set values of that"
        raise _refused("no-effect", message, leaf, key, help)
    below = path[2:3] not in ([], ["extends"])
    if path[0] == "define" and below and path[1] not in entries(tree, "define"):
        message = f"this network defines no block `{path[1]}`"
        help = f"over a block of a file, set `define.{path[1]}.extends={path[1]}` before"
        raise _refused("unknown-key", message, leaf, key, help)


def _refused(code: str, message: str, leaf: Tree, key: str, help: str) -> SpecError:
    note = Note(f"set by `{key}`")
    return SpecError([Diagnostic(code, message, leaf.span, (note,), help or None)])


def _longest(tree: Tree | None, steps: list[str]) -> int:
    if not isinstance(tree, MapTree):
        return 0
    counts = range(len(steps), 0, -1)
    return next((count for count in counts if ".".join(steps[:count]) in tree.entries), 0)


def as_yaml(value: object) -> str:
    """A Python value of `compile_spec(spec, **overrides)` as YAML flow text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_yaml(each) for each in value) + "]"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def c3_linearize(orders: Sequence[Sequence[str]]) -> list[str] | None:
    """An order that holds all of several; None where they contradict each other.

        [a, b], [a, c], [b, c]  ->  [a, b, c]

    What they leave open goes by the later of them, which stands last. This is C3 (Barrett et al.,
    "A Monotonic Superclass Linearization for Dylan", OOPSLA 1996, section 2).
    """
    found: list[str] = []
    left = [list(each) for each in orders if each]
    while left:
        lasts = (each[-1] for each in reversed(left))
        last = next((n for n in lasts if not any(n in each[:-1] for each in left)), None)
        if last is None:
            return None
        found.insert(0, last)
        left = [rest for each in left if (rest := [n for n in each if n != last])]
    return found
