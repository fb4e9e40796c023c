"""The command line: one file a group of commands. Nothing else knows Typer."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Runs the command line and exits; whatever happens, no traceback is shown."""
    # Plugins of pydantic are searched for in every installed package: 15 ms that nothing here uses.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # A short-lived process that mostly imports: collecting garbage is a fifth of its time, and as much
    # again at exit, where Python looks through all that is left; what is frozen it leaves alone.
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
    """A terminal that cannot show a character gets its escape."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _stop(*_: object) -> NoReturn:
    """SIGTERM as an exception, so that temporary files are removed."""
    sys.exit(128 + signal.SIGTERM)
