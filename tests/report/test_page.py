"""The HTML page: it has every figure, trusts no text, needs nothing else, and works in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetgen.compiler.analysis.evaluation_memory import activation_trace
from resnetgen.compiler.frontend.shipped import TEMPLATES
from resnetgen.pipeline import compile_spec, compile_text
from resnetgen.reports.conventions import conventions
from resnetgen.reports.html import memory_chart, page, stage_chart
from resnetgen.reports.metrics import Conditions, available_metrics
from resnetgen.reports.plotting.charts import DataPoint, Series, area, bars, linear_ticks, points
from resnetgen.reports.plotting.svg import DARK, LIGHT, variables
from resnetgen.reports.report import Report
from resnetgen.reports.roofline import devices

SPECS = Path(__file__).resolve().parents[1] / "specs"
EVERYTHING = Conditions(
    batch=4, conventions=tuple(conventions().values()), device=devices()["a100"], paths=True
)
HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(2)> \"'&amp; {{ 7 * 7 }}"
TINY = """\
network: tiny
doc: {doc}
paper: {paper}
input: {{channels: 3, size: [32, 32]}}
nodes: {{conv1: {{op: conv, out: 16, kernel: 3}}, bn1: {{op: norm}}, act1: {{op: act, as: relu}}}}
block: basic
shortcut: projection
stages: {{layer1: {{blocks: 3, width: 16}}}}
head: {{classes: 10}}
"""


def report(
    spec: str | Path, given: Conditions = EVERYTHING, columns: tuple[str, ...] = ()
) -> Report:
    """The report of a spec, or of the text of one; all columns if none is named."""
    text = isinstance(spec, str) and "\n" in spec
    compiled = compile_text(str(spec)) if text else compile_spec(spec)
    known = available_metrics(given)
    figures = tuple(known[name] for name in columns or known)
    return Report(compiled.network, compiled.typed, given, figures)


def tiny(doc: str = "Tiny.", paper: str = "none") -> Report:
    return report(TINY.format(doc=json.dumps(doc), paper=json.dumps(paper)), Conditions())


@dataclass
class Seen:
    """A table as a reader of the page sees it; `keys` has what each cell is sorted by."""

    rows: list[list[str]] = field(default_factory=list)
    keys: list[list[str | None]] = field(default_factory=list)
    tips: list[str | None] = field(default_factory=list)


class Reader(HTMLParser):
    """Elements, attributes, text and tables of a page. Rows and cells need no end tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: list[Seen] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in VOID | OPTIONAL:
            self.open.append(tag)
        if tag == "table":
            self.tables.append(Seen())
        elif tag == "tr":
            self.tables[-1].rows.append([])
            self.tables[-1].keys.append([])
        elif tag in ("td", "th"):
            table = self.tables[-1]
            table.rows[-1].append("")
            table.keys[-1].append(found.get("data-v"))
            if len(table.rows) == 1:
                table.tips.append(found.get("title"))
        elif tag == "small" and self.tables and self.open[-2:] == ["table", "small"]:
            self.tables[-1].rows[-1][-1] += "|"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))  # of SVG

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "table" in self.open and "caption" not in self.open and self.tables[-1].rows:
            self.tables[-1].rows[-1][-1] += data.strip()

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


VOID = {"meta", "link"}
OPTIONAL = {"thead", "tbody", "tfoot", "tr", "td", "th"}


# --- what the page says


def test_the_tables_have_every_row_and_every_column() -> None:
    found = report("resnet18")
    reader = Reader(page([found]))
    assert not [tag for tag in reader.open if tag not in OPTIONAL]
    expected = [found.lines("stage"), found.lines("block", folded=True), found.lines("node")]
    assert len(reader.tables) == len(expected)
    for table, lines in zip(reader.tables, expected, strict=True):
        assert table.tips[3:] == [
            f"{each.doc} ({each.unit})" if each.unit else each.doc for each in found.line_metrics
        ]
        heads, *rows, total = table.rows
        assert [head.partition("|")[0] for head in heads[3:]] == [
            m.title for m in found.line_metrics
        ]
        assert [row[0] for row in rows] == [line.row.name for line in lines]
        for row, line in zip(rows, lines, strict=True):
            assert row[2] == " × ".join(map(str, line.row.result.shape))
            assert row[3:] == [
                each.text(line.values[each.name]).replace(" x ", " × ")
                for each in found.line_metrics
            ]
        assert total[3] == "11,689,512"


def test_what_a_cell_is_sorted_by_is_its_figure() -> None:
    found = report("resnet18")
    table = Reader(page([found])).tables[2]
    for row, keys, line in zip(table.rows[1:], table.keys[1:], found.lines("node"), strict=False):
        for text, key, metric in zip(row[3:], keys[3:], found.line_metrics, strict=True):
            value = line.values[metric.name]
            if isinstance(value, str) or value is None:
                assert not key
                continue
            number = max(value) if isinstance(value, tuple) else value
            assert float((key or text).replace(",", "")) == pytest.approx(number, rel=1e-8)


def test_every_figure_of_the_whole_is_shown_and_explained() -> None:
    found = report("resnet18")
    text = " ".join(Reader(page([found])).text.split())
    for metric in found.metrics:
        assert metric.text(found.total.values[metric.name], short=True) in text
        assert f"{metric.title} {metric.name}" in text
        assert metric.doc in text
    assert "batch 4 data type float32 optimizer momentum device NVIDIA A100" in text


def test_several_networks_are_compared_with_the_first() -> None:
    found = [report(name, Conditions()) for name in ("resnet50", "resnet18", "vgg19")]
    reader = Reader(page(found))
    heads, *rows = reader.tables[0].rows
    assert [row[0] for row in rows] == ["resnet50", "resnet18", "vgg19"]
    assert "|" not in "".join(rows[0])
    assert rows[1][heads.index("parameters")] == "11,689,512|−54.3 %"
    assert len(reader.tables) == 1 + 3 * len(found)
    anchors = {attributes.get("id") for _, attributes in reader.tags}
    links = [attributes["href"] for tag, attributes in reader.tags if tag == "a"]
    assert {link.removeprefix("#") for link in links if link and link[0] == "#"} <= anchors


def test_several_outputs_have_a_table() -> None:
    table = Reader(page([report(SPECS / "resnet50_features.yaml")])).tables[0]
    assert table.rows[0][:2] == ["output", "channels"]
    assert table.rows[1][1:] == ["256", "4"]


@pytest.mark.parametrize(
    "spec",
    [
        "resnet152",
        "resnet1202",
        "googlenet",
        "vgg19",
        "r3d_18",
        "resnet18_1d",
        SPECS / "unet_resnet34.yaml",
        SPECS / "resnet50_dp.yaml",
    ],
    ids=str,
)
def test_hard_cases(spec: str | Path) -> None:
    found = report(spec)
    text = page([found])
    reader = Reader(text)
    assert len(text) < 400_000
    assert not [tag for tag in reader.open if tag not in OPTIONAL]
    plots = [attributes for tag, attributes in reader.tags if tag == "svg"]
    assert len(plots) == 2 * 3
    assert all(plot["role"] == "img" for plot in plots)
    assert reader.count("title") > len(plots)
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan", "", text)


def test_equal_ops_of_very_deep_networks_share_a_row() -> None:
    found = report("resnet1202", Conditions())
    reader = Reader(page([found]))
    assert f"By node: {len(found.lines('node')):,} ops, equal ones" in reader.text
    assert len(reader.tables[2].rows) < 100


def test_columns_that_are_not_wanted_are_not_there() -> None:
    reader = Reader(page([report("resnet18", Conditions(), ("params", "depth"))]))
    assert reader.tables[0].rows[0] == ["name", "block", "output", "parameters", "depth"]
    assert reader.count("svg") == 2
    assert "multiply-adds of" not in reader.text
    assert "--columns params,depth" in reader.text
    assert Reader(page([report("resnet18", Conditions(), ("depth",))])).count("svg") == 0


def test_the_command_asks_for_the_same_figures() -> None:
    reader = Reader(page([report("resnet18", Conditions(8, "float16", "adam", (), None, True))]))
    assert (
        "resnetgen report resnet18 --input 3x224x224 --batch 8 --dtype float16 --optimizer adam"
        " --paths --format html" in reader.text
    )


# --- what may be in it


def test_text_of_a_spec_is_text() -> None:
    plain, hostile = Reader(page([tiny()])), Reader(page([tiny(HOSTILE, HOSTILE)]))
    assert plain.count("script") == 1
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert hostile.text.count(HOSTILE) == 2


@pytest.mark.parametrize(
    ("paper", "linked"),
    [
        ("https://arxiv.org/abs/1512.03385", True),
        ("https://x/\" onmouseover='alert(1)'", True),
        ("javascript:alert(1)", False),
        ("He et al. 2015", False),
    ],
)
def test_only_an_address_is_a_link(paper: str, linked: bool) -> None:
    reader = Reader(page([tiny(paper=paper)]))
    links = [attributes for tag, attributes in reader.tags if tag == "a"]
    assert links == ([{"href": paper, "rel": "noreferrer"}] if linked else [])


def test_the_page_loads_nothing_and_runs_its_own_script_only() -> None:
    text = page([report("resnet18")])
    reader = Reader(text)
    assert reader.count("script") == reader.count("style") == 1
    for tag, attributes in reader.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert not {"src", "srcset", "xlink:href", "action"} & set(attributes)
        assert tag == "a" or attributes.get("href") in (None, "data:,")
    assert "url(" not in text
    assert "@import" not in text
    script = re.search("<script>(.*?)</script>", text, re.DOTALL)
    assert script
    digest = b64encode(sha256(script[1].encode()).digest()).decode()
    policy = next(a["content"] for t, a in reader.tags if t == "meta" and "http-equiv" in a)
    assert policy
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}';" in policy


@pytest.mark.slow
def test_the_same_reports_give_the_same_bytes(tmp_path: Path) -> None:
    pages = []
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.html"
        command = [sys.executable, "-m", "resnetgen", "report", "resnet18", "googlenet"]
        subprocess.run(
            [*command, "--device", "h200", "-o", path],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        pages.append(path.read_bytes())
    assert pages[0] == pages[1]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, section 1.4.3."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_stands_out_in_light_in_dark_and_on_paper() -> None:
    style = (TEMPLATES / "report" / "page.css").read_text()
    paper = dict(re.findall(r"--(\w+): (#\w+);", style))  # what is different in print
    assert not re.findall(r"#\w{3,6}\b", re.sub(r"--\w+: #\w+;", "", style)), "not in the palette"
    for colours in (asdict(LIGHT), asdict(DARK), {**asdict(LIGHT), **paper}):
        full = {name: full_colour(value) for name, value in colours.items() if name != "kinds"}
        for text in ("text", "muted", "link"):
            assert contrast(full[text], full["page"]) >= 4.5
            assert contrast(full[text], full["band"]) >= 4.5
        assert contrast(full["text"], full["pale"]) >= 4.5
        for mark in ("parameters", "multiply_adds", "skip"):
            assert contrast(full[mark], full["page"]) >= 3


def test_every_colour_of_the_page_is_in_the_palette() -> None:
    text = page([report("resnet18")])
    known = set(re.findall(r"(--[\w-]+):", variables()))
    assert set(re.findall(r"var\((--[\w-]+)\)", text)) <= known


def full_colour(color: str) -> str:
    """`#abc` -> `#aabbcc`."""
    return color if len(color) == 7 else "#" + "".join(2 * digit for digit in color[1:])


# --- where marks are

TITLES = ("across", "up")


@given(
    st.lists(
        st.tuples(
            st.text("abc_0123456789", min_size=1, max_size=24),
            st.integers(1, 10**13),
            st.integers(1, 10**10),
        ),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([340, 860]),
)
def test_labels_stand_apart(found: list[tuple[str, int, int]], width: int) -> None:
    plot = points([DataPoint(*each) for each in found], TITLES, str, width)
    labels = [point.label for point in plot.points if point.label.text]
    assert not any(one.overlaps(other) for one, other in combinations(labels, 2))
    for label in labels:
        assert plot.left <= label.x
        assert label.x + label.width <= plot.right
        assert plot.top <= label.y <= plot.floor
    for point in plot.points:
        assert plot.left < point.x < plot.right
        assert plot.top < point.y < plot.floor


def test_the_library_s_networks_all_have_a_label() -> None:
    names = [f"a_network_{number}" for number in range(130)]
    plot = points([DataPoint(name, 4e9, 25e6) for name in names], TITLES, str, 860)
    assert {point.label.text for point in plot.points} == set(names)


def test_points_lie_where_their_figures_say() -> None:
    items = [DataPoint(name, 10.0**power, 1.0) for name, power in (("a", 6), ("b", 7), ("c", 8))]
    low, middle, high = points(items, TITLES, str, 860).points
    assert middle.x - low.x == pytest.approx(high.x - middle.x)
    assert low.y == middle.y


@given(st.floats(1, 1e15), st.sampled_from([1, 1024, 1024**3]))
def test_ticks_are_round_and_reach_the_most(most: float, unit: int) -> None:
    ticks = linear_ticks(most, unit)
    assert ticks[0] == 0
    assert ticks[-1] >= most * 0.999
    assert ticks[-2] < most
    assert 3 <= len(ticks) <= 6
    step = f"{ticks[1] / unit:.6e}"
    assert re.match(r"(1|2|2\.5|5)\.?0*e", step)


def test_bars_are_as_long_as_their_figures() -> None:
    series = Series("n", [10, 5, 0], ["10", "5", "0"], [5, 5, 0])
    (panel,) = bars(["a", "b", "c"], [series], 500).panels
    lengths = [bar.length for bar in panel.bars]
    assert lengths[0] > 300
    assert lengths == [lengths[0], lengths[0] / 2, 0]
    assert [bar.part for bar in panel.bars] == [lengths[1], lengths[1], 0]


def test_long_names_are_cut_and_leave_room_for_bars() -> None:
    plot = bars(["n" * 200, "short"], [Series("n", [1, 2], ["1", "2"])], 340)
    (_, label, name), (_, short, _) = plot.names
    assert label.endswith("…")
    assert name == "n" * 200
    assert short == "short"
    assert plot.panels[0].bars[1].length > 150


def test_an_area_has_a_band_for_each_stage() -> None:
    plot = area([1, 3, 2, 2], ["a", "a", "b", "b"], 1, str, 500)
    assert [band.label for band in plot.bands] == ["a", "b"]
    assert [band.tip for band in plot.bands] == ["a: 3", "b: 2"]
    assert plot.bands[0].x + plot.bands[0].width == plot.bands[1].x
    assert plot.outline.count("H") == 3  # equal neighbours are one line
    assert plot.peak[0] == pytest.approx(plot.left + (plot.right - plot.left) * 3 / 8)


@pytest.mark.parametrize("name", ["resnet18", "resnet152", "resnet1202", "googlenet"])
def test_memory_is_drawn_in_the_stages_of_the_network(name: str) -> None:
    found = report(name)
    drawn = memory_chart(found)
    assert drawn
    stages = {line.row.name for line in found.lines("stage")}
    tips = [band.tip for band in drawn.plots[0].bands]
    assert {tip.partition(":")[0] for tip in tips} <= stages
    alive = activation_trace(found.typed, 4)
    assert max(alive, key=lambda each: each[1])[0] in drawn.remark


def test_stages_without_weights_are_counted_not_drawn() -> None:
    found = report("googlenet")
    drawn = stage_chart(found, found.lines("stage"))
    assert drawn
    zero = [
        line for line in found.lines("stage") if not line.row.cost.params and not line.row.cost.macs
    ]
    assert drawn.remark == f"Not shown: {len(zero)} at zero."


# --- in a browser

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

PROBE = """
const probed = {};
const table = document.querySelectorAll("table")[1];
const column = [...table.tHead.rows[0].cells].findIndex((c) => c.textContent.includes("COLUMN"));
const head = table.tHead.rows[0].cells[column];
const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim());
probed.orders = [[head.ariaSort, names()]];
for (let click = 0; click < 3; click++) {
  head.querySelector("button").click();
  probed.orders.push([head.ariaSort, names()]);
}
const boxes = [...document.querySelectorAll(".plane text")]
  .filter((text) => text.closest(".point") && text.getClientRects().length)
  .map((text) => text.getBoundingClientRect())
  .map((box) => [box.left, box.top + 2, box.right, box.bottom - 2]);
probed.boxes = boxes;
probed.width = [document.documentElement.scrollWidth, innerWidth];
const result = document.createElement("pre");
result.id = "probe";
result.textContent = JSON.stringify(probed);
document.body.append(result);
"""


def browse(path: Path, folder: Path, width: int = 1200) -> tuple[str, str]:
    """The page's elements after its script has run, and what the browser logged."""
    assert CHROMIUM
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--enable-logging=stderr", f"--user-data-dir={folder}", f"--window-size={width},900",
    ]  # fmt: skip
    done = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr


@in_browser
@pytest.mark.slow
def test_a_browser_has_nothing_to_complain_of(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page([report("resnet18"), report("resnet50")]), encoding="utf-8")
    dom, log = browse(path, tmp_path / "profile")
    assert "CONSOLE" not in log
    assert dom.count('<button type="button">') > 100, "the policy let the script run"


@in_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [600, 1200])
@pytest.mark.parametrize("column", ["activation bytes", "name"])
def test_a_click_on_a_head_sorts(tmp_path: Path, column: str, width: int) -> None:
    names = ("resnet50", "resnet18", "resnet34", "resnet101", "resnext50_32x4d")
    found = [report(name, Conditions()) for name in names]
    text = re.sub("<meta http-equiv.*", "", page(found))  # so that the probe may run
    probe = f"<script>{PROBE.replace('COLUMN', column)}</script></body>"
    path = tmp_path / "page.html"
    path.write_text(text.replace("</body>", probe), encoding="utf-8")
    dom, _ = browse(path, tmp_path / "profile", width)
    result = re.search('<pre id="probe">(.*?)</pre>', dom)
    assert result
    probed = json.loads(result[1])
    lines = found[0].lines("stage")
    given = [line.row.name for line in lines]
    if column == "name":
        rising = sorted(given)
        expected = [["ascending", rising], ["descending", rising[::-1]]]
    else:
        by_bytes = sorted(lines, key=lambda line: line.values["activation_bytes"])
        rising = [line.row.name for line in by_bytes]
        expected = [["descending", rising[::-1]], ["ascending", rising]]
    assert probed["orders"] == [[None, given], *expected, [None, given]]
    assert len(probed["boxes"]) == len(names)
    for (left, top, right, bottom), other in combinations(probed["boxes"], 2):
        assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
    assert probed["width"][0] <= probed["width"][1], "the page is wider than the window"
