"""The command line: one file per command or group of commands. Only this package imports Typer."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Runs the command line and exits. No error shows a traceback."""
    # Pydantic searches every installed package for plugins: 15 ms, and nothing here uses one.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # In a short process that mostly imports, collecting garbage takes a fifth of the time, and as
    # much again at exit, when Python goes through all objects; it skips frozen ones.
    gc.set_threshold(200_000)
    atexit.register(gc.freeze)
    _prepare_streams()
    signal.signal(signal.SIGTERM, _stop)
    try:
        from resnetgen.cli.errors import run_program

        status = run_program(_run)
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _run() -> None:
    from resnetgen.cli.app import app

    app(prog_name="resnetgen")


def _prepare_streams() -> None:
    """Prints characters that a terminal cannot show as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _stop(*_: object) -> NoReturn:
    """Turns SIGTERM into an exception, so that temporary files are removed."""
    sys.exit(128 + signal.SIGTERM)
