"""Compares the outputs of a revision with those of this tree, as `diff -r` would."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import islice, takewhile, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.freeze.outputs import TESTS
from tests.freeze.writer import write

TREE = TESTS.parent
SHOWN = 3  # lines of a file that differs
BEFORE, WIDTH = 40, 120  # characters of such a line: before the difference, and in all


def compare(revision: str, only: str) -> int:
    """Prints what differs from a revision, or from a folder of outputs; the exit status."""
    with TemporaryDirectory() as scratch:
        before, after = Path(scratch, "before"), Path(scratch, "after")
        if Path(revision).is_dir():
            before = Path(revision)
        else:
            tree = Path(scratch, revision.replace("/", "-"))
            _export(revision, tree)
            write(tree, before, only)
        write(TREE, after, only)
        return _tell(_files(before, only), _files(after, only))


def _export(revision: str, tree: Path) -> None:
    done = subprocess.run(
        ["git", "archive", revision], cwd=TREE, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        sys.exit(2)  # git has said why
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(tree, filter="data")


def _files(folder: Path, only: str) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    named = ((path.relative_to(folder).as_posix(), path) for path in paths)
    return {name: path.read_bytes() for name, path in named if fnmatch(name, only)}


def _tell(before: dict[str, bytes], after: dict[str, bytes]) -> int:
    names = sorted(before.keys() | after.keys())
    changed = [name for name in names if before.get(name) != after.get(name)]
    for name in changed:
        if name not in after:
            print(f"missing: {name}")
        elif name not in before:
            print(f"new: {name}")
        else:
            print(f"differs: {name}", *_differences(before[name], after[name]), sep="\n")
    if not names:
        print("no file has such a name")
    elif changed:
        print(f"{len(changed)} of {len(names)} files differ")
    else:
        print(f"{len(names)} files are equal")
    return int(bool(changed) or not names)


def _differences(before: bytes, after: bytes) -> Iterator[str]:
    """The first lines that differ, each from shortly before its first difference."""
    lines = (text.decode(errors="backslashreplace").split("\n") for text in (before, after))
    pairs = enumerate(zip_longest(*lines, fillvalue=""), 1)
    for number, (old, new) in islice((each for each in pairs if len({*each[1]}) > 1), SHOWN):
        alike = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))))
        start = max(0, alike - BEFORE)
        shown = slice(start, start + WIDTH)
        yield f"  {number} - {old[shown]}"
        yield f"  {number} + {new[shown]}"
