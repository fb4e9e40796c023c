"""What the terms of a block read.

nodes: {a: {op: conv, out: 2 * width, as: <stage>}}   ->   `width`, `stage`
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from resnetgen.graph.ir import Binding, Block, BlockNode, Term
from resnetgen.language.expressions import free_names


def names_of(terms: Iterable[Term]) -> set[str]:
    """The names that some terms read."""
    return {name for term in terms for name in free_names(term.expr)}


def named_terms(block: Block) -> Iterator[tuple[str, Term]]:
    """What a block computes for itself, in order: the defaults of its parameters, its `let`."""
    for name, param in block.params.items():
        if param.default:
            yield name, param.default
    yield from block.let.items()


def own_terms(block: Block) -> Iterator[Term]:
    """The terms of a block, without those of its nodes."""
    yield from (term for _, term in named_terms(block))
    if block.when:
        yield block.when
    yield from slot_terms(block.slots)


def node_terms(node: BlockNode, but_for: Collection[str] = ()) -> Iterator[Term]:
    """The terms of one node but for some arguments, with those of what it puts into slots."""
    yield from (term for name, term in node.arguments.items() if name not in but_for)
    yield from (term for term in (node.when, node.repeat) if term)
    yield from slot_terms(node.slots)


def slot_terms(slots: Mapping[str, Binding]) -> Iterator[Term]:
    """The terms of what slots hold."""
    for binding in slots.values():
        yield from binding.arguments.values()
        yield from slot_terms(binding.slots)


def names_in(node: BlockNode, but_for: Collection[str] = ()) -> set[str]:
    """The names that a node reads but for some arguments, and every word of `<...>` in its path."""
    written = re.findall(r"<([^<>]*)>", node.path)
    return names_of(node_terms(node, but_for)) | set(re.findall(r"\w+", " ".join(written)))


def behind(block: Block, known: Mapping[str, set[int]]) -> dict[str, set[int]]:
    """What stands behind each name of a block, where some names are `known` to stand for something."""
    found = {name: set(each) for name, each in known.items()}
    for name, term in named_terms(block):
        read = (found.get(each, set()) for each in free_names(term.expr))
        found[name] = found.get(name, set()).union(*read)
    return found
