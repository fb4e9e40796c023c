"""draw(network, measured) -> an SVG file that needs nothing else, the same bytes every time.

    <?xml version="1.0" encoding="UTF-8"?>
    <!-- Drawn by resnetgen from resnet50 (spec 0123456789abcdef, drawing fedcba9876543210). -->
    <svg ...>

`spec` is the digest of the elaborated spec, `drawing` that of all that follows, so that an edited
file is recognised and left alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from resnetgen.codegen.write import refuse_foreign, write_atomically
from resnetgen.draw.canvas import document
from resnetgen.draw.page import compose
from resnetgen.draw.style import style_sheet
from resnetgen.graph.ir import Network
from resnetgen.graph.measure import Measured
from resnetgen.report.columns import summary

SUFFIX = ".svg"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_MARK = re.compile(
    r"<!-- Drawn by resnetgen from \S+ \(spec [0-9a-f]{16}, drawing ([0-9a-f]{16})\)\. -->\n"
)


def draw(network: Network, measured: Measured) -> str:
    """The network as an SVG."""
    page = compose(network, measured)
    title, told = f"The architecture of {network.name}", _description(network, measured)
    body = document(page.canvas, (page.width, page.height), title, told, style_sheet())
    marks = f"spec {network.digest[:16]}, drawing {_digest(body)}"
    name = network.name.replace("--", "__")  # a comment of XML holds no `--`
    return f"{_HEAD}<!-- Drawn by resnetgen from {name} ({marks}). -->\n{body}"


def is_untouched(text: str) -> bool:
    """Whether resnetgen drew this file and nobody edited it since."""
    mark = _MARK.match(text, len(_HEAD)) if text.startswith(_HEAD) else None
    return mark is not None and mark[1] == _digest(text[mark.end() :])


def refuse_foreign_drawing(path: Path, force: bool = False) -> None:
    """Raises WriteError if something stands there that must not be replaced, as `refuse_foreign`."""
    refuse_foreign(path, force or _is_ours(path))


def write_drawing(path: Path, text: str, force: bool = False) -> None:
    """Places a drawing whole or not at all. Raises WriteError; then the folder is as it was."""
    refuse_foreign_drawing(path, force)
    write_atomically(path, text.encode())


def _is_ours(path: Path) -> bool:
    with suppress(OSError, UnicodeError):
        if stat.S_ISREG(os.lstat(path).st_mode):
            return is_untouched(path.read_bytes().decode())
    return False


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _description(network: Network, measured: Measured) -> str:
    outputs = ", ".join(str(each) for each in measured.outputs[: len(network.outputs)])
    doc = " ".join(network.doc.split())
    said = f"{network.input} -> {outputs}; {summary(measured.cost)}"
    return f"{doc}: {said}" if doc else said
