"""show(network, typed) -> the elaborated network as text, each distinct block once.

    layer1  bottleneck 1, 2 x bottleneck 2                    256 x 56 x 56
    ...
    bottleneck 1: width 64    (layer1.0)
      conv1  convolution  out 64, kernel 1                    64 x 56 x 56
      ...
      add    add          from bn3, downsample                256 x 56 x 56

Nodes are in the order of execution. Attributes that have their defaults are left out, and so is the
input of a node that reads the node before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from resnetgen.compiler.diagnostics.model import escape_invisible
from resnetgen.compiler.ir.nodes import Network, OpCall
from resnetgen.compiler.ir.op_def import Attribute
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode
from resnetgen.compiler.passes.module_paths import numbered_paths
from resnetgen.reports.numbers import cost_summary
from resnetgen.reports.table_layout import align


@dataclass(frozen=True, slots=True)
class _Line:
    """The cells of a node: its name, its op or blocks, their attributes and inputs, its result."""

    name: str
    callee: str
    details: str
    result: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class _Use:
    """A distinct block, the path of its first use, and what it reads there."""

    block: TypedInstance
    path: str
    source: TensorType


def show(network: Network, typed: TypedInstance) -> str:
    """The network, its stem, stages and head, then each distinct block."""
    names = _block_names(typed)
    lines = [
        _title(network, typed),
        *map(escape_invisible, filter(None, (network.doc, network.paper))),
    ]
    lines += ["", *_body(typed, names, "")]
    for use in _distinct(typed):
        lines += ["", _block_title(use, names[id(use.block)]), *_body(use.block, names, "  ")]
    return "\n".join(lines)


def _title(network: Network, typed: TypedInstance) -> str:
    outputs = ", ".join(str(each) for each in typed.outputs[: len(network.outputs)])
    return f"{network.name}: {network.input} -> {outputs}; {cost_summary(typed.cost)}"


def _block_title(use: _Use, name: str) -> str:
    instance = use.block.instance
    given = [key for key in instance.block.params if key in instance.given]
    values = ", ".join(_pair(key, instance.values[key]) for key in given)
    header = f"{name}: {values}" if values else name
    return f"{header}  ({use.path} reads {use.source}; {cost_summary(use.block.cost)})"


def _body(typed: TypedInstance, names: dict[int, str], indent: str) -> list[str]:
    """The nodes of one block in columns; those of a stem or head under its name."""
    rows = list(_lines(typed, names))
    cells = [(_indented(row), row.callee, row.details, row.result) for row in rows]
    group = None
    lines: list[str] = []
    for row, text in zip(rows, align(cells, "<<<<"), strict=True):
        if row.group and row.group != group:
            lines.append(indent + row.group)
        group = row.group
        lines.append(indent + text)
    return lines


def _indented(line: _Line) -> str:
    return f"  {line.name}" if line.group else line.name


def _lines(typed: TypedInstance, names: dict[int, str]) -> Iterator[_Line]:
    instance = typed.instance
    paths = numbered_paths(instance.nodes)
    before = instance.block.inputs[0]
    for index in instance.schedule:
        step, node = typed.nodes[index], instance.nodes[index]
        details = nondefault_attributes(node.op) if node.op else []
        if node.inputs != (before,):
            details.append(f"from {', '.join(node.inputs)}")
        if node.op and paths[index][0] != node.key:
            details.append(f"as {paths[index][0]}")
        yield _Line(
            node.key, _callee(step, names), ", ".join(details), str(step.result), node.group
        )
        before = node.key


def _callee(step: TypedNode, names: dict[int, str]) -> str:
    """An op, blocks in a row, or `identity`."""
    if step.node.op:
        return step.node.op.name
    runs = ((names[id(block)], times) for block, times in step.blocks)
    parts = [f"{times} x {name}" if times > 1 else name for name, times in runs]
    return ", ".join(parts) or "identity"


def nondefault_attributes(call: OpCall) -> list[str]:
    """The attributes that differ from their default."""
    return [
        _pair(key, call.attributes[key])
        for key, attribute in call.definition.attributes.items()
        if key in call.attributes and not is_default(key, attribute, call)
    ]


def is_default(key: str, attribute: Attribute, call: OpCall) -> bool:
    """Whether an attribute of a call has its default."""
    if attribute.required:
        return False
    default = attribute.default
    if callable(default):
        default = default(call.attributes)
    return bool(call.attributes[key] == default) or (default is None and not call.attributes[key])


def _pair(key: str, value: object) -> str:
    if isinstance(value, bool):
        return key if value else f"no {key}"
    if isinstance(value, tuple):
        return f"{key} {' x '.join(map(str, value))}"
    return f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"


def _distinct(typed: TypedInstance) -> list[_Use]:
    """The blocks below, each once at its first use, outer before inner."""
    uses: dict[int, _Use] = {}
    todo = list(_block_calls(typed, ""))
    for use in todo:
        if id(use.block) not in uses:
            uses[id(use.block)] = use
            todo += _block_calls(use.block, f"{use.path}.")
    return list(uses.values())


def _block_calls(block: TypedInstance, prefix: str) -> Iterator[_Use]:
    paths = numbered_paths(block.instance.nodes)
    for index in block.instance.schedule:
        at, source = 0, block.nodes[index].source
        for inner, times in block.nodes[index].blocks:
            yield _Use(inner, prefix + paths[index][at], source)
            at, source = at + times, inner.outputs[0]


def _block_names(typed: TypedInstance) -> dict[int, str]:
    """`projection`, or `bottleneck 1`, `bottleneck 2` where there are several."""
    blocks = [use.block for use in _distinct(typed)]
    alike = Counter(block.instance.block.name for block in blocks)
    numbers: Counter[str] = Counter()
    names: dict[int, str] = {}
    for block in blocks:
        name = block.instance.block.name
        numbers[name] += 1
        names[id(block)] = f"{name} {numbers[name]}" if alike[name] > 1 else name
    return names
