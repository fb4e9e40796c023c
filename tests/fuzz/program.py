"""call("check", "net.yaml") -> Ended(status, out, err): the program, inside this process.

The entry point is the real one, with its exit status and what it writes. Streams are in memory, so
no terminal is involved; call it in a child process where the arguments or the files are hostile.
Typer reads the signature of the program's own options at each call; here it does so once a process.
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import typer.main

from resnetgen.cli import main

_COMMANDS = functools.cache(typer.main.get_command)


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended: exit status and what it wrote."""

    status: int
    out: str
    err: str


def call(*arguments: str, merged: bool = False) -> Ended:
    """Runs `resnetgen ARGUMENTS`. What the program lets escape is not caught here.

    `merged` gives both streams as one, in the order in which they were written, as `2>&1` does.
    """
    with _streams(merged) as (out, err):
        kept, sys.argv = sys.argv, ["resnetgen", *arguments]
        try:
            with patch.object(typer.main, "get_command", _COMMANDS):
                main()
        except SystemExit as stop:
            status = stop.code
        finally:
            sys.argv = kept
        assert isinstance(status, int)
        return Ended(status, _text(out), _text(err))


@contextmanager
def _streams(merged: bool) -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    kept = sys.stdout, sys.stderr
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    sys.stdout, sys.stderr = out, out if merged else err
    try:
        yield out, err
    finally:
        sys.stdout, sys.stderr = kept


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()
