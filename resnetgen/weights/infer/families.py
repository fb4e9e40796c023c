"""families() -> the networks of the library, grouped by all that their specs say except numbers.

    resnet50, resnet101, resnext50_32x4d, ...    one family: they differ in depths, widths, groups

Specs are compared after `extends`. Keys that describe a network or initialise it do not count.

A file is solved for the representative of a family only; `rebase_on_members` then expresses the
solution as overrides of each member.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

from resnetgen.compiler.frontend.title import DESCRIPTIVE_KEYS
from resnetgen.compiler.frontend.tree import ListTree, Scalar, Tree, without
from resnetgen.weights.infer.design import (
    DELETED,
    Design,
    DesignCompiler,
    SpecPath,
    library_designs,
)
from resnetgen.weights.infer.hyperparameters import Hyperparameter, hyperparameters_of

_IGNORED_KEYS = (*DESCRIPTIVE_KEYS, "class", "init")


@dataclass(frozen=True)
class Family:
    """Networks whose specs differ only in numbers."""

    members: tuple[Design, ...]

    @property
    def representative(self) -> Design:
        """The member that is solved for all of them."""
        return self.members[0]


def families() -> list[Family]:
    """All networks of the library, by the skeletons of their specs."""
    members: dict[str, list[Design]] = {}
    for design in library_designs():
        key = skeleton(without(design.tree, *_IGNORED_KEYS))
        members.setdefault(key, []).append(design)
    return [Family(tuple(each)) for each in members.values()]


def skeleton(tree: Tree) -> str:
    """A tree as text without its numbers: `{op: bottleneck, groups: 32}` is `bottleneck`."""
    if isinstance(tree, ListTree):
        return f"[{', '.join(map(skeleton, tree.items))}]"
    if isinstance(tree, Scalar):
        return "#" if _is_number(tree) else repr(tree.value)
    entries = {key: skeleton(each) for key, each in tree.entries.items() if not _is_number(each)}
    if entries.keys() == {"op"}:
        return entries["op"]
    return f"{{{', '.join(f'{key}: {text}' for key, text in entries.items())}}}"


def _is_number(tree: Tree) -> bool:
    return isinstance(tree, Scalar) and type(tree.value) in (int, float)


def rebase_on_members(
    solved: Design, family: Family, affecting: Container[SpecPath], compiler: DesignCompiler
) -> list[Design]:
    """A solution as overrides of members of a family, of equal ones that with fewest overrides.

    Hyperparameters that affect no shape, such as strides, stay as each member has them, so members
    that differ in these give different designs. `affecting`: the paths of all others.
    Raises SpecError.
    """
    best: dict[frozenset[Hyperparameter], tuple[tuple[int, int], Design]] = {}
    for member in family.members:
        design, hyperparameters = _rebased(solved, member, affecting, compiler)
        distance = (abs(solved.blocks.get(key, 0) - own) for key, own in member.blocks.items())
        cost = len(design.overrides), sum(distance)
        if hyperparameters not in best or cost < best[hyperparameters][0]:
            best[hyperparameters] = cost, design
    return [design for _, design in best.values()]


def _rebased(
    solved: Design, member: Design, affecting: Container[SpecPath], compiler: DesignCompiler
) -> tuple[Design, frozenset[Hyperparameter]]:
    """The member with the components, depths and counts of a solution, and its hyperparameters."""
    kept = {
        path: value
        for path, value in solved.overrides.items()
        if path in solved.replaced or value == DELETED
    }
    design = replace(member.with_overrides(kept), replaced=solved.replaced)
    design = design.with_blocks(solved.blocks)
    wanted, own = (
        hyperparameters_of(each.tree, compiler.body(each)[0], by_stage=True)
        for each in (solved, design)
    )
    changed = {
        path: each
        for path, each in wanted.items()
        if own.get(path) != each and (path in affecting or path in solved.overrides)
    }
    values = {path: each.as_yaml(each.count) for path, each in changed.items()}
    return design.with_overrides(values), frozenset((own | changed).values())
