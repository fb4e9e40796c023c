"""What a network's body as a whole decides about its nodes.

    conv1 of layer2 is read by a norm alone   ->   its bias, which was left open, costs nothing

Nodes of the body are placed one at a time; how each stands to the others is its wiring. From the
wirings of all follow, by the compiler's own rules, which convolutions have a bias, what only
training computes, and whether the body is sound.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from resnetgen.compiler.ir.nodes import InstanceNode, Network, OpCall, PassThrough
from resnetgen.compiler.ir.schedule import needed_for
from resnetgen.compiler.passes.module_paths import numbered_paths
from resnetgen.compiler.passes.stages import with_bias
from resnetgen.reports.sweep.node_cost import Evaluated, body_of, has_conflict
from resnetgen.reports.sweep.state import BodyNode


@dataclass(frozen=True, slots=True, eq=False)
class Connections:
    """How what is placed for a node stands to other nodes; one serves all outcomes that are alike."""

    placed: tuple[InstanceNode, ...]
    sources: tuple[str | None, ...]  # of the names that the node gives


@dataclass(frozen=True, slots=True, eq=False)
class NetworkBody:
    """What the body as a whole decides."""

    number: int
    sound: bool
    biased: frozenset[str]  # convolutions whose bias no norm makes needless
    held: frozenset[str]  # what only training computes


def wiring(found: Evaluated) -> Connections:
    """The wiring of what was found out about a node."""
    return Connections(found.placed, tuple(reading.source for reading in found.readings))


def alike(site: BodyNode, given: Connections) -> Hashable:
    """What wirings of a node have in common that may stand for one another."""
    return site.at, given.sources, tuple(_joint(placed, site.alone) for placed in given.placed)


def decide(
    network: Network, sites: Sequence[BodyNode], wirings: Sequence[Connections], number: int
) -> NetworkBody:
    """What a body of these wirings decides; there is one for each site."""
    pairs = list(zip(sites, wirings, strict=True))
    sources: dict[str, str | None] = {name: name for name in network.root.inputs}
    for site, wired in pairs:
        sources |= zip(site.gives, wired.sources, strict=True)
    pairs.sort(key=lambda pair: pair[0].at)
    placed = [each for _, wired in pairs for each in wired.placed]
    undecided = {each.key for each in placed if _is_open(each)}
    biased = {each.key for each in with_bias(placed) if each.key in undecided and _has_bias(each)}
    outputs = [sources[each.key] for each in network.outputs]
    given = [*outputs, *(sources[each.key] for each in network.train_outputs)]
    inputs = {each.key: each.inputs for each in placed}
    kept = needed_for([each for each in outputs if each], inputs)
    held = inputs.keys() - kept if network.train_outputs else ()
    sound = None not in given and _holds(network, placed, given)
    return NetworkBody(number, sound, frozenset(biased), frozenset(held))


def _holds(network: Network, placed: Sequence[InstanceNode], outputs: Sequence[str | None]) -> bool:
    """Whether every node is read and has a path of its own, as `Walk.check` asks."""
    read = {name for each in placed for name in each.inputs} | set(outputs)
    return (
        all(each.key in read for each in placed)
        and not _shares_a_number(placed)
        and not has_conflict(body_of(network.root, placed))
    )


def _is_open(placed: InstanceNode) -> bool:
    """Whether a convolution's bias depends on its readers."""
    call = placed.callee
    return isinstance(call, OpCall) and call.attributes.get("bias", True) is None


def _has_bias(placed: InstanceNode) -> bool:
    return placed.op is not None and bool(placed.op.attributes["bias"])


def _joint(placed: InstanceNode, alone: bool) -> Hashable:
    """All of a placed node that matters to other nodes of the body."""
    what = placed.callee
    is_norm = isinstance(what, OpCall) and what.definition.is_norm
    passes = isinstance(what, PassThrough)
    joint = (placed.key, placed.inputs, passes, is_norm, _is_open(placed))
    return joint if alone else (joint, placed.paths, _module(placed))


def _module(placed: InstanceNode) -> Hashable:
    """What decides whether a module may share its path; numbered ones never do."""
    what = placed.callee
    if "*" in placed.paths[0]:
        return None
    if isinstance(what, OpCall):
        return what.name, tuple(what.attributes.items())
    # The wiring keeps the instances alive, so that their `id` names them.
    return tuple(id(run.instance) for run in placed.runs) if placed.runs else None


def _shares_a_number(placed: Sequence[InstanceNode]) -> bool:
    """Whether a number that `*` has chosen is also written out: the compiler judges those."""
    owners: dict[str, bool] = {}
    for each, paths in zip(placed, numbered_paths(placed), strict=True):
        for written, path in zip(each.paths, paths, strict=True):
            starred = "*" in written
            if path in owners and (starred or owners[path]):
                return True
            owners[path] = starred
    return False
