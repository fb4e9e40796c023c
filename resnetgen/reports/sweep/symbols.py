"""Varied numbers as names: one symbolic network serves all variants that differ by numbers alone.

    layer3: {blocks: 36, width: 256}   with layer3.blocks varied   ->   repeat=Name("\N{GREEK SMALL LETTER NU}0")

A number becomes a name only where it is proved to be a term of the network's own body. Whatever
else it is, part of a form, of a block or of an ambient slot, it is written into the spec, and the
spec is elaborated for each of its values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.yaml_reader import MapTree
from resnetgen.compiler.ir.nodes import Block, Network, SourcedExpr, called_blocks
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.reports.sweep.space import Factor, Space
from resnetgen.reports.sweep.terms import behind, names_of, node_terms, own_terms, slot_terms


def symbol(index: int) -> str:
    """The name of a factor's value: an identifier that no spec may use, for it is not ASCII."""
    return f"\N{GREEK SMALL LETTER NU}{index}"


@dataclass(frozen=True, slots=True)
class Base:
    """The spec before anything varies: its tree, where its names are found, and its `--set`."""

    tree: MapTree
    folders: tuple[Path, ...]
    settings: Mapping[str, object]

    def document(self, varied: Mapping[str, object]) -> Document:
        """The document with some values varied. Raises SpecError."""
        return library.complete(self.tree, self.folders, {**self.settings, **varied})


def base_of(spec: str | Path, settings: Mapping[str, object]) -> Base:
    """The base of a path or of a library network. Raises SpecError and OSError."""
    path = library.locate_network(spec)
    return Base(library.read_spec(path), (path.parent,), settings)


def variant_document(base: Base, space: Space, choice: Sequence[int]) -> Document:
    """The document of one variant, as `--set` would make it. Raises SpecError."""
    return base.document({path: setting.text for path, setting in space.settings(choice)})


@dataclass(frozen=True, slots=True)
class Symbolic:
    """A network in which some varied numbers are names."""

    network: Network
    named: tuple[int, ...]  # the factors whose values are names


def symbolic(base: Base, space: Space, choice: Sequence[int], named: Iterable[int]) -> Symbolic:
    """The network of a variant with the values of `named` as names, of as many as can be.

    Raises SpecError where the network cannot be elaborated with any of them.
    """
    wanted = tuple(named)
    while True:
        try:
            network = elaborate(_document(base, space, choice, wanted))
        except SpecError as error:
            wanted = _without_blamed(error, space.factors, wanted)
            continue
        proved = tuple(index for index in wanted if _is_term_of_the_body(network, symbol(index)))
        if proved == wanted:
            return Symbolic(network, wanted)
        wanted = proved


def _document(base: Base, space: Space, choice: Sequence[int], named: Sequence[int]) -> Document:
    texts = {path: setting.text for path, setting in space.settings(choice)}
    for index in named:
        texts[space.factors[index].path] = symbol(index)
    return base.document(texts)


def _without_blamed(
    error: SpecError, factors: Sequence[Factor], named: tuple[int, ...]
) -> tuple[int, ...]:
    """The names less those where a fault lies; none if it lies elsewhere. Raises without any."""
    if not named:
        raise error
    files = {fault.span.file for fault in error.diagnostics if fault.span}
    fewer = tuple(index for index in named if f"--set {factors[index].path}" not in files)
    return fewer if len(fewer) < len(named) else ()


def _is_term_of_the_body(network: Network, name: str) -> bool:
    """Whether a name is read by terms of the network's own body and by nothing else."""
    reached = {each for each, found in behind(network.root, {name: {0}}).items() if found}
    return (
        name in names_of(_body_terms(network.root))
        and reached.isdisjoint(names_of(slot_terms(network.ambient)))
        and not any(name in names_of(_body_terms(block)) for block in called_blocks(network))
    )


def _body_terms(block: Block) -> Iterator[SourcedExpr]:
    """The terms of a block, without those of the blocks that it calls."""
    yield from own_terms(block)
    for node in block.nodes:
        yield from node_terms(node)
