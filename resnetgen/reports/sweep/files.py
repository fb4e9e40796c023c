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
    WriteError,
    refuse_special_file,
    unwritable,
    write_atomically,
)
from resnetgen.compiler.diagnostics.model import Diagnostic
from resnetgen.reports.sweep.rows import RowFormat

_CHUNK = 1 << 16
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
    refuse_special_file(path)
    if force or not path.exists():
        return new
    before = _read_meta(path)
    if before is None:
        raise _file_exists(path, "was not written by `resnetgen sweep`")
    if not before.get("complete") and not _has_rows(path):
        return new
    for key, what in _IDENTITY.items():
        if before.get(key) != meta[key]:
            how = "differs" if key == "digest" else _difference(before.get(key), meta[key])
            raise _file_exists(path, f"is another sweep: {what} {how}")
    if before.get("complete") is True:
        if path.stat().st_size != before.get("bytes"):
            raise _file_exists(path, "is a complete sweep that was edited")
        return replace(new, end=before["bytes"], next_variant=meta["variants"], complete=True)
    return _after_last_row(new)


def _has_rows(path: Path) -> bool:
    """Whether a sweep's file has more than the line of column names."""
    with path.open("rb") as file:
        first, second = file.readline(), file.readline()
    return bool(second) or first.startswith(b"{")


def _read_meta(path: Path) -> dict[str, Any] | None:
    try:
        meta = json.loads(sidecar(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return meta if isinstance(meta, dict) and "vary" in meta else None


def _difference(before: Any, now: Any) -> str:
    """What changed, if that is short."""
    texts = [json.dumps(each) if each else "none" for each in (before, now)]
    if max(map(len, texts)) > 60:
        return "differs"
    return f"was {texts[0]}, and is {texts[1]}"


def _after_last_row(new: SweepFile) -> SweepFile:
    """The place after the last whole row of a sweep that was cut off."""
    head = new.format.head.encode()
    with new.path.open("rb") as file:
        if file.read(len(head)) != head:
            size = file.seek(0, os.SEEK_END)
            if size < len(head):
                return new
            raise _file_exists(new.path, "was edited: its first line is not the line of columns")
        end, line = _last_line(file, len(head))
    if not line:
        return replace(new, end=end)
    try:
        variant = new.format.variant_of(line.decode())
    except ValueError:
        raise _file_exists(new.path, "was edited: its last line is not a row") from None
    return replace(new, end=end, next_variant=variant + 1)


def _last_line(file: IO[bytes], start: int) -> tuple[int, bytes]:
    """Where the last whole line ends, and that line; bytes before `start` are not read."""
    position = file.seek(0, os.SEEK_END)
    tail = b""
    while position > start and tail.count(b"\n") < 2:
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
        path, target = self.target.path, self.target
        try:
            if target.is_new:
                path.unlink(missing_ok=True)  # first: a new sidecar must not vouch for old rows
                self._write_meta({})
                self.file = path.open("xb", buffering=0)
                self.pending.append(target.format.head)
                self.flush()
            else:
                self.file = path.open("r+b", buffering=0)
                self.file.truncate(target.end)
                self.file.seek(target.end)
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
