"""Which classes are printed: one for each block and set of decisions; sizes do not count.

    14 bottlenecks of 8 sizes  ->  one class Bottleneck, its shortcut handed in as a module

The shortcut is built before its block and handed in (torchvision and timm draw its weights first).
So is the content of any slot whose structure alone would split a class.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnetgen.compiler.frontend.identifiers import camel_case
from resnetgen.compiler.ir.nodes import (
    SHORTCUT,
    Block,
    Instance,
    InstanceNode,
    PassThrough,
    Slot,
)
from resnetgen.compiler.passes.instantiate import instances_below

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ClassGroup:
    """A class to be: its block, the instances that it serves, and the nodes that are handed in."""

    name: str
    block: Block
    instances: tuple[Instance, ...]
    hoisted: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class ClassGroups:
    """All classes of a network, callees first, and the class of each instance."""

    all: tuple[ClassGroup, ...]
    of: Mapping[int, ClassGroup]
    root: ClassGroup


def structures(root: Instance, root_name: str, reserved: Collection[str]) -> ClassGroups:
    """Groups the instances of a network into classes and names them."""
    instances = instances_below(root)
    hoisted = _hoisted(instances[:-1])
    keys: dict[int, Key] = {}
    numbers: dict[Key, int] = {}
    kinds: dict[int, Key] = {}
    for instance in instances:
        key = _decisions(instance, hoisted, kinds)
        keys[id(instance)] = key
        handed = [each for each in instance.nodes if (id(instance.block), each.key) in hoisted]
        number = numbers.setdefault(key, len(numbers))
        kinds[id(instance)] = (number, *(_kind(each, kinds) for each in handed))
    groups: dict[Key, list[Instance]] = {}
    for instance in instances:
        groups.setdefault(keys[id(instance)], []).append(instance)
    uses = _uses(root)
    names = _names(list(groups.values()), uses, {*reserved, root_name}, root, root_name)
    found = {
        key: ClassGroup(names[index], group[0].block, tuple(group), _hoisted_in(group[0], hoisted))
        for index, (key, group) in enumerate(groups.items())
    }
    of = {number: found[key] for number, key in keys.items()}
    return ClassGroups(tuple(found.values()), of, of[id(root)])


def capitalised(root: Instance) -> Iterator[str]:
    """The names of values and nodes that look like classes: no class may be hidden by one."""
    for instance in instances_below(root):
        nodes = (node.key for node in instance.block.nodes)
        yield from (name for name in (*instance.values, *nodes) if name[:1].isupper())


def _hoisted_in(instance: Instance, hoisted: set[tuple[int, str]]) -> frozenset[str]:
    return frozenset(p.key for p in instance.nodes if (id(instance.block), p.key) in hoisted)


def _hoisted(instances: Sequence[Instance]) -> set[tuple[int, str]]:
    """The nodes whose module is handed in: shortcuts, and slots that hold different structures."""
    kinds: dict[tuple[int, str], set[Key]] = {}
    found: set[tuple[int, str]] = set()
    shapes: dict[int, Key] = {}
    for instance in instances:
        shapes[id(instance)] = _decisions(instance, set(), shapes)
        for placed in instance.nodes:
            if (
                not isinstance(placed.block_node.target, Slot)
                or placed.scope
                or placed.block_node.repeat
            ):
                continue
            key = (id(instance.block), placed.key)
            if isinstance(placed.callee, PassThrough) or placed.block_node.target == SHORTCUT:
                found.add(key)
            kinds.setdefault(key, set()).add(_kind(placed, shapes))
    return found | {key for key, each in kinds.items() if len(each) > 1}


def _kind(placed: InstanceNode, shapes: Mapping[int, Any]) -> Key:
    if placed.op:
        return ("op", placed.op.name)
    if placed.runs:
        return tuple((shapes[id(run.instance)], run.count) for run in placed.runs)
    return ("passes",)


def _decisions(
    instance: Instance, hoisted: set[tuple[int, str]], numbers: Mapping[int, Any]
) -> Key:
    """The graph of an instance after its choices were made, without sizes.

    `numbers` gives each callee its class, and the kinds of module that are handed to it.
    """
    rows = []
    for placed in instance.nodes:
        if (id(instance.block), placed.key) in hoisted:
            kind: Key = ("handed in",)
        else:
            kind = _kind(placed, numbers)
        bias = placed.op.attributes.get("bias") if placed.op else None
        rows.append((placed.key, placed.paths, placed.inputs, kind, bias))
    present = tuple(name for name, flow in instance.inputs.items() if flow)
    return (id(instance.block), present, tuple(rows), instance.outputs)


def _uses(root: Instance) -> dict[int, int]:
    """How often each instance occurs in the whole network."""
    counts: dict[int, int] = {id(root): 1}
    for instance in reversed(instances_below(root)):
        for placed in instance.nodes:
            for run in placed.runs:
                here = counts.get(id(run.instance), 0)
                counts[id(run.instance)] = here + run.count * counts[id(instance)]
    return counts


def _names(
    groups: Sequence[Sequence[Instance]],
    uses: Mapping[int, int],
    taken: set[str],
    root: Instance,
    root_name: str,
) -> dict[int, str]:
    """The commonest structure of a block has its plain name; others are prefixed by what differs."""
    order = sorted(range(len(groups)), key=lambda i: -sum(uses[id(each)] for each in groups[i]))
    plain: dict[int, Instance] = {}
    names: dict[int, str] = {}
    for index in order:
        first = groups[index][0]
        if first is root:
            names[index] = root_name
            continue
        base = first.block.class_name or camel_case(first.block.name)
        common = plain.setdefault(id(first.block), first)
        name = base if common is first else _difference(first, common, base)
        names[index] = unique(name, taken)
    return names


def _difference(instance: Instance, common: Instance, base: str) -> str:
    own, usual = {p.key: p for p in instance.nodes}, {p.key: p for p in common.nodes}
    added = [placed for key, placed in own.items() if key not in usual]
    if added:
        return _short(added[0]) + base
    gone = [placed for key, placed in usual.items() if key not in own]
    if gone:
        return f"{base}Without{_short(gone[0])}"
    changed = [own[key] for key in own if _called(own[key]) != _called(usual[key])]
    return (_called(changed[0]) + base) if changed else base


def _short(placed: InstanceNode) -> str:
    last = placed.key.rpartition(".")[2]
    return _called(placed) if last.isdigit() else camel_case(last)


def _called(placed: InstanceNode) -> str:
    if placed.op:
        return camel_case(placed.op.name)
    return camel_case(placed.runs[0].instance.block.name) if placed.runs else "Plain"


def unique(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken already; takes it."""
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}{number}", number + 1
    taken.add(candidate)
    return candidate
