"""Parts of a positioned tree by key: what a map holds, with an answer also where it holds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from resnetgen.compiler.diagnostics.model import Span
from resnetgen.compiler.frontend.yaml_reader import ListTree, MapTree, Scalar, Tree

_EMPTY: Mapping[str, Tree] = {}


def entries(tree: MapTree, key: str) -> Mapping[str, Tree]:
    """The values of the map at a key, by their keys; none where there is no map."""
    inner = tree.entries.get(key)
    return inner.entries if isinstance(inner, MapTree) else _EMPTY


def key_spans(tree: MapTree, key: str) -> Mapping[str, Span]:
    """Where the keys of the map at a key stand."""
    inner = tree.entries.get(key)
    return inner.keys if isinstance(inner, MapTree) else {}


def keys(tree: MapTree, key: str) -> Iterable[tuple[str, Span]]:
    """The keys of the map at a key, and where they stand."""
    return [
        (name, span) for name, span in key_spans(tree, key).items() if name in entries(tree, key)
    ]


def key_of(tree: MapTree, key: str, name: str) -> Span:
    """Where one key of the map at a key stands."""
    return key_spans(tree, key)[name]


def scalars(tree: Tree | None) -> tuple[Scalar, ...]:
    """One name or a list of names."""
    if isinstance(tree, ListTree):
        return tuple(item for item in tree.items if isinstance(item, Scalar))
    return (tree,) if isinstance(tree, Scalar) else ()


def text_at(tree: MapTree, key: str) -> str | None:
    """The text of the scalar at a key; None where there is none, or `null`."""
    value = tree.entries.get(key)
    return value.text if isinstance(value, Scalar) and value.value is not None else None


def stage_repeats(tree: MapTree) -> dict[str, int]:
    """How many blocks each stage of a spec has, where `blocks:` is a number."""
    found: dict[str, int] = {}
    for key, stage in entries(tree, "stages").items():
        count = stage.entries.get("blocks") if isinstance(stage, MapTree) else None
        if isinstance(count, Scalar) and type(count.value) is int:
            found[key] = count.value
    return found
