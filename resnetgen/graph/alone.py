"""check_block(document): a block without a caller, checked as far as it can be without numbers.

    conv: {op: conv, out: widht, kernel: 3}  ->  there is no `widht` here; did you mean `width`?

Its form, what it calls, what its nodes read and the names in its expressions. Non-goals: whatever
depends on arguments and channels; a call finds that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from resnetgen.graph.blocks import Blocks
from resnetgen.graph.ir import STAGE_NAMES, Binding, Block, Op, Slot, Target, Term
from resnetgen.graph.ops import AMBIENT, OPS
from resnetgen.language.diagnostics import SpecError, did_you_mean, listed
from resnetgen.language.expressions import Name, free_names
from resnetgen.language.library import Document
from resnetgen.language.trees import text_of


def check_block(document: Document) -> Block:
    """The symbolic block of a file that declares one. Raises SpecError with every fault found."""
    names = Blocks(document)
    name = text_of(document.tree, "block") or ""
    names.open.append(name)
    block = names.block_of(name, document.tree)
    if block:
        check_names(names, block)
    if block is None or names.faults:
        raise SpecError(names.faults)
    return block


def check_names(names: Blocks, block: Block) -> None:
    """Records a fault for each expression that reads a name which no call of the block can give."""
    for term, known in _terms(block):
        for name in dict.fromkeys(free_names(term.expr)):
            if name not in known:
                hint = did_you_mean(name, known) or f"there are {listed(known)}"
                names.faults.record("expression", f"there is no `{name}` here", term.span, hint)


def _terms(block: Block) -> Iterator[tuple[Term, list[str]]]:
    """The expressions of a block, each with the names that it may read."""
    known = ["in_channels", *(f"{each}_channels" for each in block.inputs[1:])]
    for name, param in block.params.items():
        if param.default:
            yield param.default, list(known)
        known.append(name)
    for name, term in block.let.items():
        yield term, list(known)
        known.append(name)
    for binding in block.slots.values():
        yield from _in_scope(_arguments(binding), known)
    yield from _in_scope([block.when] if block.when else [], known)
    for node in block.nodes:
        own = [term for term in (node.when, node.repeat) if term]
        yield from _in_scope(own, known)
        scope = [*known, *STAGE_NAMES] if node.repeat else known
        call = Binding(node.target, node.arguments, node.slots, node.span)
        yield from _in_scope(_arguments(call), scope)


def _in_scope(terms: Iterable[Term], known: list[str]) -> Iterator[tuple[Term, list[str]]]:
    return ((term, known) for term in terms)


def _arguments(binding: Binding) -> Iterator[Term]:
    """The arguments of a call and of what its slots hold; not the words that some attributes take."""
    for name, term in binding.arguments.items():
        if not (isinstance(term.expr, Name) and _may_be_a_word(binding.target, name)):
            yield term
    yield from _nested(binding.slots)


def _nested(slots: Mapping[str, Binding]) -> Iterator[Term]:
    for each in slots.values():
        yield from _arguments(each)


def _may_be_a_word(target: Target, name: str) -> bool:
    if isinstance(target, Op):
        attribute = OPS[target.name].attributes.get(name)
        return attribute is not None and attribute.kind == "word"
    return isinstance(target, Slot) and target.name not in AMBIENT
