"""`list`: what the library holds."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.faults import diagnose

if TYPE_CHECKING:
    from resnetgen.graph.ops import Attribute
    from resnetgen.language.reader import MapTree, Tree

Rows = Iterator[tuple[str, ...]]


class Kind(StrEnum):
    """What the library holds."""

    networks = "networks"
    blocks = "blocks"
    shortcuts = "shortcuts"
    stems = "stems"
    heads = "heads"
    ops = "ops"


def list_library(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="What to list.")] = Kind.networks,
) -> None:
    """Lists networks, blocks or ops of the library.

    Networks with their costs, blocks with their parameters, ops with their attributes.

    \b
    Examples:
      resnetgen list
      resnetgen list blocks
      resnetgen list ops
    """
    from resnetgen.report.columns import align

    if kind is Kind.networks:
        lines = align([("network", "parameters", "multiply-adds", "about"), *_networks()], "<>><")
    elif kind is Kind.ops:
        lines = align([("op", "about", "attributes"), *_ops()], "<<<")
    else:
        lines = align([(kind[:-1], "about", "parameters"), *_blocks(kind)], "<<<")
    print("\n".join(lines))


def _networks() -> Rows:
    from resnetgen.cli.options import compile_spec
    from resnetgen.language import library
    from resnetgen.report.columns import count, rounded

    for path in library.networks():
        try:
            compiled = compile_spec(str(path), {})
        except Exception as error:  # a library that someone is editing is still listed
            faults, _ = diagnose(error)
            yield path.stem, "", "", faults[0].message
            continue
        about = compiled.network.doc or compiled.network.paper or ""
        yield path.stem, count(compiled.cost.params), rounded(compiled.cost.macs), about


def _blocks(kind: str) -> Rows:
    from resnetgen.language import library

    for path in library.block_files(kind):
        tree = _with_base(path)
        params = [_parameter(name, value) for name, value in _entries(tree, "params").items()]
        slots = [f"{name}: slot" for name in _entries(tree, "slots")]
        yield path.stem, _doc(tree), ", ".join(params + slots)


def _with_base(path: Path) -> MapTree:
    """A block over the blocks that it extends."""
    from resnetgen.language import library
    from resnetgen.language.reader import Scalar, read

    tree = read(path, library.shown(path))
    base = tree.entries.get("extends")
    base_path = library.find_block(base.text, ()) if isinstance(base, Scalar) else None
    return library.merge(_with_base(base_path), tree) if base_path else tree


def _entries(tree: MapTree, key: str) -> dict[str, Tree]:
    below = tree.entries.get(key)
    return getattr(below, "entries", {})


def _parameter(name: str, value: Tree) -> str:
    """`width`, which a caller must give, or `stride = 1`."""
    text = getattr(value, "text", "")
    return name if text in ("int", "float", "bool") else f"{name} = {text}"


def _doc(tree: MapTree) -> str:
    return getattr(tree.entries.get("doc"), "text", "")


def _ops() -> Rows:
    from resnetgen.graph.ops import OPS

    for name, op in OPS.items():
        yield name, op.doc, ", ".join(_attribute(key, each) for key, each in op.attributes.items())


def _attribute(name: str, attribute: Attribute) -> str:
    """`kernel`, which a node must give, or `stride = 1`; computed defaults are `...`."""
    if attribute.required:
        return name
    if callable(attribute.default) or attribute.default is None:
        return f"{name} = ..."
    default = attribute.default
    return f"{name} = {str(default).lower() if isinstance(default, bool) else default}"
