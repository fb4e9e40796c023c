"""Output files: written whole or not at all, and never over somebody else's work.

    refuse_to_overwrite(path, MODULE)     raises WriteError unless the file may be written
    write_atomically(path, data)          the old file or the new one, never a part

One rule for every file of every command. Never written: a folder, a device, a pipe, a file that the
command itself reads, and a `.py` file that would hide a module of Python or torch. Replaced only with
`--force`: a symbolic link, and a file that resnetgen did not write or that was edited since. What is
replaced keeps its mode and, where that is permitted, its owner.

What resnetgen writes says so. A printed module has in its docstring

    Compiled by resnetgen 0.1.0 (spec 0123456789abcdef, code fedcba9876543210).

where `code` is the digest of everything below the docstring, so an edited file is recognised. Drawings,
weights, plans, plots and schemas have such marks too, described by a `Stamp` beside the code that
prints them. Specs and reports have none: see `UNMARKED`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from resnetgen.compiler.diagnostics.model import Diagnostic
from resnetgen.compiler.frontend.identifiers import module_file_error
from resnetgen.compiler.frontend.input_file import is_input

MAX_TEXT = 1 << 26  # bytes; a larger text is not ours, and is not read to find out


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
            if os.fstat(file.fileno()).st_size > MAX_TEXT:
                return False
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
    rf'"""{_IN_DOCSTRING}Compiled by resnetgen (?:from )?\S+\s'
    rf'\(spec [0-9a-f]{{16}},\scode ([0-9a-f]{{16}})\)\.{_IN_DOCSTRING}"""\n'
)
# Specs, reports, differences and results of benchmarks are for people and other programs, in formats
# without room for a mark. So each may be somebody's work, even if a command wrote it.
UNMARKED = Stamp(
    lambda file: False,
    "already exists, and a file of this kind does not show who wrote it",
    "use `--force` to replace it, or choose another name",
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
    """Raises WriteError unless a file may be written here: the rule at the head of this file.

    Also raises it if the path has no folder, or cannot be a path.
    """
    _refuse_special_file(path, "to print it, use `-o -`" if stamp.printable else None)
    _refuse_hiding_module(path)
    if is_input(path):
        message = f"`{path}` is itself an input, or another output, of this command"
        raise WriteError(Diagnostic("file-exists", message, help="name another file"))
    if force or not os.path.lexists(path):
        return
    if path.is_symlink():
        reason = "is a symbolic link"
    elif not stamp.is_on(path):
        reason = stamp.refusal
    else:
        return
    raise WriteError(Diagnostic("file-exists", f"`{path}` {reason}", help=stamp.help))


def _refuse_special_file(path: Path, help: str | None) -> None:
    """Raises WriteError if the path is not that of a regular file, existing or new."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:  # also of a link to nothing
        if path.parent.is_dir():
            return
        raise unwritable(path, error) from None
    except OSError as error:
        raise unwritable(path, error) from None
    except ValueError:  # a null character, or half of a surrogate pair
        message = f"`{path}` is not a path: it has a character that no path can have"
        raise WriteError(Diagnostic("unwritable", message)) from None
    if not stat.S_ISREG(mode):
        raise WriteError(Diagnostic("unwritable", f"`{path}` is not a regular file", help=help))


def _refuse_hiding_module(path: Path) -> None:
    """Raises WriteError for `random.py`, `torch.py`, `class.py`."""
    reason = module_file_error(path.stem) if path.suffix == ".py" else None
    if reason:
        help = f"name another file, such as `-o my_{path.name}`"
        raise WriteError(Diagnostic("module-name", f"`{path}` {reason}", help=help))


def unwritable(path: Path, error: OSError, help: str | None = None) -> WriteError:
    """Why a file cannot be written; `help` applies if its folder exists."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        reason, help = f"there is no folder `{path.parent}`", "create the folder first"
    return WriteError(Diagnostic("unwritable", f"cannot write `{path}`: {reason}", help=help))


# --- writing


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all. Raises WriteError; then the folder is as it was.

    A file that is replaced keeps its mode and owner; a new one has the mode of the umask.
    """
    temporary = _temporary(path)
    try:
        _write_synced(temporary, data, _to_replace(path))
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.parent / f".resnetgen-{os.urandom(6).hex()}.tmp"


def _to_replace(path: Path) -> os.stat_result | None:
    """The file that is in the way, if there is one; a link's mode and owner mean nothing."""
    with suppress(FileNotFoundError):
        found = path.lstat()
        return found if stat.S_ISREG(found.st_mode) else None
    return None


def _write_synced(path: Path, data: bytes, before: os.stat_result | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags, 0o600 if before else 0o666)  # never more open than the old file
    with open(handle, "wb") as file:
        if before:
            _keep_mode_and_owner(path, before)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _keep_mode_and_owner(path: Path, before: os.stat_result) -> None:
    """As far as the system permits: only root may give a file away."""
    for user, group in ((-1, before.st_gid), (before.st_uid, -1)):
        with suppress(OSError, AttributeError):  # no such function on Windows
            os.chown(path, user, group)
    with suppress(OSError):
        path.chmod(before.st_mode & 0o777)


@contextmanager
def restored_on_error(path: Path) -> Iterator[None]:
    """Whatever is raised inside, the path has afterwards what it had before."""
    backup = _temporary(path)
    existed = os.path.lexists(path)
    try:
        if existed:
            _back_up(path, backup)
        try:
            yield
        except BaseException:
            with suppress(OSError):
                if existed:
                    os.replace(backup, path)
                else:
                    path.unlink(missing_ok=True)
            raise
    finally:
        with suppress(OSError):
            backup.unlink(missing_ok=True)


def _back_up(path: Path, backup: Path) -> None:
    """Raises WriteError: without a second name for the old file, nothing is written."""
    try:
        try:
            os.link(path, backup, follow_symlinks=False)
        except (OSError, NotImplementedError):  # a file system without hard links
            shutil.copy2(path, backup, follow_symlinks=False)
    except OSError as error:
        raise unwritable(path, error) from None
