"""Repeats: how often the stages of a network repeat their blocks, and how deep that makes it.

    family_of(compiled)    ->  a Family
    of_depth(family, 101)  ->  Choice(3-4-23-3, as published in resnet101)
    of_depth(family, 77)   ->  Choice(3-4-15-3, by the rule)

What one more block of a stage adds to the depth is measured: the network is compiled with it. So is
what a choice costs.

within(family, budget) -> Choice: the deepest variant of a network that costs no more.

    resnet50, Budget("macs", 6e9)  ->  Choice(3-4-14-3), 74 layers

The variants are the rungs of the rule's ladder, each a block deeper than the one below, and those
that the library has. Each that is looked at is compiled, so nothing is assumed of its cost but that
a block more is no cheaper.

depth(root) -> int: how many layers deep a network is, as the field names networks.

    resnet50: 1 (stem) + 3 x (3 + 4 + 6 + 3) + 1 (classifier)     ->  50
    resnet20: 1 (stem) + 2 x (3 + 3 + 3) + 1 (classifier)         ->  20

A layer has weights: a convolution, or a linear layer. The stem is one layer, however many
convolutions it has; the body and the head are as deep as the longest way through them, which takes
no shortcut of a block, and at a product goes along the value that is gated: the layers of an
attention unit do not count. One walk over the distinct instances, so 1202 layers cost what 20 cost.

Some names of networks count otherwise. Wide ResNet (arXiv 1605.07146) calls 6n + 4 what is 6n + 2
here: it counts its three projections and no classifier. SENet-154 counts the three convolutions of
its stem.

published(document, network) -> the library's networks of the same blocks, with their repeats.

    resnet50  ->  {"resnet101": {layer1: 3, layer2: 4, layer3: 23, layer4: 3}, "resnet152": ...}

The same blocks: all that a network says, but for its repeats, what it reads (`input`), what stands
behind its stages (`head`), initial weights, and what names and describes it. Specs are compared as
they are after `extends`; what they are called does not matter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from resnetgen.compiler.diagnostics.model import Diagnostic, Note, SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.expressions import Const
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.tree import MapTree, Tree, entries, stage_repeats, without
from resnetgen.compiler.ir.nodes import (
    SHORTCUT,
    BlockNode,
    Instance,
    InstanceNode,
    Network,
    PassThrough,
    RepeatedBlock,
)
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.compiler.passes.infer_types import Cost, infer_types
from resnetgen.compiler.passes.instantiate import instantiate
from resnetgen.pipeline import Compiled
from resnetgen.reports.numbers import short_number
from resnetgen.variants.repeats_rule import DEEPEST, DepthRule, Repeats
from resnetgen.weights.library_index import library_documents


@dataclass(frozen=True, slots=True)
class Choice:
    """Repeats of a depth, and the library network that has them, if they were not found by rule."""

    repeats: Repeats
    depth: int
    published: str | None = None

    def __str__(self) -> str:
        """`3-4-6-3`."""
        return "-".join(map(str, self.repeats))


@dataclass(frozen=True, slots=True)
class DepthFamily:
    """A network and all that differ from it by repeats alone."""

    base: Compiled
    stages: tuple[str, ...]  # those whose blocks count in the depth
    rule: DepthRule
    known: Mapping[int, Choice]  # what the library has, by depth

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
        """The stages that have other repeats than the network itself."""
        columns = zip(self.stages, repeats, self.rule.base, strict=True)
        return {stage: count for stage, count, before in columns if count != before}

    def cost(self, repeats: Repeats) -> Cost:
        """What the network costs with other repeats, measured. Raises SpecError."""
        network = with_repeats(self.network, self.changes(repeats))
        return infer_types(network, instantiate(network)).cost


def with_repeats(network: Network, repeats: Mapping[str, int]) -> Network:
    """The network with other numbers at `blocks:` of some stages."""

    def repeated(node: BlockNode) -> BlockNode:
        if not node.stage or node.key not in repeats or node.repeat is None:
            return node
        return replace(node, repeat=replace(node.repeat, expr=Const(repeats[node.key])))

    root = replace(network.root, nodes=tuple(map(repeated, network.root.nodes)))
    return replace(network, root=root)


def _require_repeats(network: Network) -> dict[str, int]:
    """The numbers at `blocks:` of all stages. Raises SpecError where a stage has none."""
    stages = [node for node in network.root.nodes if node.stage]
    if not stages:
        message = f"`{network.name}` has no stages, so there is nothing to repeat"
        help = "start from a network whose stages say `blocks:`"
        raise SpecError([Diagnostic("fixed-repeats", message, network.span, help=help)])
    repeats: dict[str, int] = {}
    faults = []
    for node in stages:
        count = node.repeat.expr if node.repeat else None
        if isinstance(count, Const) and isinstance(count.value, int):
            repeats[node.key] = count.value
        else:
            faults.append(_without_number(node))
    if faults:
        raise SpecError(faults)
    return repeats


def _without_number(node: BlockNode) -> Diagnostic:
    """Why the repeats of a stage cannot be chosen."""
    span = node.repeat.span if node.repeat else node.span
    message = f"the stage `{node.key}` does not say `blocks:`, so it does not repeat"
    if node.repeat:
        message = f"`blocks` of `{node.key}` is an expression, which a number would replace"
    help = f"give it a number: `--set {node.key}.blocks=3`"
    return Diagnostic("fixed-repeats", message, span, help=help)


def depth_family(base: Compiled) -> DepthFamily:
    """The variants of a network. Raises SpecError where its repeats cannot be changed."""
    own, total = _require_repeats(base.network), depth(base.root)
    layers = {stage: _depth_with(base.network, {stage: own[stage] + 1}) - total for stage in own}
    stages = tuple(stage for stage in own if layers[stage])
    if not stages:
        message = f"no stage of `{base.network.name}` is on the longest way through it"
        raise SpecError([Diagnostic("fixed-repeats", message, base.network.span)])

    def of_stages(numbers: Mapping[str, int]) -> Repeats:
        return tuple(numbers[stage] for stage in stages)

    added, repeats = of_stages(layers), of_stages(own)
    outside = total - DepthRule(repeats, added, 0).depth(repeats)
    rule, known = DepthRule(repeats, added, outside), {total: Choice(repeats, total)}
    for name, numbers in published_repeats(base.document, base.network).items():
        found = of_stages(numbers)
        known.setdefault(rule.depth(found), Choice(found, rule.depth(found), name))
    return DepthFamily(base, stages, rule, known)


def _depth_with(network: Network, repeats: Mapping[str, int]) -> int:
    return depth(instantiate(with_repeats(network, repeats)))


def choose_by_depth(family: DepthFamily, wanted: int) -> Choice:
    """The repeats that give a depth. Raises SpecError where none do, with the nearest that do."""
    found = family.choice(wanted)
    if found is None:
        raise SpecError([_unreachable(family, wanted)])
    return found


def neighbours(family: DepthFamily, depth: int) -> tuple[Choice | None, Choice | None]:
    """The next shallower and the next deeper variant."""
    below, above = family.rule.below(depth), family.rule.above(depth)
    return family.choice(below) if below else None, family.choice(above)


def _unreachable(family: DepthFamily, wanted: int) -> Diagnostic:
    near = [f"{each.depth} ({each})" for each in neighbours(family, wanted) if each]
    message = f"no repeats of the stages of `{family.network.name}` make {wanted} layers"
    is_or_are = "is" if len(near) == 1 else "are"
    help = f"the nearest {is_or_are} {' and '.join(near)}"
    return Diagnostic("unreachable-depth", message, None, (Note(_form(family)),), help)


def _form(family: DepthFamily) -> str:
    """The depths that can be reached: `its depth is 3n + 2, where n is ...`."""
    rule = family.rule
    if len(set(rule.layers)) == 1:
        times = f"{rule.layers[0]}n" if rule.layers[0] > 1 else "n"
        least = f"n is the number of all blocks, at least {len(rule.base)}"
        return f"its depth is {times} + {rule.rest}, where {least}"
    pairs = zip(family.stages, rule.layers, strict=True)
    each = ", ".join(f"{layers} in `{stage}`" for stage, layers in pairs)
    return f"its depth is {rule.rest} and what each block adds: {each}; each stage keeps a block"


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a network may have of one figure: `macs` or `params`."""

    figure: str
    most: float

    def of(self, cost: Cost) -> int:
        """What a network has of it."""
        found: int = getattr(cost, self.figure)
        return found

    @property
    def unit(self) -> str:
        """What the figure counts."""
        return {"macs": "multiply-adds", "params": "parameters"}[self.figure]

    def __str__(self) -> str:
        """`6 G multiply-adds`."""
        return f"{short_number(self.most)} {self.unit}"


def choose_within(family: DepthFamily, budget: Budget) -> Choice:
    """The deepest variant that costs no more than a budget. Raises SpecError if none does."""
    for choice in _deepest_first(family, _rungs_within(family, budget)):
        if budget.of(family.cost(choice.repeats)) <= budget.most:
            return choice
    raise SpecError([_over(family, budget)])


def _rungs_within(family: DepthFamily, budget: Budget) -> range:
    """The rungs of the ladder, by blocks, that cost no more than a budget."""
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


def _over(family: DepthFamily, budget: Budget) -> Diagnostic:
    least = family.choice(family.rule.least)
    assert least
    figure = short_number(budget.of(family.cost(least.repeats)))
    message = f"`{family.network.name}` is over {budget} at any depth"
    note = Note(f"with {least.depth} layers ({least}), the fewest, it has {figure}")
    return Diagnostic("over-budget", message, None, (note,))


_GATED = "mul"  # the op whose first operand is the value, and whose others are gates


def depth(root: Instance) -> int:
    """Layers on the way from a network's input to the deepest of its outputs."""
    ends = _Depths().walk(root, dict.fromkeys(root.inputs, 0))
    return max(ends[name] for name in root.outputs)


class _Depths:
    """The depths of the blocks of one network; each distinct one is walked once."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int | None, ...]] = {}

    def walk(self, instance: Instance, start: Mapping[str, int]) -> dict[str, int]:
        """The depth of each value of an instance that follows from some of its inputs."""
        values = dict(start)
        for index in instance.schedule:
            placed = instance.nodes[index]
            found = self.behind(placed, [values.get(name) for name in placed.inputs])
            if found is not None:
                is_stem = "stem" in (placed.group, placed.key)
                values[placed.key] = min(found, 1) if is_stem else found
        return values

    def behind(self, placed: InstanceNode, sources: Sequence[int | None]) -> int | None:
        """The depth of a node's result, from those of its inputs; None where none of them has one."""
        if placed.op:
            ways = sources[:1] if placed.op.name == _GATED else sources
            return _longest(ways, placed.op.definition.is_weighted)
        if isinstance(placed.callee, PassThrough) or placed.block_node.target == SHORTCUT:
            return sources[0]
        for run in placed.runs:
            sources = (self.repeated(run, sources), *sources[1:])
        return sources[0]

    def repeated(self, run: RepeatedBlock, sources: Sequence[int | None]) -> int | None:
        """The depth behind equal blocks in a row, all of which read the same further inputs."""
        through = self.through(run.instance)
        first = _longest([_sum(*pair) for pair in zip(sources, through, strict=True)])
        return first if through[0] is None else _sum(first, through[0] * (run.count - 1))

    def through(self, instance: Instance) -> tuple[int | None, ...]:
        """The layers from each input of a block to its output; None where no way leads there."""
        if id(instance) not in self.known:
            ends = [self.walk(instance, {name: 0}) for name in instance.inputs]
            self.known[id(instance)] = tuple(end.get(instance.outputs[0]) for end in ends)
        return self.known[id(instance)]


def _longest(ways: Sequence[int | None], layers: int = 0) -> int | None:
    """The longest of some ways, and some layers more; None where there is no way."""
    return max((way + layers for way in ways if way is not None), default=None)


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


_BESIDE = (*library.DESCRIPTIVE_KEYS, "class", "input", "head", "init")


def published_repeats(document: Document, network: Network) -> dict[str, Mapping[str, int]]:
    """The repeats of all stages of each library network with the blocks of a spec, by its name."""
    if not _means_the_same_in_the_library(document, network):
        return {}
    wanted, found = _trunk(document.tree), dict[str, Mapping[str, int]]()
    for name, other in library_documents().items():
        numbers = stage_repeats(other.tree)
        whole = numbers and numbers.keys() == entries(other.tree, "stages").keys()
        if whole and _trunk(other.tree) == wanted:
            found[name] = numbers
    return found


def _means_the_same_in_the_library(document: Document, network: Network) -> bool:
    """Whether no block is one of the person's own files."""
    try:
        alone = elaborate(Document(document.tree, (library.LIBRARY,), document.sources))
    except SpecError:
        return False
    return alone.digest == network.digest


def _trunk(tree: MapTree) -> list[tuple[str, str]]:
    """What a network says of its stem, stages and blocks, without the repeats."""
    bare = without(tree, "stages", *_BESIDE).entries
    stages = {
        f"stages.{key}": _without_repeats(each) for key, each in entries(tree, "stages").items()
    }
    parts = [*sorted(bare.items()), *stages.items()]  # stages have an order, keys have none
    return [(key, library.canonical_text(each)) for key, each in parts]


def _without_repeats(stage: Tree) -> Tree:
    return without(stage, "blocks") if isinstance(stage, MapTree) else stage
