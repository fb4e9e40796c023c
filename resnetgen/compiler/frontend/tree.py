"""The positioned tree of a document: its maps, lists and scalars, each with the span it was read from.

    {width: 010}  ->  MapTree({"width": Scalar(10, "010", span)}, {"width": span of the key}, span)

`yaml_reader` builds it and `inheritance` merges several; spans travel with the values, so that every
later error can point at the file and line that caused it. Reading a part that is not there is not
an error here: the answer is then empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from resnetgen.compiler.diagnostics.model import Span


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without parts; `text` is what was written, without quotes."""

    value: str | int | float | bool | None
    text: str
    span: Span
    quoted: bool


@dataclass(frozen=True, slots=True)
class ListTree:
    """A list, in block or flow form."""

    items: tuple[Tree, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class MapTree:
    """A map. Its keys are the text that was written (`0`, `1.10`); `key_spans`
    has their spans, and may have more keys."""

    entries: dict[str, Tree]
    key_spans: dict[str, Span]
    span: Span


Tree: TypeAlias = Scalar | ListTree | MapTree


def python_value(tree: Tree) -> object:
    """Tree -> dicts, lists and scalar values."""
    if isinstance(tree, MapTree):
        return {key: python_value(value) for key, value in tree.entries.items()}
    if isinstance(tree, ListTree):
        return [python_value(item) for item in tree.items]
    return tree.value


def count_values(tree: Tree) -> int:
    """The keys and values of a tree, as `yaml_reader` counts them."""
    if isinstance(tree, MapTree):
        return 1 + sum(1 + count_values(each) for each in tree.entries.values())
    return 1 + sum(map(count_values, tree.items)) if isinstance(tree, ListTree) else 1


def without(tree: MapTree, *dropped: str) -> MapTree:
    """The map without some of its keys."""
    kept = {key: each for key, each in tree.entries.items() if key not in dropped}
    return MapTree(kept, tree.key_spans, tree.span)


# --- parts by key


def entries_at(tree: MapTree, key: str) -> Mapping[str, Tree]:
    """The entries of the map at a key; empty if there is no map."""
    inner = tree.entries.get(key)
    return inner.entries if isinstance(inner, MapTree) else {}


def keys(tree: MapTree, key: str) -> Iterable[tuple[str, Span]]:
    """The keys of the map at a key, with their spans."""
    inner = tree.entries.get(key)
    if not isinstance(inner, MapTree):
        return []
    return [(name, span) for name, span in inner.key_spans.items() if name in inner.entries]


def text_at(tree: MapTree, key: str) -> str | None:
    """The text of the scalar at a key; None if there is none, or it is `null`."""
    value = tree.entries.get(key)
    return value.text if isinstance(value, Scalar) and value.value is not None else None


def is_null(tree: Tree) -> bool:
    """Whether a value is `null`, which deletes an inherited entry."""
    return isinstance(tree, Scalar) and tree.value is None


def scalars(tree: Tree | None) -> tuple[Scalar, ...]:
    """One name or a list of names, as a tuple."""
    if isinstance(tree, ListTree):
        return tuple(item for item in tree.items if isinstance(item, Scalar))
    return (tree,) if isinstance(tree, Scalar) else ()


def blocks_per_stage(tree: MapTree) -> dict[str, int]:
    """How many blocks each stage of a spec has, where `blocks:` is a number."""
    block_counts: dict[str, int] = {}
    for key, stage in entries_at(tree, "stages").items():
        count = stage.entries.get("blocks") if isinstance(stage, MapTree) else None
        if isinstance(count, Scalar) and type(count.value) is int:
            block_counts[key] = count.value
    return block_counts


# --- parts by path


def nearest_value(tree: Tree, path: Sequence[str | int]) -> Tree:
    """The value at a path, or the nearest value above it that exists."""
    for step in path:
        below = child(tree, step)
        if below is None:
            break
        tree = below
    return tree


def value_span(tree: Tree, path: Sequence[str | int]) -> Span:
    """The span of `nearest_value`."""
    return nearest_value(tree, path).span


def key_span(tree: Tree, path: Sequence[str | int]) -> Span:
    """The span of the key at the end of a path; for an item of a list, as `value_span`."""
    parent = tree
    for step in path[:-1]:
        below = child(parent, step)
        if below is None:
            return parent.span
        parent = below
    if path and isinstance(parent, MapTree) and str(path[-1]) in parent.key_spans:
        return parent.key_spans[str(path[-1])]
    return value_span(parent, path[-1:])


def child(tree: Tree, step: str | int) -> Tree | None:
    """The entry of a map, or the item of a list."""
    if isinstance(tree, MapTree):
        return tree.entries.get(str(step))
    if isinstance(tree, ListTree) and isinstance(step, int) and 0 <= step < len(tree.items):
        return tree.items[step]
    return None
