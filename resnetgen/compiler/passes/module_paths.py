"""The module paths of an instance: `*` numbered, and the order in which torch registers them.

    conv1.0  conv1.1  bn1  conv1.*      ->  conv1.0  conv1.1  bn1  conv1.2
                                            registered: conv1.0  conv1.1  conv1.2  bn1

A container is registered where its first member is, so the order is depth first by first
appearance; it is the order of the state_dict. `<EXPR>` in a path (`stages.<index>.*`) is evaluated
before, for each block of a stage.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from resnetgen.compiler.diagnostics.model import did_you_mean
from resnetgen.compiler.frontend.expressions import (
    ExpressionError,
    UnknownName,
    Value,
    evaluate,
    parse,
)
from resnetgen.compiler.frontend.identifiers import MAX_INDEX, node_key_error
from resnetgen.compiler.ir.nodes import BlockNode, Instance, InstanceNode
from resnetgen.compiler.ir.op_def import format_value

if TYPE_CHECKING:
    from resnetgen.compiler.passes.evaluate import EvalContext

T = TypeVar("T")

# --- paths of nodes


def evaluated_path(ctx: EvalContext, node: BlockNode, env: Mapping[str, Value]) -> str:
    """The module path of a node with each `<EXPR>` evaluated; `*` stays. Raises ErrorReported."""

    def evaluated(match: re.Match[str]) -> str:
        try:
            value = evaluate(parse(match[1]), env)
        except ExpressionError as error:
            name = error.name if isinstance(error, UnknownName) else ""
            hint = did_you_mean(name, env) or f"there are {', '.join(f'`{n}`' for n in env)}"
            message = f"in the path `{node.path}`: {error}"
            raise ctx.error("expression", message, node.path_span, hint) from None
        if type(value) is not str and (type(value) is not int or not 0 <= value <= MAX_INDEX):
            message = (
                f"in the path `{node.path}`: `{match[1]}` must be an integer from 0 to {MAX_INDEX},"
                f" not `{format_value(value)}`"
            )
            fix = _as_integer(match[1], value, env)
            raise ctx.error("wrong-value", message, node.path_span, fix)
        return str(value)

    path = re.sub(r"<([^<>]*)>", evaluated, node.path)
    if reason := node_key_error(path.replace(".*", "")):
        message = f"the path `{node.path}` becomes `{path}`: it {reason}"
        raise ctx.error("wrong-name", message, node.path_span)
    return path


def _as_integer(text: str, value: Value, env: Mapping[str, Value]) -> str | None:
    """What to write for an expression that is not an integer."""
    if isinstance(value, bool):
        return f"write `<1 if {text} else 0>`"
    if isinstance(value, float):
        whole = re.sub(r"(?<!/)/(?!/)", "//", text)
        is_whole = type(evaluate(parse(whole), env)) is int
        return f"write `<{whole if is_whole else f'int({text})'}>`"
    return None


def numbered_paths(nodes: Sequence[InstanceNode]) -> tuple[tuple[str, ...], ...]:
    """The paths of each node, with `*` replaced by the next free number of its container."""
    counts: dict[str, int] = {}
    return tuple(tuple(_numbered(path, counts) for path in node.paths) for node in nodes)


def _numbered(path: str, counts: dict[str, int]) -> str:
    components: list[str] = []
    for component in path.split("."):
        container = ".".join(components)
        if component == "*":
            component = str(counts.get(container, 0))
        if component.isdigit():
            counts[container] = max(counts.get(container, 0), int(component) + 1)
        components.append(component)
    return ".".join(components)


def shared_paths(paths: Sequence[Sequence[str]]) -> frozenset[str]:
    """The paths that several nodes have: such nodes are named by their keys."""
    counts = Counter(path for own in paths for path in own)
    return frozenset(path for path, count in counts.items() if count > 1)


# --- the order of registration


@dataclass(slots=True, eq=False)
class Container(Generic[T]):
    """Modules by path. A leaf is one module, and has its owners: several, if they share it."""

    children: dict[str, Container[T]] = field(default_factory=dict)
    owners: list[T] = field(default_factory=list)

    def leaves(self) -> Iterator[T]:
        """The owners below, in the order of registration."""
        yield from self.owners
        for child in self.children.values():
            yield from child.leaves()

    @property
    def is_leaf(self) -> bool:
        """Whether it is a module and not a container."""
        return not self.children

    @property
    def is_numbered(self) -> bool:
        """Whether all its members have numbers."""
        return all(name.isdigit() for name in self.children)

    @property
    def is_mixed(self) -> bool:
        """Whether it has members with numbers and others with names, or contains such a container."""
        mixed = not self.is_numbered and any(name.isdigit() for name in self.children)
        return mixed or any(child.is_mixed for child in self.children.values())

    @property
    def each_has_one_owner(self) -> bool:
        """Whether no module below is shared."""
        if self.is_leaf:
            return len(self.owners) == 1
        return all(child.each_has_one_owner for child in self.children.values())


def containers(owners: Iterable[tuple[str, T]]) -> Container[T]:
    """The tree of the modules at some paths, members as torch registers them.

    A container is registered with its first module: what is printed as an expression is not there.
    """
    root: Container[T] = Container()
    for path, owner in owners:
        here = root
        for component in path.split("."):
            here = here.children.setdefault(component, Container())
        here.owners.append(owner)
    return _ordered(root)


def _ordered(container: Container[T]) -> Container[T]:
    """The members by number, or as they were declared."""
    names = list(container.children)
    if container.is_numbered:
        names.sort(key=int)
    return Container({name: _ordered(container.children[name]) for name in names}, container.owners)


def registered_modules(instance: Instance) -> list[tuple[str, InstanceNode, int]]:
    """The modules of a block in the order of registration: path, node, and which of its blocks."""
    paths = numbered_paths(instance.nodes)
    modules = (
        (path, (path, node, number))
        for node, own in zip(instance.nodes, paths, strict=True)
        for number, path in enumerate(own)
        if node.op is None or node.op.definition.module_at(path)
    )
    return list(containers(modules).leaves())


# --- conflicts


def path_conflicts(instance: Instance) -> Iterator[tuple[InstanceNode, InstanceNode, str]]:
    """Two nodes of which one has the path of the other, or a path inside it; and why that is wrong.

    Equal nodes without weights may share a path: they are one module (`as: relu`).
    """
    paths = numbered_paths(instance.nodes)
    owners: dict[str, InstanceNode] = {}
    for node, own in zip(instance.nodes, paths, strict=True):
        before = set[str]()
        for path in own:
            owner = owners.setdefault(path, node)
            if path in before:
                yield node, owner, f"all blocks are the module `{path}`"
            elif owner is not node and not _can_share(owner, node):
                yield node, owner, f"`{owner.key}` and `{node.key}` are both the module `{path}`"
            before.add(path)
    for path, node in owners.items():
        for length in range(1, path.count(".") + 1):
            outer = ".".join(path.split(".")[:length])
            if outer in owners:
                reason = f"the module `{path}` is inside `{outer}`, which is not a container"
                yield node, owners[outer], reason


def _can_share(one: InstanceNode, other: InstanceNode) -> bool:
    if one.op and other.op:
        same = one.op.name == other.op.name and one.op.attributes == other.op.attributes
        return same and not one.op.definition.has_weights
    if one.runs and other.runs:
        blocks = {id(run.instance): run.instance for run in (*one.runs, *other.runs)}
        return len(blocks) == 1 and all(is_stateless(each) for each in blocks.values())
    return False


def is_stateless(instance: Instance) -> bool:
    """Whether it has no weights."""
    for node in instance.nodes:
        if node.op and node.op.definition.has_weights:
            return False
        if not all(is_stateless(run.instance) for run in node.runs):
            return False
    return True
