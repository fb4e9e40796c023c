"""Where the result of a command goes: to standard output, or to a file that is written whole.

Also the progress line on stderr: what is going on and for how long, on a terminal only.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import typer

from resnetgen.compiler.diagnostics.model import escape_invisible

if TYPE_CHECKING:
    from resnetgen.compiler.codegen.files import Stamp


# --- results


@dataclass(frozen=True, slots=True)
class OutputFile:
    """The file that a command writes, or standard output.

    A file that must not be replaced is refused before the work starts, when this is created, and
    again before writing, because the work may have taken minutes. Both raise WriteError. Create it
    once the inputs are read: before that, it is not known which files they are.
    """

    path: Path | None  # None: standard output
    stamp: Stamp
    force: bool = False

    def __post_init__(self) -> None:
        """Refuses what must not be replaced."""
        from resnetgen.compiler.codegen.files import refuse_to_overwrite

        if self.path is not None:
            refuse_to_overwrite(self.path, self.stamp, self.force)

    def write(self, content: str | bytes) -> None:
        """Writes the file, or prints the text."""
        from resnetgen.compiler.codegen.files import refuse_to_overwrite, write_atomically
        from resnetgen.compiler.frontend.input_file import note_input

        data = content.encode() if isinstance(content, str) else content
        if self.path is None:
            print_bytes(data)
            return
        refuse_to_overwrite(self.path, self.stamp, self.force)
        write_atomically(self.path, data)
        note_input(self.path)  # no other output of the command may replace it

    def announce(self, summary: str = "") -> None:
        """Prints `wrote FILE (summary)`, if there is a file."""
        if self.path is not None:
            announce(self.path, summary)


def output_file(output: str | None, name: str, stamp: Stamp, force: bool) -> OutputFile:
    """`-o -`, `-o FILE`, `-o FOLDER` or no `-o`; a folder gets a file called `name`."""
    from resnetgen.compiler.codegen.files import output_path

    return OutputFile(None if output == "-" else output_path(output, name), stamp, force)


def report_file(output: str | None, force: bool) -> OutputFile:
    """`-o FILE`; without it, or with `-o -`, standard output."""
    from resnetgen.compiler.codegen.files import UNMARKED

    return OutputFile(None if output is None or output == "-" else Path(output), UNMARKED, force)


def write_report(text: str, file: OutputFile) -> None:
    """Writes a report and says so, or prints it in the encoding of the terminal."""
    if file.path is None:
        print(text, end="")
    else:
        file.write(text)
        file.announce()


def plot_file(plot: str, output: str | None, stamp: Stamp, force: bool) -> OutputFile:
    """`--plot FILE`, beside `-o FILE`. Raises BadParameter if the two are one file."""
    file = OutputFile(Path(plot), stamp, force)
    if output is not None and os.path.realpath(plot) == os.path.realpath(output):
        raise typer.BadParameter("is the file of --output", param_hint="--plot")
    return file


def announce(path: Path, summary: str = "") -> None:
    """`wrote resnet50.py (176 lines)`."""
    about = f" ({escape_invisible(summary)})" if summary else ""
    print(f"wrote {escape_invisible(str(path))}{about}")


def print_bytes(data: bytes) -> None:
    """Prints exactly the bytes that a file would have, whatever the terminal's encoding."""
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    else:
        print(data.decode(), end="")


# --- progress


class Progress:
    """`with Progress() as progress: progress("compiling")`; the line is erased at the end."""

    def __init__(self) -> None:
        self.text = ""
        self.since = time.monotonic()
        self.done = threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self, text: str) -> None:
        """Shows what is going on from now on."""
        self.text, self.since = text, time.monotonic()

    def __enter__(self) -> Progress:
        """Starts the line, on a terminal."""
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
        """Erases the line."""
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
def torch_progress() -> Iterator[Progress]:
    """A progress line for work in torch and its import. Raises MissingRequirement `no-torch`."""
    from resnetgen.runtime.errors import require_torch

    with Progress() as progress:
        progress("importing torch")
        require_torch()
        yield progress
