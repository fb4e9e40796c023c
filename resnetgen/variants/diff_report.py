"""A difference for people: one line that says it, then the parts that differ, folded.

    resnet50 -> resnet101: 17 more blocks in layer3; 25.56 M -> 44.55 M parameters (+74.3 %), ...

    spec                  resnet50  resnet101
    stages.layer3.blocks         6         23

Nothing is shown of what is equal. Lists are cut; `diff_data.py` has all of them.

verdict(found, names): a difference in one line, what a person wants to know first.

resnet50 -> resnet101: 17 more blocks in layer3; 25.56 M -> 44.55 M parameters (+74.3 %), ...

A difference as data, nothing folded: what `diff --format json` prints.

{"before": {"network": "resnet50", ...}, "equal": false, "spec": [...], "nodes_added": [...], ...}

Equal lines of numbered modules as one: what people read of hundreds of names.

layer3.6.conv1, layer3.6.bn1, ..., layer3.22.act3   ->  layer3.6-22, 17 times conv1, bn1, ..., act3
layer1.0.conv2: groups 1 -> 32, layer1.1.conv2: ... ->  layer1.0-2.conv2: groups 1 -> 32
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from resnetgen.compiler.analysis.name_ranges import FoldedName, fold_names
from resnetgen.compiler.diagnostics.model import visible
from resnetgen.compiler.frontend.tree import Tree, python_value
from resnetgen.compiler.frontend.yaml_writer import to_flow
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.compiler.passes.infer_types import Cost
from resnetgen.reports.numbers import count, relative_change, rounded
from resnetgen.reports.table_layout import Grid, markdown, plain
from resnetgen.variants.diff import (
    INIT_OF,
    RESULT_SHAPE,
    BeforeAfter,
    Difference,
    NetworkSummary,
    Shape,
    SpecChange,
    StageSummary,
)
from resnetgen.weights.keys import covering_paths, module_of

MOST_LINES = 24  # of a list; more are counted
_STAGE_HEADS = ("", "stage", "block", "blocks", "output", "parameters", "multiply-adds")
_REMOVED, _ADDED, _CHANGED, _MOVED = "-", "+", "~", ">"


def as_text(found: Difference, names: NetworkNames) -> str:
    """The difference as plain text."""
    return _written(found, names, plain)


def as_markdown(found: Difference, names: NetworkNames) -> str:
    """The difference as Markdown: the first line, and a table a part."""
    return _written(found, names, markdown)


def _written(found: Difference, names: NetworkNames, lines_of: Callable[[Grid], list[str]]) -> str:
    lines = [headline(found, names)]
    for grid in _parts(found, names):
        lines += ["", *lines_of(grid)]
    return "\n".join(map(visible, lines)) + "\n"


# --- the parts


def _parts(found: Difference, names: NetworkNames) -> Iterator[Grid]:
    before, after = names.heads
    yield from _grid(("spec", before, after), "<<<", _spec_rows(found))
    ends = ((what, *map(truncated, pair)) for what, pair in found.interface.items())
    yield from _grid(("network", before, after), "<<<", ends)
    yield from _grid(_STAGE_HEADS, "<<<<<<<", _stage_rows(found))
    yield from _grid(("cost", before, after, "difference", ""), "<>>>>", _cost_rows(found.costs))
    yield from _grid(("", "nodes", _node_counts(found)), "<<<", _node_rows(found))
    keys = _counts(*(len(each.keys) for each in found.networks))
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
        yield each.path, truncated(_said(each.before)), truncated(_said(each.after))


def _said(tree: Tree | None) -> str:
    return "" if tree is None else to_flow(tree)


def _stage_rows(found: Difference) -> Iterator[tuple[str, ...]]:
    for name, (old, new) in found.stages.items():
        sign = _CHANGED if old and new else _ADDED if new else _REMOVED
        cells = zip(_stage_cells(old or new), _stage_cells(new or old), strict=True)
        yield sign, name, *(one if one == other else f"{one} -> {other}" for one, other in cells)


def _stage_cells(stage: StageSummary | None) -> tuple[str, ...]:
    assert stage
    blocks = "" if stage.blocks is None else str(stage.blocks)
    return stage.block, blocks, _shape(stage.out), count(stage.params), count(stage.macs)


def _cost_rows(costs: tuple[Cost, Cost]) -> Iterator[tuple[str, ...]]:
    for figure, title in _TITLES.items():
        old, new = (getattr(cost, figure) for cost in costs)
        if old != new:
            yield title, count(old), count(new), f"{new - old:+,}", relative_change(new, old)


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _counts(old: int, new: int) -> str:
    return count(old) if old == new else f"{count(old)} -> {count(new)}"


# --- nodes


def _node_counts(found: Difference) -> str:
    said = _counts(*(len(each.properties) for each in found.networks))
    resized = len(found.nodes.resized)
    return f"{said}; {count(resized)} only of another shape" if resized else said


def _node_rows(found: Difference) -> Iterator[tuple[str, ...]]:
    before, after = found.networks
    yield from _rows(_REMOVED, _counted(_whole_nodes(found.nodes.removed, before)))
    yield from _rows(_ADDED, _counted(_whole_nodes(found.nodes.added, after)))
    changed = ((name, _facts_said(name, facts)) for name, facts in found.nodes.changed.items())
    yield from _rows(_CHANGED, fold_names(changed))


def _counted(lines: Iterable[tuple[str, str]]) -> Iterator[FoldedName]:
    """Modules with what each holds, and how often where several are one line."""
    for each in fold_names(lines):
        said = f"({each.text})" if ", " in each.text else each.text
        yield replace(each, text=f"{each.count} x {said}") if each.count > 1 else each


def _rows(sign: str, lines: Iterable[FoldedName]) -> Iterator[tuple[str, ...]]:
    """A row for all names of which the same is said, as far as they fit."""
    together: dict[str, list[str]] = {}
    for each in lines:
        names = together.setdefault(each.text, [])
        if names and len(names[-1]) + len(each.name) <= LONGEST:
            names[-1] += f", {each.name}"
        else:
            names.append(each.name)
    yield from ((sign, name, said) for said, names in together.items() for name in names)


def _whole_nodes(names: Sequence[str], seen: NetworkSummary) -> Iterator[tuple[str, str]]:
    """What modules hold that one of the networks lacks."""
    for module, inside in modules(names, seen.properties):
        ops = [str(seen.properties[name]["op"]) for name in inside]
        yield module or "all", _ops_said(ops)


def _ops_said(ops: Sequence[str]) -> str:
    """`3 convolution, 3 batch_norm, add`."""
    kinds = Counter(ops)
    return ", ".join(f"{number} {op}" if number > 1 else op for op, number in kinds.items())


def _facts_said(name: str, facts: Mapping[str, BeforeAfter]) -> str:
    """What differs; another op has other attributes, of which nothing is said."""
    told = [fact for fact in ("op", "inputs") if fact in facts] if "op" in facts else [*facts]
    return ", ".join(
        _inputs_said(name, *facts[fact])
        if fact == "inputs"
        else f"{fact} {_value(facts[fact][0], fact)} -> {_value(facts[fact][1], fact)}"
        for fact in told
        if fact != RESULT_SHAPE
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
        return "default" if fact.startswith(INIT_OF) else "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return " ".join(str(each) for each in value if each is not None)
    return str(value)


# --- the state_dict


def _key_rows(found: Difference) -> Iterator[tuple[str, ...]]:
    before, after = found.networks
    keys = found.keys
    yield from _alone_rows(_REMOVED, keys.removed, before.keys)
    yield from _alone_rows(_ADDED, keys.added, after.keys)
    reshaped = {key: f"{_shape(old)} -> {_shape(new)}" for key, (old, new) in keys.reshaped.items()}
    yield from _rows(_CHANGED, fold_names(_by_module(reshaped)))
    moved = dict.fromkeys(keys.moved, "elsewhere in the order")
    yield from _rows(_MOVED, fold_names(_by_module(moved)))


def _alone_rows(
    sign: str, keys: Sequence[str], shapes: Mapping[str, Shape]
) -> Iterator[tuple[str, ...]]:
    """Modules with modules inside by their number of tensors, others by their tensors."""
    held = dict(modules(keys, shapes))
    large = {path: inside for path, inside in held.items() if len({*map(module_of, inside)}) > 1}
    lines = ((path or "all", f"{len(inside)} tensors") for path, inside in large.items())
    yield from _rows(sign, _counted(lines))
    rest = {key: _shape(shapes[key]) for path in held.keys() - large for key in held[path]}
    yield from _rows(sign, fold_names(_by_module({key: rest[key] for key in keys if key in rest})))


def _by_module(said: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A line a module, its tensors of which the same is said together."""
    inside: dict[str, dict[str, list[str]]] = {}
    for key, text in said.items():
        tensors = inside.setdefault(module_of(key), {}).setdefault(text, [])
        tensors.append(key.rpartition(".")[2])
    for module, texts in inside.items():
        yield module, "; ".join(f"{', '.join(names)}: {text}" for text, names in texts.items())


LONGEST = 60  # characters of a value, or of names in one line
_LONGEST_HEAD = 24
_MOST_NAMED = 3  # stages, or changes of the spec
_FIGURES = {"params": "parameters", "macs": "multiply-adds"}


@dataclass(frozen=True, slots=True)
class NetworkNames:
    """What the two networks are called."""

    before: str
    after: str

    @property
    def heads(self) -> tuple[str, str]:
        """Over columns: the names, if they are short and differ."""
        short = max(len(self.before), len(self.after)) <= _LONGEST_HEAD
        fits = short and self.before != self.after
        return (self.before, self.after) if fits else ("before", "after")


def headline(found: Difference, names: NetworkNames) -> str:
    """`resnet50 -> resnet101: 17 more blocks in layer3; 25.56 M -> 44.55 M parameters ...`."""
    between = f"{names.before} -> {names.after}"
    if found.equal:
        return f"{between}: nothing differs"
    if found.networks_equal:
        return f"{between}: the specs differ, the networks are equal"
    stages = list(_stages_said(found))
    rest = [each for each in found.spec if not (stages and each.path.startswith("stages."))]
    what = [*stages, *_spec_said(rest)]
    return "; ".join([f"{between}: {', '.join(what)}" if what else between, _costs_said(found)])


def _stages_said(found: Difference) -> Iterator[str]:
    """`17 more blocks in layer3`, `without layer4`."""
    pairs = {n: p for n, p in found.stages.items() if any(each and each.blocks for each in p)}
    counts = {
        name: _blocks(new) - _blocks(old) for name, (old, new) in pairs.items() if old and new
    }
    longer = {name: number for name, number in counts.items() if number}
    if len(longer) > _MOST_NAMED:
        yield f"{_more(sum(longer.values()))} in {len(longer)} stages"
    else:
        yield from (f"{_more(number)} in {name}" for name, number in longer.items())
    for word, at in (("without", 1), ("with a new", 0)):
        names = [name for name, pair in pairs.items() if pair[at] is None]
        if names:
            yield f"{word} {_listed(names)}"


def _blocks(stage: StageSummary) -> int:
    return stage.blocks or 1


def _more(number: int) -> str:
    word = "more" if number > 0 else "fewer"
    return f"{abs(number)} {word} block{'s' * (abs(number) != 1)}"


def _spec_said(changes: Sequence[SpecChange]) -> Iterator[str]:
    """Few changes of the spec as they are; of many, what they are about."""
    if len(changes) <= _MOST_NAMED:
        yield from map(_change_said, changes)
        return
    about = dict.fromkeys(each.path.partition(".")[0] for each in changes)
    yield f"changes of {_listed([*about])}"


def _change_said(change: SpecChange) -> str:
    if change.after is None:
        return f"without {change.path}"
    old = f"{truncated(to_flow(change.before))} -> " if change.before else ""
    return f"{change.path} {old}{truncated(to_flow(change.after))}"


def _listed(words: Sequence[str]) -> str:
    told = words if len(words) <= _MOST_NAMED + 2 else [*words[:_MOST_NAMED], "..."]
    return ", ".join(told)


def _costs_said(found: Difference) -> str:
    return ", ".join(_cost_said(figure, found.costs) for figure in _FIGURES)


def _cost_said(figure: str, costs: tuple[Cost, Cost]) -> str:
    old, new = (getattr(cost, figure) for cost in costs)
    if old == new:
        return f"{rounded(old)} {_FIGURES[figure]} as before"
    share = relative_change(new, old)
    more = f" ({share})" if share else ""
    return f"{rounded(old)} -> {rounded(new)} {_FIGURES[figure]}{more}"


def truncated(text: str) -> str:
    """A text as far as a line has room for it."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


FIGURES = ("params", "macs", "flops", "activations")
_TITLES = dict(zip(FIGURES, ("parameters", "multiply-adds", "FLOPs", "activations"), strict=True))


def as_data(found: Difference) -> dict[str, Any]:
    """Plain data; every list has an object for each path, stage, node or key that differs."""
    before, after = found.networks
    nodes, keys = found.nodes, found.keys
    differing = {**nodes.changed, **{n: {RESULT_SHAPE: pair} for n, pair in nodes.resized.items()}}
    return {
        "before": _network(before, found.costs[0]),
        "after": _network(after, found.costs[1]),
        "equal": found.equal,
        "networks_equal": found.networks_equal,
        "spec": [
            {"path": each.path, "before": _tree(each.before), "after": _tree(each.after)}
            for each in found.spec
        ],
        "interface": [_pair(key, pair) for key, pair in found.interface.items()],
        "stages": [
            {"name": name, "before": old and asdict(old), "after": new and asdict(new)}
            for name, (old, new) in found.stages.items()
        ],
        "cost": [_figure(name, found.costs) for name in FIGURES],
        "nodes_removed": [_node(before, name) for name in nodes.removed],
        "nodes_added": [_node(after, name) for name in nodes.added],
        "nodes_changed": [
            {"name": name, "facts": [_pair(fact, pair) for fact, pair in facts.items()]}
            for name, facts in differing.items()
        ],
        "keys_removed": [_key(key, before.keys[key]) for key in keys.removed],
        "keys_added": [_key(key, after.keys[key]) for key in keys.added],
        "keys_reshaped": [
            {"key": key, "before": list(old), "after": list(new)}
            for key, (old, new) in keys.reshaped.items()
        ],
        "keys_moved": list(keys.moved),
    }


def _network(seen: NetworkSummary, cost: Cost) -> dict[str, Any]:
    graph = seen.graph
    totals = {name: getattr(cost, name) for name in FIGURES}
    return {"network": graph.name, "input": list(graph.input.shape), **totals}


def _tree(tree: Any) -> Any:
    return None if tree is None else python_value(tree)


def _figure(name: str, costs: tuple[Cost, Cost]) -> dict[str, Any]:
    old, new = (getattr(cost, name) for cost in costs)
    return {
        "name": name,
        "before": old,
        "after": new,
        "difference": new - old,
        "ratio": new / old if old else None,
    }


def _node(seen: NetworkSummary, name: str) -> dict[str, Any]:
    return {"name": name, **{fact: _as_json(each) for fact, each in seen.properties[name].items()}}


def _pair(name: str, pair: tuple[Any, Any]) -> dict[str, Any]:
    return {"name": name, "before": _as_json(pair[0]), "after": _as_json(pair[1])}


def _key(key: str, shape: Shape) -> dict[str, Any]:
    return {"key": key, "shape": list(shape)}


def _as_json(value: Any) -> Any:
    if isinstance(value, TensorType):
        return list(value.shape)
    return list(value) if isinstance(value, tuple) else value


def modules(chosen: Collection[str], names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """The fewest modules that hold all chosen names and no other, with the names that each holds.

    A name that stands alone is its own module; where all are chosen, the module is ``, the network.
    """
    yield from (covering_paths(chosen, names) or ({"": [*chosen]} if chosen else {})).items()
