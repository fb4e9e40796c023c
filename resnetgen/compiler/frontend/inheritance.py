"""Inheritance: how the documents that `extends` and `--set` name become one.

    merge({width: 64, norm: batch_norm}, {width: 32})  ->  {width: 32, norm: batch_norm}

Three parts: `merge` puts one tree over another, `apply_override` does so for one `--set KEY=VALUE`,
and `c3_linearize` decides the order in which several files are merged. Spans travel with the
values, so that an error in an inherited value points at the file that contains it.

Non-goals: finding the files that `extends` names (`library.py`), and what keys mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resnetgen.compiler.diagnostics.model import (
    Diagnostic,
    Note,
    Source,
    Span,
    SpecError,
    did_you_mean,
)
from resnetgen.compiler.frontend.tree import MapTree, Scalar, Tree, entries_at, is_null, without
from resnetgen.compiler.frontend.yaml_reader import MAX_DEPTH, parse_value
from resnetgen.compiler.frontend.yaml_writer import value_to_flow

_INLINE_KEYS = {"nodes", "extends", "params"}  # keys of an inline block, and not of a call

# --- merging


def merge_specs(specs: Sequence[MapTree]) -> MapTree:
    """Networks, each over those before it. `doc` is not inherited: it describes the other one."""
    merged, *rest = (without(each, "extends") for each in specs)
    for later in rest:
        merged = merge(without(merged, "doc"), later)
    return merged


def merge(base: Tree, later: Tree, *, deferred: bool = False) -> MapTree:
    """One map over another: maps merge deeply, `null` deletes, scalars and lists replace.

    A map with an `op` replaces the whole value, and so does an inline block (`nodes`) over a call.
    Any other map refines, even a bare name: `bottleneck` and `{groups: 32}` become
    `{op: bottleneck, groups: 32}`.

    `deferred`: these are parts of a block that extends another, which is merged later. Only that
    merge can tell what is there to delete, and where `after` puts a node.
    """
    assert isinstance(base, MapTree)
    assert isinstance(later, MapTree)
    merged, keys = dict(base.entries), dict(base.key_spans)
    inner_deferred = deferred or "extends" in base.entries
    for key, value in later.entries.items():
        if is_null(value) and (key in merged or not deferred):
            if key not in merged:
                raise SpecError([_nothing_to_delete(key, later.key_spans[key], merged)])
            del merged[key], keys[key]
            continue
        merged[key] = merge_value(merged.get(key), value, deferred=inner_deferred)
        keys[key] = later.key_spans[key]
        if isinstance(value, MapTree) and "after" in value.entries:
            merged = _moved_after(merged, key, value.entries["after"], deferred)
    return MapTree(merged, keys, later.span)


def merge_value(base: Tree | None, later: Tree, *, deferred: bool = False) -> Tree:
    """One value over another, as `merge` does for each key."""
    if not isinstance(later, MapTree) or _replaces(later, base):
        return later
    if base is None and not deferred:
        _check_no_deletions(later)
    if isinstance(base, Scalar) and isinstance(base.value, str):
        base = MapTree({"op": base}, {"op": base.span}, base.span)
    return merge(base, later, deferred=deferred) if isinstance(base, MapTree) else later


def stage_call(network: MapTree, stage: Tree) -> Tree:
    """What a stage calls: its own arguments over the network's `block`, unless it names an `op`."""
    base = network.entries.get("block")
    is_whole = not isinstance(stage, MapTree) or "op" in stage.entries
    return stage if is_whole or base is None else merge_value(base, stage)


def _replaces(later: MapTree, base: Tree | None) -> bool:
    """A call replaces what it is merged over; an inline block replaces all but an inline block."""
    base_is_inline = isinstance(base, MapTree) and bool(_INLINE_KEYS & base.entries.keys())
    return "op" in later.entries or ("nodes" in later.entries and not base_is_inline)


def _check_no_deletions(new: MapTree) -> None:
    """A map over nothing has nothing to delete, unless it is a block that extends another."""
    for key, value in new.entries.items() if "extends" not in new.entries else ():
        if is_null(value):
            raise SpecError([_nothing_to_delete(key, new.key_spans[key], ())])
        if isinstance(value, MapTree) and "op" not in value.entries:
            _check_no_deletions(value)


def _nothing_to_delete(key: str, span: Span, known: Iterable[str]) -> Diagnostic:
    message = f"there is no `{key}` to delete"
    return Diagnostic("unknown-key", message, span, help=did_you_mean(key, known))


def _moved_after(merged: dict[str, Tree], key: str, after: Tree, deferred: bool) -> dict[str, Tree]:
    """The entries with `key` moved behind the one that its `after` names, and `after` removed.

    An `after` that remains had no effect; elaboration reports it.
    """
    value = merged[key]
    if not isinstance(after, Scalar) or not isinstance(value, MapTree):
        return merged
    if deferred and after.text not in merged:
        return merged
    value = without(value, "after")
    if after.text not in merged or after.text == key:
        message = f"there is no node `{after.text}` to follow"
        hint = did_you_mean(after.text, (each for each in merged if each != key))
        raise SpecError([Diagnostic("unknown-value", message, after.span, help=hint)])
    ordered: dict[str, Tree] = {}
    for name, tree in merged.items():
        if name != key:
            ordered[name] = tree
        if name == after.text:
            ordered[key] = value
    return ordered


# --- --set


def apply_override(tree: MapTree, key: str, value: object) -> MapTree:
    """The spec with one value set, as a file that extends it would set it. Raises SpecError.

        layer3.blocks=11  ->  {stages: {layer3: {blocks: 11}}}, merged over the tree

    Errors in the value are reported in a source named `--set KEY`.
    """
    if key.count(".") >= MAX_DEPTH:
        raise SpecError([_too_deep(key)])
    text = value if isinstance(value, str) else value_to_flow(value)
    leaf = parse_value(text, f"--set {key}")
    path = _path(tree, key)
    _check_path(tree, path, leaf, key)
    for name in reversed(path):
        leaf = MapTree({name: leaf}, {name: leaf.span}, leaf.span)
    return merge(tree, leaf)


def _too_deep(key: str) -> Diagnostic:
    message = f"`--set` sets a value at most {MAX_DEPTH} maps deep"
    return Diagnostic("limit", message, Span(Source("--set", key), 1, 1, 2))


def _path(tree: MapTree, key: str) -> list[str]:
    """`layer3.blocks` -> [stages, layer3, blocks]: the longest keys that match, stages first."""
    steps = key.split(".")
    stages = tree.entries.get("stages")
    is_stage = bool(_longest(stages, steps))
    path, here = (["stages"], stages) if is_stage else ([], tree)
    while steps:
        count = _longest(here, steps) or 1
        name = ".".join(steps[:count])
        path.append(name)
        here = here.entries.get(name) if isinstance(here, MapTree) else None
        steps = steps[count:]
    return path


def _longest(tree: Tree | None, steps: list[str]) -> int:
    """How many of the steps, joined by dots, are a key of the map; 0 if none are."""
    if not isinstance(tree, MapTree):
        return 0
    counts = range(len(steps), 0, -1)
    return next((count for count in counts if ".".join(steps[:count]) in tree.entries), 0)


def _check_path(tree: MapTree, path: list[str], leaf: Tree, key: str) -> None:
    """Raises SpecError for a path that cannot be set."""
    from resnetgen.compiler.frontend.schema import NetworkForm, form_keys

    names = form_keys(NetworkForm)
    if path[0] not in names:
        known = [*entries_at(tree, "stages"), *names]
        new = f"to add a stage, set `stages.{path[0]}`" if isinstance(leaf, MapTree) else None
        help = " ".join(filter(None, (did_you_mean(path[0], known), new)))
        message = f"there is no stage and no key `{path[0]}` in this network"
        raise _override_error("unknown-key", message, leaf, key, help)
    if path[0] == "extends":
        message = "`extends` is followed before any value is set"
        help = "write a file that extends the other spec, and set values of that"
        raise _override_error("no-effect", message, leaf, key, help)
    below = path[2:3] not in ([], ["extends"])
    if path[0] == "define" and below and path[1] not in entries_at(tree, "define"):
        message = f"this network defines no block `{path[1]}`"
        help = f"to change a block of a file, first set `define.{path[1]}.extends={path[1]}`"
        raise _override_error("unknown-key", message, leaf, key, help)


def _override_error(code: str, message: str, leaf: Tree, key: str, help: str) -> SpecError:
    note = Note(f"set by `{key}`")
    return SpecError([Diagnostic(code, message, leaf.span, (note,), help or None)])


# --- the order of several


def c3_linearize(orders: Sequence[Sequence[str]]) -> list[str] | None:
    """One order that respects several; None if they contradict each other.

        [a, b], [a, c], [b, c]  ->  [a, b, c]

    With `extends: [resnet50d, resnet101]`, the files are merged in the order resnet50, resnet50c,
    resnet50d, resnet101: each once, after everything it extends, and lists keep their order.
    What the given orders leave open follows the later of them. This is how Python orders the bases
    of a class, read backwards: there the first base wins, here the last.

    Source: Barrett et al., "A Monotonic Superclass Linearization for Dylan", OOPSLA 1996, section 2.
    """
    merged: list[str] = []
    rest = [list(each) for each in orders if each]
    while rest:
        lasts = (each[-1] for each in reversed(rest))
        last = next((n for n in lasts if not any(n in each[:-1] for each in rest)), None)
        if last is None:
            return None
        merged.insert(0, last)
        rest = [left for each in rest if (left := [n for n in each if n != last])]
    return merged
