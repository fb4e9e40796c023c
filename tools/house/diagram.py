"""The rooms as a Mermaid diagram: an arrow from a room to what it builds on, shortcuts left out."""

from __future__ import annotations

import networkx

from tools.house.imports import ROOT, imports_by_module
from tools.house.rooms import ORDER, PACKAGE, ROOMS, room_of

PAGE = ROOT / "docs/architecture.md"
START, END = "<!-- rooms: python -m tools.house diagram -->\n", "<!-- end -->"
LEFT_OUT = {"", "_version", "compiler", "__main__"}  # names, not rooms


def mermaid() -> str:
    """A fenced Mermaid block. An arrow that follows from others is left out."""
    graph = networkx.DiGraph()
    for module, imports in imports_by_module().items():
        room = room_of(module)
        others = {room_of(each.target) for each in imports if each.target.startswith(PACKAGE)}
        graph.add_edges_from((room, other) for other in others - {room, None})
    graph.remove_nodes_from(LEFT_OUT)
    reduced = networkx.transitive_reduction(graph)
    rooms = [room for room in ORDER if room in graph]
    inside = [f'  {_id(room)}["{_path(room)}<br>{ROOMS[room]}"]' for room in rooms]
    arrows = sorted((rooms.index(a), rooms.index(b)) for a, b in reduced.edges)
    lines = [f"  {_id(rooms[a])} --> {_id(rooms[b])}" for a, b in reversed(arrows)]
    return "\n".join(["```mermaid", "flowchart TD", *reversed(inside), *lines, "```", ""])


def regenerated(page: str) -> str:
    """The page with the diagram between its two marks drawn again."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}{mermaid()}{END}{after}"


def _id(room: str) -> str:
    return room.replace(".", "_")


def _path(room: str) -> str:
    is_folder = (ROOT / PACKAGE / room.replace(".", "/")).is_dir()
    return room.replace(".", "/") + ("/" if is_folder else ".py")
