"""The style sheet of a drawing: sizes of type, lines, and the colours of the palette."""

from __future__ import annotations

from collections.abc import Mapping

from resnetgen.reports.plotting.svg import FONTS, Palette, themed

# Sizes of type in pixels. A page of A4 shows ResNet-152 at 0.94: TEXT is then 6.3 points high.
NAME, DOC, STAGE, LONG_STAGE, STRONG, TEXT = 20.0, 11.0, 12.0, 9.5, 10.0, 9.0

_TYPE_AND_LINES = f"""\
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
    return f"{_TYPE_AND_LINES}{themed(_colours)}{_PAPER}"


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
