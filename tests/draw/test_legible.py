"""Every drawing can be read: texts do not touch, in their boxes, on the page; lines cross no box."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

import pytest
from draw.drawing import Box, Drawing
from draw.networks import FREE, LIBRARY, SPECS, drawing, drawn
from generated.choices import Drawn
from generated.strategy import spec_of

from resnetgen.pipeline import compile_text

NAMES = [*LIBRARY, *SPECS, *FREE]

SMALLEST = 9.0  # pixels
A4 = (794 - 2 * 30, 1123 - 2 * 30)  # in pixels, within margins of 8 mm
POINTS = 0.75  # a pixel


def test_the_library_is_drawn_whole() -> None:
    assert len(LIBRARY) >= 133
    assert len(SPECS) >= 4


@pytest.mark.parametrize("name", NAMES, ids=lambda name: Path(name).stem)
def test_a_drawing_is_legible(name: str) -> None:
    check_legible(drawing(name))


@pytest.mark.parametrize("start", range(0, 60, 10))
def test_drawings_of_random_networks_are_legible(start: int) -> None:
    for seed in range(start, start + 10):
        check_legible(drawn(compile_text(spec_of(Drawn(random.Random(seed))))))


def check_legible(found: Drawing) -> None:
    """No text meets another or leaves its box or the page; no line meets a box or a text."""
    page = Box(0, 0, found.width, found.height, "page", 0)
    assert all(page.holds(each) for each in (*found.texts, *found.boxes, *found.lines))
    for one, other in combinations(found.texts, 2):
        assert not one.meets(other), (one, other)
    for text in found.texts:
        for box in found.boxes:
            if box.kind not in ("band", "frame", "card") and not box.holds(text):
                assert not text.meets(box), (text, box)
    for line in found.lines:
        for box in found.boxes:
            if box.kind.startswith(("op", "box", "pill")):
                assert not line.meets(box, by=-0.2) or touches(line, box), (line, box)
        for text in found.texts:
            assert not crosses(line, text), (line, text)


def touches(line: Box, box: Box) -> bool:
    """Whether a line only meets the border of a box."""
    inner = Box(box.left + 1, box.top + 1, box.right - 1, box.bottom - 1, "", 0)
    return not (
        line.left < inner.right
        and inner.left < line.right
        and line.top < inner.bottom
        and inner.top < line.bottom
    )


def crosses(line: Box, text: Box) -> bool:
    """Whether a line runs through a text; a shortcut runs behind its tag."""
    inside = (
        line.left < text.right - 0.5
        and text.left + 0.5 < line.right
        and line.top < text.bottom - 0.5
        and text.top + 0.5 < line.bottom
    )
    return inside and not (line.kind == "skip" and text.kind == "note")


@pytest.mark.parametrize("name", LIBRARY)
def test_texts_have_a_size_that_can_be_read(name: str) -> None:
    found = drawing(name)
    assert min(size for size, _ in found.sizes.values()) >= SMALLEST
    assert {text.kind.split()[-1] for text in found.texts} <= {
        *found.sizes,
        "label",
        "note",
        "shape",
    }


@pytest.mark.parametrize("name", ["resnet152", "resnet1202", "resnet18", "preact_resnet1001"])
def test_a_deep_network_fits_a_page_of_paper(name: str) -> None:
    found = drawing(name)
    scale = min(1.0, A4[0] / found.width, A4[1] / found.height)
    assert SMALLEST * scale * POINTS >= 6
