"""channel_maps(pairing) -> {value: ChannelMap}: which channel each channel of the larger copies.

    conv1 64 -> 128     0 1 ... 63 0 1 ... 63      free: it makes its channels
    bn1, relu, add      as their inputs, so everything that is added has one map
    concat, zero pad    follows from the maps of their inputs

A free map is chosen so that the groups of all ops that read or make the channels are copied whole.
Raises `cannot-grow` where copies are impossible: where an op reads neighbouring channels, or where
groups would mix.

    spread(4, 8, Grouping(1, 1))  ->  0 1 2 3 0 1 2 3
    spread(4, 8, Grouping(2, 2))  ->  0 1 0 1 2 3 2 3     still two groups, each twice as wide
    spread(4, 8, Grouping(2, 4))  ->  0 1 2 3 0 1 2 3     the groups are copied whole

Wider networks by copies are Net2WiderNet (Chen et al. 2015, arXiv 1511.05641).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle

from resnetgen.compiler.ir.nodes import Node
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.compiler.passes.infer_types import INPUT
from resnetgen.weights.grow.pair import NodePair, Pairing, cannot_grow

# For each channel of the larger network, the channel of the smaller one that it is a copy of.
ChannelMap = tuple[int, ...]


def channel_maps(pairing: Pairing) -> dict[str, ChannelMap]:
    """The map of every value of the smaller network. Raises SpecError `cannot-grow`."""
    classes = _channel_classes(pairing)
    rearranging = [pair for pair in pairing.pairs if _rearranges(pair, classes.types)]
    derived = {classes.of[pair.small.name] for pair in rearranging}
    maps = {each: _free_map(classes, each) for each in {*classes.of.values()} - derived}
    # The result of a concat has more channels than each of its inputs, which so come before it.
    for pair in sorted(rearranging, key=lambda pair: _type(pair.small).channels):
        channels = _derived_map(pair, classes, maps)
        if maps.setdefault(classes.of[pair.small.name], channels) != channels:
            reason = f"the channels of `{pair.large.name}` would need two different orders"
            raise cannot_grow(pairing.graphs, reason, pair.large)
    of_values = {value: maps[each] for value, each in classes.of.items()}
    _check(pairing, classes.types, of_values)
    return of_values


# --- which values share a map


@dataclass(frozen=True, slots=True)
class _Types:
    """The types of a value in both networks."""

    small: TensorType
    large: TensorType

    @property
    def widths(self) -> tuple[int, int]:
        """Its channels in both."""
        return self.small.channels, self.large.channels


@dataclass(frozen=True, slots=True)
class _ChannelClasses:
    """Classes of values whose channels correspond one to one, each named by one of its values."""

    types: Mapping[str, _Types]
    of: Mapping[str, str]  # value -> its class
    groupings: Mapping[
        str, list[Grouping]
    ]  # class -> those of the ops that read or make its values


def _channel_classes(pairing: Pairing) -> _ChannelClasses:
    from networkx.utils import UnionFind

    types = _types(pairing)
    classes = UnionFind(types)
    for pair in pairing.pairs:
        if OPS[pair.small.op].makes_channels or _rearranges(pair, types):
            continue
        for name in pair.inputs:
            if types[name].widths == types[pair.small.name].widths:
                classes.union(pair.small.name, name)
            elif types[name].widths != (1, 1):  # a gate for all channels
                reason = f"`{name}` and `{pair.small.name}` would not widen alike"
                raise cannot_grow(pairing.graphs, reason, pair.large)
    of = {value: classes[value] for value in types}
    groupings: dict[str, list[Grouping]] = defaultdict(list)
    for pair in pairing.pairs:
        grouping = _grouping(pair)
        if grouping:
            for value in (pair.inputs[0], pair.small.name):
                groupings[of[value]].append(grouping)
    return _ChannelClasses(types, of, groupings)


def _types(pairing: Pairing) -> dict[str, _Types]:
    """All values. Raises SpecError `cannot-grow` where one would have fewer channels."""
    types = {INPUT: _Types(pairing.graphs.small.input, pairing.graphs.large.input)}
    for pair in pairing.pairs:
        own = types[pair.small.name] = _Types(_type(pair.small), _type(pair.large))
        before, after = own.widths
        if after < before:
            reason = f"`{pair.large.name}` would have {after} channels instead of {before}"
            raise cannot_grow(pairing.graphs, reason, pair.large)
    return types


def _type(node: Node) -> TensorType:
    assert node.type is not None
    return node.type


def _rearranges(pair: NodePair, types: Mapping[str, _Types]) -> bool:
    """Whether the channels of the result are not one to one those of the first input."""
    widths = types[pair.small.name].widths
    return bool(OPS[pair.small.op].channel_origins) and types[pair.inputs[0]].widths != widths


# --- groups


@dataclass(frozen=True, slots=True)
class Grouping:
    """Into how many groups an op divides channels, in the smaller and in the larger network.

    `evenly`: it sums over a group, so each channel of the group needs as many copies.
    """

    before: int
    after: int
    evenly: bool = False


def _grouping(pair: NodePair) -> Grouping | None:
    """How a node divides the channels of its input; None where each channel is on its own."""
    definition = OPS[pair.small.op]
    if not definition.makes_channels and "groups" not in definition.attributes:
        return None
    before, after = (node.attributes.get("groups", 1) for node in (pair.small, pair.large))
    return Grouping(before, after, evenly=not definition.makes_channels)


def copied_groups(channels: ChannelMap, before: int, grouping: Grouping) -> tuple[int, ...] | None:
    """Which group each group of the larger network copies; None unless all are whole copies.

    `before` is the number of channels in the smaller network. A whole copy has a copy of each
    channel of the group, and of no other.
    """
    narrow, wide = before // grouping.before, len(channels) // grouping.after
    groups = []
    for start in range(0, len(channels), wide):
        copies = Counter(channels[start : start + wide])
        group = min(copies) // narrow
        whole = copies.keys() == {*range(group * narrow, (group + 1) * narrow)}
        if not whole or (grouping.evenly and len({*copies.values()}) > 1):
            return None
        groups.append(group)
    return tuple(groups)


# --- maps


def spread(before: int, after: int, grouping: Grouping) -> ChannelMap:
    """Copies groups in turn, and within each group its channels in turn."""
    narrow, wide = before // grouping.before, after // grouping.after
    return tuple(
        group % grouping.before * narrow + channel % narrow
        for group in range(grouping.after)
        for channel in range(wide)
    )


def is_identity(channels: ChannelMap) -> bool:
    """Whether every channel is a copy of itself alone."""
    return channels == tuple(range(len(channels)))


def _free_map(classes: _ChannelClasses, value: str) -> ChannelMap:
    """The first map that copies the groups of all ops whole; if none does, the plain one."""
    before, after = classes.types[value].widths
    groupings = [*dict.fromkeys(classes.groupings.get(value, ()))]
    maps = [spread(before, after, each) for each in (Grouping(1, 1), *groupings)]
    whole = (each for each in maps if all(copied_groups(each, before, one) for one in groupings))
    return next(whole, maps[0])


def _derived_map(
    pair: NodePair, classes: _ChannelClasses, known: Mapping[str, ChannelMap]
) -> ChannelMap:
    """The map of a result from those of its inputs; its zero channels copy zero channels, in turn."""
    rule = OPS[pair.small.op].channel_origins
    assert rule is not None
    types = [classes.types[name] for name in pair.inputs]
    maps = [known[classes.of[name]] for name in pair.inputs]
    before = rule(pair.small.attributes, [each.small for each in types])
    after = rule(pair.large.attributes, [each.large for each in types])
    places = {origin: place for place, origin in enumerate(before)}
    zeros = cycle(place for place, origin in enumerate(before) if origin is None)
    return tuple(
        places[each._replace(channel=maps[each.operand][each.channel])] if each else next(zeros)
        for each in after
    )


# --- checks


def _check(pairing: Pairing, types: Mapping[str, _Types], maps: Mapping[str, ChannelMap]) -> None:
    for pair in pairing.pairs:
        reason = _obstacle(pair, types, maps)
        if reason:
            raise cannot_grow(pairing.graphs, reason, pair.large)
    small = pairing.graphs.small
    for name in (INPUT, *small.outputs, *small.train_outputs):
        if not is_identity(maps[name]):
            before, after = types[name].widths
            what = "the input" if name == INPUT else "an output"
            reason = (
                f"`{name}` is {what} and has to keep its {before} channels; it would have {after}"
            )
            raise cannot_grow(pairing.graphs, reason)


def _obstacle(
    pair: NodePair, types: Mapping[str, _Types], maps: Mapping[str, ChannelMap]
) -> str | None:
    """Why a node of the larger network could not compute copies."""
    source, name = pair.inputs[0], pair.large.name
    if OPS[pair.small.op].reads_adjacent_channels and not is_identity(maps[source]):
        return f"`{name}` reads neighbouring channels together, and copies are not neighbours"
    grouping = _grouping(pair)
    if not grouping:
        return None
    groups = [
        copied_groups(maps[value], types[value].small.channels, grouping)
        for value in (source, pair.small.name)
    ]
    if groups[0] and groups[0] == groups[1]:
        return None
    before, after = types[source].widths
    narrow = f"{grouping.before} groups of {before // grouping.before} channels"
    wide = f"{grouping.after} of {after // grouping.after}"
    return f"copies do not fill whole groups of `{name}`: it has {narrow}, and would have {wide}"
