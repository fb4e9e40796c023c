"""Groups the instances of a network into the classes that are printed: sizes do not split a class.

    14 bottlenecks of 8 sizes  ->  one class Bottleneck, whose shortcut is passed in as a module

Instances share a class if they have the same block and made the same decisions: which nodes are
present, what they call and read. The module of a shortcut is made before its block and passed in,
because torchvision and timm draw its weights first. So is the content of any slot that would split a
class by its structure alone; such nodes are called hoisted.
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
    Slot,
)
from resnetgen.compiler.passes.instantiate import instances_below

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ClassGroup:
    """A class to be printed: its block, its instances, and the nodes whose modules are passed in."""

    name: str
    block: Block
    instances: tuple[Instance, ...]
    hoisted: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class ClassGroups:
    """All classes of a network, callees first, and the class of each instance."""

    all: tuple[ClassGroup, ...]
    of: Mapping[Instance, ClassGroup]
    root: ClassGroup


def class_groups(root: Instance, root_name: str, reserved: Collection[str]) -> ClassGroups:
    """Groups the instances of a network into classes and names them."""
    instances = instances_below(root)
    hoisted = _hoisted(instances[:-1])
    keys: dict[Instance, Key] = {}
    numbers: dict[Key, int] = {}
    kinds: dict[int, Key] = {}
    for instance in instances:
        key = _decisions(instance, hoisted, kinds)
        keys[instance] = key
        passed_in = [node for node in instance.nodes if (id(instance.block), node.key) in hoisted]
        number = numbers.setdefault(key, len(numbers))
        kinds[id(instance)] = (number, *(_kind(each, kinds) for each in passed_in))
    members: dict[Key, list[Instance]] = {}
    for instance in instances:
        members.setdefault(keys[instance], []).append(instance)
    uses = _uses(root)
    names = _names(list(members.values()), uses, {*reserved, root_name}, root, root_name)
    groups = {
        key: ClassGroup(names[index], each[0].block, tuple(each), _hoisted_in(each[0], hoisted))
        for index, (key, each) in enumerate(members.items())
    }
    of = {instance: groups[key] for instance, key in keys.items()}
    return ClassGroups(tuple(groups.values()), of, of[root])


def capitalised(root: Instance) -> Iterator[str]:
    """The names of values and nodes that look like classes: none may hide a class."""
    for instance in instances_below(root):
        nodes = (node.key for node in instance.block.nodes)
        yield from (name for name in (*instance.values, *nodes) if name[:1].isupper())


def _hoisted_in(instance: Instance, hoisted: set[tuple[int, str]]) -> frozenset[str]:
    return frozenset(p.key for p in instance.nodes if (id(instance.block), p.key) in hoisted)


def _hoisted(instances: Sequence[Instance]) -> set[tuple[int, str]]:
    """The nodes whose module is passed in: shortcuts, and slots whose contents differ in structure.

    An expression cannot be passed in: it splits the class.
    """
    kinds: dict[tuple[int, str], set[Key]] = {}
    always: set[tuple[int, str]] = set()
    never: set[tuple[int, str]] = set()
    shapes: dict[int, Key] = {}
    for instance in instances:
        shapes[id(instance)] = _decisions(instance, set(), shapes)
        for node in instance.nodes:
            if not isinstance(node.block_node.target, Slot) or node.scope or node.block_node.repeat:
                continue
            key = (id(instance.block), node.key)
            if node.block_node.target == SHORTCUT:
                always.add(key)
            if node.op and not node.op.definition.module_form:
                never.add(key)
            kinds.setdefault(key, set()).add(_kind(node, shapes))
    return (always | {key for key, each in kinds.items() if len(each) > 1}) - never


def _kind(node: InstanceNode, shapes: Mapping[int, Any]) -> Key:
    if node.op:
        return ("op", node.op.name)
    if node.runs:
        return tuple((shapes[id(run.instance)], run.count) for run in node.runs)
    return ("passes",)


def _decisions(
    instance: Instance, hoisted: set[tuple[int, str]], numbers: Mapping[int, Any]
) -> Key:
    """The graph of an instance after its choices were made, without sizes.

    `numbers` maps each callee to its class and the kinds of module that are passed to it.
    """
    nodes = []
    for node in instance.nodes:
        if (id(instance.block), node.key) in hoisted:
            kind: Key = ("passed in",)
        else:
            kind = _kind(node, numbers)
        bias = node.op.attributes.get("bias") if node.op else None
        nodes.append((node.key, node.paths, node.inputs, kind, bias))
    present = tuple(name for name, channels in instance.inputs.items() if channels)
    return (id(instance.block), present, tuple(nodes), instance.outputs)


def _uses(root: Instance) -> dict[int, int]:
    """How often each instance occurs in the whole network."""
    counts: dict[int, int] = {id(root): 1}
    for instance in reversed(instances_below(root)):
        for node in instance.nodes:
            for run in node.runs:
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
    """The most frequent class of a block has its plain name; others a prefix for what differs."""
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
    added = [node for key, node in own.items() if key not in usual]
    if added:
        return _short(added[0]) + base
    gone = [node for key, node in usual.items() if key not in own]
    if gone:
        return f"{base}Without{_short(gone[0])}"
    changed = [own[key] for key in own if _callee_name(own[key]) != _callee_name(usual[key])]
    return (_callee_name(changed[0]) + base) if changed else base


def _short(node: InstanceNode) -> str:
    last = node.key.rpartition(".")[2]
    return _callee_name(node) if last.isdigit() else camel_case(last)


def _callee_name(node: InstanceNode) -> str:
    if node.op:
        return camel_case(node.op.name)
    return camel_case(node.runs[0].instance.block.name) if node.runs else "Plain"


def unique(name: str, taken: set[str]) -> str:
    """The name, with a number appended if it is taken; adds it to `taken`."""
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}{number}", number + 1
    taken.add(candidate)
    return candidate
