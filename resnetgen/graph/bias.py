"""The default bias of convolutions: false exactly where every reader is a norm."""

from __future__ import annotations

from dataclasses import replace

from resnetgen.graph.ir import OpCall, Passes, Placed, Slot
from resnetgen.graph.ops import OPS


def with_bias(placed: list[Placed]) -> list[Placed]:
    """A convolution's bias is false exactly where every reader is a norm."""
    readers: dict[str, list[Placed]] = {each.key: [] for each in placed}
    for each in placed:
        for name in each.inputs:
            if name in readers:
                readers[name].append(each)

    def norms(key: str) -> bool:
        found = readers[key]
        return bool(found) and all(
            norms(each.key) if isinstance(each.what, Passes) else _is_norm(each) for each in found
        )

    for index, each in enumerate(placed):
        if isinstance(each.what, OpCall) and each.what.attributes.get("bias", True) is None:
            attributes = {**each.what.attributes, "bias": not norms(each.key)}
            call = OpCall(each.what.op, attributes)
            placed[index] = replace(each, what=call)
    return placed


def _is_norm(placed: Placed) -> bool:
    if isinstance(placed.what, OpCall):
        return OPS[placed.what.op].is_norm
    return placed.node.target == Slot("norm")
