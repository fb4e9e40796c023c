"""docs/performance.md: what is between `<!-- results: SECTION -->` and `<!-- end -->` is generated here.

regenerate(page, folder)   ->  the page, with the tables of the stored results
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import (
    cold,
    front_end,
    gpu_page,
    inference,
    library,
    loop,
    memory,
    plans,
    regions,
    sweep,
    targets,
)
from benchmarks.processes import ROOT
from benchmarks.results import FOLDER, Result, Section, read
from benchmarks.tables import duration, provenance, table

PAGE = ROOT / "docs/performance.md"
PART = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

SECTIONS: dict[str, Section] = {
    each.name: each
    for each in (
        front_end.SECTION,
        sweep.SECTION,
        cold.SECTION,
        inference.SECTION,
        memory.SECTION,
        plans.SECTION,
        loop.SECTION,
        regions.SECTION,
        library.SECTION,
        gpu_page.SECTION,
    )
}


def write(page: Path, folder: Path = FOLDER) -> None:
    """Regenerates the page, and its plots beside it."""
    page.write_text(regenerate(page.read_text(encoding="utf-8"), folder), encoding="utf-8")
    for name, svg in plots(folder).items():
        (page.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (page.parent / name).write_text(svg, encoding="utf-8")


def regenerate(page: str, folder: Path = FOLDER) -> str:
    """The page with new generated parts. Raises KeyError for a part that no section generates."""
    stored = _stored(folder)
    parts = {name: _section_lines(SECTIONS[name], results) for name, results in stored.items()}
    parts |= {"targets": targets.target_table(stored), "time": _time(stored)}
    return PART.sub(lambda part: part[1] + "\n".join(parts[part[2]]) + "\n" + part[3], page)


def plots(folder: Path = FOLDER) -> dict[str, str]:
    """The plots of the page, by their paths from its folder."""
    return {
        f"images/performance/{name}.svg": svg
        for section, results in _stored(folder).items()
        for name, svg in SECTIONS[section].plots(results).items()
    }


def _stored(folder: Path) -> dict[str, list[Result]]:
    return {name: read(name, folder) for name in SECTIONS}


def _section_lines(section: Section, results: Sequence[Result]) -> list[str]:
    if not results:
        return [f"Not measured: `{section.command}` does it."]
    shown = [f"![{name}](images/performance/{name}.svg)" for name in section.plots(results)]
    lines = [*section.render(results), "", provenance(section, results)]
    return [*lines, *(["", *shown] if shown else [])]


def _time(stored: Mapping[str, Sequence[Result]]) -> list[str]:
    """How long each section takes, and all of them."""
    took = {name: sum(each.took for each in results) for name, results in stored.items() if results}
    rows = [[f"`{name}`", duration(seconds)] for name, seconds in took.items()]
    return table(["measurement", "takes"], [*rows, ["all of these", duration(sum(took.values()))]])
