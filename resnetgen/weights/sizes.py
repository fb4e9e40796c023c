"""sizes(faults, channels, classes): what to set so that tensors of other shapes fit.

fc.weight: 1000 x 512, in the file 10 x 512    ->  {"head.classes": 10}
"""

from __future__ import annotations

from collections.abc import Mapping

from resnetgen.weights.fit import Reshaped


def sizes(
    faults: Mapping[str, Reshaped], channels: int, classes: int | None
) -> dict[str, int] | None:
    """Settings under which a network has the shapes of the file.

    `channels` is that of the network's input; `classes` is what `head.classes` says, None where it
    cannot be set. None where other classes or other input channels do not explain every difference.
    """
    found = _others(faults, axis=0)
    inputs = {key: size for key, size in _others(faults, axis=1).items() if key not in found}
    if found.keys() | inputs.keys() != faults.keys():
        return None
    if any(faults[key].wanted[1] != channels for key in inputs):
        return None
    counts = {faults[key].wanted[0] for key in found}
    is_head = len(counts) <= 1 and (classes is None or counts <= {classes})
    if not is_head or max(len({*found.values()}), len({*inputs.values()})) > 1:
        return None
    of_head = [("head.classes", size) for size in found.values() if classes]
    return dict([*of_head, *(("input.channels", size) for size in inputs.values())])


def _others(faults: Mapping[str, Reshaped], axis: int) -> dict[str, int]:
    """Sizes in the file along an axis, of the tensors that differ along this one alone."""
    found = {}
    for key, fault in faults.items():
        wanted, held = list(fault.wanted), list(fault.held)
        if len(wanted) == len(held) > axis and wanted[axis] != held[axis]:
            wanted[axis] = held[axis]
            if wanted == held:
                found[key] = held[axis]
    return found
