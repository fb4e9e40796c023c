"""A drawing as the tests see it: texts, boxes and lines with their places, read from the SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree

from resnetgen.reports.plotting.text_width import text_width

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Box:
    """A rectangle, what it is, and in which group it is."""

    left: float
    top: float
    right: float
    bottom: float
    kind: str
    group: int
    text: str = ""

    def holds(self, other: Box) -> bool:
        return (
            self.left - 0.1 <= other.left
            and other.right <= self.right + 0.1
            and self.top - 0.1 <= other.top
            and other.bottom <= self.bottom + 0.1
        )

    def meets(self, other: Box, by: float = 0.2) -> bool:
        """Whether they share more than a border."""
        return (
            self.left + by < other.right
            and other.left + by < self.right
            and self.top + by < other.bottom
            and other.top + by < self.bottom
        )


@dataclass(frozen=True)
class Group:
    """A `<g>`: its class, its tip, and what it holds."""

    number: int
    kind: str
    tip: str
    texts: tuple[str, ...]
    lines: tuple[str, ...]  # the classes of its paths


class Drawing:
    """Everything of one SVG."""

    def __init__(self, svg: str) -> None:
        self.root = ElementTree.fromstring(svg.encode())
        self.sizes = _sizes(self.root.findtext(f"{SVG}style") or "")
        self.width, self.height = map(float, self.root.attrib["viewBox"].split()[2:])
        self.texts: list[Box] = []
        self.boxes: list[Box] = []
        self.lines: list[Box] = []  # one a straight piece
        self.groups: list[Group] = []
        self._read(self.root, 0)

    @property
    def words(self) -> list[str]:
        """All texts."""
        return [box.text for box in self.texts]

    def of(self, kind: str) -> list[Group]:
        """The groups of a class."""
        return [group for group in self.groups if group.kind == kind]

    def _read(self, parent: ElementTree.Element, group: int) -> None:
        for element in parent:
            kind = element.get("class", "")
            if element.tag == f"{SVG}g":
                self.groups.append(_group(element, len(self.groups) + 1))
                self._read(element, len(self.groups))
            elif element.tag == f"{SVG}rect" and kind != "page":
                x, y, w, h = (float(element.attrib[key]) for key in ("x", "y", "width", "height"))
                self.boxes.append(Box(x, y, x + w, y + h, kind, group))
            elif element.tag == f"{SVG}text":
                self.texts.append(self._text(element, group))
            elif element.tag == f"{SVG}path":
                self.lines += _pieces(element.attrib["d"], kind, group)

    def _text(self, element: ElementTree.Element, group: int) -> Box:
        text, kind = element.text or "", element.attrib["class"]
        size, bold = self.sizes.get(kind.split()[-1], (9.0, False))
        length = text_width(text, size, bold)
        turned = re.match(r"translate\((\S+) (\S+)\) rotate\(-90\)", element.get("transform", ""))
        if turned:
            x, y = map(float, turned.groups())
            return Box(x - 0.75 * size, y - length, x + 0.2 * size, y, kind, group, text)
        x, y = float(element.attrib["x"]), float(element.attrib["y"])
        x -= {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor", "start")] * length
        return Box(x, y - 0.75 * size, x + length, y + 0.2 * size, kind, group, text)


def _sizes(style: str) -> dict[str, tuple[float, bool]]:
    """Font size and weight of each class."""
    found: dict[str, tuple[float, bool]] = {}
    for names, rule in re.findall(r"^([.\w,-]+)\{([^}]*)\}", style, re.MULTILINE):
        size = re.search(r"font-size:([\d.]+)px", rule)
        for name in names.split(","):
            if size:
                found[name.removeprefix(".")] = (float(size[1]), "font-weight" in rule)
    return found


def _group(element: ElementTree.Element, number: int) -> Group:
    texts = tuple(each.text or "" for each in element.iter(f"{SVG}text"))
    lines = tuple(each.get("class", "") for each in element.iter(f"{SVG}path"))
    return Group(
        number, element.attrib["class"], element.findtext(f"{SVG}title") or "", texts, lines
    )


def _pieces(d: str, kind: str, group: int) -> Iterator[Box]:
    """The straight pieces of a path, corners taken as sharp."""
    points: list[tuple[float, float]] = []
    for command, numbers in re.findall(r"([MLQ])([-\d. ]+)", d):
        values = [float(each) for each in numbers.split()]
        pairs = list(zip(values[::2], values[1::2], strict=True))
        points += pairs[:1] if command == "Q" else pairs
    for (x0, y0), (x1, y1) in pairwise(points):
        yield Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1), kind, group)
