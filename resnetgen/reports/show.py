"""show(network, measured): the elaborated network as text, each distinct block once.

    layer1  bottleneck 1, 2 x bottleneck 2                    256 x 56 x 56
    ...
    bottleneck 1: width 64    (layer1.0)
      conv1  convolution  out 64, kernel 1                    64 x 56 x 56
      ...
      add    add          from bn3, downsample                256 x 56 x 56

Nodes stand in the order of execution. An attribute that has its default is left out, and so is the
input of a node that reads the one before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from resnetgen.compiler.diagnostics.model import visible
from resnetgen.compiler.ir.nodes import Network, OpCall
from resnetgen.compiler.ir.op_def import Attribute
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode
from resnetgen.compiler.passes.module_paths import numbered_paths
from resnetgen.reports.numbers import cost_summary
from resnetgen.reports.table_layout import align


@dataclass(frozen=True, slots=True)
class _Line:
    """A node of a block: what it is called, what it does, with what, and what comes out."""

    name: str
    what: str
    details: str
    result: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class _Use:
    """A distinct block, the path where it first stands, and what it reads there."""

    block: TypedInstance
    place: str
    source: TensorType


def show(network: Network, measured: TypedInstance) -> str:
    """The network, its stem, stages and head, then each distinct block."""
    names = _block_names(measured)
    lines = [_title(network, measured), *map(visible, filter(None, (network.doc, network.paper)))]
    lines += ["", *_body(measured, names, "")]
    for use in _distinct(measured):
        lines += ["", _block_title(use, names[id(use.block)]), *_body(use.block, names, "  ")]
    return "\n".join(lines)


def _title(network: Network, measured: TypedInstance) -> str:
    outputs = ", ".join(str(each) for each in measured.outputs[: len(network.outputs)])
    return f"{network.name}: {network.input} -> {outputs}; {cost_summary(measured.cost)}"


def _block_title(use: _Use, name: str) -> str:
    instance = use.block.instance
    given = [key for key in instance.block.params if key in instance.given]
    values = ", ".join(_pair(key, instance.values[key]) for key in given)
    header = f"{name}: {values}" if values else name
    return f"{header}  ({use.place} reads {use.source}; {cost_summary(use.block.cost)})"


def _body(measured: TypedInstance, names: dict[int, str], indent: str) -> list[str]:
    """The nodes of one block in columns; those of a stem or head under its name."""
    found = list(_lines(measured, names))
    cells = [(_indented(line), line.what, line.details, line.result) for line in found]
    group = None
    lines: list[str] = []
    for line, text in zip(found, align(cells, "<<<<"), strict=True):
        if line.group and line.group != group:
            lines.append(indent + line.group)
        group = line.group
        lines.append(indent + text)
    return lines


def _indented(line: _Line) -> str:
    return f"  {line.name}" if line.group else line.name


def _lines(measured: TypedInstance, names: dict[int, str]) -> Iterator[_Line]:
    instance = measured.instance
    paths = numbered_paths(instance.nodes)
    before = instance.block.inputs[0]
    for index in instance.schedule:
        step, placed = measured.nodes[index], instance.nodes[index]
        details = nondefault_attributes(placed.op) if placed.op else []
        if placed.inputs != (before,):
            details.append(f"from {', '.join(placed.inputs)}")
        if placed.op and paths[index][0] != placed.key:
            details.append(f"as {paths[index][0]}")
        what = _called_by(step, names)
        yield _Line(placed.key, what, ", ".join(details), str(step.result), placed.group)
        before = placed.key


def _called_by(step: TypedNode, names: dict[int, str]) -> str:
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
    """Whether a node says of this attribute what it would be anyway."""
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


def _distinct(measured: TypedInstance) -> list[_Use]:
    """The blocks below, each once, outer before inner, where they are first used."""
    found: dict[int, _Use] = {}
    todo = list(_called(measured, ""))
    for use in todo:
        if id(use.block) not in found:
            found[id(use.block)] = use
            todo += _called(use.block, f"{use.place}.")
    return list(found.values())


def _called(block: TypedInstance, prefix: str) -> Iterator[_Use]:
    paths = numbered_paths(block.instance.nodes)
    for index in block.instance.schedule:
        at, source = 0, block.nodes[index].source
        for inner, times in block.nodes[index].blocks:
            yield _Use(inner, prefix + paths[index][at], source)
            at, source = at + times, inner.outputs[0]


def _block_names(measured: TypedInstance) -> dict[int, str]:
    """`projection`, or `bottleneck 1`, `bottleneck 2` where there are several."""
    blocks = [use.block for use in _distinct(measured)]
    alike = Counter(block.instance.block.name for block in blocks)
    numbers: Counter[str] = Counter()
    names: dict[int, str] = {}
    for block in blocks:
        name = block.instance.block.name
        numbers[name] += 1
        names[id(block)] = f"{name} {numbers[name]}" if alike[name] > 1 else name
    return names
