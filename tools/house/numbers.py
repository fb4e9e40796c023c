"""Sizes and words by room, for people to judge: no test enforces a number."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tools.house.imports import ROOT, modules
from tools.house.rooms import ORDER, room_of

LONG_FILE, SHORT_FILE, LONG_FUNCTION, MANY_FILES = 550, 40, 50, 20
ODD_WORDS = re.compile(
    r"\b(told|tells?|telling|anew|all the same|so far as|is no [a-z]+|stands? for|mend(?:s|ed)?"
    r"|(?:held|hold|holds) against|in vain|heedless|sound(?=\b)|fault(?:s|y)?)\b"
)


def report() -> str:
    """A table of the rooms, then what is unusually long, short, full or worded."""
    files = {path: path.read_text(encoding="utf-8") for path in modules().values()}
    rooms = {path: room_of(module) or "resnetgen" for module, path in modules().items()}
    rows = [f"{'room':22}{'files':>6}{'lines':>8}{'longest':>9}{'functions':>11}{'odd words':>11}"]
    for room in [each or "resnetgen" for each in ORDER]:
        own = {path: text for path, text in files.items() if rooms[path] == room}
        rows += [_row(room, own)] if own else []
    rows += [_row("in all", files), ""]
    return "\n".join([*rows, *_unusual(files)]) + "\n"


def _row(room: str, files: dict[Path, str]) -> str:
    sizes = [_lines(text) for text in files.values()]
    functions = sum(len(list(_functions(text))) for text in files.values())
    words = sum(len(ODD_WORDS.findall(text)) for text in files.values())
    return f"{room:22}{len(files):6}{sum(sizes):8,}{max(sizes):9}{functions:11,}{words:11}"


def _unusual(files: dict[Path, str]) -> Iterator[str]:
    sizes = sorted((_lines(text), path) for path, text in files.items())
    yield from _listed(f"over {LONG_FILE} lines", [row for row in sizes if row[0] > LONG_FILE])
    small = [row for row in sizes if row[0] < SHORT_FILE and row[1].name != "__init__.py"]
    yield from _listed(f"under {SHORT_FILE} lines", small)
    folders = Counter(path.parent for path in files if path.name != "__init__.py")
    full = sorted((count, folder) for folder, count in folders.items() if count > MANY_FILES)
    yield from _listed(f"folders of more than {MANY_FILES} files", full)
    long = [
        (node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
        for path, text in files.items()
        for node in _functions(text)
        if node.end_lineno and node.end_lineno - node.lineno >= LONG_FUNCTION
    ]
    yield from _listed(f"functions of more than {LONG_FUNCTION} lines", sorted(long, reverse=True))
    words = Counter(word for text in files.values() for word in ODD_WORDS.findall(text))
    yield from _listed("odd words", [(count, word) for word, count in words.most_common(20)])


def _listed(title: str, rows: list[tuple[int, object]]) -> Iterator[str]:
    yield f"{title}: {len(rows) or 'none'}"
    for number, what in rows:
        yield f"{number:8}  {what.relative_to(ROOT) if isinstance(what, Path) else what}"


def _lines(text: str) -> int:
    return len(text.splitlines())


def _functions(text: str) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
