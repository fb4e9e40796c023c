"""A process that measures: a line of JSON on stdin, lines of JSON on stdout, the answer the last.

    {"say": "building", "side": "eager"}
    {"answer": {...}}        or {"fault": ["no-torch", "torch cannot be imported: ...", "install ..."]}

What libraries print on stdout goes to stderr. Where stdin ends, whoever asked is gone, and so is this.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any, TextIO

from resnetgen.runtime.bench.process import Request, parse_request


def main() -> None:
    """Answers one request."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    line = sys.stdin.readline()
    if not line:
        return  # whoever started it was stopped before asking
    request = parse_request(line)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    print(json.dumps(_answered(request, channel)), file=channel)


def _end_with_stdin() -> None:
    """Ends the process, and those that it started, when nobody is left to hear the answer."""
    os.read(0, 1)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _answered(request: Request, channel: TextIO) -> dict[str, Any]:
    from resnetgen.runtime.errors import MissingRequirement, require_torch

    def say(text: str, side: str | None = None) -> None:
        print(json.dumps({"say": text, "side": side}), file=channel)

    try:
        require_torch()
        return {"answer": _tasks()[request.task](request, say)}
    except MissingRequirement as fault:
        return {"fault": [fault.code, fault.message, fault.help]}


def _tasks() -> dict[str, Any]:
    """What can be asked; imported after it is known that torch is there."""
    from resnetgen.runtime.bench.timing import cold, memory, prepare, steady

    return {"prepare": prepare, "steady": steady, "cold": cold, "memory": memory}


if __name__ == "__main__":
    main()
