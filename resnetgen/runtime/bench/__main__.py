"""A worker: one line of JSON on stdin, lines of JSON on stdout, the last of which is the answer.

    {"progress": "building", "side": "eager"}
    {"answer": {...}}        or {"missing": ["no-torch", "torch cannot be imported: ...", "install ..."]}

What libraries print on stdout goes to stderr. When stdin is closed, the process that asked is gone,
and the worker ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from resnetgen.runtime.bench.process import Request, parse_request

Task = Callable[[Request, Callable[..., None]], dict[str, Any]]


def main() -> None:
    """Answers one request."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    line = sys.stdin.readline()
    if not line:
        return  # the process that started it was stopped before it sent a request
    request = parse_request(line)
    threading.Thread(target=_exit_when_stdin_closes, daemon=True).start()
    print(json.dumps(_answer(request, channel)), file=channel)


def _exit_when_stdin_closes() -> None:
    """Ends this process and those that it started when nobody is left to read the answer."""
    os.read(0, 1)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _answer(request: Request, channel: TextIO) -> dict[str, Any]:
    from resnetgen.runtime.errors import MissingRequirement, require_torch

    def progress(text: str, side: str | None = None) -> None:
        print(json.dumps({"progress": text, "side": side}), file=channel)

    try:
        require_torch()
        return {"answer": _task(request.task)(request, progress)}
    except MissingRequirement as error:
        return {"missing": [error.code, error.message, error.help]}


def _task(name: str) -> Task:
    """The function of a task, imported when torch is known to be there.

    Only `prepare` imports the compiler: a cold start times that import.
    """
    if name == "prepare":
        from resnetgen.runtime.bench.prepare import prepare

        return prepare
    from resnetgen.runtime.bench.timing import cold, memory, steady

    return {"steady": steady, "cold": cold, "memory": memory}[name]


if __name__ == "__main__":
    main()
