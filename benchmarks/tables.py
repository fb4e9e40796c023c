"""What the page says of raw figures: medians with their spread, ratios of medians, Markdown tables.

spread([0.31, 0.3, 0.36])   ->  "0.31 s (0.30-0.36)"
table(["network", "ours"], [["resnet50", "0.31 s"]])
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.results import Result, Section
from resnetgen.reports.table_layout import Grid, markdown

QUIET = 0.5  # of load a core, up to which a machine passes for quiet


def ratio(others: Sequence[float], ours: Sequence[float]) -> float:
    """How many times longer the others took, by the medians."""
    return median(others) / median(ours)


def spread(times: Sequence[float]) -> str:
    """The median, in brackets the least and the most where there are several; in s or ms.

    A dash where nothing was measured.
    """
    if not times:
        return "-"
    factor, unit = (1e3, "ms") if median(times) < 0.1 else (1.0, "s")
    values = [each * factor for each in (median(times), min(times), max(times))]
    digits = 0 if values[0] >= 100 else 1 if values[0] >= 10 else 2
    middle, least, most = (f"{each:.{digits}f}" for each in values)
    return f"{middle} {unit} ({least}-{most})" if len(times) > 1 else f"{middle} {unit}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """The lines of a Markdown table; the first columns hold `texts`, the others figures."""
    sides = "<" * texts + ">" * (len(heads) - texts)
    return markdown(Grid("", tuple(heads), tuple(map(tuple, rows)), sides))


def provenance(section: Section, results: Sequence[Result]) -> str:
    """When, on what and under which load the results of a section were measured, and for how long."""
    machines = dict.fromkeys(_machine(each, section.peers) for each in results)
    dates = sorted({each.machine["date"][:10] for each in results})
    loads = [each.machine["load"] for each in results]
    took = sum(each.took for each in results)
    said = f"*{' to '.join(dict.fromkeys([dates[0], dates[-1]]))}; {'; '.join(machines)}. "
    said += f"Load before a measurement {_range(loads)}{_noise(results)}. "
    return said + f"`{section.command}` takes {duration(took)}.*"


def _machine(result: Result, peers: Sequence[str]) -> str:
    facts = result.machine
    flags = f" ({', '.join(facts['flags'])})" if facts["flags"] else ""
    found = {"Python": facts["python"], **facts["versions"]}
    named = [f"{name} {found[name]}" for name in ("Python", "torch", *peers) if name in found]
    return ", ".join([f"{facts['cpu']}, {facts['cores']} cores{flags}", *named])


def _range(values: Sequence[float]) -> str:
    least, most = min(values), max(values)
    return f"{least:.1f}" if f"{least:.1f}" == f"{most:.1f}" else f"{least:.1f} to {most:.1f}"


def _noise(results: Sequence[Result]) -> str:
    quiet = all(each.machine["load"] <= QUIET * each.machine["cores"] for each in results)
    return "" if quiet else ": **the machine was not quiet**, and only ratios mean anything"


def duration(seconds: float) -> str:
    """About how long: `40 s`, `12 min`, `1.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
