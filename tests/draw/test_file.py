"""The file: sound XML that needs nothing else, the same bytes every time, marked as ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from draw.drawing import SVG
from draw.networks import FREE, LIBRARY, compiled, drawing

from resnetgen.pipeline import compile_text
from resnetgen.reports.draw.page import DRAWING, draw

ROOT = Path(__file__).resolve().parents[2]
IMAGES = sorted(ROOT.joinpath("docs", "images").glob("*.svg"))
ELEMENTS = {"svg", "title", "desc", "style", "g", "rect", "circle", "path", "polygon", "text"}


def svg(name: str) -> str:
    made = compiled(name)
    return draw(made.network, made.typed)


@pytest.mark.parametrize("name", ["resnet50", *FREE])
def test_the_file_needs_nothing_else(name: str) -> None:
    text = svg(name)
    root = ElementTree.fromstring(text.encode())
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= ELEMENTS
    for element in root.iter():
        assert not any(key.endswith("href") or key.startswith("on") for key in element.attrib)
    assert "url(" not in text
    assert "@import" not in text
    assert "@font-face" not in text


def test_a_screen_reader_is_told_what_it_is() -> None:
    root = drawing("resnet50").root
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-labelledby"] == "title desc"
    assert root.findtext(f"{SVG}title") == "The architecture of resnet50"
    assert root.findtext(f"{SVG}desc") == (
        "ResNet-50, the stride in the 3x3 (v1.5): 3 x 224 x 224 -> 1000; "
        "25,557,032 parameters, 4.09 G multiply-adds"
    )


def test_every_op_tells_more_where_the_pointer_rests() -> None:
    tips = [group.tip for group in drawing("resnet18").of("cell")]
    assert (
        "layer2.0.conv1\nconvolution, out 128, kernel 3, stride 2\n"
        "64 x 56 x 56 -> 128 x 28 x 28\n73,728 parameters, 57.80 M multiply-adds"
    ) in tips


def test_light_dark_and_paper_have_colours() -> None:
    style = drawing("resnet18").root.findtext(f"{SVG}style") or ""
    light, dark = style.split("@media screen and (prefers-color-scheme:dark)")
    colours = [
        set(re.findall(r"^ *(\S+?)\{(?:fill|stroke):#", part, re.M)) for part in (light, dark)
    ]
    assert colours[0] == colours[1]
    assert len(colours[0]) > 20


def test_text_of_a_spec_is_escaped() -> None:
    text = svg("hostile")
    assert "<script" not in text
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; ]]&gt;" in text
    assert "\u202e" not in text
    root = ElementTree.fromstring(text.encode())
    assert "<script>" in (root.findtext(f"{SVG}desc") or "")


def test_equal_specs_give_equal_bytes() -> None:
    again = compile_text(FREE["tangle"])
    assert draw(again.network, again.typed) == svg("tangle")


def test_the_order_of_hashes_does_not_matter() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-m", "resnetgen", "draw", "googlenet", "-o", "-"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {svg("googlenet").encode()}


@pytest.mark.parametrize("name", [*LIBRARY[:5], *FREE])
def test_our_file_is_recognised_and_an_edited_one_too(name: str, tmp_path: Path) -> None:
    text = svg(name)
    path = tmp_path / "drawing.svg"

    def is_ours(text: str) -> bool:
        path.write_text(text, encoding="utf-8")
        return DRAWING.is_on(path)

    assert is_ours(text)
    assert not is_ours(text.replace("</svg>", "<rect/></svg>"))
    assert not is_ours(text.replace("Drawn by", "Made by"))
    assert not is_ours("")


def test_the_images_of_the_documentation_are_there() -> None:
    assert [path.stem for path in IMAGES] == ["resnet152", "resnet50", "unet_resnet34"]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_an_image_of_the_documentation_is_current(
    path: Path, expect: Callable[[Path, str], None]
) -> None:
    own = ROOT / "tests" / "specs" / f"{path.stem}.yaml"
    expect(path, svg(str(own) if own.is_file() else path.stem))
