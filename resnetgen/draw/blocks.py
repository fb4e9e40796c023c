"""Blocks in a row as the network shows them: folded, each with its shortcut around it.

    |----.
[3 x basic]  |       a box for blocks of one structure,
   (+)<--'           the join, and on the arc what the shortcut computes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnetgen.draw.canvas import Canvas
from resnetgen.draw.diagram import Repeat
from resnetgen.draw.joint import Joint
from resnetgen.draw.skips import Skip
from resnetgen.draw.style import STRONG, TEXT
from resnetgen.report.lettering import fitted, width

HEIGHT = 32.0
WIDEST = 150.0
NARROWEST = 80.0
PADDING = 7.0
ABOVE = 9.0  # the line above a box, where the arc leaves it
BELOW = 7.0  # between the box and the join
BETWEEN = 8.0
ARC = 13.0  # from the box to the arc
BESIDE = 6.0  # from the box to the tag, at least
CARDS = 2.5  # from one folded block to the next
TAG = 15.0  # the height of the box on the arc
TAG_WIDEST = 96.0


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks of one structure: how they are drawn in the network."""

    repeat: Repeat
    skip: Skip | None

    @property
    def title(self) -> str:
        """`35 × bottleneck`."""
        times = f"{self.repeat.count} × " if self.repeat.count > 1 else ""
        return times + self.repeat.block.replace("_", " ")

    @property
    def tag(self) -> str:
        """What stands on the arc."""
        named = self.skip.named(self.repeat.block) if self.skip else ""
        return fitted(named.replace("_", " "), TAG_WIDEST - 10, TEXT)

    @property
    def tag_width(self) -> float:
        """The width of its box; 0 where the value itself passes."""
        return width(self.tag, TEXT) + 10 if self.tag else 0.0

    @property
    def width(self) -> float:
        """The width of the box."""
        wanted = max(width(self.title, STRONG, bold=True), width(self.repeat.name, TEXT))
        return min(max(wanted + 2 * PADDING, NARROWEST), WIDEST)

    @property
    def joint(self) -> Joint | None:
        """The join below the box."""
        return Joint(self.skip.sign) if self.skip else None

    @property
    def cards(self) -> float:
        """How far the folded blocks show behind the first."""
        return 2 * CARDS if self.repeat.count > 1 else 0.0

    @property
    def height(self) -> float:
        """From the line above to the join."""
        joined = BELOW + self.joint.height if self.joint else 0
        return ABOVE * (self.skip is not None) + HEIGHT + self.cards + joined

    @property
    def right(self) -> float:
        """How far box, arc and tag reach to the right of the axis."""
        half = self.width / 2
        if not self.skip:
            return half + self.cards
        return half + max(ARC + 2, BESIDE + self.tag_width, ARC + self.tag_width / 2)

    def draw(self, canvas: Canvas, axis: float, top: float) -> None:
        """Draws it below `top`."""
        box = top + (ABOVE if self.skip else 0)
        with canvas.group("repeat"):
            if self.skip:
                self._draw_skip(canvas, axis, top, box)
            self._draw_box(canvas, axis, box)

    def _draw_box(self, canvas: Canvas, axis: float, top: float) -> None:
        left, room = axis - self.width / 2, self.width - PADDING
        with canvas.group("block", self.repeat.tip):
            for shift in (self.cards, self.cards / 2) if self.cards else ():
                canvas.rect(left + shift, top + shift, self.width, HEIGHT, "card", 5)
            canvas.rect(left, top, self.width, HEIGHT, "box", 5)
            title = fitted(self.title, room, STRONG, bold=True)
            canvas.text(axis, top + 14, title, "block-title", "middle")
            canvas.text(axis, top + 26, fitted(self.repeat.name, room, TEXT), "note", "middle")

    def _draw_skip(self, canvas: Canvas, axis: float, top: float, box: float) -> None:
        """The line into the box and out of it, the join and the arc."""
        joint = self.joint
        assert joint is not None
        high = box + HEIGHT + self.cards + BELOW
        start, middle = top + 2, high + joint.height / 2
        lane = axis + self.width / 2 + ARC
        around = [(axis, start), (lane, start), (lane, middle), (axis + joint.width / 2, middle)]
        canvas.arrow([(axis, top), (axis, box)], "edge")
        canvas.path([(axis, box + HEIGHT), (axis, high)], "edge")
        canvas.arrow(around, "skip", 12)
        joint.draw(canvas, axis, high, f"{self.repeat.name}: {joint.label}")
        if self.tag:
            left = max(lane - self.tag_width / 2, axis + self.width / 2 + BESIDE)
            self._draw_tag(canvas, left, (start + middle - TAG) / 2)

    def _draw_tag(self, canvas: Canvas, left: float, top: float) -> None:
        tips = (cell.tip for cell in self.skip.cells) if self.skip else ()
        with canvas.group("tag", "\n\n".join(tips)):
            canvas.rect(left, top, self.tag_width, TAG, "tagged", 4)
            canvas.text(left + self.tag_width / 2, top + 10.5, self.tag, "note", "middle")


def height(blocks: Sequence[Folded]) -> float:
    """The height of blocks in a row."""
    return sum(each.height for each in blocks) + BETWEEN * (len(blocks) - 1)


def draw(canvas: Canvas, blocks: Sequence[Folded], axis: float, top: float) -> None:
    """Draws blocks in a row, from top to bottom."""
    for number, each in enumerate(blocks):
        each.draw(canvas, axis, top)
        top += each.height
        if number < len(blocks) - 1:
            canvas.path([(axis, top), (axis, top + BETWEEN)], "edge")
        top += BETWEEN
