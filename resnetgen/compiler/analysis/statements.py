"""The rules of a printed `forward`: which steps share a statement, in what order, under which names.

    x = self.conv1(x)                  `x` lives until the next `x`
    shortcut = self.downsample(x)      a value with a name of its own, until `forward` returns
    x = self.features(x)               a container that is a chain is one `nn.Sequential`
    x = self.relu(x + shortcut)        a short expression is written inside the call that reads it

There is one set of rules for two readers: `codegen/` prints statements by them, and memory analysis
derives from them how long Python keeps each value (`statements_of`), without printing anything.

Non-goal: containers that are printed as classes of their own. Memory analysis treats their statements
as those of the class around them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, TypeVar

from resnetgen.compiler.ir.nodes import SHORTCUT
from resnetgen.compiler.ir.op_def import TorchFunction
from resnetgen.compiler.ir.schedule import last_reads, reads_among, stable_order
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode
from resnetgen.compiler.passes.module_paths import Container, containers, numbered_paths

LONGEST_INLINE = 24  # characters of an expression inside the call that reads it


class Step(Protocol):
    """A step of `forward`, which reads values by key and computes one."""

    result_key: str
    inputs: tuple[str, ...]
    module_path: str | None  # of its module; None for an expression
    training: bool  # it runs in training only
    is_shortcut: bool
    names_operands: bool  # a concatenation, whose operands have names for the reader's sake

    @property
    def is_plain_call(self) -> bool:
        """Whether it is the plain call of a module: `self.conv1(x)`."""


S = TypeVar("S", bound=Step)

# --- order


def in_execution_order(steps: Sequence[S]) -> list[S]:
    """The steps as declared, but what only training runs as soon as it can."""
    reads = reads_among((step.result_key for step in steps), (step.inputs for step in steps))
    ranks = [2 * index for index in range(len(steps))]
    for index, step in enumerate(steps):
        if step.training:
            ranks[index] = max((ranks[read] + 1 for read in reads[index]), default=-1)
    order = stable_order(reads, ranks)
    assert order is not None, "a body has no cycle, and a container is entered once"
    return [steps[index] for index in order]


def count_readers(steps: Sequence[Step], outputs: Sequence[str]) -> Counter[str]:
    """How often each value is read, by steps and by the caller."""
    return Counter([*outputs, *(name for step in steps for name in step.inputs)])


# --- containers


def module_tree(steps: Sequence[S]) -> Container[S]:
    """The modules of some steps."""
    return containers((step.module_path, step) for step in steps if step.module_path)


def is_chain(members: Sequence[Step], readers: Mapping[str, int]) -> bool:
    """Whether each member reads just the one before it, which nothing else reads."""
    for before, step in pairwise(members):
        if step.inputs != (before.result_key,) or readers[before.result_key] != 1:
            return False
    plain = all(step.is_plain_call and len(step.inputs) == 1 for step in members)
    return plain and len({step.training for step in members}) == 1


def is_sequential(container: Container[S], order: Sequence[S], readers: Mapping[str, int]) -> bool:
    """Whether a container is an `nn.Sequential`: a chain that runs in its own order.

    Members have numbers, or names, and may be containers in turn. `order` is that of execution.
    """
    if container.is_leaf or container.is_mixed or not container.each_has_one_owner:
        return False
    members = list(container.leaves())
    inside = {id(step) for step in members}
    executed = [step for step in order if id(step) in inside]
    return executed == members and is_chain(members, readers)


def _sequentials(
    container: Container[S], order: Sequence[S], readers: Mapping[str, int]
) -> Iterator[list[S]]:
    """The members of each `nn.Sequential` in a tree of modules."""
    for child in container.children.values():
        if is_sequential(child, order, readers):
            yield list(child.leaves())
        else:
            yield from _sequentials(child, order, readers)


# --- names


def named_values(
    steps: Sequence[Step], inputs: Sequence[str], outputs: Sequence[str], named: Sequence[str] = ()
) -> set[str]:
    """The values with names of their own; the others are all called `x`.

    A value needs a name where another `x` would overwrite it before it is read; operands of a
    concatenation, shortcuts, values of training and those in `named` have one for the reader's sake.
    """
    with_names = {name for step in steps if step.names_operands for name in step.inputs}
    with_names |= {step.result_key for step in steps if step.training or step.is_shortcut} | set(
        named
    )
    with_names -= set(inputs)
    last = last_reads([step.inputs for step in steps]) | dict.fromkeys(outputs, len(steps))
    made = [*inputs[:1], *(step.result_key for step in steps)]
    # From the last to the first: a value may be `x` if all that are made before its last reader
    # have names.
    for at in range(len(made) - 1, -1, -1):
        between = made[at + 1 : last.get(made[at], at - 1) + 1]
        if any(name not in with_names for name in between):
            with_names.add(made[at])
    return with_names


def is_inlined(step: Step, following: Step, readers: Mapping[str, int], length: int) -> bool:
    """Whether an expression of a length belongs inside the call that reads it next."""
    if following.inputs != (step.result_key,) or readers[step.result_key] != 1:
        return False
    can_contain_it = following.is_plain_call and step.training == following.training
    return can_contain_it and step.module_path is None and length <= LONGEST_INLINE


# --- the statements of a typed instance


@dataclass(frozen=True, slots=True, eq=False)
class ForwardStatement:
    """A statement, and how long Python keeps its value."""

    members: tuple[int, ...]  # the nodes that it runs one after the other, as indices
    inputs: tuple[str, ...]
    result_key: str
    until: int  # the statement after which the value is freed; one past the last: at return


@dataclass(slots=True, eq=False)
class _NodeStep:
    """A node of a typed instance as a step; a chain of them has several members."""

    members: tuple[int, ...]
    result_key: str
    inputs: tuple[str, ...]
    module_path: str | None
    training: bool
    is_shortcut: bool
    names_operands: bool
    is_plain_call: bool
    length: int  # of its expression, in characters


def statements_of(typed: TypedInstance, is_network: bool) -> list[ForwardStatement]:
    """The statements of a body that run in evaluation, in order of execution.

    The inputs of a statement live until it returns.
    """
    steps = execution_order(typed, is_network)
    readers = count_readers(steps, typed.instance.outputs)
    chains = {id(chain[0]): chain for chain in _sequentials(module_tree(steps), steps, readers)}
    inside = {id(step) for chain in chains.values() for step in chain[1:]}
    steps = [_joined(chains.get(id(step), [step])) for step in steps if id(step) not in inside]
    outputs = live_outputs(typed)
    named = named_values(
        steps, list(typed.instance.inputs), typed.instance.outputs, outputs if outputs[1:] else ()
    )
    inlined = {
        step.result_key
        for step, following in pairwise(steps)
        if is_inlined(step, following, readers, step.length)
    }
    run = [step for step in steps if not step.training]
    statements: list[ForwardStatement] = []
    overwritten = len(run)  # the next statement whose value is called `x`
    for at, step in reversed(list(enumerate(run))):
        until = at + 1 if step.result_key in inlined else overwritten
        until = len(run) if step.result_key in named else until
        overwritten = overwritten if step.result_key in named or step.result_key in inlined else at
        reads = typed.nodes[step.members[0]].node.inputs
        statements.append(ForwardStatement(step.members, reads, step.result_key, until))
    return statements[::-1]


def planned_statements(typed: TypedInstance, is_network: bool) -> list[ForwardStatement]:
    """The nodes one by one, each value freed after its last reader."""
    run = [step for step in execution_order(typed, is_network) if not step.training]
    until = {step.result_key: at for at, step in enumerate(run)}
    reads = [typed.nodes[step.members[0]].node.inputs for step in run]
    until |= last_reads(reads) | dict.fromkeys(live_outputs(typed), len(run))
    return [
        ForwardStatement(step.members, own, step.result_key, until[step.result_key])
        for step, own in zip(run, reads, strict=True)
    ]


def live_outputs(typed: TypedInstance) -> list[str]:
    """The outputs of a body in evaluation."""
    skipped = {each.node.key for each in typed.nodes if each.training}
    return [name for name in typed.instance.outputs if name not in skipped]


def execution_order(typed: TypedInstance, is_network: bool) -> list[_NodeStep]:
    """The nodes of a body as steps, in the order in which they run."""
    paths = numbered_paths(typed.instance.nodes)
    steps = [
        _step(index, each, own[0], is_network)
        for index, (each, own) in enumerate(zip(typed.nodes, paths, strict=True))
    ]
    return in_execution_order(steps)


def _step(index: int, typed: TypedNode, path: str, is_network: bool) -> _NodeStep:
    node = typed.node
    inputs = tuple(name for name in node.inputs if name != "none")
    is_shortcut = node.block_node.target == SHORTCUT and not (is_network or node.scope)
    step = _NodeStep((index,), node.key, inputs, path, typed.training, is_shortcut, False, True, 0)
    if is_shortcut or not node.op:
        return step  # a module: blocks, or a shortcut, which is passed in
    module, form = node.op.definition.module_at(path), node.op.definition.torch
    if module:
        step.is_plain_call = module.call is None
    else:
        assert isinstance(form, TorchFunction)
        texts = {name: str(value) for name, value in node.op.attributes.items()}
        step.length = len(form.write(node.inputs, texts, len(typed.source.size)))
        step.module_path, step.is_plain_call, step.names_operands = None, False, form.names_operands
    return step


def _joined(chain: Sequence[_NodeStep]) -> _NodeStep:
    """A chain as one step."""
    members = tuple(index for step in chain for index in step.members)
    return replace(chain[0], members=members, result_key=chain[-1].result_key)
