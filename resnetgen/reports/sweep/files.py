"""The files of a sweep: written row by row, resumed after a kill, and never over another file.

    FILE              one row per variant, appended about twice a second
    FILE.meta.json    what identifies the sweep, its columns, whether it is complete

However the process ends, FILE holds whole rows and at most a part of one at its end. The next run
cuts that part off and continues after the last whole row.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from resnetgen.compiler.codegen.files import (
    Stamp,
    WriteError,
    refuse_to_overwrite,
    restored_on_error,
    unwritable,
    write_atomically,
)
from resnetgen.compiler.diagnostics.model import Diagnostic
from resnetgen.compiler.frontend.input_file import open_regular, read_regular
from resnetgen.reports.sweep.rows import RowFormat

_CHUNK = 1 << 16
_MAX_BYTES = 1 << 40  # of a sweep
_MAX_META = 1 << 24  # bytes of its metadata
_MAX_ROW = 1 << 20  # bytes of a line
_HEAD_START = b"variant,"  # of the line of column names in CSV
_ROW_START = (b"", b"{", *(b"%d" % digit for digit in range(10)))
_RESUME = "run the same command again to continue after the last whole row"
# The members of the metadata that identify a sweep, and what a message calls them.
_IDENTITY = {
    "resnetgen": "the version of resnetgen",
    "settings": "`--set`",
    "vary": "`--vary`",
    "where": "`--where`",
    "columns": "`--columns`",
    "digest": "the spec, or a block that it may use,",
}


@dataclass(frozen=True, slots=True)
class SweepFile:
    """The file of a sweep, what identifies the sweep, and where to continue."""

    path: Path
    meta: Mapping[str, Any]
    format: RowFormat
    end: int  # of the last whole row, in bytes
    next_variant: int  # the first without a row
    complete: bool = False

    @property
    def is_new(self) -> bool:
        """Whether there is nothing to resume."""
        return self.end == 0


def sidecar(path: Path) -> Path:
    """`FILE.meta.json`."""
    return path.with_name(path.name + ".meta.json")


# --- where to continue


def resume_point(path: Path, meta: Mapping[str, Any], format: RowFormat, force: bool) -> SweepFile:
    """The file and where to continue in it.

    Raises WriteError if the file is not a sweep, is another sweep, or was edited.
    """
    new = SweepFile(path, meta, format, 0, 0)
    for each, stamp in ((path, _ROWS), (sidecar(path), _META)):
        refuse_to_overwrite(each, stamp, force)
    if force or not path.exists():
        return new
    before = _read_meta(path)
    if before is None:
        raise _file_exists(path, "was not written by `resnetgen sweep`")
    if not before.get("complete") and not _has_rows(path):
        return new
    for key, what in _IDENTITY.items():
        old, new_value = _identity(before, key), _identity(meta, key)
        if old != new_value:
            how = "differs" if key == "digest" else _difference(old, new_value)
            raise _file_exists(path, f"is another sweep: {what} {how}")
    if before.get("complete") is True:
        if path.stat().st_size != before.get("bytes"):
            raise _file_exists(path, "is a complete sweep that was edited")
        return replace(new, end=before["bytes"], next_variant=meta["variants"], complete=True)
    return _after_last_row(new)


def _identity(meta: Mapping[str, Any], key: str) -> Any:
    """A member of the metadata; of columns, names and units: what they mean may be said otherwise."""
    value = meta.get(key)
    if key != "columns" or not isinstance(value, list):
        return value
    return [{k: each.get(k) for k in ("name", "unit")} for each in value if isinstance(each, dict)]


def _has_rows(path: Path) -> bool:
    """Whether a sweep's file has more than the line of column names, or a part of that line."""
    with open_regular(path, _MAX_BYTES) as file:
        first, second = file.readline(_MAX_ROW), file.readline(_MAX_ROW)
    return bool(second) or not _HEAD_START.startswith(first[: len(_HEAD_START)])


def _read_meta(path: Path) -> dict[str, Any] | None:
    try:
        return _parse_meta(read_regular(sidecar(path), _MAX_META))
    except (OSError, ValueError, RecursionError):
        return None


def _parse_meta(data: bytes) -> dict[str, Any] | None:
    meta = json.loads(data)
    return meta if isinstance(meta, dict) and "vary" in meta else None


_ROWS = Stamp(lambda file: True, printable=False)  # its metadata says what it is
_META = Stamp(
    lambda file: _parse_meta(file.read(_MAX_META)) is not None,
    "is not the metadata of a sweep",
    "use `--force` to replace it, or choose another name for the rows",
    printable=False,
)


def _difference(before: Any, now: Any) -> str:
    """What changed, if that is short."""
    texts = [json.dumps(each) if each else "none" for each in (before, now)]
    if max(map(len, texts)) > 60:
        return "differs"
    return f"was {texts[0]}, and is {texts[1]}"


def _after_last_row(new: SweepFile) -> SweepFile:
    """The place after the last whole row of a sweep that was cut off."""
    head = new.format.head.encode()
    with open_regular(new.path, _MAX_BYTES) as file:
        start = file.read(len(head))
        if start != head:
            if head.startswith(start):
                return new
            raise _file_exists(new.path, "was edited: its first line is not the line of columns")
        end, line = _last_line(file, len(head))
        file.seek(end)
        if file.read(1) not in _ROW_START:
            raise _file_exists(new.path, "was edited: its end is not the start of a row")
    if not line and end == len(head):
        return replace(new, end=end)
    try:
        variant = new.format.variant_of(line.decode())
    except (ValueError, RecursionError):
        raise _file_exists(new.path, "was edited: its last line is not a row") from None
    return replace(new, end=end, next_variant=variant + 1)


def _last_line(file: IO[bytes], start: int) -> tuple[int, bytes]:
    """Where the last whole line ends, and that line; bytes before `start` are not read.

    Of a line that is longer than any row, only a part is read, which is not a row.
    """
    position = file.seek(0, os.SEEK_END)
    tail = b""
    while position > start and tail.count(b"\n") < 2 and len(tail) <= _MAX_ROW:
        size = min(_CHUNK, position - start)
        position -= size
        file.seek(position)
        tail = file.read(size) + tail
    whole, newline, _ = tail.rpartition(b"\n")
    return position + len(whole) + len(newline), whole.rpartition(b"\n")[2]


def _file_exists(path: Path, why: str) -> WriteError:
    help = "use `--force` to start over, or another file"
    return WriteError(Diagnostic("file-exists", f"`{path}` {why}", help=help))


# --- writing and reading rows


class Appender:
    """`with Appender(file) as appender: appender.append(line)`; rows not flushed are lost."""

    def __init__(self, target: SweepFile) -> None:
        self.target = target
        self.pending: list[str] = []
        self.file: IO[bytes] | None = None

    def __enter__(self) -> Appender:
        """Opens the file after its last whole row. Raises WriteError."""
        path, end = self.target.path, self.target.end
        try:
            if self.target.is_new:
                head = self.target.format.head.encode()
                end = len(head)
                with restored_on_error(path):
                    write_atomically(path, head)  # first: new metadata must not vouch for old rows
                    self._write_meta({})
            self.file = path.open("r+b", buffering=0)
            self.file.truncate(end)
            self.file.seek(end)
        except OSError as error:
            raise unwritable(path, error) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file; after an exception, rows that were not flushed are dropped."""
        if self.file:
            self.file.close()

    def append(self, line: str) -> None:
        """Queues a row for the next `flush`."""
        self.pending.append(line)

    def flush(self) -> None:
        """Writes the queued rows. Raises WriteError."""
        assert self.file
        data = memoryview("".join(self.pending).encode())
        try:
            while data:
                data = data[self.file.write(data) or 0 :]
        except OSError as error:
            raise unwritable(self.target.path, error, _RESUME) from None
        self.pending.clear()

    def finish(self) -> None:
        """Writes the queued rows and marks the sweep as complete. Raises WriteError."""
        assert self.file
        self.flush()
        try:
            os.fsync(self.file.fileno())
        except OSError as error:
            raise unwritable(self.target.path, error, _RESUME) from None
        self._write_meta({"complete": True, "bytes": self.file.tell()})

    def _write_meta(self, state: Mapping[str, Any]) -> None:
        meta = {**self.target.meta, "complete": False, **state}
        text = json.dumps(meta, indent=2, ensure_ascii=False) + "\n"
        write_atomically(sidecar(self.target.path), text.encode())


def read_rows(path: Path, format: RowFormat, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Some columns of the rows that have figures, from a complete sweep."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from format.read(file, names)
