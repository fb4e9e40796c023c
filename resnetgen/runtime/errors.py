"""Errors of torch and of its installation, in one line each.

    require_torch()             raises MissingRequirement `no-torch` if torch cannot be imported
    error_summary(error)        RuntimeError: The size of tensor a (8) must match the size of tensor
                                b (4) ... (line 20: out = self.relu(out + shortcut))

Nothing here imports torch at the top, so that a command can report that it is not installed.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


class MissingRequirement(Exception):
    """Something that a command needs is not available: `no-torch`, `no-device` or `no-compiler`."""

    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        self.code = code
        self.message = message
        self.help = help
        super().__init__(message)


def require_torch() -> None:
    """Raises MissingRequirement `no-torch` if torch cannot be imported."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: one of its shared libraries
        raise MissingRequirement(
            "no-torch",
            f"torch cannot be imported: {error}",
            "install it with `pip install 'resnetgen[torch]'`",
        ) from error


@contextmanager
def mute_fake_tensor_log() -> Iterator[None]:
    """Without the log of fake tensors, which repeats each error that they raise."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


# --- what torch raised, in one line

_MAX_CAUSE = 300  # characters
_DYNAMO_CAUSE = re.compile(r"got (\w+)\(['\"](.*)['\"]\)$", re.MULTILINE)
_DYNAMO_EXPLANATION = re.compile(r"^\s*Explanation: (.*)$", re.MULTILINE)
_DYNAMO_FRAME = re.compile(r'File "<_resnetgen[^"]*", line (\d+), in \w+\n\s*(.*)')
_FX_NODE = re.compile(r"^While executing %(\w+) : .*?(?:target=([\w.]+))?\]", re.MULTILINE)


def error_summary(error: BaseException) -> str:
    """The cause of an error, and the place in the printed module if it is known.

    Dynamo wraps the cause in a page of advice; torch.fx names a node instead of a line.
    """
    text = str(error)
    place = _place(error, text)
    cause = _cause(error, text)[:_MAX_CAUSE]
    return f"{cause} ({place})" if place else cause


def _cause(error: BaseException, text: str) -> str:
    inner = _DYNAMO_CAUSE.search(text)
    if inner:
        return f"{inner[1]}: {inner[2]}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    explanation = _DYNAMO_EXPLANATION.search(text)
    sentences = [*lines[:1], *([explanation[1]] if explanation else [])]
    return f"{type(error).__name__}: {'. '.join(sentences)}".removesuffix(": ")


def _place(error: BaseException, text: str) -> str:
    frames = _DYNAMO_FRAME.findall(text)
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
