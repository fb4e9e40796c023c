"""Repeats: how often the stages of a network repeat their blocks, and how deep that makes it.

    family_of(compiled)    ->  a Family
    of_depth(family, 101)  ->  Choice(3-4-23-3, as published in resnet101)
    of_depth(family, 77)   ->  Choice(3-4-15-3, by the rule)

What one more block of a stage adds to the depth is measured: the network is compiled with it. So is
what a choice costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from resnetgen.compiler import Compiled
from resnetgen.graph.instantiate import instantiate
from resnetgen.graph.ir import BlockNode, Network
from resnetgen.graph.measure import Cost, measure
from resnetgen.language.diagnostics import Diagnostic, Note, SpecError
from resnetgen.language.expressions import Const
from resnetgen.variants.repeats_depth import depth
from resnetgen.variants.repeats_published import published
from resnetgen.variants.repeats_rule import Repeats, Rule


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
class Family:
    """A network and all that differ from it by repeats alone."""

    base: Compiled
    stages: tuple[str, ...]  # those whose blocks count in the depth
    rule: Rule
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
        return measure(network, instantiate(network)).cost


def with_repeats(network: Network, repeats: Mapping[str, int]) -> Network:
    """The network with other numbers at `blocks:` of some stages."""

    def repeated(node: BlockNode) -> BlockNode:
        if not node.stage or node.key not in repeats or node.repeat is None:
            return node
        return replace(node, repeat=replace(node.repeat, expr=Const(repeats[node.key])))

    root = replace(network.root, nodes=tuple(map(repeated, network.root.nodes)))
    return replace(network, root=root)


def repeats_of(network: Network) -> dict[str, int]:
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


def family_of(base: Compiled) -> Family:
    """The variants of a network. Raises SpecError where its repeats cannot be changed."""
    own, total = repeats_of(base.network), depth(base.root)
    layers = {stage: _depth_with(base.network, {stage: own[stage] + 1}) - total for stage in own}
    stages = tuple(stage for stage in own if layers[stage])
    if not stages:
        message = f"no stage of `{base.network.name}` is on the longest way through it"
        raise SpecError([Diagnostic("fixed-repeats", message, base.network.span)])

    def of_stages(numbers: Mapping[str, int]) -> Repeats:
        return tuple(numbers[stage] for stage in stages)

    added, repeats = of_stages(layers), of_stages(own)
    outside = total - Rule(repeats, added, 0).depth(repeats)
    rule, known = Rule(repeats, added, outside), {total: Choice(repeats, total)}
    for name, numbers in published(base.document, base.network).items():
        found = of_stages(numbers)
        known.setdefault(rule.depth(found), Choice(found, rule.depth(found), name))
    return Family(base, stages, rule, known)


def _depth_with(network: Network, repeats: Mapping[str, int]) -> int:
    return depth(instantiate(with_repeats(network, repeats)))


def of_depth(family: Family, wanted: int) -> Choice:
    """The repeats that give a depth. Raises SpecError where none do, with the nearest that do."""
    found = family.choice(wanted)
    if found is None:
        raise SpecError([_unreachable(family, wanted)])
    return found


def neighbours(family: Family, depth: int) -> tuple[Choice | None, Choice | None]:
    """The next shallower and the next deeper variant."""
    below, above = family.rule.below(depth), family.rule.above(depth)
    return family.choice(below) if below else None, family.choice(above)


def _unreachable(family: Family, wanted: int) -> Diagnostic:
    near = [f"{each.depth} ({each})" for each in neighbours(family, wanted) if each]
    message = f"no repeats of the stages of `{family.network.name}` make {wanted} layers"
    is_or_are = "is" if len(near) == 1 else "are"
    help = f"the nearest {is_or_are} {' and '.join(near)}"
    return Diagnostic("unreachable-depth", message, None, (Note(_form(family)),), help)


def _form(family: Family) -> str:
    """The depths that can be reached: `its depth is 3n + 2, where n is ...`."""
    rule = family.rule
    if len(set(rule.layers)) == 1:
        times = f"{rule.layers[0]}n" if rule.layers[0] > 1 else "n"
        least = f"n is the number of all blocks, at least {len(rule.base)}"
        return f"its depth is {times} + {rule.rest}, where {least}"
    pairs = zip(family.stages, rule.layers, strict=True)
    each = ", ".join(f"{layers} in `{stage}`" for stage, layers in pairs)
    return f"its depth is {rule.rest} and what each block adds: {each}; each stage keeps a block"
