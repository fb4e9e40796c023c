"""candidates_of(outcome, trials) -> what a person is told of each candidate.

    resnet50_v1    head.classes: 10; beside resnet50:
                   stride 2, not 1: conv1 in layer2.0, layer3.0, layer4.0; ...

A candidate is called after the network that it extends, and the parts that it has from others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from resnetgen.weights.infer.apart import apart
from resnetgen.weights.infer.design import DELETED, Design, Path, Trials
from resnetgen.weights.infer.reasons import reasons
from resnetgen.weights.infer.search import Outcome


@dataclass(frozen=True, slots=True)
class Reason:
    """A change, and what of the file shows it."""

    path: Path
    value: str
    shown_by: str

    @property
    def setting(self) -> str:
        """`stages.layer3.blocks: 11`, `without stages.layer4`."""
        path = ".".join(self.path)
        return f"without {path}" if self.value == DELETED else f"{path}: {self.value}"


@dataclass(frozen=True)
class Candidate:
    """A network that the tensors of a file may belong to."""

    name: str
    design: Design
    reasons: tuple[Reason, ...]
    beside: str | None  # the candidate before that is most alike, None for the first
    apart: tuple[str, ...]  # what tells this one from it

    @property
    def changes(self) -> str:
        """What it sets over the network that it extends."""
        return ", ".join(reason.setting for reason in self.reasons) or "unchanged"


def candidates_of(outcome: Outcome, trials: Trials) -> tuple[Candidate, ...]:
    """The candidates under names of their own, each with what tells it from one before."""
    graphs = [trials.graph(design) for design in outcome.candidates]
    names = _distinct(map(_name, outcome.candidates))
    found = []
    for at, design in enumerate(outcome.candidates):
        told = {name: apart(graphs[k], graphs[at]) for k, name in enumerate(names[:at])}
        beside = min(told, key=lambda name: len("".join(told[name])), default=None)
        why = tuple(Reason(*each) for each in reasons(design, trials))
        found.append(
            Candidate(names[at], design, why, beside, tuple(told[beside] if beside else ()))
        )
    return tuple(found)


def _name(design: Design) -> str:
    """`resnet34_c+bottleneck+eca`: the base, and what its other parts call."""
    parts = (design.changes[path] for path in design.parts)
    called = (re.search(r"op: (\w+)", part) or re.search(r"(\w+)", part) for part in parts)
    return "+".join([design.base, *(found[1] for found in called if found)])


def _distinct(names: Iterable[str]) -> list[str]:
    """Names that are given twice get a number: `resnet50+zero_pad`, `resnet50+zero_pad-2`."""
    found: list[str] = []
    for name in names:
        same = sum(each == name or each.rpartition("-")[0] == name for each in found)
        found.append(f"{name}-{same + 1}" if same else name)
    return found
