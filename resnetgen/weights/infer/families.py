"""families() -> the library's networks that differ in numbers alone: depths, widths, groups, classes.

    resnet50, resnet101, resnext50_32x4d, ...    one family: what fits one may fit all, with other numbers

What a spec says is compared after `extends`, without its numbers; names and texts that describe a
network, and how its weights start, do not count.
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass, replace

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend.inheritance import without
from resnetgen.compiler.frontend.library import DESCRIPTIVE_KEYS
from resnetgen.compiler.frontend.yaml_reader import ListTree, Scalar, Tree
from resnetgen.weights.infer.checkpoint import CheckpointShapes, Kind, kinds_of
from resnetgen.weights.infer.depth import stage_paths
from resnetgen.weights.infer.design import DELETED, Design, Path, Trials, library_designs
from resnetgen.weights.infer.numbers import Number, numbers_of
from resnetgen.weights.keys import is_under

_DESCRIBING = (*DESCRIPTIVE_KEYS, "class", "init")
_PREVIEWED = 2  # stages: the first, and one that strides


@dataclass(frozen=True)
class Family:
    """Networks whose specs differ in numbers alone."""

    members: tuple[Design, ...]

    @property
    def head(self) -> Design:
        """The one that stands for all."""
        return self.members[0]


def families() -> list[Family]:
    """All networks of the library by what they say, numbers apart."""
    found: dict[str, list[Design]] = {}
    for design in library_designs():
        found.setdefault(form(without(design.tree, *_DESCRIBING)), []).append(design)
    return [Family(tuple(members)) for members in found.values()]


def form(tree: Tree) -> str:
    """A tree as text without its numbers: `{op: bottleneck, groups: 32}` is `bottleneck`."""
    if isinstance(tree, ListTree):
        return f"[{', '.join(map(form, tree.items))}]"
    if isinstance(tree, Scalar):
        return "#" if _is_number(tree) else repr(tree.value)
    said = {key: form(each) for key, each in tree.entries.items() if not _is_number(each)}
    alone = said.keys() == {"op"}
    return said["op"] if alone else f"{{{', '.join(f'{key}: {said[key]}' for key in said)}}}"


def _is_number(tree: Tree) -> bool:
    return isinstance(tree, Scalar) and type(tree.value) in (int, float)


def preview(design: Design, trials: Trials) -> Design:
    """A design cut down to few stages of few blocks. Raises SpecError."""
    short = design.short()
    later = dict.fromkeys([*short.blocks][_PREVIEWED:], 0)
    return short.repeating(later) if trials.shapes(short.repeating(later)) else short


def kinds(design: Design, trials: Trials) -> frozenset[Kind]:
    """The kinds of tensors that a design has; none if it does not compile."""
    with suppress(SpecError):
        return frozenset(kinds_of(trials.shapes(preview(design, trials)) or {}))
    return frozenset()


def could_match(design: Design, held: CheckpointShapes, trials: Trials) -> bool:
    """Whether kinds agree: a shortcut has tensors only where something changes."""
    own = kinds(design, trials)
    if not own or not own >= held.kinds:
        return False
    return own == held.kinds or own - held.kinds <= optional_kinds(design, trials)


def optional_kinds(design: Design, trials: Trials) -> frozenset[Kind]:
    """The kinds of tensors that some blocks have, and others not."""
    short = preview(design, trials)
    shapes = trials.shapes(short) or {}
    inside = [
        frozenset(kinds_of({key: shapes[key] for key in shapes if is_under(key, path)}))
        for path in block_paths(short, trials)
    ]
    return inside[0].union(*inside) - inside[0].intersection(*inside) if inside else frozenset()


def block_paths(design: Design, trials: Trials) -> list[str]:
    """The module paths of all stages. Raises SpecError."""
    _, root = trials.body(design)
    return [path for stage in design.blocks for path in stage_paths(root, stage)]


def from_members(
    solved: Design, family: Family, bearing: Container[Path], trials: Trials
) -> list[Design]:
    """A solution told from the members of a family, each with the fewest changes that give it.

    Numbers that do not bear on shapes, such as strides, stay the member's own: members that differ
    in these stay apart. Raises SpecError.
    """
    found: dict[frozenset[Number], tuple[tuple[int, int], Design]] = {}
    for member in family.members:
        design, numbers = _rebased(solved, member, bearing, trials)
        deeper = [abs(solved.blocks.get(key, 0) - own) for key, own in member.blocks.items()]
        least = len(design.changes), sum(deeper)
        if numbers not in found or least < found[numbers][0]:
            found[numbers] = least, design
    return [design for _, design in found.values()]


def _rebased(
    solved: Design, member: Design, bearing: Container[Path], trials: Trials
) -> tuple[Design, frozenset[Number]]:
    """The member with the numbers of a solution that bear on shapes; and all its numbers then."""
    kept = {path: v for path, v in solved.changes.items() if path in solved.parts or v == DELETED}
    other = replace(member.setting(kept), parts=solved.parts).repeating(solved.blocks)
    wanted, own = (
        numbers_of(each.tree, trials.body(each)[0], by_stage=True) for each in (solved, other)
    )
    changed = {
        path: number
        for path, number in wanted.items()
        if own.get(path) != number and (path in bearing or path in solved.changes)
    }
    texts = {path: number.text(number.count) for path, number in changed.items()}
    return other.setting(texts), frozenset((own | changed).values())
