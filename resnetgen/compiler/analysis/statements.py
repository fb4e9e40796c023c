"""calls(measured, is_network) -> the statements of a printed `forward`, and how long each value lives.

    x = self.conv1(x)                  `x` lives until the next `x`
    shortcut = self.downsample(x)      a value with a name of its own, until `forward` returns
    x = self.features(x)               a container that is a chain is one `nn.Sequential`

What a call reads lives until it returns. These are the printer's rules, told of the IR: `codegen/`
makes the text by them. Where a container becomes a class of its own, its statements are taken as
those of the class around it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from resnetgen.compiler.ir.nodes import SHORTCUT
from resnetgen.compiler.ir.op_def import TorchFunction
from resnetgen.compiler.ir.schedule import last_reads, reads_among, stable_order
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode
from resnetgen.compiler.passes.module_paths import numbered_paths

LONGEST_INLINE = 24  # characters of an expression that stands inside the call that reads it


@dataclass(frozen=True, slots=True, eq=False)
class ForwardStatement:
    """A statement: the steps that it runs one after the other."""

    members: tuple[int, ...]  # indices into `steps`
    inputs: tuple[str, ...]
    value: str
    until: (
        int  # the statement after which Python lets go of the value; one past the last: at return
    )


def calls(measured: TypedInstance, is_network: bool) -> list[ForwardStatement]:
    """The statements of a body that run in evaluation, in order of execution."""
    order = execution_order(measured, is_network)
    readers = Counter(measured.instance.outputs)
    for index in order:
        readers.update(measured.nodes[index].node.inputs)
    groups = _statements(measured, order, readers)
    steps = [(measured.nodes[group[0]], measured.nodes[group[-1]]) for group in groups]
    values = [last.node.key for _, last in steps]
    named = _named(measured, steps)
    inlined = {
        value
        for value, (step, _), (following, _) in zip(values, steps, steps[1:], strict=False)
        if readers[value] == 1 and _is_short(step) and _takes(following, step)
    }
    run = [at for at, (step, _) in enumerate(steps) if not step.training]
    found: list[ForwardStatement] = []
    for here, at in enumerate(run):
        later = range(here + 1, len(run))
        again = (i for i in later if values[run[i]] not in named | inlined)
        until = here + 1 if values[at] in inlined else next(again, len(run))
        until = len(run) if values[at] in named else until
        found.append(
            ForwardStatement(tuple(groups[at]), steps[at][0].node.inputs, values[at], until)
        )
    return found


def live_outputs(measured: TypedInstance) -> list[str]:
    """The outputs of a body in evaluation."""
    skipped = {step.node.key for step in measured.nodes if step.training}
    return [name for name in measured.instance.outputs if name not in skipped]


def execution_order(measured: TypedInstance, is_network: bool) -> list[int]:
    """The indices of the steps: as scheduled, but what only training needs at once.

    So is the shortcut of a block, whose module is handed in.
    """
    placed = measured.instance.nodes
    reads = reads_among((each.key for each in placed), (each.inputs for each in placed))
    ranks = [2 * index for index in range(len(placed))]
    for index, each in enumerate(placed):
        is_shortcut = each.block_node.target == SHORTCUT and not (is_network or each.scope)
        if is_shortcut or measured.nodes[index].training:
            ranks[index] = max((ranks[read] + 1 for read in reads[index]), default=-1)
    order = stable_order(reads, ranks)
    assert order is not None, "a body has no cycle"
    return order


def planned(measured: TypedInstance, is_network: bool) -> list[ForwardStatement]:
    """The same steps one by one, each value let go of after its last reader."""
    every = execution_order(measured, is_network)
    order = [index for index in every if not measured.nodes[index].training]
    until = {measured.nodes[index].node.key: at for at, index in enumerate(order)}
    until |= last_reads([measured.nodes[index].node.inputs for index in order])
    until |= dict.fromkeys(live_outputs(measured), len(order))
    placed = [measured.nodes[index].node for index in order]
    return [
        ForwardStatement((index,), each.inputs, each.key, until[each.key])
        for index, each in zip(order, placed, strict=True)
    ]


def _named(measured: TypedInstance, steps: Sequence[tuple[TypedNode, TypedNode]]) -> set[str]:
    """The values with names of their own."""
    inputs, outputs = list(measured.instance.inputs), live_outputs(measured)
    last = last_reads([first.node.inputs for first, _ in steps])
    named = set(outputs if len(outputs) > 1 else ())
    for first, final in steps:
        named |= set(first.node.inputs if _names_operands(first) else ())
        named |= {final.node.key} if final.training else set()
    last |= dict.fromkeys(measured.instance.outputs, len(steps))
    births = [inputs[0], *(final.node.key for _, final in steps)]
    return long_lived(births, last, named - set(inputs))


def long_lived(births: Sequence[str], last: Mapping[str, int], named: set[str]) -> set[str]:
    """The values that cannot be called `x`: another `x` would overwrite them before they are read.

    From the last to the first: a value may be `x` if all that are born before its last reader have
    names. `births` are the input and the value of each statement, `last` the statement that reads a
    value last, `named` the values that have names for other reasons.
    """
    named = set(named)
    for born in range(len(births) - 1, -1, -1):
        between = births[born + 1 : last.get(births[born], born - 1) + 1]
        if any(name not in named for name in between):
            named.add(births[born])
    return named


# --- expressions


def _function(step: TypedNode) -> TorchFunction | None:
    form = step.node.op.definition.torch if step.node.op else None
    return form if isinstance(form, TorchFunction) else None


def _names_operands(step: TypedNode) -> bool:
    form = _function(step)
    return form is not None and form.names_operands


def _is_short(step: TypedNode) -> bool:
    """Whether the expression of a step may stand inside the call that reads it."""
    form = _function(step)
    if form is None or not step.node.op:
        return False
    texts = {name: str(value) for name, value in step.node.op.attributes.items()}
    return len(form.write(step.node.inputs, texts, len(step.source.size))) <= LONGEST_INLINE


def _takes(step: TypedNode, before: TypedNode) -> bool:
    """Whether a step is the plain call of a module on the value of the one before."""
    alone = step.node.inputs == (before.node.key,) and step.training == before.training
    return alone and _is_module(step)


def _is_module(step: TypedNode) -> bool:
    if not step.node.op:
        return True
    definition = step.node.op.definition
    if isinstance(definition.torch, TorchFunction):
        return definition.container_module is not None and "." in step.node.paths[0]
    return definition.torch.call is None


# --- containers


def _statements(
    measured: TypedInstance, order: Sequence[int], readers: Mapping[str, int]
) -> list[list[int]]:
    """The steps in order, those of an `nn.Sequential` together."""
    paths = [own[0].split(".") for own in numbered_paths(measured.instance.nodes)]
    starts = {chain[0]: chain for chain in _chains(measured, order, readers, paths, 1)}
    inside = {index for chain in starts.values() for index in chain[1:]}
    return [starts.get(index, [index]) for index in order if index not in inside]


def _chains(
    measured: TypedInstance,
    order: Sequence[int],
    readers: Mapping[str, int],
    paths: Sequence[Sequence[str]],
    depth: int,
) -> Iterator[list[int]]:
    """The longest chains that fill a numbered container; `depth` components of a path name it."""
    containers: dict[tuple[str, ...], list[int]] = {}
    for index in order:
        step = measured.nodes[index]
        if len(paths[index]) > depth and (_is_module(step) or not _function(step)):
            containers.setdefault(tuple(paths[index][:depth]), []).append(index)
    for members in containers.values():
        numbered = all(paths[index][depth].isdigit() for index in members)
        if numbered and _is_chain([measured.nodes[i] for i in members], readers):
            yield members
        else:
            yield from _chains(measured, members, readers, paths, depth + 1)


def _is_chain(steps: Sequence[TypedNode], readers: Mapping[str, int]) -> bool:
    for before, step in pairwise(steps):
        value = before.node.key
        if (
            step.node.inputs != (value,)
            or readers[value] != 1
            or step.training != before.training
        ):
            return False
    return all(_is_module(step) and len(step.node.inputs) == 1 for step in steps)
