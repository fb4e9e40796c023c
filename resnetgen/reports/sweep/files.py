"""The file of a sweep: rows in order, mended after a kill, never over what is not ours.

    FILE              a row a variant, appended about twice a second
    FILE.meta.json    what the sweep is, its columns, whether it is complete

Whatever happens to the process, FILE holds whole rows and at most one part of a row at its end; the
next run cuts that off and goes on after the last whole row.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from resnetgen.compiler.codegen.files import WriteError, unwritable, write_atomically
from resnetgen.compiler.diagnostics.model import Diagnostic
from resnetgen.reports.sweep.rows import Format

_CHUNK = 1 << 16
_GOES_ON = "the same command goes on after the last whole row"
PLOT_MARK = b"<!-- resnetgen sweep -->"
# What makes two sweeps the same, and how each is told.
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
    """Where a sweep stands: the file, what it is, and where its last whole row ends."""

    path: Path
    meta: Mapping[str, Any]
    format: Format
    end: int  # bytes
    next: int  # the variant to go on with
    complete: bool = False

    @property
    def is_new(self) -> bool:
        """Whether nothing is there to go on from."""
        return self.end == 0


def sidecar(path: Path) -> Path:
    """`FILE.meta.json`."""
    return path.with_name(path.name + ".meta.json")


def find_place(path: Path, meta: Mapping[str, Any], format: Format, force: bool) -> SweepFile:
    """Where to begin. Raises WriteError where FILE is no sweep, another, or was changed since."""
    new = SweepFile(path, meta, format, 0, 0)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        if path.parent.is_dir():
            return new
        raise unwritable(path, error) from None
    except OSError as error:
        raise unwritable(path, error) from None
    if not stat.S_ISREG(mode):
        raise WriteError(Diagnostic("unwritable", f"`{path}` is not a regular file"))
    if force:
        return new
    before = _read_meta(path)
    if before is None:
        raise _in_the_way(path, "was not written by `resnetgen sweep`")
    if not before.get("complete") and not _has_rows(path):
        return new
    for key, what in _IDENTITY.items():
        if before.get(key) != meta[key]:
            how = "differs" if key == "digest" else _differs(before.get(key), meta[key])
            raise _in_the_way(path, f"is another sweep: {what} {how}")
    if before.get("complete") is True:
        if path.stat().st_size != before.get("bytes"):
            raise _in_the_way(path, "is a complete sweep that was changed since")
        return replace(new, end=before["bytes"], next=meta["variants"], complete=True)
    return _after_last_row(new)


def _has_rows(path: Path) -> bool:
    """Whether a sweep's file holds more than the line of names; without one, there is no loss."""
    with path.open("rb") as file:
        first, second = file.readline(), file.readline()
    return bool(second) or first.startswith(b"{")


def _read_meta(path: Path) -> dict[str, Any] | None:
    import json

    try:
        found = json.loads(sidecar(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "vary" in found else None


def _differs(before: Any, now: Any) -> str:
    """What changed, where that can be said shortly."""
    import json

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
            raise _in_the_way(new.path, "was changed since: its first line is another")
        end, line = _last_line(file, len(head))
    if not line:
        return replace(new, end=end)
    try:
        variant = new.format.variant_of(line.decode())
    except ValueError:
        raise _in_the_way(new.path, "was changed since: its last line is no row") from None
    return replace(new, end=end, next=variant + 1)


def _last_line(file: IO[bytes], start: int) -> tuple[int, bytes]:
    """Where the last whole line ends, and the line; nothing before `start` is looked at."""
    position = file.seek(0, os.SEEK_END)
    tail = b""
    while position > start and tail.count(b"\n") < 2:
        size = min(_CHUNK, position - start)
        position -= size
        file.seek(position)
        tail = file.read(size) + tail
    whole, newline, _ = tail.rpartition(b"\n")
    return position + len(whole) + len(newline), whole.rpartition(b"\n")[2]


class Appender:
    """`with Appender(place) as file: file.append(line)`; what is not yet flushed is computed again."""

    def __init__(self, place: SweepFile) -> None:
        self.place = place
        self.pending: list[str] = []
        self.file: IO[bytes] | None = None

    def __enter__(self) -> Appender:
        """Opens the file, at its last whole row. Raises WriteError."""
        path, place = self.place.path, self.place
        try:
            if place.is_new:
                path.unlink(missing_ok=True)  # first: a new sidecar must not vouch for old rows
                self._write_meta({})
                self.file = path.open("xb", buffering=0)
                self.pending.append(place.format.head)
                self.flush()
            else:
                self.file = path.open("r+b", buffering=0)
                self.file.truncate(place.end)
                self.file.seek(place.end)
        except OSError as error:
            raise unwritable(path, error) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file as it is: after an exception, rows that were not flushed are left out."""
        if self.file:
            self.file.close()

    def append(self, line: str) -> None:
        """Takes a row, to be written by `flush`."""
        self.pending.append(line)

    def flush(self) -> None:
        """Writes whole rows. Raises WriteError."""
        assert self.file
        data = memoryview("".join(self.pending).encode())
        try:
            while data:
                data = data[self.file.write(data) or 0 :]
        except OSError as error:
            raise unwritable(self.place.path, error, _GOES_ON) from None
        self.pending.clear()

    def finish(self) -> None:
        """Writes what is left, and says in the sidecar that the sweep is complete."""
        assert self.file
        self.flush()
        try:
            os.fsync(self.file.fileno())
        except OSError as error:
            raise unwritable(self.place.path, error, _GOES_ON) from None
        self._write_meta({"complete": True, "bytes": self.file.tell()})

    def _write_meta(self, state: Mapping[str, Any]) -> None:
        import json

        meta = {**self.place.meta, "complete": False, **state}
        text = json.dumps(meta, indent=2, ensure_ascii=False) + "\n"
        write_atomically(sidecar(self.place.path), text.encode())


def refuse_foreign_plot(path: Path, data: Path, force: bool) -> None:
    """Raises WriteError where a plot cannot be placed, or would replace what is no plot of ours."""
    if not path.parent.is_dir():
        raise unwritable(path, FileNotFoundError())
    if path.exists() and not path.is_file():
        raise WriteError(Diagnostic("unwritable", f"`{path}` is not a regular file"))
    if path == data or (path.is_file() and not force and PLOT_MARK not in _first_bytes(path)):
        raise _in_the_way(path, "is no plot of `resnetgen sweep`")


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1000)
    except OSError as error:
        raise unwritable(path, error) from None


def read(path: Path, format: Format, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Some columns of the rows of a complete sweep that have figures."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from format.read(file, names)


def _in_the_way(path: Path, why: str) -> WriteError:
    help = "use `--force` to begin anew, or another file"
    return WriteError(Diagnostic("file-exists", f"`{path}` {why}", help=help))
