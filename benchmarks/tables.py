"""Raw figures as the page shows them: medians with their spread, ratios of medians, Markdown tables.

spread([0.31, 0.3, 0.36])   ->  "0.31 s (0.30-0.36)"
table(["network", "ours"], [["resnet50", "0.31 s"]])
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.results import Result, Section
from resnetgen.reports.table_layout import Grid, markdown

QUIET = 0.5  # load per core up to which a machine counts as quiet


def ratio(others: Sequence[float], ours: Sequence[float]) -> float:
    """How many times longer the others took, by the medians."""
    return median(others) / median(ours)


def spread(times: Sequence[float]) -> str:
    """The median, with the least and the most in brackets if there are several; in s or ms.

    A dash if nothing was measured.
    """
    if not times:
        return "-"
    factor, unit = (1e3, "ms") if median(times) < 0.1 else (1.0, "s")
    values = [each * factor for each in (median(times), min(times), max(times))]
    digits = 0 if values[0] >= 100 else 1 if values[0] >= 10 else 2
    middle, least, most = (f"{each:.{digits}f}" for each in values)
    return f"{middle} {unit} ({least}-{most})" if len(times) > 1 else f"{middle} {unit}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """The lines of a Markdown table; the first `texts` columns are texts, the others figures."""
    sides = "<" * texts + ">" * (len(heads) - texts)
    return markdown(Grid("", tuple(heads), tuple(map(tuple, rows)), sides))


def provenance(section: Section, results: Sequence[Result]) -> str:
    """When, where and under which load the results of a section were measured, and for how long."""
    machines = dict.fromkeys(_machine(each, section.peers) for each in results)
    dates = sorted({each.machine["date"][:10] for each in results})
    loads = [each.machine["load"] for each in results]
    took = sum(each.took for each in results)
    text = f"*{' to '.join(dict.fromkeys([dates[0], dates[-1]]))}; {'; '.join(machines)}. "
    text += f"Load before a measurement {_range(loads)}{_noise(results)}. "
    return text + f"`{section.command}` takes {duration(took)}.*"


def _machine(result: Result, peers: Sequence[str]) -> str:
    machine = result.machine
    flags = f" ({', '.join(machine['flags'])})" if machine["flags"] else ""
    versions = {"Python": machine["python"], **machine["versions"]}
    shown = ("Python", "torch", *peers)
    named = [f"{name} {versions[name]}" for name in shown if name in versions]
    return ", ".join([f"{machine['cpu']}, {machine['cores']} cores{flags}", *named])


def _range(values: Sequence[float]) -> str:
    least, most = min(values), max(values)
    return f"{least:.1f}" if f"{least:.1f}" == f"{most:.1f}" else f"{least:.1f} to {most:.1f}"


def _noise(results: Sequence[Result]) -> str:
    quiet = all(each.machine["load"] <= QUIET * each.machine["cores"] for each in results)
    return "" if quiet else ": **the machine was not quiet**, and only ratios mean anything"


def duration(seconds: float) -> str:
    """A rough duration: `40 s`, `12 min`, `1.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
