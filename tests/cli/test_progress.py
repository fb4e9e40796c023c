"""The progress line: on a terminal only, and erased at the end."""

from __future__ import annotations

import io
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest

from resnetgen.cli.console import Progress


class Terminal(io.StringIO):
    """A terminal that can be watched while another thread draws on it."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Condition()

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        super().flush()
        with self.drawn:
            self.drawn.notify_all()

    def comes_to_show(self, text: str) -> bool:
        with self.drawn:
            return self.drawn.wait_for(lambda: text in self.getvalue(), timeout=60)


def test_a_terminal_sees_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), SimpleNamespace(monotonic=lambda: 100.0)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("resnetgen.cli.console.time", clock)
    with Progress() as progress:
        progress("compiling")
        assert terminal.comes_to_show("\r\x1b[Kcompiling 0 s")
        clock.monotonic = lambda: 107.0
        assert terminal.comes_to_show("\r\x1b[Kcompiling 7 s")
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
        assert progress.thread is None, "nothing could draw later"
    assert stream is None or stream.getvalue() == ""
