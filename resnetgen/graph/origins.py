"""Where a number was written: an argument followed through parameters and `let` to the text.

conv1: {stride: stride}  <-  layer2: {block: {...}, stride: 2}
conv3: {out: out}        <-  let: {out: width * expansion}  <-  layer2: {width: 128}
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from resnetgen.graph.ir import Block, Network, Term
from resnetgen.language.diagnostics import Span
from resnetgen.language.expressions import Const, Name, free_names

Names = Mapping[str, Term]  # what the names of a block stand for in one call of it


def named(block: Block, given: Names) -> dict[str, Term]:
    """What the names of a block stand for in a call that gives some arguments."""
    names = dict(given)
    for name, param in block.params.items():
        if param.default and name not in names:
            names[name] = follow(param.default, names)
    for name, term in block.let.items():
        names[name] = follow(term, names)
    return names


def follow(term: Term, names: Names) -> Term:
    """The text that a term stands for: of a bare name, what was written for it."""
    if isinstance(term.expr, Name) and term.expr.id in names:
        return names[term.expr.id]
    return within(term, names)


def within(term: Term, names: Names) -> Term:
    """A term, and what its names stand for."""
    return Term(term.expr, term.span, term.key_span, names)


def sources(term: Term) -> Iterator[Term]:
    """A term and all from which its value was computed, the nearest first."""
    return _reached(term, lambda each: True)


def own_texts(term: Term, network: Network) -> list[Term]:
    """The person's own texts behind a value: one, or those from which a library block computes it.

    A bare name says nothing of a value: it is taken only where there is no other.
    """

    def passes(each: Term) -> bool:
        return isinstance(each.expr, Name) or not is_own(each.span, network)

    own = [each for each in _reached(term, passes) if is_own(each.span, network)]
    return [each for each in own if not isinstance(each.expr, Name)] or own[:1]


def _reached(term: Term, passes: Callable[[Term], bool]) -> Iterator[Term]:
    """A term and what it reads, and what that reads in turn, as far as a test lets pass."""
    seen, todo = set[int](), deque([term])
    while todo:
        here = todo.popleft()
        if id(here) in seen:
            continue
        seen.add(id(here))
        yield here
        if passes(here):
            names = free_names(here.expr)
            todo.extend(here.names[name] for name in names if name in here.names)


def is_own(span: Span, network: Network) -> bool:
    """Whether a place is the person's to change: their spec, or a file that is not of the library."""
    return span.source is network.span.source or not span.source.shipped


def culprit(term: Term, network: Network) -> Term:
    """The text to blame for a value that does not suit; of the library only for want of other."""
    own = own_texts(term, network)
    return next((each for each in own if not _is_choice(each)), next(iter(own), term))


def _is_choice(term: Term) -> bool:
    """Whether a text chooses among numbers, and is none."""
    return isinstance(term.expr, Const) and type(term.expr.value) is bool


def mistyped(term: Term, network: Network) -> Term:
    """The same for a value of a wrong type: of several numbers behind it, one that is no integer."""
    own = own_texts(term, network)
    odd = (
        each for each in own if isinstance(each.expr, Const) and type(each.expr.value) is not int
    )
    return next(odd, None) or culprit(term, network)
