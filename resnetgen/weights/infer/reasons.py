"""reasons(design, trials) -> what each change was decided from, in terms of the file.

    head.classes: 10          fc.weight is 10 x 512
    stages.layer3.blocks: 11  there are layer3.0 to layer3.10
    stem: deep                there is conv1.0.weight

A change is taken back, and what the network predicts then says where it shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from resnetgen.language.diagnostics import SpecError
from resnetgen.weights.explain import sized
from resnetgen.weights.infer.depth import stage_paths
from resnetgen.weights.infer.design import DELETED, Design, Path, Trials


def reasons(design: Design, trials: Trials) -> Iterator[tuple[Path, str, str]]:
    """Each change: its path, its value and what it was decided from."""
    for path, value in design.changes.items():
        yield path, value, _depth(design, path, value, trials) or _shown(design, path, trials)


def _depth(design: Design, path: Path, value: str, trials: Trials) -> str:
    if path[0] != "stages" or (len(path) > 2 and path[2] != "blocks"):
        return ""
    if value == DELETED:
        return f"there is nothing of {path[1]}"
    paths = stage_paths(trials.body(design)[1], path[1])
    return f"there are {paths[0]} to {paths[-1]}" if paths[1:] else f"there is {paths[0]} alone"


def _shown(design: Design, path: Path, trials: Trials) -> str:
    """The first tensor that is another without the change, or that is there or missing by it."""
    kept = {each: value for each, value in design.changes.items() if each != path}
    with suppress(SpecError):
        held = trials.shapes(trials.cut(design)) or {}
        before = trials.shapes(trials.cut(Design(design.base, kept))) or {}
        for key, shape in held.items():
            if before and key not in before:
                return f"there is {key}"
            if before and before[key] != shape:
                return f"{key} is {sized(shape)}"
        return next((f"there is no {key}" for key in before if key not in held), "")
    return ""
