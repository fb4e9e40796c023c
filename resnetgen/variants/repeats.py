"""How often the stages of a network repeat their blocks, for a depth or within a budget.

    family = depth_family(compile_spec("resnet50"))
    choose_by_depth(family, 101)                  ->  Choice(3-4-23-3, as published in resnet101)
    choose_by_depth(family, 77)                   ->  Choice(3-4-15-3, by the rule)
    choose_within(family, Budget("macs", 6e9))    ->  Choice(3-4-14-3), 74 layers

What one more block of a stage adds to the depth is found by compiling the network with it, and so is
the cost of a choice. Only one thing is assumed: that one more block is not cheaper.

Published repeats are those of library networks with the same blocks. These are equal after `extends`
except for repeats, input, head, initial weights, and descriptive keys.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from resnetgen.compiler.analysis.depth import depth
from resnetgen.compiler.diagnostics.model import Diagnostic, Note, SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.expressions import Const
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.title import DESCRIPTIVE_KEYS
from resnetgen.compiler.frontend.tree import MapTree, Tree, blocks_per_stage, entries_at, without
from resnetgen.compiler.ir.nodes import BlockNode, Network
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.compiler.passes.infer_types import Cost, infer_types
from resnetgen.compiler.passes.instantiate import instantiate
from resnetgen.pipeline import Compiled
from resnetgen.reports.numbers import short_number
from resnetgen.variants.depth_rule import DEEPEST, DepthRule, Repeats
from resnetgen.weights.library_index import library_documents


@dataclass(frozen=True, slots=True)
class Choice:
    """The repeats for a depth, and the library network that has them if they are published."""

    repeats: Repeats
    depth: int
    published: str | None = None

    def __str__(self) -> str:
        """`3-4-6-3`."""
        return "-".join(map(str, self.repeats))


@dataclass(frozen=True, slots=True)
class DepthFamily:
    """A network and its variants, which differ only in repeats."""

    base: Compiled
    stages: tuple[str, ...]  # those whose blocks add to the depth
    rule: DepthRule
    known: Mapping[int, Choice]  # the base and published variants, by depth

    @property
    def network(self) -> Network:
        """The base, symbolic."""
        return self.base.network

    def choice(self, depth: int) -> Choice | None:
        """The repeats of a depth: the network's own, else published ones, else the rule's."""
        if depth in self.known:
            return self.known[depth]
        repeats = self.rule.repeats(depth)
        return Choice(repeats, depth) if repeats else None

    def changes(self, repeats: Repeats) -> dict[str, int]:
        """The stages whose repeats differ from those of the base."""
        columns = zip(self.stages, repeats, self.rule.base, strict=True)
        return {stage: count for stage, count, before in columns if count != before}

    def cost(self, repeats: Repeats) -> Cost:
        """What the network costs with other repeats, by compiling it. Raises SpecError."""
        network = with_repeats(self.network, self.changes(repeats))
        return infer_types(network, instantiate(network)).cost


def depth_family(base: Compiled) -> DepthFamily:
    """The variants of a network. Raises SpecError where its repeats cannot be changed."""
    own, total = _own_repeats(base.network), depth(base.root)
    layers = {stage: _depth_with(base.network, {stage: own[stage] + 1}) - total for stage in own}
    stages = tuple(stage for stage in own if layers[stage])
    if not stages:
        message = f"no stage of `{base.network.name}` is on its longest path"
        raise SpecError([Diagnostic("fixed-repeats", message, base.network.span)])

    def of_stages(numbers: Mapping[str, int]) -> Repeats:
        return tuple(numbers[stage] for stage in stages)

    added, repeats = of_stages(layers), of_stages(own)
    outside = total - DepthRule(repeats, added, 0).depth(repeats)
    rule, known = DepthRule(repeats, added, outside), {total: Choice(repeats, total)}
    for name, numbers in _published_repeats(base.document, base.network).items():
        other = of_stages(numbers)
        known.setdefault(rule.depth(other), Choice(other, rule.depth(other), name))
    return DepthFamily(base, stages, rule, known)


def _depth_with(network: Network, repeats: Mapping[str, int]) -> int:
    return depth(instantiate(with_repeats(network, repeats)))


def with_repeats(network: Network, repeats: Mapping[str, int]) -> Network:
    """The network with other numbers at `blocks:` of some stages."""

    def repeated(node: BlockNode) -> BlockNode:
        if not node.stage or node.key not in repeats or node.repeat is None:
            return node
        return replace(node, repeat=replace(node.repeat, expr=Const(repeats[node.key])))

    root = replace(network.root, nodes=tuple(map(repeated, network.root.nodes)))
    return replace(network, root=root)


def _own_repeats(network: Network) -> dict[str, int]:
    """The numbers at `blocks:` of all stages. Raises SpecError where a stage has none."""
    stages = [node for node in network.root.nodes if node.stage]
    if not stages:
        message = f"`{network.name}` has no stages, so there is nothing to repeat"
        help = "start from a network whose stages have `blocks:`"
        raise SpecError([Diagnostic("fixed-repeats", message, network.span, help=help)])
    repeats: dict[str, int] = {}
    diagnostics = []
    for node in stages:
        count = node.repeat.expr if node.repeat else None
        if isinstance(count, Const) and isinstance(count.value, int):
            repeats[node.key] = count.value
        else:
            diagnostics.append(_not_a_number(node))
    if diagnostics:
        raise SpecError(diagnostics)
    return repeats


def _not_a_number(node: BlockNode) -> Diagnostic:
    span = node.repeat.span if node.repeat else node.span
    message = f"the stage `{node.key}` has no `blocks:`, so it does not repeat"
    if node.repeat:
        message = f"`blocks` of `{node.key}` is an expression, which a number would replace"
    help = f"give it a number: `--set {node.key}.blocks=3`"
    return Diagnostic("fixed-repeats", message, span, help=help)


# --- published repeats

_NOT_COMPARED = (*DESCRIPTIVE_KEYS, "class", "input", "head", "init")


def _published_repeats(document: Document, network: Network) -> dict[str, Mapping[str, int]]:
    """The repeats of each library network with the same blocks, by its name."""
    if not _has_library_blocks_only(document, network):
        return {}
    wanted, published = _without_repeats(document.tree), dict[str, Mapping[str, int]]()
    for name, other in library_documents().items():
        numbers = blocks_per_stage(other.tree)
        complete = numbers and numbers.keys() == entries_at(other.tree, "stages").keys()
        if complete and _without_repeats(other.tree) == wanted:
            published[name] = numbers
    return published


def _has_library_blocks_only(document: Document, network: Network) -> bool:
    """Whether the spec means the same without the block files beside it."""
    try:
        alone = elaborate(Document(document.tree, (library.LIBRARY,), document.sources))
    except SpecError:
        return False
    return alone.digest == network.digest


def _without_repeats(tree: MapTree) -> list[tuple[str, str]]:
    """The keys and values of a spec that have to be equal, without the repeats of its stages."""

    def without_blocks(stage: Tree) -> Tree:
        return without(stage, "blocks") if isinstance(stage, MapTree) else stage

    keys = sorted(without(tree, "stages", *_NOT_COMPARED).entries.items())
    stages = [  # in order, which matters for stages alone
        (f"stages.{key}", without_blocks(each)) for key, each in entries_at(tree, "stages").items()
    ]
    return [(key, library.canonical_text(each)) for key, each in [*keys, *stages]]


# --- by depth


def choose_by_depth(family: DepthFamily, wanted: int) -> Choice:
    """The repeats for a depth. Raises SpecError `unreachable-depth`, with the nearest depths."""
    choice = family.choice(wanted)
    if choice is None:
        raise SpecError([_unreachable(family, wanted)])
    return choice


def neighbours(family: DepthFamily, depth: int) -> tuple[Choice | None, Choice | None]:
    """The next shallower and the next deeper variant."""
    below, above = family.rule.below(depth), family.rule.above(depth)
    return family.choice(below) if below else None, family.choice(above)


def _unreachable(family: DepthFamily, wanted: int) -> Diagnostic:
    near = [f"{each.depth} ({each})" for each in neighbours(family, wanted) if each]
    message = f"no repeats of the stages of `{family.network.name}` make {wanted} layers"
    is_or_are = "is" if len(near) == 1 else "are"
    help = f"the nearest {is_or_are} {' and '.join(near)}"
    return Diagnostic("unreachable-depth", message, None, (Note(_formula(family)),), help)


def _formula(family: DepthFamily) -> str:
    """The depths that can be reached: `its depth is 3n + 2, where n is ...`."""
    rule = family.rule
    if len(set(rule.layers)) == 1:
        times = f"{rule.layers[0]}n" if rule.layers[0] > 1 else "n"
        least = f"n is the number of all blocks, at least {len(rule.base)}"
        return f"its depth is {times} + {rule.rest}, where {least}"
    pairs = zip(family.stages, rule.layers, strict=True)
    each = ", ".join(f"{layers} in `{stage}`" for stage, layers in pairs)
    return f"its depth is {rule.rest} and what each block adds: {each}; each stage keeps a block"


# --- within a budget


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a network may have of one figure: `macs` or `params`."""

    figure: str
    most: float

    def of(self, cost: Cost) -> int:
        """How much of it a network has."""
        value: int = getattr(cost, self.figure)
        return value

    @property
    def unit(self) -> str:
        """What the figure counts."""
        return {"macs": "multiply-adds", "params": "parameters"}[self.figure]

    def __str__(self) -> str:
        """`6 G multiply-adds`."""
        return f"{short_number(self.most)} {self.unit}"


def choose_within(family: DepthFamily, budget: Budget) -> Choice:
    """The deepest variant within a budget. Raises SpecError `over-budget` if there is none.

    Variants are the rungs of the rule's ladder, each one block deeper than the one below, and the
    published ones.
    """
    for choice in _deepest_first(family, _rungs_within(family, budget)):
        if budget.of(family.cost(choice.repeats)) <= budget.most:
            return choice
    raise SpecError([_over_budget(family, budget)])


def _rungs_within(family: DepthFamily, budget: Budget) -> range:
    """The rungs of the ladder within a budget, by their number of blocks."""
    rule = family.rule
    least, most = len(rule.base), rule.highest_rung(DEEPEST)

    def cost(blocks: int) -> int:
        return budget.of(family.cost(rule.rung(blocks)))

    end = least
    while end < most and cost(end) <= budget.most:
        end = min(2 * end, most)
    beyond = least + bisect_right(range(least, end + 1), budget.most, key=cost)
    if beyond > most:
        message = f"a network of {rule.depth(rule.rung(most)):,} layers is within {budget}"
        raise SpecError([Diagnostic("limit", message, help="give a smaller budget")])
    return range(least, beyond)


def _deepest_first(family: DepthFamily, blocks: range) -> Iterator[Choice]:
    """The variants of some rungs of the ladder, and the published ones."""
    depths = {family.rule.depth(family.rule.rung(count)) for count in blocks}
    for each in sorted(depths | family.known.keys(), reverse=True):
        choice = family.choice(each)
        assert choice
        yield choice


def _over_budget(family: DepthFamily, budget: Budget) -> Diagnostic:
    least = family.choice(family.rule.least)
    assert least
    figure = short_number(budget.of(family.cost(least.repeats)))
    message = f"`{family.network.name}` is over {budget} at any depth"
    note = Note(f"with {least.depth} layers ({least}), the fewest, it has {figure}")
    return Diagnostic("over-budget", message, None, (note,))
