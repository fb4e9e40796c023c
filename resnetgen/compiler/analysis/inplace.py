"""Which activations may overwrite their input: only where that is proved safe.

An in-place ReLU on a value that somebody else reads, or whose producer needs it for the backward
pass, trains silently with wrong gradients (a pre-activation block is the classic case).
"""

from __future__ import annotations

from collections import Counter

from resnetgen.compiler.ir.nodes import Instance, InstanceNode


def overwritable(instance: Instance) -> frozenset[str]:
    """The keys of the ops of an instance that may work in place.

    The value read must have one reader, must not be the block's own input or output, and its
    producer must neither save it nor hand on memory that is not its own. A module that several
    nodes share works in place only if each of them may.
    """
    by_key = {placed.key: placed for placed in instance.nodes}
    able = [placed for placed in instance.nodes if _can_overwrite(placed)]
    readers = Counter(name for placed in instance.nodes for name in placed.inputs)
    safe = {
        placed.key
        for placed in able
        if readers[placed.inputs[0]] == 1 and _is_safe(placed.inputs[0], instance, by_key)
    }
    unsafe_paths = {path for placed in able if placed.key not in safe for path in placed.paths}
    return frozenset(key for key in safe if not unsafe_paths & set(by_key[key].paths))


def _can_overwrite(placed: InstanceNode) -> bool:
    return placed.op is not None and placed.op.definition.inplace


def _is_safe(source: str, instance: Instance, by_key: dict[str, InstanceNode]) -> bool:
    if source in instance.outputs or source not in by_key:
        return False
    return _makes_fresh(by_key[source])


def _makes_fresh(producer: InstanceNode) -> bool:
    """Whether a node's result is memory of its own, which its backward pass does not read."""
    if producer.op:
        definition = producer.op.definition
        return not ("result" in definition.saved_for_backward or definition.aliases_input)
    if not producer.runs:
        return False
    instance = producer.runs[-1].instance
    last = [placed for placed in instance.nodes if placed.key == instance.outputs[0]]
    return bool(last) and _makes_fresh(last[0])
