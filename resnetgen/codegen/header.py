"""The docstring of a printed file: what the network is, and its table of stages, all computed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from resnetgen.graph.ir import Network
from resnetgen.graph.measure import Cost, Measured
from resnetgen.graph.rows import stages

WIDTH = 88


def header(network: Network, measured: Measured) -> Iterator[str]:
    """The lines, without quotes."""
    yield from textwrap.wrap(sentence(network.doc) if network.doc else network.name, WIDTH - 6)
    yield ""
    if network.paper:
        yield f"Paper: {network.paper}"
        yield ""
    yield from table(measured)


def table(measured: Measured) -> Iterator[str]:
    """Stage, output shape, parameters and multiply-adds for one image of the spec's size."""
    rows = [("stage", "output", "parameters", "multiply-adds")]
    for name, steps in stages(measured).items():
        cost = sum((step.cost for step in steps), Cost())
        rows.append((name, str(steps[-1].result), f"{cost.params:,}", f"{cost.macs:,}"))
    total = measured.cost
    rows.append(("total", "", f"{total.params:,}", f"{total.macs:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for name, output, params, macs in rows:
        line = f"{name:<{widths[0]}}  {output:<{widths[1]}}  {params:>{widths[2]}}  {macs:>{widths[3]}}"
        yield line.rstrip()


def sentence(text: str) -> str:
    """The text as a sentence: a capital first, a full stop last."""
    text = " ".join(text.split())
    ended = text if text.endswith((".", "!", "?")) else f"{text}."
    return ended[:1].upper() + ended[1:]
