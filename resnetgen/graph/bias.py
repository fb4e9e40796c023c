"""The default bias of convolutions: false exactly where every reader is a norm."""

from __future__ import annotations

from dataclasses import replace

from resnetgen.graph.ir import OpCall, Passes, Placed, Run, Slot
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
            call = replace(each.what, attributes=attributes)
            placed[index] = replace(each, what=call)
    return placed


def undecided(what: OpCall | tuple[Run, ...] | Passes) -> OpCall | tuple[Run, ...] | Passes:
    """A convolution whose bias was not written, before its readers are known: where it is spliced."""
    if not isinstance(what, OpCall) or "bias" in what.terms:
        return what
    attribute = OPS[what.op].attributes.get("bias")
    if attribute is None or attribute.default is not None:
        return what
    return replace(what, attributes={**what.attributes, "bias": None})


def _is_norm(placed: Placed) -> bool:
    if isinstance(placed.what, OpCall):
        return OPS[placed.what.op].is_norm
    return placed.node.target == Slot("norm")
