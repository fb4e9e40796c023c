"""Module paths of an instance: `*` numbered, and the order in which torch would register them.

    conv1.0  conv1.1  bn1  conv1.*      ->  conv1.0  conv1.1  bn1  conv1.2
                                            registered: conv1.0  conv1.1  conv1.2  bn1

`stages.<index>.*` is evaluated for each block before. A container stands where its first member
does: the order is depth first by first appearance, which is the order of the state_dict.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from resnetgen.compiler.diagnostics.model import did_you_mean
from resnetgen.compiler.frontend.expressions import (
    ExpressionError,
    UnknownName,
    Value,
    evaluate,
    parse,
)
from resnetgen.compiler.frontend.identifiers import node_key_error
from resnetgen.compiler.ir.nodes import BlockNode, Instance, InstanceNode
from resnetgen.compiler.passes.evaluate import EvalContext


@dataclass(slots=True)
class Trie:
    """The modules of a block by path: a leaf names a placed node and which of its blocks."""

    children: dict[str, Trie] = field(default_factory=dict)
    leaf: tuple[int, int] | None = None  # (index into placed, index into its paths)

    def leaves(self) -> Iterator[tuple[int, int]]:
        """The leaves in registration order."""
        if self.leaf is not None:
            yield self.leaf
        for name in container_order(self.children):
            yield from self.children[name].leaves()


def container_order(members: Iterable[str]) -> list[str]:
    """The members of a container as torch registers them: by number, else as they were declared."""
    names = list(members)
    return sorted(names, key=int) if all(name.isdigit() for name in names) else names


def evaluated_path(facts: EvalContext, node: BlockNode, env: Mapping[str, Value]) -> str:
    """The module path of a node with each `<EXPR>` evaluated, `*` left as it is. Raises Broken."""

    def written(match: re.Match[str]) -> str:
        try:
            return str(evaluate(parse(match[1]), env))
        except ExpressionError as error:
            name = error.name if isinstance(error, UnknownName) else ""
            hint = did_you_mean(name, env) or f"there are {', '.join(f'`{n}`' for n in env)}"
            message = f"in the path `{node.path}`: {error}"
            raise facts.error("expression", message, node.path_span, hint) from None

    path = re.sub(r"<([^<>]*)>", written, node.path)
    reason = node_key_error(path.replace(".*", ""))
    if reason:
        message = f"the path `{node.path}` gives `{path}`: it {reason}"
        raise facts.error("wrong-name", message, node.path_span)
    return path


def numbered_paths(placed: Sequence[InstanceNode]) -> tuple[tuple[str, ...], ...]:
    """The paths of every placed node, with `*` replaced by the next free number of its container."""
    taken: dict[str, int] = {}
    return tuple(tuple(_numbered(path, taken) for path in each.paths) for each in placed)


def _numbered(path: str, taken: dict[str, int]) -> str:
    components: list[str] = []
    for component in path.split("."):
        container = ".".join(components)
        if component == "*":
            component = str(taken.get(container, 0))
        if component.isdigit():
            taken[container] = max(taken.get(container, 0), int(component) + 1)
        components.append(component)
    return ".".join(components)


def module_trie(placed: Sequence[InstanceNode], paths: Sequence[Sequence[str]]) -> Trie:
    """The containers of a block. A path that is given twice keeps its first place."""
    root = Trie()
    for index, each in enumerate(paths):
        for number, path in enumerate(each):
            here = root
            for component in path.split("."):
                here = here.children.setdefault(component, Trie())
            if here.leaf is None:
                here.leaf = (index, number)
    return root


def path_conflicts(instance: Instance) -> Iterator[tuple[InstanceNode, InstanceNode, str]]:
    """Placed nodes whose module path another one has too, or lies inside; and why that cannot be.

    Equal nodes without weights may share a path: they are one module (`as: relu`).
    """
    paths = numbered_paths(instance.nodes)
    owners: dict[str, InstanceNode] = {}
    for placed, own in zip(instance.nodes, paths, strict=True):
        for number, path in enumerate(own):
            other = owners.setdefault(path, placed)
            twice = path in own[:number]
            if twice or (other is not placed and not _shareable(other, placed)):
                reason = f"`{other.key}` and `{placed.key}` are both the module `{path}`"
                yield placed, other, f"all blocks are the module `{path}`" if twice else reason
    for path, placed in owners.items():
        for length in range(1, path.count(".") + 1):
            outer = ".".join(path.split(".")[:length])
            if outer in owners:
                reason = f"the module `{path}` lies inside `{outer}`, which is not a container"
                yield placed, owners[outer], reason


def shared_paths(paths: Sequence[Sequence[str]]) -> frozenset[str]:
    """The paths that several nodes have: their nodes are named by their keys."""
    counts = Counter(path for own in paths for path in own)
    return frozenset(path for path, count in counts.items() if count > 1)


def _shareable(one: InstanceNode, other: InstanceNode) -> bool:
    if one.op and other.op:
        same = one.op.name == other.op.name and one.op.attributes == other.op.attributes
        return same and not one.op.definition.has_weights
    if one.runs and other.runs:
        blocks = {id(run.instance): run.instance for run in (*one.runs, *other.runs)}
        return len(blocks) == 1 and all(_is_stateless(each) for each in blocks.values())
    return False


def _is_stateless(instance: Instance) -> bool:
    for placed in instance.nodes:
        if placed.op and placed.op.definition.has_weights:
            return False
        runs = placed.runs
        if not all(_is_stateless(run.instance) for run in runs):
            return False
    return True
