"""overwritable(instance) -> the activations that may overwrite their input: only where that is safe.

    conv1, bn1, act1, conv2    ->  act1: nothing else reads the result of bn1
    act1, conv1, ..., add      ->  none: the shortcut reads the input of act1, too

An in-place ReLU on a value that something else reads, or that its producer saves for the backward
pass, silently trains with wrong gradients (a pre-activation block is the classic case).
"""

from __future__ import annotations

from collections import Counter

from resnetgen.compiler.ir.nodes import Instance, InstanceNode


def overwritable(instance: Instance) -> frozenset[str]:
    """The keys of the ops of an instance that may work in place.

    The value must have one reader and must not be an input or output of the block; its producer must
    neither save it nor return a view of another value. A module that several nodes share works in
    place only if each of them may.
    """
    by_key = {node.key: node for node in instance.nodes}
    candidates = [node for node in instance.nodes if _can_overwrite(node)]
    readers = Counter(name for node in instance.nodes for name in node.inputs)
    safe = {
        node.key
        for node in candidates
        if readers[node.inputs[0]] == 1 and _is_safe(node.inputs[0], instance, by_key)
    }
    unsafe_paths = {path for node in candidates if node.key not in safe for path in node.paths}
    return frozenset(key for key in safe if not unsafe_paths & set(by_key[key].paths))


def _can_overwrite(node: InstanceNode) -> bool:
    return node.op is not None and node.op.definition.inplace


def _is_safe(source: str, instance: Instance, by_key: dict[str, InstanceNode]) -> bool:
    if source in instance.outputs or source not in by_key:
        return False
    return _makes_fresh(by_key[source])


def _makes_fresh(producer: InstanceNode) -> bool:
    """Whether a node's result is new memory, which its backward pass does not read."""
    if producer.op:
        definition = producer.op.definition
        return not ("result" in definition.saved_for_backward or definition.aliases_input)
    if not producer.runs:
        return False
    instance = producer.runs[-1].instance
    last = [node for node in instance.nodes if node.key == instance.outputs[0]]
    return bool(last) and _makes_fresh(last[0])
