"""Output files: written whole or not at all, and never over somebody else's work.

    refuse_to_overwrite(path, MODULE)     raises WriteError unless the file may be replaced
    write_atomically(path, data)          the old file or the new one, never a part

What resnetgen writes says so. A printed module has in its docstring

    Compiled by resnetgen from resnet50 (spec 0123456789abcdef, code fedcba9876543210).

where `code` is the digest of everything below the docstring, so an edited file is recognised. Each
kind of file (module, drawing, weights, plan, plot, schema) has such a mark, described by a `Stamp`
beside the code that prints it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from resnetgen.compiler.diagnostics.model import Diagnostic


class WriteError(Exception):
    """Why a file was not written; nothing has changed on disk."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic
        super().__init__(diagnostic.message)


# --- who wrote a file


@dataclass(frozen=True, slots=True)
class Stamp:
    """How files of one kind show that resnetgen wrote them and that nobody edited them since.

    `verify` reads an open file. What it raises for a file of another kind counts as no.
    """

    verify: Callable[[BinaryIO], bool]
    refusal: str = "was not written by resnetgen, or was edited since"
    help: str = "use `--force` to replace it"
    printable: bool = True  # whether commands also print this kind of file: `-o -`

    @classmethod
    def at_the_top(cls, mark: str) -> Stamp:
        """The stamp of a text that starts with `mark`, a regular expression.

        Its group is the `text_digest` of everything below.
        """

        def verify(file: BinaryIO) -> bool:
            text = TextIOWrapper(file, encoding="utf-8").read()
            found = re.match(mark, text, re.DOTALL)
            return found is not None and found[1] == text_digest(text[found.end() :])

        return cls(verify)

    def is_on(self, path: Path) -> bool:
        """Whether resnetgen wrote this file and nobody edited it since."""
        try:
            with path.open("rb") as file:
                return self.verify(file)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False


def text_digest(text: str) -> str:
    """16 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_IN_DOCSTRING = r'(?:(?!"""\n).)*'
MODULE = Stamp.at_the_top(
    rf'"""{_IN_DOCSTRING}Compiled by resnetgen from \S+\s'
    rf'\(spec [0-9a-f]{{16}},\scode ([0-9a-f]{{16}})\)\.{_IN_DOCSTRING}"""\n'
)
# Specs have no mark: each is somebody's work, even if a command wrote it.
SPEC = Stamp(
    lambda file: False, "already exists", "use `--force` to replace it, or choose another name"
)


# --- where a file goes


def file_name(network: str, suffix: str) -> str:
    """The default name of a network's file: `resnet-1.5` -> `resnet_1_5.py`."""
    return re.sub(r"[-.]", "_", network) + suffix


def output_path(output: str | None, name: str) -> Path:
    """The file that `output` names; `name` in the folder that it names, or in this folder."""
    if output is None:
        return Path(name)
    is_folder = output.endswith(("/", os.sep)) or os.path.isdir(output)
    return Path(output, name) if is_folder else Path(output)


def refuse_to_overwrite(path: Path, stamp: Stamp, force: bool = False) -> None:
    """Raises WriteError if the path has something that must not be replaced, or has no folder.

    Never replaced: a folder, a device, a pipe. Replaced only with `force`: a symbolic link, and a
    file without a valid stamp.
    """
    refuse_special_file(path, "to print it, use `-o -`" if stamp.printable else None)
    if force or not os.path.lexists(path):
        return
    if path.is_symlink():
        reason = "is a symbolic link"
    elif not stamp.is_on(path):
        reason = stamp.refusal
    else:
        return
    raise WriteError(Diagnostic("file-exists", f"`{path}` {reason}", help=stamp.help))


def refuse_special_file(path: Path, help: str | None = None) -> None:
    """Raises WriteError if the path is not that of a regular file, existing or new."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:  # also of a link to nothing
        if path.parent.is_dir():
            return
        raise unwritable(path, error) from None
    except OSError as error:
        raise unwritable(path, error) from None
    if not stat.S_ISREG(mode):
        raise WriteError(Diagnostic("unwritable", f"`{path}` is not a regular file", help=help))


def unwritable(path: Path, error: OSError, help: str | None = None) -> WriteError:
    """Why a file cannot be written; `help` applies if its folder exists."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        reason, help = f"there is no folder `{path.parent}`", "create the folder first"
    return WriteError(Diagnostic("unwritable", f"cannot write `{path}`: {reason}", help=help))


# --- writing


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all. Raises WriteError; then the folder is as it was."""
    temporary = path.parent / f".resnetgen-{os.urandom(6).hex()}.tmp"
    try:
        _write_synced(temporary, data)
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_synced(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with open(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
