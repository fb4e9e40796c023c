"""A difference as text for people: a headline, then a table for each aspect that differs.

    resnet50 -> resnet101: 17 more blocks in layer3; 25.56 M -> 44.55 M parameters (+74.3 %), ...

    spec                  resnet50  resnet101
    stages.layer3.blocks  6         23

       nodes         175 -> 345
    +  layer3.6-22   17 x (3 convolution, 3 batch_norm, 3 relu, add)

Equal parts are left out, names that differ only in a number share a line, and long tables are cut;
`diff_data` has everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from resnetgen.compiler.analysis.name_ranges import FoldedName, fold_names
from resnetgen.compiler.diagnostics.model import escape_invisible
from resnetgen.compiler.frontend.tree import Tree
from resnetgen.compiler.frontend.yaml_writer import to_flow
from resnetgen.compiler.passes.infer_types import Cost
from resnetgen.reports.numbers import count, relative_change
from resnetgen.reports.table_layout import Grid, markdown, plain
from resnetgen.variants.diff import METRIC_NAMES, Difference, StageSummary
from resnetgen.variants.diff_graphs import INIT_OF, RESULT_SHAPE, BeforeAfter, NetworkSummary
from resnetgen.variants.diff_headline import MAX_WIDTH, NetworkNames, headline, truncated
from resnetgen.weights.keys import covering_paths, module_of, tensor_of
from resnetgen.weights.match import Shape
from resnetgen.weights.mismatch import shape_text

Cells = tuple[str, ...]

MAX_ROWS = 24  # of a table
_STAGE_HEADS = ("", "stage", "block", "blocks", "output", "parameters", "multiply-adds")
_REMOVED, _ADDED, _CHANGED, _MOVED = "-", "+", "~", ">"


def as_text(difference: Difference, names: NetworkNames) -> str:
    """The difference as plain text."""
    return _laid_out(difference, names, plain)


def as_markdown(difference: Difference, names: NetworkNames) -> str:
    """The difference as Markdown."""
    return _laid_out(difference, names, markdown)


def _laid_out(
    difference: Difference, names: NetworkNames, layout: Callable[[Grid], list[str]]
) -> str:
    lines = [headline(difference, names)]
    for table in _tables(difference, names):
        lines += ["", *layout(table)]
    return "\n".join(map(escape_invisible, lines)) + "\n"


def _tables(difference: Difference, names: NetworkNames) -> Iterator[Grid]:
    before, after = names.heads
    costs = difference.costs
    yield from _table(("spec", before, after), "<<<", _spec_rows(difference))
    yield from _table(("network", before, after), "<<<", _interface_rows(difference))
    yield from _table(_STAGE_HEADS, "<<<<<<<", _stage_rows(difference))
    yield from _table(("cost", before, after, "difference", ""), "<>>>>", _cost_rows(costs))
    yield from _table(("", "nodes", _node_counts(difference)), "<<<", _node_rows(difference))
    keys = _counts(*(len(each.keys) for each in difference.networks))
    yield from _table(("", "state_dict", f"{keys} keys"), "<<<", _key_rows(difference))


def _table(heads: Cells, sides: str, rows: Iterable[Cells]) -> Iterator[Grid]:
    """A table, unless it is empty."""
    first_text = next(place for place, head in enumerate(heads) if head)
    if shown := _cut(list(rows), first_text):
        yield Grid("", heads, tuple(shown), sides)


def _cut(rows: list[Cells], column: int) -> list[Cells]:
    """The first rows, and how many more there are, in one column of the last."""
    if len(rows) <= MAX_ROWS:
        return rows
    more = f"... {len(rows) - MAX_ROWS} more; `--format json` has all"
    last = tuple(more if place == column else "" for place in range(len(rows[0])))
    return [*rows[:MAX_ROWS], last]


# --- specs, inputs and outputs, stages, costs


def _spec_rows(difference: Difference) -> Iterator[Cells]:
    for each in difference.spec:
        yield each.path, truncated(_flow(each.before)), truncated(_flow(each.after))


def _flow(tree: Tree | None) -> str:
    return "" if tree is None else to_flow(tree)


def _interface_rows(difference: Difference) -> Iterator[Cells]:
    for what, (before, after) in difference.interface.items():
        yield what, truncated(before), truncated(after)


def _stage_rows(difference: Difference) -> Iterator[Cells]:
    for name, (old, new) in difference.stages.items():
        sign = _CHANGED if old and new else _ADDED if new else _REMOVED
        cells = zip(_stage_cells(old or new), _stage_cells(new or old), strict=True)
        yield sign, name, *(one if one == other else f"{one} -> {other}" for one, other in cells)


def _stage_cells(stage: StageSummary | None) -> Cells:
    assert stage
    blocks = "" if stage.blocks is None else str(stage.blocks)
    return stage.block, blocks, shape_text(stage.out), count(stage.params), count(stage.macs)


def _cost_rows(costs: tuple[Cost, Cost]) -> Iterator[Cells]:
    for cost, title in METRIC_NAMES.items():
        old, new = (getattr(each, cost) for each in costs)
        if old != new:
            yield title, count(old), count(new), f"{new - old:+,}", relative_change(new, old)


def _counts(old: int, new: int) -> str:
    return count(old) if old == new else f"{count(old)} -> {count(new)}"


# --- nodes


def _node_counts(difference: Difference) -> str:
    nodes = _counts(*(len(each.properties) for each in difference.networks))
    resized = len(difference.nodes.reshaped)
    return f"{nodes}; {count(resized)} only of another shape" if resized else nodes


def _node_rows(difference: Difference) -> Iterator[Cells]:
    before, after = difference.networks
    nodes = difference.nodes
    yield from _rows(_REMOVED, _fold_modules(_modules_of_nodes(nodes.removed, before)))
    yield from _rows(_ADDED, _fold_modules(_modules_of_nodes(nodes.added, after)))
    changed = ((name, _changes_text(name, pairs)) for name, pairs in nodes.changed.items())
    yield from _rows(_CHANGED, fold_names(changed))


def _modules_of_nodes(names: Sequence[str], summary: NetworkSummary) -> Iterator[tuple[str, str]]:
    """The modules that only one network has, each with `3 convolution, 3 batch_norm, add`."""
    for module, nodes in whole_modules(names, summary.properties).items():
        ops = Counter(str(summary.properties[name]["op"]) for name in nodes)
        text = ", ".join(f"{number} {op}" if number > 1 else op for op, number in ops.items())
        yield module or "all", text


def whole_modules(chosen: Collection[str], names: Iterable[str]) -> dict[str, list[str]]:
    """The fewest modules that contain all chosen names and no others, with the names in each.

    A single name is its own module. If all names are chosen, the module is ``, the network.
    """
    return covering_paths(chosen, names) or ({"": [*chosen]} if chosen else {})


def _changes_text(name: str, changes: Mapping[str, BeforeAfter]) -> str:
    """What differs in a node. With another op, its other attributes are not worth mentioning."""
    keys = [key for key in ("op", "inputs") if key in changes] if "op" in changes else [*changes]
    return ", ".join(
        _inputs_text(name, *changes[key])
        if key == "inputs"
        else f"{key} {_value(changes[key][0], key)} -> {_value(changes[key][1], key)}"
        for key in keys
        if key != RESULT_SHAPE
    )


def _inputs_text(name: str, old: Sequence[str], new: Sequence[str]) -> str:
    """`reads se.scale, not bn3`: the inputs that differ, relative to the node's module."""
    if len(old) == len(new):
        pairs = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
        old, new = zip(*pairs, strict=True)
    parent = f"{module_of(name)}."
    before, after = (", ".join(each.removeprefix(parent) for each in side) for side in (old, new))
    return f"reads {after}, not {before}"


def _value(value: Any, key: str) -> str:
    if value is None:
        return "default" if key.startswith(INIT_OF) else "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return " ".join(str(each) for each in value if each is not None)
    return str(value)


# --- keys of the state_dict


def _key_rows(difference: Difference) -> Iterator[Cells]:
    before, after = difference.networks
    keys = difference.keys
    yield from _module_rows(_REMOVED, keys.removed, before.keys)
    yield from _module_rows(_ADDED, keys.added, after.keys)
    reshaped = {
        key: f"{shape_text(old)} -> {shape_text(new)}" for key, (old, new) in keys.reshaped.items()
    }
    yield from _rows(_CHANGED, fold_names(_by_module(reshaped)))
    moved = dict.fromkeys(keys.reordered, "elsewhere in the order")
    yield from _rows(_MOVED, fold_names(_by_module(moved)))


def _module_rows(sign: str, keys: Sequence[str], shapes: Mapping[str, Shape]) -> Iterator[Cells]:
    """The number of tensors in modules with submodules; the tensors of all others."""
    contents = whole_modules(keys, shapes)
    large = {path: each for path, each in contents.items() if len({*map(module_of, each)}) > 1}
    lines = ((path or "all", f"{len(each)} tensors") for path, each in large.items())
    yield from _rows(sign, _fold_modules(lines))
    counted = {key for each in large.values() for key in each}
    rest = {key: shape_text(shapes[key]) for key in keys if key not in counted}
    yield from _rows(sign, fold_names(_by_module(rest)))


def _by_module(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Keys with texts -> modules with `weight, bias: TEXT; running_mean: OTHER TEXT`."""
    modules: dict[str, dict[str, list[str]]] = {}
    for key, text in texts.items():
        tensors = modules.setdefault(module_of(key), {}).setdefault(text, [])
        tensors.append(tensor_of(key))
    for module, by_text in modules.items():
        yield module, "; ".join(f"{', '.join(names)}: {text}" for text, names in by_text.items())


# --- folded lines


def _fold_modules(lines: Iterable[tuple[str, str]]) -> Iterator[FoldedName]:
    """Modules and their contents, `17 x (CONTENTS)` where several become one line."""
    for each in fold_names(lines):
        text = f"({each.text})" if ", " in each.text else each.text
        yield replace(each, text=f"{each.count} x {text}") if each.count > 1 else each


def _rows(sign: str, lines: Iterable[FoldedName]) -> Iterator[Cells]:
    """Rows in which names with the same text are together, as many as fit."""
    names_of: dict[str, list[str]] = {}
    for each in lines:
        names = names_of.setdefault(each.text, [])
        if names and len(names[-1]) + len(each.name) <= MAX_WIDTH:
            names[-1] += f", {each.name}"
        else:
            names.append(each.name)
    yield from ((sign, name, text) for text, names in names_of.items() for name in names)
