"""Which numbers of a network its printed class takes as arguments though they never vary.

`num_classes`, where the head has classes; `in_channels`, where nothing but the input channels of
convolutions depends on the channels of the input.
"""

from __future__ import annotations

from resnetgen.codegen.structure import Structures
from resnetgen.graph.ir import Instance, Network, OpCall, Passes, Placed
from resnetgen.language.expressions import free_names, substitute

IN_CHANNELS = frozenset(["in_channels"])
Kept = dict[int, frozenset[str]]


def kept_names(network: Network, found: Structures) -> Kept:
    """For each class, by identity of its structure, the names that stay arguments."""
    kept: Kept = {}
    root = found.root
    if _takes_any_channels(root.instances[0], found, kept):
        kept[id(root)] = IN_CHANNELS
    else:
        kept = {}
    _keep(root.instances[0], frozenset(network.root.params), found, kept)
    return kept


def _keep(instance: Instance, names: frozenset[str], found: Structures, kept: Kept) -> None:
    """Keeps names of a class, and those of its callees to which they are passed."""
    structure = found.of[id(instance)]
    kept[id(structure)] = kept.get(id(structure), frozenset()) | names
    for placed in instance.placed:
        if not isinstance(placed.what, tuple):
            continue
        passed = frozenset(
            name
            for name, term in placed.node.arguments.items()
            if names.intersection(free_names(substitute(term.expr, placed.scope or {})))
        )
        for run in placed.what if passed else ():
            _keep(run.instance, passed, found, kept)


def _takes_any_channels(instance: Instance, found: Structures, kept: Kept) -> bool:
    block = instance.block
    terms = [
        *(param.default for param in block.params.values()),
        *block.let.values(),
        block.when,
        *(term for node in block.nodes for term in (*node.arguments.values(), node.when)),
    ]
    if any("in_channels" in free_names(term.expr) for term in terms if term):
        return False
    if block.inputs[0] in instance.outputs:
        return False
    readers = [placed for placed in instance.placed if block.inputs[0] in placed.inputs]
    return all(_reads_any_channels(placed, found, kept) for placed in readers)


def _reads_any_channels(placed: Placed, found: Structures, kept: Kept) -> bool:
    if isinstance(placed.what, OpCall):
        return placed.what.op == "convolution" and placed.what.attributes["groups"] == 1
    if isinstance(placed.what, Passes) or len(placed.inputs) > 1:
        return False
    if len(placed.what) > 1 or placed.what[0].count > 1:
        return False
    instance = placed.what[0].instance
    kept[id(found.of[id(instance)])] = IN_CHANNELS
    return _takes_any_channels(instance, found, kept)
