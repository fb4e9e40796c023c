"""A difference for people: one line that says it, then the parts that differ, folded.

    resnet50 -> resnet101: 17 more blocks in layer3; 25.56 M -> 44.55 M parameters (+74.3 %), ...

    spec                  resnet50  resnet101
    stages.layer3.blocks         6         23

Nothing is shown of what is equal. Lists are cut; `diff_data.py` has all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from resnetgen.graph.measure import Cost
from resnetgen.language.diagnostics import visible
from resnetgen.language.expanded import flow
from resnetgen.language.reader import Tree
from resnetgen.report.columns import count
from resnetgen.report.figures import change
from resnetgen.report.grid import Grid, markdown, plain
from resnetgen.variants.diff import Difference, Stage
from resnetgen.variants.diff_data import FIGURES
from resnetgen.variants.diff_fold import Folded, folded, modules
from resnetgen.variants.diff_graph import RESULT, START, Pair, Shape, View
from resnetgen.variants.diff_verdict import LONGEST, Names, short, verdict
from resnetgen.weights.names import module_of

MOST_LINES = 24  # of a list; more are counted
_TITLES = dict(zip(FIGURES, ("parameters", "multiply-adds", "FLOPs", "activations"), strict=True))
_STAGE_HEADS = ("", "stage", "block", "blocks", "output", "parameters", "multiply-adds")
_REMOVED, _ADDED, _CHANGED, _MOVED = "-", "+", "~", ">"


def as_text(found: Difference, names: Names) -> str:
    """The difference as plain text."""
    return _written(found, names, plain)


def as_markdown(found: Difference, names: Names) -> str:
    """The difference as Markdown: the first line, and a table a part."""
    return _written(found, names, markdown)


def _written(found: Difference, names: Names, lines_of: Callable[[Grid], list[str]]) -> str:
    lines = [verdict(found, names)]
    for grid in _parts(found, names):
        lines += ["", *lines_of(grid)]
    return "\n".join(map(visible, lines)) + "\n"


# --- the parts


def _parts(found: Difference, names: Names) -> Iterator[Grid]:
    before, after = names.heads
    yield from _grid(("spec", before, after), "<<<", _spec_rows(found))
    ends = ((what, *map(short, pair)) for what, pair in found.interface.items())
    yield from _grid(("network", before, after), "<<<", ends)
    yield from _grid(_STAGE_HEADS, "<<<<<<<", _stage_rows(found))
    yield from _grid(("cost", before, after, "difference", ""), "<>>>>", _cost_rows(found.costs))
    yield from _grid(("", "nodes", _node_counts(found)), "<<<", _node_rows(found))
    keys = _counts(*(len(each.keys) for each in found.views))
    yield from _grid(("", "state_dict", f"{keys} keys"), "<<<", _key_rows(found))


def _grid(heads: tuple[str, ...], sides: str, rows: Iterable[tuple[str, ...]]) -> Iterator[Grid]:
    """A table, where there is anything to tell."""
    told = _cut(list(rows), heads.index(next(filter(None, heads))))
    if told:
        yield Grid("", heads, tuple(told), sides)


def _cut(rows: list[tuple[str, ...]], column: int) -> list[tuple[str, ...]]:
    """As many rows as a person reads; the last says, in a column, how many there are besides."""
    if len(rows) <= MOST_LINES:
        return rows
    more = f"... {len(rows) - MOST_LINES} more; `--format json` has all"
    last = tuple(more if place == column else "" for place in range(len(rows[0])))
    return [*rows[:MOST_LINES], last]


def _spec_rows(found: Difference) -> Iterator[tuple[str, ...]]:
    for each in found.spec:
        yield each.path, short(_said(each.before)), short(_said(each.after))


def _said(tree: Tree | None) -> str:
    return "" if tree is None else flow(tree)


def _stage_rows(found: Difference) -> Iterator[tuple[str, ...]]:
    for name, (old, new) in found.stages.items():
        sign = _CHANGED if old and new else _ADDED if new else _REMOVED
        cells = zip(_stage_cells(old or new), _stage_cells(new or old), strict=True)
        yield sign, name, *(one if one == other else f"{one} -> {other}" for one, other in cells)


def _stage_cells(stage: Stage | None) -> tuple[str, ...]:
    assert stage
    blocks = "" if stage.blocks is None else str(stage.blocks)
    return stage.block, blocks, _shape(stage.out), count(stage.params), count(stage.macs)


def _cost_rows(costs: tuple[Cost, Cost]) -> Iterator[tuple[str, ...]]:
    for figure, title in _TITLES.items():
        old, new = (getattr(cost, figure) for cost in costs)
        if old != new:
            yield title, count(old), count(new), f"{new - old:+,}", change(new, old)


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _counts(old: int, new: int) -> str:
    return count(old) if old == new else f"{count(old)} -> {count(new)}"


# --- nodes


def _node_counts(found: Difference) -> str:
    said = _counts(*(len(each.facts) for each in found.views))
    resized = len(found.nodes.resized)
    return f"{said}; {count(resized)} only of another shape" if resized else said


def _node_rows(found: Difference) -> Iterator[tuple[str, ...]]:
    before, after = found.views
    yield from _rows(_REMOVED, _counted(_whole_nodes(found.nodes.removed, before)))
    yield from _rows(_ADDED, _counted(_whole_nodes(found.nodes.added, after)))
    changed = ((name, _facts_said(name, facts)) for name, facts in found.nodes.changed.items())
    yield from _rows(_CHANGED, folded(changed))


def _counted(lines: Iterable[tuple[str, str]]) -> Iterator[Folded]:
    """Modules with what each holds, and how often where several are one line."""
    for each in folded(lines):
        said = f"({each.said})" if ", " in each.said else each.said
        yield replace(each, said=f"{each.count} x {said}") if each.count > 1 else each


def _rows(sign: str, lines: Iterable[Folded]) -> Iterator[tuple[str, ...]]:
    """A row for all names of which the same is said, as far as they fit."""
    together: dict[str, list[str]] = {}
    for each in lines:
        names = together.setdefault(each.said, [])
        if names and len(names[-1]) + len(each.name) <= LONGEST:
            names[-1] += f", {each.name}"
        else:
            names.append(each.name)
    yield from ((sign, name, said) for said, names in together.items() for name in names)


def _whole_nodes(names: Sequence[str], seen: View) -> Iterator[tuple[str, str]]:
    """What modules hold that one of the networks lacks."""
    for module, inside in modules(names, seen.facts):
        ops = [str(seen.facts[name]["op"]) for name in inside]
        yield module or "all", _ops_said(ops)


def _ops_said(ops: Sequence[str]) -> str:
    """`3 convolution, 3 batch_norm, add`."""
    kinds = Counter(ops)
    return ", ".join(f"{number} {op}" if number > 1 else op for op, number in kinds.items())


def _facts_said(name: str, facts: Mapping[str, Pair]) -> str:
    """What differs; another op has other attributes, of which nothing is said."""
    told = [fact for fact in ("op", "inputs") if fact in facts] if "op" in facts else [*facts]
    return ", ".join(
        _inputs_said(name, *facts[fact])
        if fact == "inputs"
        else f"{fact} {_value(facts[fact][0], fact)} -> {_value(facts[fact][1], fact)}"
        for fact in told
        if fact != RESULT
    )


def _inputs_said(name: str, old: Sequence[str], new: Sequence[str]) -> str:
    """`input bn3 -> se.scale`: those that differ, as their module calls them."""
    if len(old) == len(new):
        pairs = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
        old, new = zip(*pairs, strict=True)
    parent = f"{module_of(name)}."
    before, after = (", ".join(each.removeprefix(parent) for each in side) for side in (old, new))
    return f"reads {after}, not {before}"


def _value(value: Any, fact: str) -> str:
    if value is None:
        return "default" if fact.startswith(START) else "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return " ".join(str(each) for each in value if each is not None)
    return str(value)


# --- the state_dict


def _key_rows(found: Difference) -> Iterator[tuple[str, ...]]:
    before, after = found.views
    keys = found.keys
    yield from _alone_rows(_REMOVED, keys.removed, before.keys)
    yield from _alone_rows(_ADDED, keys.added, after.keys)
    reshaped = {key: f"{_shape(old)} -> {_shape(new)}" for key, (old, new) in keys.reshaped.items()}
    yield from _rows(_CHANGED, folded(_by_module(reshaped)))
    moved = dict.fromkeys(keys.moved, "elsewhere in the order")
    yield from _rows(_MOVED, folded(_by_module(moved)))


def _alone_rows(
    sign: str, keys: Sequence[str], shapes: Mapping[str, Shape]
) -> Iterator[tuple[str, ...]]:
    """Modules with modules inside by their number of tensors, others by their tensors."""
    held = dict(modules(keys, shapes))
    large = {path: inside for path, inside in held.items() if len({*map(module_of, inside)}) > 1}
    lines = ((path or "all", f"{len(inside)} tensors") for path, inside in large.items())
    yield from _rows(sign, _counted(lines))
    rest = {key: _shape(shapes[key]) for path in held.keys() - large for key in held[path]}
    yield from _rows(sign, folded(_by_module({key: rest[key] for key in keys if key in rest})))


def _by_module(said: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A line a module, its tensors of which the same is said together."""
    inside: dict[str, dict[str, list[str]]] = {}
    for key, text in said.items():
        tensors = inside.setdefault(module_of(key), {}).setdefault(text, [])
        tensors.append(key.rpartition(".")[2])
    for module, texts in inside.items():
        yield module, "; ".join(f"{', '.join(names)}: {text}" for text, names in texts.items())
