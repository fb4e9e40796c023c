"""Colours and type of a drawing: light, and dark where the screen is; paper is light."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

# Sizes of type in pixels. A page of A4 shows ResNet-152 at 0.94: TEXT is then 6.3 points high.
NAME, DOC, STAGE, LONG_STAGE, STRONG, TEXT = 20.0, 11.0, 12.0, 9.5, 10.0, 9.0

# Fonts that systems have, of nearly one width (see report/lettering.py); nothing is loaded.
FONTS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one scheme. `kinds` gives fill and stroke for each kind of op."""

    page: str
    band: str
    frame: str
    line: str
    rail: str
    text: str
    muted: str
    edge: str
    skip: str
    parameters: str
    multiply_adds: str
    kinds: Mapping[str, tuple[str, str]]


LIGHT = Palette(
    page="#ffffff",
    band="#f5f7fa",
    frame="#ffffff",
    line="#d3dae4",
    rail="#e3e8ef",
    text="#1c2430",
    muted="#5a6676",
    edge="#7c8898",
    skip="#e0562b",
    parameters="#3f78c9",
    multiply_adds="#8a63c9",
    kinds={
        "convolution": ("#d6e6fb", "#86b1e8"),
        "linear": ("#f9d9e4", "#e29ab5"),
        "normalisation": ("#d9f0df", "#8fcba1"),
        "activation": ("#fdeec4", "#e0c06a"),
        "resampling": ("#e6defa", "#b3a0e3"),
        "regularisation": ("#f0e4d8", "#cdb08f"),
        "join": ("#ffffff", "#7c8898"),
        "other": ("#e8ecf1", "#b4bfcc"),
    },
)

DARK = Palette(
    page="#0d1117",
    band="#151b23",
    frame="#0d1117",
    line="#30363d",
    rail="#2a313a",
    text="#e6edf3",
    muted="#9aa5b1",
    edge="#7d8896",
    skip="#ff8a5c",
    parameters="#6ea8fe",
    multiply_adds="#b392f0",
    kinds={
        "convolution": ("#17355c", "#3a6cab"),
        "linear": ("#54243a", "#9a4a6c"),
        "normalisation": ("#173f27", "#357a4d"),
        "activation": ("#4a3a0c", "#8a6f22"),
        "resampling": ("#362a5e", "#6b57ab"),
        "regularisation": ("#43321f", "#80633f"),
        "join": ("#0d1117", "#7d8896"),
        "other": ("#272e37", "#4b5563"),
    },
)

_TYPE = f"""\
text{{font-family:{FONTS};font-size:{TEXT:g}px}}
.name{{font-size:{NAME:g}px;font-weight:700}}
.doc{{font-size:{DOC:g}px}}
.stage-name{{font-size:{STAGE:g}px;font-weight:700}}
.long{{font-size:{LONG_STAGE:g}px}}
.block-title,.panel-name{{font-size:{STRONG:g}px;font-weight:700}}
.sign{{font-size:12px}}
.edge,.skip{{fill:none;stroke-width:1.2}}
.skip{{stroke-width:1.7}}
.head{{stroke:none}}
.training{{stroke-dasharray:4 3}}
.op,.box,.card,.frame,.tagged,.pill{{stroke-width:.8}}
"""

# One page of paper, however long the drawing is.
_PAPER = """\
@page{margin:8mm}
@media print{svg{max-height:100vh}}
"""


def style_sheet() -> str:
    """The CSS of every drawing."""
    return f"{_TYPE}{themed(_colours)}{_PAPER}"


def themed(colours: Callable[[Palette], Mapping[str, str]]) -> str:
    """Rules by selector as CSS: for light, and for dark where the screen is."""
    light, dark = (
        [f"{selector}{{{rule}}}\n" for selector, rule in colours(palette).items()]
        for palette in (LIGHT, DARK)
    )
    inner = "".join(f"  {rule}" for rule in dark)
    return f"{''.join(light)}@media screen and (prefers-color-scheme:dark){{\n{inner}}}\n"


def _colours(palette: Palette) -> Mapping[str, str]:
    rules = {
        ".page": f"fill:{palette.page}",
        ".band": f"fill:{palette.band}",
        ".frame,.pill": f"fill:{palette.frame};stroke:{palette.line}",
        ".box,.card": f"fill:{palette.frame};stroke:{palette.edge}",
        ".tagged": f"fill:{palette.frame};stroke:{palette.skip}",
        ".rail": f"fill:{palette.rail}",
        ".bar.parameters": f"fill:{palette.parameters}",
        ".bar.multiply-adds": f"fill:{palette.multiply_adds}",
        "text": f"fill:{palette.text}",
        ".doc,.note,.shape": f"fill:{palette.muted}",
        ".edge": f"stroke:{palette.edge}",
        ".skip": f"stroke:{palette.skip}",
        ".edge.head": f"fill:{palette.edge}",
        ".skip.head": f"fill:{palette.skip}",
    }
    for kind, (fill, stroke) in palette.kinds.items():
        rules[f".op.{kind}"] = f"fill:{fill};stroke:{stroke}"
    return rules
