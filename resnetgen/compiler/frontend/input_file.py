"""open_regular(path, limit) -> a file that somebody else wrote, opened without waiting.

    open_regular("net.yaml", MAX_BYTES)    BinaryIO
    open_regular("a pipe", MAX_BYTES)      OSError: it is not a regular file
    read_regular("300 MB", MAX_BYTES)      FileTooLarge, before a byte is read

Every file that a person names, or that another file names, is opened here: reading a pipe may never
end, reading a device may have effects, and a file of any size may have to fit into memory. Callers
make diagnostics of their own of the errors. Symbolic links are followed.

Inside `recorded_inputs()`, which is around each command of the program, the files that were opened
are remembered, so that no output replaces one of them: see `is_input`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import BufferedReader

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class FileTooLarge(OSError):
    """A file with more bytes than its reader accepts."""

    def __init__(self, path: str | os.PathLike[str], limit: int) -> None:
        super().__init__(errno.EFBIG, f"it has more than {limit:,} bytes", os.fspath(path))


def open_regular(path: str | os.PathLike[str], limit: int) -> BufferedReader:
    """A regular file of at most `limit` bytes, open for reading. Raises OSError, FileTooLarge."""
    _check_regular(os.stat(path), path)  # before: opening a device may have effects
    handle = os.open(path, _FLAGS)
    try:
        found = os.fstat(handle)
        _check_regular(found, path)  # after: the name may be that of another file by now
        if found.st_size > limit:
            raise FileTooLarge(path, limit)
        _note(found)
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: str | os.PathLike[str], limit: int) -> bytes:
    """The bytes of such a file. Raises OSError, FileTooLarge."""
    with open_regular(path, limit) as file:
        data = file.read(limit + 1) or b""  # None: it would have to be waited for
    if len(data) > limit:  # it grew, or is a file of /proc, which have no size
        raise FileTooLarge(path, limit)
    return data


def _check_regular(found: os.stat_result, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))


# --- which files a command has read

# By device and inode, so that links and other spellings of a path count.
_INPUTS: ContextVar[set[tuple[int, int]] | None] = ContextVar("inputs", default=None)


@contextmanager
def recorded_inputs() -> Iterator[None]:
    """Remembers the files that are opened inside."""
    token = _INPUTS.set(set())
    try:
        yield
    finally:
        _INPUTS.reset(token)


def note_input(path: str | os.PathLike[str]) -> None:
    """Remembers a file that is read later, or that something else than `open_regular` reads."""
    with suppress(OSError, ValueError):
        _note(os.stat(path))


def is_input(path: str | os.PathLike[str]) -> bool:
    """Whether a path is that of a file which was opened inside `recorded_inputs()`."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return False
    return (found.st_dev, found.st_ino) in (_INPUTS.get() or ())


def _note(found: os.stat_result) -> None:
    inputs = _INPUTS.get()
    if inputs is not None:
        inputs.add((found.st_dev, found.st_ino))
