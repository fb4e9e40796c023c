"""A join: a circle around its sign, or its name."""

from __future__ import annotations

from dataclasses import dataclass

from resnetgen.draw.canvas import Canvas
from resnetgen.draw.style import TEXT
from resnetgen.report.lettering import width

HEIGHT = 15.0


@dataclass(frozen=True, slots=True)
class Joint:
    """How values come together; `label` is one character or a word."""

    label: str

    @property
    def width(self) -> float:
        """The width of the circle, or of the box."""
        return HEIGHT if len(self.label) == 1 else width(self.label, TEXT) + 12

    @property
    def height(self) -> float:
        """The height of either."""
        return HEIGHT

    def draw(self, canvas: Canvas, axis: float, top: float, tip: str) -> None:
        """Draws it around the axis."""
        with canvas.group("cell", tip):
            left = axis - self.width / 2
            canvas.rect(left, top, self.width, HEIGHT, "op join", HEIGHT / 2)
            if len(self.label) > 1:
                canvas.text(axis, top + 10.5, self.label, "label", "middle")
                return
            arm, middle = 4.0, top + HEIGHT / 2
            canvas.text(axis, middle + arm, self.label, "sign", "middle")
