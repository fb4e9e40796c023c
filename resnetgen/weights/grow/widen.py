"""channel_maps(pairing) -> {value: ChannelMap}: what each channel of the larger network copies.

    conv1 64 -> 128     0 1 ... 63 0 1 ... 63      free: it makes its channels
    bn1, relu, add      as what they read, which so is one map with all that they are added to
    concat, zero pad    follow from the maps of what they read

A map is free where convolutions make the channels; the groups of those that read or make them
decide how. What cannot be copied ends it: neighbours that are read together, groups that would mix.

ChannelMap: of which channel of the smaller network each channel of the larger one is a copy.

spread(4, 8, Grouping(1, 1))  ->  0 1 2 3 0 1 2 3
spread(4, 8, Grouping(2, 2))  ->  0 1 0 1 2 3 2 3     the two groups stay apart, each twice as wide
spread(4, 8, Grouping(2, 4))  ->  0 1 2 3 0 1 2 3     the groups are copied whole
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
from resnetgen.weights.grow.pair import Pair, Pairing, cannot_grow


def channel_maps(pairing: Pairing) -> dict[str, ChannelMap]:
    """The map of every value of the smaller network. Raises SpecError `cannot-grow`."""
    kin = _channel_classes(pairing)
    moving = [pair for pair in pairing.pairs if _moves(pair, kin.types)]
    moved = {kin.of[pair.small.name] for pair in moving}
    found = {own: _chosen(kin, own) for own in {*kin.of.values()} - moved}
    # A result has more channels than each value that it is put together from: theirs come first.
    for pair in sorted(moving, key=lambda pair: _of(pair.small).channels):
        channels = _moved(pair, kin, found)
        if found.setdefault(kin.of[pair.small.name], channels) != channels:
            reason = f"the channels of `{pair.large.name}` would have to stand in two orders"
            raise cannot_grow(pairing.ends, reason, pair.large)
    maps = {value: found[own] for value, own in kin.of.items()}
    _check(pairing, kin.types, maps)
    return maps


# --- which values have one map


@dataclass(frozen=True, slots=True)
class _Types:
    """A value in either network."""

    small: TensorType
    large: TensorType

    @property
    def widths(self) -> tuple[int, int]:
        """Its channels in either."""
        return self.small.channels, self.large.channels


@dataclass(frozen=True, slots=True)
class _Kin:
    """Values whose channels correspond one to one, each known by one of them."""

    types: Mapping[str, _Types]
    of: Mapping[str, str]  # value -> the one that stands for all of its kin
    groupings: Mapping[str, list[Grouping]]  # by that one: of the ops that read or make them


def _channel_classes(pairing: Pairing) -> _Kin:
    from networkx.utils import UnionFind

    types = _types(pairing)
    kin = UnionFind(types)
    for pair in pairing.pairs:
        if OPS[pair.small.op].makes_channels or _moves(pair, types):
            continue
        for name in pair.inputs:
            if types[name].widths == types[pair.small.name].widths:
                kin.union(pair.small.name, name)
            elif types[name].widths != (1, 1):  # a gate for all channels
                reason = f"`{name}` and `{pair.small.name}` would not widen alike"
                raise cannot_grow(pairing.ends, reason, pair.large)
    of = {value: kin[value] for value in types}
    groupings: dict[str, list[Grouping]] = defaultdict(list)
    for pair in pairing.pairs:
        grouping = _grouping(pair)
        if grouping:
            for value in (pair.inputs[0], pair.small.name):
                groupings[of[value]].append(grouping)
    return _Kin(types, of, groupings)


def _types(pairing: Pairing) -> dict[str, _Types]:
    """All values. Raises SpecError `cannot-grow` where one would have fewer channels."""
    types = {INPUT: _Types(pairing.ends.small.input, pairing.ends.large.input)}
    for pair in pairing.pairs:
        own = types[pair.small.name] = _Types(_of(pair.small), _of(pair.large))
        before, after = own.widths
        if after < before:
            reason = f"`{pair.large.name}` has {before} channels, and would have only {after}"
            raise cannot_grow(pairing.ends, reason, pair.large)
    return types


def _of(node: Node) -> TensorType:
    assert node.type is not None
    return node.type


def _moves(pair: Pair, types: Mapping[str, _Types]) -> bool:
    """Whether channels of the result stand elsewhere; as many as before are those of before."""
    widths = types[pair.small.name].widths
    return bool(OPS[pair.small.op].moves) and types[pair.inputs[0]].widths != widths


def _grouping(pair: Pair) -> Grouping | None:
    """How a node divides what it reads; None where each channel is on its own."""
    definition = OPS[pair.small.op]
    if not definition.makes_channels and "groups" not in definition.attributes:
        return None
    before, after = (node.attributes.get("groups", 1) for node in (pair.small, pair.large))
    return Grouping(before, after, evenly=not definition.makes_channels)


# --- their maps


def _chosen(kin: _Kin, own: str) -> ChannelMap:
    """The first map that copies the groups of all ops whole; if none does, the plain one."""
    before, after = kin.types[own].widths
    groupings = [*dict.fromkeys(kin.groupings.get(own, ()))]
    maps = [spread(before, after, each) for each in (Grouping(1, 1), *groupings)]
    whole = (each for each in maps if all(copied_groups(each, before, one) for one in groupings))
    return next(whole, maps[0])


def _moved(pair: Pair, kin: _Kin, found: Mapping[str, ChannelMap]) -> ChannelMap:
    """What comes from a copy is a copy; zero channels are copies of zero channels, in turn."""
    rule = OPS[pair.small.op].moves
    assert rule is not None
    types = [kin.types[name] for name in pair.inputs]
    maps = [found[kin.of[name]] for name in pair.inputs]
    before = rule(pair.small.attributes, [each.small for each in types])
    after = rule(pair.large.attributes, [each.large for each in types])
    places = {origin: place for place, origin in enumerate(before)}
    zeros = cycle(place for place, origin in enumerate(before) if origin is None)
    return tuple(
        places[each._replace(channel=maps[each.operand][each.channel])] if each else next(zeros)
        for each in after
    )


# --- what has to hold


def _check(pairing: Pairing, types: Mapping[str, _Types], maps: Mapping[str, ChannelMap]) -> None:
    for pair in pairing.pairs:
        reason = _fault(pair, types, maps)
        if reason:
            raise cannot_grow(pairing.ends, reason, pair.large)
    for name in (INPUT, *pairing.ends.small.outputs, *pairing.ends.small.train_outputs):
        if not is_identity(maps[name]):
            before, after = types[name].widths
            where = "goes in" if name == INPUT else "is returned"
            reason = f"`{name}` {where}, so that its {before} channels stay; they would be {after}"
            raise cannot_grow(pairing.ends, reason)


def _fault(pair: Pair, types: Mapping[str, _Types], maps: Mapping[str, ChannelMap]) -> str | None:
    """Why a node of the larger network could not compute copies."""
    source, name = pair.inputs[0], pair.large.name
    if OPS[pair.small.op].orders_channels and not is_identity(maps[source]):
        return f"`{name}` reads channels that stand side by side, and copies stand elsewhere"
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
    sizes = f"{grouping.before} of {before // grouping.before}"
    wanted = f"{grouping.after} of {after // grouping.after}"
    return (
        f"no copies fill whole groups of `{name}`: it has {sizes} channels, and would have {wanted}"
    )


ChannelMap = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Into how many groups an op divides channels, in the smaller and in the larger network.

    `evenly`: it sums over a group, so that each of its channels needs as many copies.
    """

    before: int
    after: int
    evenly: bool = False


def spread(before: int, after: int, grouping: Grouping) -> ChannelMap:
    """Groups are copied in turn, and the channels of each in turn."""
    narrow, wide = before // grouping.before, after // grouping.after
    return tuple(
        group % grouping.before * narrow + channel % narrow
        for group in range(grouping.after)
        for channel in range(wide)
    )


def copied_groups(channels: ChannelMap, before: int, grouping: Grouping) -> tuple[int, ...] | None:
    """The group that each group of the larger network is a whole copy of; None where one is none.

    `before` is the number of channels in the smaller network. Whole: each channel of the group, and
    none of another, has a copy.
    """
    narrow, wide = before // grouping.before, len(channels) // grouping.after
    found = []
    for start in range(0, len(channels), wide):
        copies = Counter(channels[start : start + wide])
        group = min(copies) // narrow
        whole = copies.keys() == {*range(group * narrow, (group + 1) * narrow)}
        if not whole or (grouping.evenly and len({*copies.values()}) > 1):
            return None
        found.append(group)
    return tuple(found)


def is_identity(channels: ChannelMap) -> bool:
    """Whether every channel stays what and where it was."""
    return channels == tuple(range(len(channels)))
