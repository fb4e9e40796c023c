"""Where the text that a command makes goes: to standard output, or to a file that is placed whole."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from resnetgen.language.diagnostics import visible


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
    from resnetgen.codegen.write import write_atomically

    write_atomically(Path(output), text.encode())
    print(f"wrote {visible(output)}")


def refuse_existing(place: Path, force: bool) -> None:
    """A spec is somebody's work, also one that this command wrote."""
    from resnetgen.codegen.write import WriteError, refuse_foreign
    from resnetgen.language.diagnostics import Diagnostic

    refuse_foreign(place, force=True)
    if os.path.lexists(place) and not force:
        help = "use `--force` to replace it, or another name"
        raise WriteError(Diagnostic("file-exists", f"`{place}` is there already", help=help))
