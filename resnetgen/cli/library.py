"""`list`: what the library holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnetgen.cli.console import Progress
from resnetgen.cli.errors import diagnose

if TYPE_CHECKING:
    from resnetgen.compiler.ir.op_def import Attribute

Rows = Iterator[tuple[str, ...]]


class LibraryKind(StrEnum):
    """What the library holds."""

    networks = "networks"
    blocks = "blocks"
    shortcuts = "shortcuts"
    stems = "stems"
    heads = "heads"
    ops = "ops"


class Order(StrEnum):
    """By what networks are sorted."""

    name = "name"
    family = "family"
    params = "params"
    macs = "macs"


def list_library(
    kind: Annotated[
        LibraryKind, typer.Argument(metavar="KIND", help="What to list.")
    ] = LibraryKind.networks,
    family: Annotated[
        str | None, typer.Option("--family", metavar="WORD", help="Networks of this family only.")
    ] = None,
    match: Annotated[
        str | None,
        typer.Option("--match", metavar="TEXT", help="Lines whose name or description has TEXT."),
    ] = None,
    sort: Annotated[
        Order, typer.Option("--sort", help="The order of networks; the least first.")
    ] = Order.name,
) -> None:
    """Lists networks, blocks or ops of the library.

    Networks with their costs, blocks with their parameters, ops with their attributes.

    \b
    Examples:
      resnetgen list
      resnetgen list --family resnext --sort macs
      resnetgen list --match "option A"
      resnetgen list blocks
      resnetgen list ops
    """
    from resnetgen.reports.numbers import align

    if kind is LibraryKind.networks:
        rows = [entry.row() for entry in _networks(family, match, sort)]
        header = ("network", "family", "parameters", "multiply-adds", "about", "paper")
        lines = align([header, *rows], "<<>><<")
    elif kind is LibraryKind.ops:
        lines = align([("op", "about", "attributes"), *_ops()], "<<<")
    else:
        lines = align([(kind[:-1], "about", "parameters"), *_blocks(kind)], "<<<")
    print("\n".join(lines))


@dataclass(frozen=True, slots=True)
class ListedNetwork:
    """A network of the library, as it is listed; no cost where its spec is at fault."""

    name: str
    family: str
    params: int | None
    macs: int | None
    about: str
    paper: str

    def row(self) -> tuple[str, ...]:
        """The columns."""
        from resnetgen.reports.numbers import count, rounded

        params = "" if self.params is None else count(self.params)
        macs = "" if self.macs is None else rounded(self.macs)
        return self.name, self.family, params, macs, self.about, self.paper

    def has(self, text: str) -> bool:
        """Whether the name or the description has a text, in whatever case."""
        return text.lower() in f"{self.name} {self.about} {self.paper}".lower()


def _networks(family: str | None, match: str | None, sort: Order) -> list[ListedNetwork]:
    from resnetgen.compiler.frontend import library

    with Progress() as progress:
        progress("counting")
        entries = [_entry(path, family, match) for path in library.network_files()]
    chosen = [entry for entry in entries if entry is not None]
    keys: dict[Order, Callable[[ListedNetwork], Any]] = {
        Order.name: lambda entry: entry.name,
        Order.family: lambda entry: (entry.family, entry.macs or 0),
        Order.params: lambda entry: entry.params or 0,
        Order.macs: lambda entry: entry.macs or 0,
    }
    return sorted(chosen, key=keys[sort])


def _entry(path: Path, family: str | None, match: str | None) -> ListedNetwork | None:
    """A network as it is listed; None where a filter leaves it out, before anything is counted."""
    from resnetgen.compiler.frontend import library
    from resnetgen.compiler.frontend.tree import text_at
    from resnetgen.pipeline import compile_document

    try:
        document = library.load(path)
        words = [text_at(document.tree, key) or "" for key in ("family", "doc", "paper")]
        entry = ListedNetwork(
            path.stem, words[0], None, None, words[1], words[2].rpartition("/")[2]
        )
        wanted = family is None or entry.family == family
        if not wanted or (match is not None and not entry.has(match)):
            return None
        cost = compile_document(document).cost
    except Exception as error:  # a library that someone is editing is still listed
        faults, _ = diagnose(error)
        return ListedNetwork(path.stem, "", None, None, faults[0].message, "")
    return replace(entry, params=cost.params, macs=cost.macs)


def _blocks(kind: str) -> Rows:
    from resnetgen.compiler.editor.vocabulary import default_text, known_blocks

    for name, block in known_blocks(kind).items():
        params = [_parameter(key, default_text(param)) for key, param in block.params.items()]
        slots = [f"{slot}: slot" for slot in block.slots]
        yield name, block.doc or "", ", ".join(params + slots)


def _ops() -> Rows:
    from resnetgen.compiler.ir.ops import OPS

    for name, op in OPS.items():
        yield name, op.doc, ", ".join(_attribute(key, each) for key, each in op.attributes.items())


def _attribute(name: str, attribute: Attribute) -> str:
    """The same of an attribute; computed defaults are `...`."""
    from resnetgen.compiler.ir.op_def import shown

    if attribute.required:
        return _parameter(name, None)
    computed = callable(attribute.default) or attribute.default is None
    return _parameter(name, "..." if computed else shown(attribute.default))


def _parameter(name: str, default: str | None) -> str:
    """`width`, which a caller must give, or `stride = 1`."""
    return name if default is None else f"{name} = {default}"
