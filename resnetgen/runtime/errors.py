"""What needs torch: loading printed modules, tracing, verifying and compiling them.

This package imports torch nowhere but in the modules below it, so that a command can ask for torch
with `require_torch()` and tell in one line that it is not installed.

What torch raised, in one sentence with the place in the printed module.

    RuntimeError: The size of tensor a (8) must match ... (line 20: out = self.relu(out + shortcut))

Dynamo wraps the cause in a page of advice, torch.fx names a node instead of a line.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


class RuntimeFault(Exception):
    """Something that a command needs is not there: `no-torch`, `no-device` or `no-compiler`."""

    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        self.code = code
        self.message = message
        self.help = help
        super().__init__(message)


def require_torch() -> None:
    """Raises RuntimeFault `no-torch` where torch cannot be imported."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: one of its shared libraries
        raise RuntimeFault(
            "no-torch",
            f"torch cannot be imported: {error}",
            "install it with `pip install 'resnetgen[torch]'`",
        ) from error


_LONGEST = 300
_CAUSE = re.compile(r"got (\w+)\(['\"](.*)['\"]\)$", re.MULTILINE)
_EXPLANATION = re.compile(r"^\s*Explanation: (.*)$", re.MULTILINE)
_FRAME = re.compile(r'File "<_resnetgen[^"]*", line (\d+), in \w+\n\s*(.*)')
_FX_NODE = re.compile(r"^While executing %(\w+) : .*?(?:target=([\w.]+))?\]", re.MULTILINE)


def reason(error: BaseException) -> str:
    """The cause and the place, as far as they can be told."""
    text = str(error)
    place = _place(error, text)
    cause = _cause(error, text)[:_LONGEST]
    return f"{cause} ({place})" if place else cause


@contextmanager
def quiet() -> Iterator[None]:
    """Torch logs the failures that it raises; they are told once, by the one who catches them."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _cause(error: BaseException, text: str) -> str:
    inner = _CAUSE.search(text)
    if inner:
        return f"{inner[1]}: {inner[2]}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    explanation = _EXPLANATION.search(text)
    said = [*lines[:1], *([explanation[1]] if explanation else [])]
    return f"{type(error).__name__}: {'. '.join(said)}".removesuffix(": ")


def _place(error: BaseException, text: str) -> str:
    frames = _FRAME.findall(text)
    if frames:
        number, line = frames[-1]
        return f"line {number}: {line}"
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith("<_resnetgen")
    ]
    if own:
        return f"line {own[-1].lineno}: {own[-1].line}"
    node = _FX_NODE.search(text)
    return f"at {node[2] or node[1]}" if node else ""
