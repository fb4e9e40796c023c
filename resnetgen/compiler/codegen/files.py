"""write_source(path, text, force): a module is placed whole or not at all, over nothing foreign.

A printed module says in its docstring what it is:

    Compiled by resnetgen from resnet50 (spec 0123456789abcdef, code fedcba9876543210).

`code` is the digest of all that stands below the docstring, so that an edited file is recognised.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from resnetgen.compiler.diagnostics.model import Diagnostic

_DOCSTRING = re.compile(r'"""(.*?)"""\n', re.DOTALL)
_MARK = re.compile(r"Compiled by resnetgen from \S+\s\(spec [0-9a-f]{16},\scode ([0-9a-f]{16})\)\.")


class WriteError(Exception):
    """Why a file was not written; nothing has changed on disk."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic
        super().__init__(diagnostic.message)


def is_untouched(text: str) -> bool:
    """Whether resnetgen printed this module and nobody edited it since."""
    from resnetgen.compiler.codegen.render import body_digest  # jinja2 takes 0.07 s

    docstring = _DOCSTRING.match(text)
    if not docstring:
        return False
    marks = _MARK.findall(docstring[1])
    return bool(marks) and marks[-1] == body_digest(text[docstring.end() :])


def destination(output: str | None, network: str, suffix: str = ".py") -> Path:
    """Where a module goes: the file or folder that was named, else `NAME.py` here."""
    return located(output, re.sub(r"[-.]", "_", network) + suffix)


def located(output: str | None, file: str) -> Path:
    """The file or folder that was named; `file` is what it is called in a folder, or here."""
    if output is None:
        return Path(file)
    is_folder = output.endswith(("/", os.sep)) or os.path.isdir(output)
    return Path(output, file) if is_folder else Path(output)


def refuse_to_overwrite(path: Path, force: bool = False) -> None:
    """Raises WriteError if something stands at the path that must not be replaced.

    Never replaced: a folder, a device, a pipe. Replaced with `force` only: a file that resnetgen
    did not print or that was edited since, and a symbolic link.
    """
    try:
        is_link = stat.S_ISLNK(os.lstat(path).st_mode)
        mode = path.stat().st_mode
    except FileNotFoundError:
        if force or not path.is_symlink():
            return
        raise _in_the_way(path, "is a symbolic link to nothing") from None
    except OSError as error:
        raise unwritable(path, error) from None
    if not stat.S_ISREG(mode):
        help = "to print it, use `-o -`"
        raise WriteError(Diagnostic("unwritable", f"`{path}` is not a regular file", help=help))
    if force:
        return
    if is_link:
        raise _in_the_way(path, "is a symbolic link")
    if not _is_ours(path):
        raise _in_the_way(path, "was not written by resnetgen, or was edited since")


def _is_ours(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(3) == '"""' and is_untouched(f'"""{file.read()}')
    except (OSError, UnicodeError):
        return False


def _in_the_way(path: Path, why: str) -> WriteError:
    help = "use `--force` to replace it"
    return WriteError(Diagnostic("file-exists", f"`{path}` {why}", help=help))


def unwritable(path: Path, error: OSError, help: str | None = None) -> WriteError:
    """Why a file cannot be written; `help` where there is a folder for it."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        reason, help = f"there is no folder `{path.parent}`", "make the folder first"
    return WriteError(Diagnostic("unwritable", f"cannot write `{path}`: {reason}", help=help))


def write_source(path: Path, text: str, force: bool = False) -> None:
    """Places a module. Raises WriteError; then the folder is as it was."""
    refuse_to_overwrite(path, force)
    write_atomically(path, text.encode())


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file that is there either whole or not at all. Raises WriteError."""
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
