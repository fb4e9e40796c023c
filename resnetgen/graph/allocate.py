"""peak(folded, variables), deletions(folded, variables): what is alive while folded steps run.

    x = torch.cat([up, skip], dim=1)
    del skip                          where it would raise the peak, until another value takes its name

Python holds a value until its variable is bound anew. What stands idle for one call more is let be;
what stands idle longer is deleted where most is alive. Tensors are counted as in `memory.py`, the
input included; a convolution over two axes adds in place, as oneDNN does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from resnetgen.graph.fold import Folded, Step
from resnetgen.graph.measure import INPUT
from resnetgen.graph.order import last_reads
from resnetgen.graph.rules import WIDTHS, TensorType

FUSED_AXES = 2  # of a convolution that oneDNN adds to a value in place


def peak(
    folded: Folded, variables: Mapping[str, str], batch: int = 1, dtype: str = "float32"
) -> int:
    """The most bytes of values alive at once in a call of the folded module, the input included.

    For a batch that is not split. `variables` says what each value is bound to; `dtype` is one of
    WIDTHS.
    """
    values = _Values(folded)
    return values.peak(values.planned(variables), batch, WIDTHS[dtype])


def deletions(folded: Folded, variables: Mapping[str, str]) -> dict[str, list[str]]:
    """The variables to delete after each step, by its name, so that the peak is that of `peak`.

    The largest go first, and only where too much would be alive, in float32 or in bfloat16.
    """
    values = _Values(folded)
    planned, until = values.planned(variables), values.bound(variables)
    found: dict[str, list[str]] = {}
    for width in (WIDTHS["float32"], WIDTHS["bfloat16"]):
        most = values.peak(planned, 1, width)
        while name := values.in_the_way(until, planned, most, width):
            until[name] = planned[name]
            found.setdefault(folded.steps[until[name]].name, []).append(variables[name])
    return found


def largest(folded: Folded) -> int:
    """The elements of the largest value of an image."""
    return max(step.type.elements for step in folded.steps)


Until = Mapping[str, int]  # the step after which each value is let go of


@dataclass(frozen=True, eq=False)
class _Values:
    """The values of a folded network, by name."""

    folded: Folded

    @cached_property
    def types(self) -> Mapping[str, TensorType]:
        return {INPUT: self.folded.input} | {step.name: step.type for step in self.folded.steps}

    @cached_property
    def homes(self) -> Mapping[str, str]:
        """The value whose memory each has: its own, or that of what it overwrites or shows."""
        found = {INPUT: INPUT}
        for step in self.folded.steps:
            adds_aside = step.addend is not None and len(step.type.size) != FUSED_AXES
            takes = step.definition.aliases or (step.overwrites and not adds_aside)
            found[step.name] = found[step.target] if takes else step.name
        return found

    @cached_property
    def last(self) -> Until:
        """The last reader of each value; the caller holds the input, and gets the outputs."""
        steps = self.folded.steps
        found = {step.name: at for at, step in enumerate(steps)}
        found |= last_reads([step.reads for step in steps])
        return found | dict.fromkeys((INPUT, *self.folded.outputs), len(steps))

    def bound(self, variables: Mapping[str, str]) -> dict[str, int]:
        """The step that binds the variable of each value anew."""
        until, holds = dict[str, int](), dict[str, str]()
        for at, step in enumerate(self.folded.steps):
            variable = variables[step.name]
            if variable in holds:
                until[holds[variable]] = at
            holds[variable] = step.name
        return dict.fromkeys(self.types, len(self.folded.steps)) | until

    def planned(self, variables: Mapping[str, str]) -> Until:
        """The last reader, or the step behind it where that binds the variable anew."""
        bound = self.bound(variables)
        return {
            name: bound[name] if bound[name] == at + 1 else at for name, at in self.last.items()
        }

    def alive(self, until: Until) -> Iterator[tuple[int, Step, list[str]]]:
        """The values that are alive while each step runs, its own among them."""
        names = [INPUT]
        for at, step in enumerate(self.folded.steps):
            names.append(step.name)
            yield at, step, names
            names = [name for name in names if until[name] > at]

    def peak(self, until: Until, batch: int, width: int) -> int:
        alive = self.alive(until)
        return max(self.bytes(step, names, batch, width) for _, step, names in alive)

    def bytes(self, step: Step, names: list[str], batch: int, width: int) -> int:
        """Of what is alive while a step runs: each memory once, and what it computes beside its result."""
        homes = {self.homes[name] for name in names}
        held = batch * width * sum(self.types[home].elements for home in homes)
        if step.definition.in_inference is not None:  # a module that computes its result alone
            return held
        types = [self.types[name] for name in step.inputs]
        extra = step.definition.extra(step.node.attributes, types, step.type)
        return held + extra.size(batch, width)

    def in_the_way(self, until: Until, planned: Until, most: int, width: int) -> str | None:
        """The largest value that is alive longer than planned, where more than `most` is alive."""
        for at, step, names in self.alive(until):
            if self.bytes(step, names, 1, width) > most:
                needed = {self.homes[name] for name in names if planned[name] >= at}
                idle = [name for name in names if self.homes[name] not in needed]
                return max(idle, key=lambda name: self.types[self.homes[name]].elements)
        return None
