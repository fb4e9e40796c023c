"""docs/reports.md: what it lists is what there is. `python tests/report/test_reference.py` rewrites it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from resnetgen.compiler.diagnostics.model import render
from resnetgen.pipeline import compile_spec
from resnetgen.reports.budget import exceeded_limits, parse_budget
from resnetgen.reports.metrics import METRICS, Conditions
from resnetgen.reports.report import Report
from resnetgen.reports.roofline import devices

PAGE = Path(__file__).resolve().parents[2] / "docs/reports.md"


def _metrics() -> Iterator[str]:
    yield "| name | unit | |"
    yield "|---|---|---|"
    for name, metric in METRICS.items():
        whole = "; of a whole network" if metric.whole else ""
        yield f"| `{name}` | {metric.unit} | {metric.doc}{whole} |"


def _devices() -> Iterator[str]:
    yield "| name | device | TFLOP/s, dense | TB/s | memory | source |"
    yield "|---|---|---|--:|--:|---|"
    for key, device in devices().items():
        rates = ", ".join(f"{dtype} {rate / 1e12:g}" for dtype, rate in device.rates.items())
        bandwidth, memory = f"{device.bandwidth / 1e12:g}", f"{device.memory / 1e9:g} GB"
        yield f"| `{key}` | {device.name} | {rates} | {bandwidth} | {memory} | {device.source} |"


def _over() -> Iterator[str]:
    compiled = compile_spec("resnet50")
    limits = parse_budget("macs < 4G, params < 26M", METRICS, "--budget")
    report = Report(
        compiled.network,
        compiled.typed,
        Conditions(),
        tuple(METRICS[each] for each in ("params", "macs")),
    )
    yield "```text"
    yield render(exceeded_limits(limits, report.name, report.total.values, METRICS), color=False)
    yield "```"


PARTS: Mapping[str, Callable[[], Iterator[str]]] = {
    "metrics": _metrics,
    "devices": _devices,
    "over": _over,
}


def regenerated(page: str) -> str:
    """The page with what is between `<!-- PART -->` and `<!-- end -->` as it is now."""
    for part, lines in PARTS.items():
        text = "".join(f"{line}\n" for line in lines())
        pattern = rf"(<!-- {part} -->\n).*?(<!-- end -->)"
        page, found = re.subn(
            pattern, lambda at, text=text: at[1] + text + at[2], page, flags=re.DOTALL
        )
        assert found == 1, part
    return page


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert regenerated(page) == page


def test_every_figure_is_explained_once() -> None:
    assert len({metric.doc for metric in METRICS.values()}) == len(METRICS)


if __name__ == "__main__":
    PAGE.write_text(regenerated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
