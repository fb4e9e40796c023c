"""The cost of networks as data and as tables.

report resnet50 --by stage  ->  one row a stage, and a total
report resnet50 resnet152   ->  one row a network
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from resnetgen.graph.features import features
from resnetgen.graph.ir import Network
from resnetgen.graph.measure import Cost, Measured
from resnetgen.graph.rows import Row, rows_by_block, rows_by_node, rows_by_stage
from resnetgen.graph.rules import TensorType
from resnetgen.report.columns import align, count, rounded

_COSTS = ("parameters", "multiply-adds", "activations")


def summary(cost: Cost) -> str:
    """A cost in a few words: `60,192,808 parameters, 11.51 G multiply-adds`."""
    return f"{count(cost.params)} parameters, {rounded(cost.macs)} multiply-adds"


# --- data


def as_data(network: Network, measured: Measured, by: str = "stage") -> dict[str, Any]:
    """The report of one network as plain data; `nodes` lists nodes or blocks where asked for.

    `outputs` gives channels and reduction of each output.
    """
    cost = measured.cost
    data: dict[str, Any] = {
        "network": network.name,
        "input": list(network.input.shape),
        "totals": {
            "params": cost.params,
            "macs": cost.macs,
            "flops": cost.flops,
            "activations": cost.activations,
        },
        "outputs": [
            {"name": each.name, "channels": each.channels, "reduction": each.reduction}
            for each in features(network, measured.instance)
        ],
        "stages": [_stage(row) for row in rows_by_stage(measured)],
    }
    if by in ("node", "block"):
        data["nodes"] = [_node(row) for row in _rows(measured, by)]
    return data


def _stage(row: Row) -> dict[str, Any]:
    return {"name": row.name, "out": list(row.result.shape), **_costs(row.cost)}


def _node(row: Row) -> dict[str, Any]:
    shapes = {"in": list(row.source.shape), "out": list(row.result.shape)}
    return {"name": row.name, "op": row.op, **shapes, **_costs(row.cost)}


def _costs(cost: Cost) -> dict[str, int]:
    return {"params": cost.params, "macs": cost.macs, "activations": cost.activations}


def _rows(measured: Measured, by: str) -> Iterable[Row]:
    if by == "node":
        return rows_by_node(measured)
    return rows_by_block(measured) if by == "block" else rows_by_stage(measured)


def as_json(data: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """Reports as JSON, a line for each row (`json.dumps` gives each number of a shape its own)."""
    if isinstance(data, Mapping):
        return _object(data, "")
    return "[\n  " + ",\n  ".join(_object(each, "  ") for each in data) + "\n]"


def _object(data: Mapping[str, Any], indent: str) -> str:
    lines = [f'{indent}  "{key}": {_value(value, indent)}' for key, value in data.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _value(value: Any, indent: str) -> str:
    import json

    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return json.dumps(value)
    rows = f",\n{indent}    ".join(map(json.dumps, value))
    return f"[\n{indent}    {rows}\n{indent}  ]"


# --- tables


def table(network: Network, measured: Measured, by: str = "stage") -> list[str]:
    """The lines of a table of one network: a title, the column heads, the rows, the total."""
    places: tuple[str, ...] = ("input", "output") if by == "node" else ("output",)
    lines = [("name", "op" if by == "node" else "block", *places, *_COSTS)]
    for row in _rows(measured, by):
        shapes = (str(row.source), str(row.result))[-len(places) :]
        what = row.op if row.op != row.name else ""
        lines.append((row.name, what, *shapes, *_cost_cells(row.cost)))
    lines.append(("total", "", *("" for _ in places), *_cost_cells(measured.cost)))
    title = f"{network.name}, input {network.input}"
    return [title, *align(lines, "<<" + "<" * len(places) + ">>>"), *_outputs(network, measured)]


def _outputs(network: Network, measured: Measured) -> list[str]:
    """A line for each of several outputs."""
    found = features(network, measured.instance)
    if len(found) < 2:
        return []
    rows = [("outputs", "channels", "reduction")]
    rows += [(each.name, count(each.channels), str(each.reduction)) for each in found]
    return ["", *align(rows, "<>>")]


def _cost_cells(cost: Cost) -> tuple[str, ...]:
    return count(cost.params), count(cost.macs), count(cost.activations)


def comparison(networks: Iterable[tuple[str, TensorType, Cost]]) -> list[str]:
    """The lines of a table of several networks, a row each."""
    rows: list[tuple[str, ...]] = [
        ("network", "input", "parameters", "multiply-adds", "FLOPs", "activations")
    ]
    for name, source, cost in networks:
        counts = (cost.params, cost.macs, cost.flops, cost.activations)
        rows.append((name, str(source), *map(count, counts)))
    return align(rows, "<<>>>>")
