"""Where the text that a command makes goes: to standard output, or to a file that is placed whole.

One line on stderr that says what is going on and for how long; nothing where nobody looks.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from resnetgen.compiler.diagnostics.model import visible


def print_exactly(text: str) -> None:
    """The bytes that a file would have, whatever the encoding of the terminal."""
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
    else:
        print(text, end="")


def write(text: str, output: str | None) -> None:
    """To a file, whole or not at all; else to standard output. Raises WriteError."""
    if output is None:
        print(text, end="")
        return
    from resnetgen.compiler.codegen.files import write_atomically

    write_atomically(Path(output), text.encode())
    print(f"wrote {visible(output)}")


def refuse_existing(place: Path, force: bool) -> None:
    """A spec is somebody's work, also one that this command wrote."""
    from resnetgen.compiler.codegen.files import WriteError, refuse_to_overwrite
    from resnetgen.compiler.diagnostics.model import Diagnostic

    refuse_to_overwrite(place, force=True)
    if os.path.lexists(place) and not force:
        help = "use `--force` to replace it, or another name"
        raise WriteError(Diagnostic("file-exists", f"`{place}` is there already", help=help))


class Progress:
    """`with Progress() as progress: progress("compiling")`; the line is wiped at the end."""

    def __init__(self) -> None:
        self.text = ""
        self.since = time.monotonic()
        self.done = threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self, text: str) -> None:
        """Says what happens from now on."""
        self.text, self.since = text, time.monotonic()

    def __enter__(self) -> Progress:
        """Starts the line on a terminal."""
        if sys.stderr is not None and sys.stderr.isatty():
            self.thread = threading.Thread(target=self._draw, daemon=True)
            self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wipes the line."""
        self.done.set()
        if self.thread:
            self.thread.join()
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _draw(self) -> None:
        while not self.done.wait(0.2):
            if self.text:
                sys.stderr.write(f"\r\x1b[K{self.text} {time.monotonic() - self.since:.0f} s")
                sys.stderr.flush()


@contextmanager
def torch_at_work() -> Iterator[Progress]:
    """The line over what torch does, first that it is imported. Raises RuntimeFault `no-torch`."""
    from resnetgen.runtime.errors import require_torch

    with Progress() as progress:
        progress("importing torch")
        require_torch()
        yield progress
