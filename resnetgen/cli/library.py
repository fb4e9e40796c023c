"""`list`: the networks, blocks and ops of the library."""

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
    """A kind of entry in the library."""

    networks = "networks"
    blocks = "blocks"
    shortcuts = "shortcuts"
    stems = "stems"
    heads = "heads"
    ops = "ops"


class Order(StrEnum):
    """What networks are sorted by."""

    name = "name"
    family = "family"
    params = "params"
    macs = "macs"


def list_library(
    kind: Annotated[
        LibraryKind, typer.Argument(metavar="KIND", help="What to list.")
    ] = LibraryKind.networks,
    family: Annotated[
        str | None, typer.Option("--family", metavar="WORD", help="Only networks of this family.")
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            "--match", metavar="TEXT", help="Only networks whose name or description contains TEXT."
        ),
    ] = None,
    sort: Annotated[
        Order, typer.Option("--sort", help="What to sort networks by, in ascending order.")
    ] = Order.name,
) -> None:
    """Lists the networks, blocks or ops of the library.

    Networks are listed with their costs, blocks with their parameters, ops with their attributes.

    \b
    Examples:
      resnetgen list
      resnetgen list --family resnext --sort macs
      resnetgen list --match "option A"
      resnetgen list blocks
      resnetgen list ops
    """
    from resnetgen.reports.table_layout import align

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
    """A row of `list networks`; without costs if the spec has an error."""

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

    def matches(self, text: str) -> bool:
        """Whether the name or the description contains a text, ignoring case."""
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
    """A row; None if a filter leaves it out, which costs no compilation."""
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
        if not wanted or (match is not None and not entry.matches(match)):
            return None
        cost = compile_document(document).cost
    except Exception as error:  # a library that someone is editing is still listed
        diagnostics, _ = diagnose(error)
        return ListedNetwork(path.stem, "", None, None, diagnostics[0].message, "")
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
    """An attribute as a parameter; a computed default is `...`."""
    from resnetgen.compiler.ir.op_def import format_value

    if attribute.required:
        return _parameter(name, None)
    computed = callable(attribute.default) or attribute.default is None
    return _parameter(name, "..." if computed else format_value(attribute.default))


def _parameter(name: str, default: str | None) -> str:
    """`width` if it is required, else `stride = 1`."""
    return name if default is None else f"{name} = {default}"
