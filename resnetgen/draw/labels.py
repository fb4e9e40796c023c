"""What a drawing says of ops and shapes: labels that several equal blocks can share.

    ("conv 3×3, ", (64, 64), ", /2")   reads   conv 3×3, 64, /2
    ("conv 3×3, ", (64, 256), ", /2")  reads   conv 3×3, 64–256, /2

A label is made of words and ranges of numbers. Blocks in a row that differ in these numbers alone
are drawn as one; what changes the structure (a kernel, a stride, groups) is in the words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnetgen.graph.ir import OpCall
from resnetgen.graph.measure import Step
from resnetgen.graph.ops import OPS
from resnetgen.graph.rules import TensorType
from resnetgen.report.columns import summary
from resnetgen.report.text import is_default, shown_attributes

Range = tuple[float, float]  # from, to
Label = tuple[str | Range, ...]

# How an attribute is written behind the name of its op, in this order; the others are in the tip.
_WORDS: Mapping[str, str] = {
    "kernel": " {}",
    "size": " to {}",
    "scale": " ×{}",
    "stride": ", /{}",
    "groups": ", {} groups",
    "dilation": ", dilation {}",
}
_NUMBERS: Mapping[str, tuple[str, str]] = {
    "rate": (" ", ""),
    "out": (", ", ""),
    "front": (", ", " before"),
    "back": (", ", " after"),
}
_ORDER = ("kernel", "size", "scale", "rate", "out", "front", "back", "stride", "groups", "dilation")


def read(label: Label) -> str:
    """The label as text."""
    return "".join(part if isinstance(part, str) else _range(part) for part in label)


def _range(part: Range) -> str:
    low, high = (f"{end:.0f}" if float(end).is_integer() else f"{end:.2g}" for end in part)
    return low if low == high else f"{low}–{high}"


def words(label: Label) -> tuple[str | None, ...]:
    """What does not vary: labels with equal words can be merged."""
    return tuple(part if isinstance(part, str) else None for part in label)


def merged(one: Label, other: Label) -> Label:
    """The label of both, which have equal words."""
    return tuple(
        a if isinstance(a, str) or isinstance(b, str) else (min(a[0], b[0]), max(a[1], b[1]))
        for a, b in zip(one, other, strict=True)
    )


def shape_label(type: TensorType) -> Label:
    """`64 × 56 × 56`; the channels may vary."""
    size = "".join(f" × {axis}" for axis in type.size)
    return ((type.channels, type.channels), size)


def op_label(step: Step) -> Label:
    """`conv 3×3, 64, /2`: the op and the attributes that are not what they would be anyway."""
    call = step.placed.what
    assert isinstance(call, OpCall)
    definition, axes = OPS[call.op], len(step.source.size)
    parts: list[str | Range] = [definition.short or call.op.replace("_", " ")]
    for key in _ORDER:
        if key not in call.attributes or is_default(key, definition.attributes[key], call):
            continue
        value = call.attributes[key]
        if key in _NUMBERS:
            before, after = _NUMBERS[key]
            parts += [before, (value, value), after]
        else:
            kind = definition.attributes[key].kind
            parts.append(_WORDS[key].format(_extent(value, axes if kind == "axes" else 1, key)))
    return tuple(parts)


def _extent(value: Any, axes: int, key: str) -> str:
    """`3×3` for a kernel, `2` for a stride that is the same along every axis."""
    if isinstance(value, tuple):
        alike = len(set(value)) == 1 and key not in ("kernel", "size")
        return str(value[0]) if alike else "×".join(map(str, value))
    return "×".join([str(value)] * axes) if key in ("kernel", "size") else str(value)


def op_tip(path: str, step: Step) -> str:
    """All that is known of an op, for the pointer that rests on it."""
    call = step.placed.what
    assert isinstance(call, OpCall)
    said = ", ".join([call.op, *shown_attributes(call)])
    sources = ", ".join(str(each) for each in step.sources if each)
    lines = [path, said, f"{sources} -> {step.result}"]
    return "\n".join(lines + ([summary(step.cost)] if step.cost.params else []))
