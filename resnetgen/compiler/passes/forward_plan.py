"""ForwardPlan: the straight-line `forward` of a folded graph, as it is printed, saved and executed.

    step                           variable     deleted after it
    up = conv_transpose(x)         up
    concat = concat(up, skip)      x            skip

A variable is used again once its value has been read for the last time, which frees the old value. A
value is deleted where it would raise the peak until its variable is reassigned. `peak_memory` is what
is alive then; a batch of which too much would be alive is halved.

Non-goals: the names of variables and modules, which `codegen/inference.py` chooses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from resnetgen.compiler.ir.schedule import last_reads
from resnetgen.compiler.ir.shape_rules import DTYPE_BYTES, TensorType
from resnetgen.compiler.passes.fold import FoldedGraph, FusedStep
from resnetgen.compiler.passes.infer_types import INPUT

TILE = 2**26  # bytes alive at once, and twice those of the largest value, above which it is halved


@dataclass(frozen=True, eq=False)
class ForwardPlan:
    """The steps, and the names of what they read and write."""

    folded: FoldedGraph
    variables: Mapping[str, str]  # of each value, that of the input included
    deleted: Mapping[str, Sequence[str]]  # the variables to delete after a step
    modules: Mapping[str, str]  # the attribute of the module of a step, if it has one
    output_names: tuple[str, ...] = ()  # the keys of the result, if it is a dict

    @property
    def module_steps(self) -> dict[str, FusedStep]:
        """The step of each module with weights, by its attribute."""
        steps = (step for step in self.folded.steps if step.definition.has_weights)
        return {self.modules[step.name]: step for step in steps}

    @cached_property
    def elements_alive(self) -> int | None:
        """How many elements of an image decide whether a batch is halved; None: it never is.

        On a CPU the C library keeps the memory of the smaller values. Memory that it maps again for
        each call costs more in page faults than a second call does (docs/performance.md).
        """
        if self.output_names or len(self.folded.outputs) > 1:
            return None
        narrow = "bfloat16"  # in which the indices of a pooling are largest beside its values
        peak = peak_memory(self.folded, self.variables, dtype=narrow)
        return max(2 * largest_value(self.folded), peak // DTYPE_BYTES[narrow])


def peak_memory(
    folded: FoldedGraph, variables: Mapping[str, str], batch: int = 1, dtype: str = "float32"
) -> int:
    """The most bytes of values alive at once in a call of the folded module, the input included.

    For a batch that is not split. `variables`: the variable of each value; `dtype` is one of
    `DTYPE_BYTES`.
    """
    lifetimes = _Lifetimes(folded, variables)
    return lifetimes.peak(lifetimes.planned, batch, DTYPE_BYTES[dtype])


def deletions(folded: FoldedGraph, variables: Mapping[str, str]) -> dict[str, list[str]]:
    """The variables to delete after each step, by its name, so that `peak_memory` is the peak.

    Python keeps a value until its variable is reassigned; a value may stay idle for one step more
    without `del`. Of those that stay longer, the largest are deleted, and only where too much would
    be alive, in float32 or in bfloat16.
    """
    lifetimes = _Lifetimes(folded, variables)
    until = dict(lifetimes.reassigned)
    deleted: dict[str, list[str]] = {}
    for element_bytes in (DTYPE_BYTES["float32"], DTYPE_BYTES["bfloat16"]):
        peak = lifetimes.peak(lifetimes.planned, 1, element_bytes)
        for name in lifetimes.shorten(until, peak, element_bytes):
            deleted.setdefault(folded.steps[until[name]].name, []).append(variables[name])
    return deleted


def largest_value(folded: FoldedGraph) -> int:
    """The elements of the largest value of an image."""
    return max((step.type.elements for step in folded.steps), default=folded.input.elements)


ADD_IN_PLACE_AXES = 2  # spatial axes of a convolution that oneDNN adds to a value in place

Until = Mapping[str, int]  # the last step during which each value is alive


@dataclass(frozen=True, eq=False)
class _Lifetimes:
    """From which step to which each value of a folded network is alive, and in which memory."""

    folded: FoldedGraph
    variables: Mapping[str, str]

    @cached_property
    def types(self) -> Mapping[str, TensorType]:
        return {INPUT: self.folded.input} | {step.name: step.type for step in self.folded.steps}

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """The value whose memory each is in: itself, or what it overwrites or is a view of."""
        owners = {INPUT: INPUT}
        for step in self.folded.steps:
            adds_in_place = step.addend is None or len(step.type.size) == ADD_IN_PLACE_AXES
            reuses = step.definition.aliases_input or (step.overwrites and adds_in_place)
            owners[step.name] = owners[step.overwritten] if reuses else step.name
        return owners

    @cached_property
    def needed(self) -> Until:
        """The last reader; the caller keeps the input, and receives the outputs."""
        steps = self.folded.steps
        until = {step.name: at for at, step in enumerate(steps)}
        until |= last_reads([step.reads for step in steps])
        return until | dict.fromkeys((INPUT, *self.folded.outputs), len(steps))

    @cached_property
    def reassigned(self) -> Until:
        """The step that reassigns the variable of each value."""
        until, current = dict[str, int](), dict[str, str]()
        for at, step in enumerate(self.folded.steps):
            variable = self.variables[step.name]
            if variable in current:
                until[current[variable]] = at
            current[variable] = step.name
        return dict.fromkeys(self.types, len(self.folded.steps)) | until

    @cached_property
    def planned(self) -> Until:
        """The last reader, or the step after it if that reassigns the variable."""
        return {
            name: at + 1 if self.reassigned[name] == at + 1 else at
            for name, at in self.needed.items()
        }

    @cached_property
    def aliases(self) -> Mapping[str, Sequence[str]]:
        """The values in each memory."""
        aliases: dict[str, list[str]] = {}
        for name, owner in self.owners.items():
            aliases.setdefault(owner, []).append(name)
        return aliases

    def freed(self, until: Until) -> list[int]:
        """The elements of the memories that are free after each step."""
        freed = [0] * (len(self.folded.steps) + 2)
        for owner, names in self.aliases.items():
            freed[max(until[name] for name in names)] += self.types[owner].elements
        return freed

    def peak(self, until: Until, batch: int, element_bytes: int) -> int:
        """The most bytes alive at once: each memory once, and the extra memory of the step."""
        freed, alive, most = self.freed(until), self.folded.input.elements, 0
        for at, step in enumerate(self.folded.steps):
            if self.owners[step.name] == step.name:
                alive += step.type.elements
            extra = self.extra_memory(step, batch, element_bytes)
            most = max(most, batch * element_bytes * alive + extra)
            alive -= freed[at]
        return most

    def shorten(self, until: dict[str, int], peak: int, element_bytes: int) -> Iterator[str]:
        """The largest values alive longer than planned, until no step is beyond the peak.

        Changes their `until`, before it goes on: to less, so that no earlier step is beyond it.
        """
        freed, alive = self.freed(until), self.folded.input.elements
        for at, step in enumerate(self.folded.steps):
            if self.owners[step.name] == step.name:
                alive += step.type.elements
            extra = self.extra_memory(step, 1, element_bytes)
            while element_bytes * alive + extra > peak:
                name = self.largest_idle(until, at)
                names, size = (
                    self.aliases[self.owners[name]],
                    self.types[self.owners[name]].elements,
                )
                freed[max(until[each] for each in names)] -= size
                until[name] = self.planned[name]
                last = max(until[each] for each in names)
                freed[last] += size
                alive -= size if last < at else 0
                yield name
            alive -= freed[at]

    def extra_memory(self, step: FusedStep, batch: int, element_bytes: int) -> int:
        """Bytes that a step needs besides its result."""
        if step.definition.inference_module is not None:  # it computes nothing else
            return 0
        types = [self.types[name] for name in step.inputs]
        extra = step.definition.extra_memory(step.node.attributes, types, step.type)
        return extra.size(batch, element_bytes)

    def largest_idle(self, until: Until, at: int) -> str:
        """The largest value that is alive at a step, and not as planned."""
        made = islice(self.types, at + 2)  # the input, and what the steps so far made
        names = [name for name in made if until[name] >= at]
        needed = {self.owners[name] for name in names if self.planned[name] >= at}
        idle = [name for name in names if self.owners[name] not in needed]
        return max(idle, key=lambda name: self.types[self.owners[name]].elements)
