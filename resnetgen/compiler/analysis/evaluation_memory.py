"""What is alive while the printed module runs in evaluation, block by block, on sizes alone.

    Bottleneck  ->  trace (conv1, 25.7 MB), (bn1, 51.4 MB), ..., (bn3, 308.3 MB), result 102.8 MB

A body is run once for each way to call it, and its caller adds what lives around the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnetgen.compiler.analysis.inplace import overwritable
from resnetgen.compiler.analysis.name_ranges import name_range
from resnetgen.compiler.analysis.statements import planned_statements, statements_of
from resnetgen.compiler.ir.schedule import last_reads
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode
from resnetgen.compiler.passes.module_paths import numbered_paths, shared_paths

# --- what a body runs


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """An op, a block, or equal blocks in a row of which each is like the last."""

    name: str
    what: TypedNode | TypedInstance
    inplace: bool = False
    count: int = 1


def links_of(measured: TypedInstance) -> list[list[Link]]:
    """What each step of a body runs, one after the other; none where it passes its input on."""
    paths = numbered_paths(measured.instance.nodes)
    shared, inplace = shared_paths(paths), overwritable(measured.instance)
    found: list[list[Link]] = []
    for step, own in zip(measured.nodes, paths, strict=True):
        key = step.node.key
        names = [key if path in shared else path for path in own]
        if step.node.op:
            found.append([Link(names[0], step, key in inplace)])
            continue
        links, at = list[Link](), 0
        for block, times in step.blocks:
            links.append(Link(names[at], block))
            if times > 1:
                rest = name_range(names[at + 1], names[at + times - 1])
                links.append(Link(rest, block, count=times - 1))
            at += times
        found.append(links)
    return found


class Storage:
    """Memory that values share; of size 0 where a caller holds and counts it."""

    def __init__(self, size: int) -> None:
        self.size = size


NOTHING = Storage(0)  # an input that is `none`


# --- evaluation


@dataclass(frozen=True, slots=True, eq=False)
class CallMemory:
    """A call as its caller sees it, in bytes beyond what lives there already.

    `trace` is what is alive while each node runs. The result is new memory of `size`, or that of
    the input `alias`.
    """

    trace: tuple[tuple[str, int], ...] = ()
    size: int = 0
    alias: int | None = None


# The sizes of the inputs that a call may free; None for one that lives on.
Dying = tuple[int | None, ...]


class EvaluationMemory:
    """Runs bodies in evaluation mode, on sizes; each is run once for each way to call it.

    Values live as Python holds them or, where `planned`, until their last reader.
    """

    def __init__(
        self, network: TypedInstance, batch: int, width: int, planned: bool = False
    ) -> None:
        self.network = network
        self.batch = batch
        self.width = width
        self.planned = planned
        self.known: dict[tuple[int, Dying], CallMemory] = {}

    def run(self) -> CallMemory:
        """One call of the network; its caller holds the input."""
        return self.body(self.network, (None,))

    def body(self, measured: TypedInstance, dying: Dying) -> CallMemory:
        """One call of a block, or of the network."""
        key = (id(measured), dying)
        if key not in self.known:
            self.known[key] = self.fresh(measured, dying)
        return self.known[key]

    def fresh(self, measured: TypedInstance, dying: Dying) -> CallMemory:
        """Runs the statements of a body, one after the other."""
        inputs = [Storage(size or 0) for size in dying]
        entry = sum(storage.size for storage in inputs)
        values = dict(zip(measured.instance.inputs, inputs, strict=True))
        statements = (planned_statements if self.planned else statements_of)(
            measured, measured is self.network
        )
        until = last_reads([call.inputs for call in statements]) if self.planned else {}
        until |= {call.value: call.until for call in statements}
        bound = {name: storage for name, storage in values.items() if name in until}
        links, trace = links_of(measured), list[tuple[str, int]]()
        for at, call in enumerate(statements):
            base = sum(storage.size for storage in set(bound.values())) - entry
            kept = {storage for name, storage in bound.items() if until[name] > at}
            sources = [values.get(name, NOTHING) for name in call.inputs]
            run = [link for index in call.members for link in links[index]]
            frame = self.chain(run, sources, kept)
            trace += [(name, base + live) for name, live in frame.trace]
            fresh = Storage(frame.size)
            bound[call.value] = fresh if frame.alias is None else sources[frame.alias]
            values[call.value] = bound[call.value]
            bound = {name: storage for name, storage in bound.items() if until[name] > at}
        result = values[measured.instance.outputs[0]]
        alias = inputs.index(result) if result in inputs else None
        return CallMemory(tuple(trace), result.size, alias)

    def chain(
        self, links: Sequence[Link], sources: Sequence[Storage], kept: set[Storage]
    ) -> CallMemory:
        """Calls one after the other, each on the result of the one before.

        They share the other inputs. What is not `kept` may go with its reader where `planned`.
        """
        here, more = sources[0], sources[1:]
        free = set(sources) - kept if self.planned else set[Storage]()
        free -= set(more) if len(links) > 1 or here in more else set()
        base, trace = 0, list[tuple[str, int]]()
        for link in links:
            last = free if self.planned else set[Storage]()
            dying = tuple(each.size if each in last else None for each in (here, *more))
            frame = self.call(link, dying)
            trace += [(f"{link.name}{name}", base + live) for name, live in frame.trace]
            if frame.alias == 0:
                continue
            base -= here.size if here in free else 0
            here = Storage(frame.size) if frame.alias is None else sources[frame.alias]
            if frame.alias is None:
                free.add(here)
                base += here.size
        return CallMemory(tuple(trace), here.size, sources.index(here) if here in sources else None)

    def call(self, link: Link, dying: Dying) -> CallMemory:
        """One block, or one op."""
        if isinstance(link.what, TypedInstance):
            frame = self.body(link.what, dying)
            trace = tuple((f".{name}", live) for name, live in frame.trace)
            return CallMemory(trace, frame.size, frame.alias)
        step = link.what
        assert step.node.op
        definition = step.node.op.definition
        if definition.aliases_input:
            return CallMemory(alias=0)
        extra = extra_of(step, self.batch, self.width)
        size = 0 if link.inplace else self.batch * step.result.elements * self.width
        return CallMemory((("", size + extra),), size, 0 if link.inplace else None)


def extra_of(step: TypedNode, batch: int, width: int) -> int:
    """Bytes of what an op computes beside its result."""
    assert step.node.op
    types = [source for source in step.sources if source]
    extra = step.node.op.definition.extra_memory(step.node.op.attributes, types, step.result)
    return extra.size(batch, width)
