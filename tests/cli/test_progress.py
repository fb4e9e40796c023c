"""The line that says what torch is doing: on a terminal only, and gone at the end."""

from __future__ import annotations

import io
import time
from contextlib import suppress

import pytest

from resnetgen.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress() as progress:
        progress("compiling")
        time.sleep(0.5)
    assert "\r\x1b[Kcompiling 0 s" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")
    assert "\n" not in terminal.getvalue()


def test_the_line_is_gone_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with suppress(ZeroDivisionError), Progress() as progress:
        progress(f"{1 / 0}")
    assert terminal.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_a_file_sees_nothing(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    with Progress() as progress:
        progress("compiling")
        time.sleep(0.3)
    assert stream is None or stream.getvalue() == ""
