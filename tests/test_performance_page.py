"""docs/performance.md: its tables are what the stored results give, and its prose states no figure.

python -m benchmarks --page       writes the tables again
"""

from __future__ import annotations

import re

import pytest

from benchmarks.page import PAGE, PART, SECTIONS, plots, regenerate
from benchmarks.results import FOLDER, read

UNITS = "s|ms|us|µs|seconds?|min|minutes?|h|hours?|times|x|×|%|per cent|MiB|GiB|MB|GB"
FIGURE = re.compile(rf"\d+\.\d|\d[\d,]*\s*(?:{UNITS})(?!\w)")
QUOTED = re.compile(r"^```.*?^```$|`[^`]*`|\]\([^)]*\)", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def figures(text: str) -> list[str]:
    """What looks like something measured, outside of generated parts and code."""
    return FIGURE.findall(QUOTED.sub("", PART.sub("", text)))


def test_the_tables_are_those_of_the_stored_results(text: str) -> None:
    assert regenerate(text) == text, "run `python -m benchmarks --page`"


def test_every_section_has_a_place_on_the_page(text: str) -> None:
    places = [place for _, place, _ in PART.findall(text)]
    assert sorted(places) == sorted([*SECTIONS, "targets", "time"])


def test_every_stored_result_is_read_by_a_section() -> None:
    read_ones = [each.name for section in SECTIONS for each in read(section)]
    assert sorted(read_ones) == sorted(path.stem for path in FOLDER.glob("*"))


def test_every_measurement_is_stored_where_its_section_reads() -> None:
    for section in SECTIONS.values():
        for each in section.measurements:
            assert each.name.split("-")[0] == section.name


def test_the_plots_are_those_of_the_stored_results() -> None:
    for name, svg in plots().items():
        assert (PAGE.parent / name).read_text(encoding="utf-8") == svg


def test_links_within_the_page_lead_to_its_headings(text: str) -> None:
    anchors = {
        re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in HEADING.findall(text)
    }
    links = re.findall(r"\]\(#([^)]*)\)", text)
    assert links
    assert set(links) <= anchors


def test_prose_states_no_figure_of_a_measurement(text: str) -> None:
    assert figures(text) == []


@pytest.mark.parametrize("prose", ["1.4 as fast", "12 s", "in 300 ms,", "5 times", "20%", "7 MiB."])
def test_a_figure_in_prose_is_found(prose: str) -> None:
    assert figures(f"It took {prose}\n")


@pytest.mark.parametrize(
    "prose", ["`12 s`", "ResNet-152", "16 images", "<!-- results: a -->\n3 s\n<!-- end -->"]
)
def test_what_is_not_a_figure_in_prose_is_not_found(prose: str) -> None:
    assert not figures(f"{prose}\n")
