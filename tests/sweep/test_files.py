"""A sweep that was stopped, in any way, ends with the file that it would have written at once."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from resnetgen.reports.sweep import files

LONG = ["resnet110", *(f"--vary=layer{n}.blocks=1..{n + 39}" for n in (1, 2, 3))]  # 68,880 variants
SHORT = ["resnet18", "--vary=layer1.blocks=0..2", "--vary=block=basic,bottleneck", "--vary=layer2.width=64,96"]  # fmt: skip

# The command, sending itself a signal after a number of rows. Its clock counts rows too, so that rows
# are flushed a hundred at a time on any machine: when the signal comes, most rows are in the file and
# some are not.
STOPPED = """\
import itertools, signal, sys
from types import SimpleNamespace
from resnetgen.cli import main
from resnetgen.reports.sweep import run
from resnetgen.reports.sweep.files import Appender

stop, last = int(sys.argv.pop(1)), int(sys.argv.pop(1))
rows, append = itertools.count(1), Appender.append

def append_and_stop(file, line):
    append(file, line)
    if next(rows) == last:
        signal.raise_signal(stop)

Appender.append = append_and_stop
clock = itertools.count(0, run.FLUSH_SECONDS / 100)
run.time = SimpleNamespace(monotonic=lambda: next(clock))
main()
"""
STATUS = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}


def sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".meta.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the long sweep, written at once."""
    from typer.testing import CliRunner

    from resnetgen.cli.app import app

    folder = tmp_path_factory.mktemp("whole")
    found = {}
    for suffix in (".csv", ".jsonl"):
        path = folder / f"whole{suffix}"
        done = CliRunner().invoke(app, ["sweep", *LONG, "-o", str(path)])
        assert done.exit_code == 0
        found[suffix] = path.read_bytes()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "stop"),
    [
        (".csv", signal.SIGKILL),
        (".jsonl", signal.SIGKILL),
        (".csv", signal.SIGINT),
        (".jsonl", signal.SIGTERM),
    ],
)
def test_kills_at_random_moments_lose_and_duplicate_nothing(
    suffix: str, stop: signal.Signals, folder: Path, command, environment, whole
) -> None:
    path, draw = folder / f"rows{suffix}", random.Random(f"{suffix} {stop}")
    stopped = [sys.executable, "-c", STOPPED, str(stop.value)]
    size = 0
    for _ in range(4):
        rows = draw.randint(1_000, 15_000)  # all four together are fewer than the sweep has
        done = subprocess.run(
            [*stopped, str(rows), "sweep", *LONG, "-o", str(path)],
            env=environment(),
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # `&` ignores it
            check=False,
        )
        assert done.returncode == STATUS[stop], done.stderr
        found = path.read_bytes()
        assert size < len(found) < len(whole[suffix])
        assert whole[suffix].startswith(found)
        assert json.loads(sidecar(path).read_text())["complete"] is False
        assert b"Traceback" not in done.stderr
        assert (b"run the same command again" in done.stderr) == (stop is signal.SIGINT)
        size = len(found)
    subprocess.run([*command, *LONG, "-o", str(path)], env=environment(), check=True)
    assert path.read_bytes() == whole[suffix]
    assert json.loads(sidecar(path).read_text())["complete"] is True


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("more", [[], ["--where=layer1.blocks != 1"]])
def test_a_file_cut_off_anywhere_is_completed(
    suffix: str, more: list[str], folder: Path, sweep
) -> None:
    path = folder / f"rows{suffix}"
    assert sweep(*SHORT, *more, "-o", str(path)).exit_code == 0
    rows, meta = path.read_bytes(), json.loads(sidecar(path).read_text())
    draw = random.Random(1)
    for length in [0, 1, len(rows) - 1, *draw.sample(range(len(rows)), 25)]:
        path.write_bytes(rows[:length])
        sidecar(path).write_text(json.dumps({**meta, "complete": False}))
        done = sweep(*SHORT, *more, "-o", str(path))
        assert done.exit_code == 0, done.stderr
        assert path.read_bytes() == rows, length
        assert json.loads(sidecar(path).read_text()) == meta


def test_a_full_disk_is_one_error_and_loses_nothing(
    folder: Path, command, environment, whole
) -> None:
    path = folder / "rows.csv"
    most = 300_000
    done = subprocess.run(
        [*command, *LONG, "-o", str(path)],
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error[unwritable]: cannot write `{path}`: ")
    assert "run the same command again to continue after the last whole row" in done.stderr
    assert path.read_bytes() == whole[".csv"][:most]
    subprocess.run([*command, *LONG, "-o", str(path)], env=environment(), check=True)
    assert path.read_bytes() == whole[".csv"]


def test_a_complete_sweep_does_nothing(folder: Path, sweep) -> None:
    path = folder / "rows.csv"
    sweep(*SHORT, "-o", str(path))
    before = path.read_bytes(), path.stat().st_mtime_ns, sidecar(path).stat().st_mtime_ns
    done = sweep(*SHORT, "-o", str(path))
    assert done.exit_code == 0
    assert "is complete" in done.stdout
    after = path.read_bytes(), path.stat().st_mtime_ns, sidecar(path).stat().st_mtime_ns
    assert after == before


def test_what_a_column_means_may_be_said_otherwise(folder: Path, sweep) -> None:
    """A version that words it in another way continues the sweep."""
    path = folder / "rows.csv"
    sweep(*SHORT, "-o", str(path))
    meta = json.loads(sidecar(path).read_text(encoding="utf-8"))
    for column in meta["columns"]:
        column["doc"] = f"the {column['doc']}"
    sidecar(path).write_text(json.dumps(meta), encoding="utf-8")
    done = sweep(*SHORT, "-o", str(path))
    assert done.exit_code == 0, done.stderr
    assert "is complete" in done.stdout


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (["--set=layer3.blocks=3"], "`--set`"),
        (["--where=layer1.blocks < 2"], "`--where` was none, and is"),
        (["--columns=macs"], "`--columns`"),
        (["--vary=layer3.blocks=1..2"], "`--vary`"),
    ],
)
def test_another_sweep_is_refused_without_force(
    change: list[str], difference: str, folder: Path, sweep
) -> None:
    path = folder / "rows.csv"
    sweep(*SHORT, "-o", str(path))
    before = path.read_bytes()
    done = sweep(*SHORT, *change, "-o", str(path))
    assert done.exit_code == 2
    assert "is another sweep" in done.stderr
    assert difference in done.stderr
    assert path.read_bytes() == before
    assert sweep(*SHORT, *change, "-o", str(path), "--force").exit_code == 0
    assert path.read_bytes() != before


def test_a_spec_or_a_block_that_was_edited_is_another_sweep(folder: Path, sweep) -> None:
    spec, block = folder / "mine.yaml", folder / "blocks" / "own.yaml"
    block.parent.mkdir()
    spec.write_text("network: mine\nextends: resnet18\nblock: own\n")
    block.write_text("block: own\nextends: basic\n")
    arguments = (str(spec), "--vary=layer1.blocks=1..3", "-o", "rows.csv")
    assert sweep(*arguments).exit_code == 0
    block.write_text("block: own\nextends: basic\nparams: {dilation: 2}\n")
    done = sweep(*arguments)
    assert done.exit_code == 2
    assert "the spec, or a block" in done.stderr


@pytest.mark.parametrize("content", ["", "variant,params\n0,1\n", "my notes"])
def test_a_foreign_file_is_left_alone(content: str, folder: Path, sweep) -> None:
    path = folder / "rows.csv"
    path.write_text(content)
    done = sweep(*SHORT, "-o", str(path))
    assert done.exit_code == 2
    assert "was not written by `resnetgen sweep`" in done.stderr
    assert path.read_text() == content
    assert list(folder.iterdir()) == [path]
    assert sweep(*SHORT, "-o", str(path), "--force").exit_code == 0


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda rows: rows + b"100,1\n", "that was edited"),
        (
            lambda rows: rows.replace(b"variant", b"Variant"),
            "its first line is not the line of columns",
        ),
        (lambda rows: rows + b"mine\n", "its last line is not a row"),
    ],
)
def test_a_file_that_was_edited_is_left_alone(edit, reason: str, folder: Path, sweep) -> None:
    path = folder / "rows.csv"
    sweep(*SHORT, "-o", str(path))
    meta = json.loads(sidecar(path).read_text())
    if reason != "that was edited":
        sidecar(path).write_text(json.dumps({**meta, "complete": False}))
    edited = edit(path.read_bytes())
    path.write_bytes(edited)
    done = sweep(*SHORT, "-o", str(path))
    assert done.exit_code == 2
    assert reason in done.stderr
    assert path.read_bytes() == edited


def test_a_sweep_without_a_row_yet_may_become_another(folder: Path, sweep) -> None:
    path = folder / "rows.csv"
    sweep(*SHORT, "-o", str(path))
    meta = json.loads(sidecar(path).read_text())
    sidecar(path).write_text(json.dumps({**meta, "complete": False}))
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert sweep(*SHORT, "--set=layer3.blocks=3", "-o", str(path)).exit_code == 0


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("keep", [0, 1])
def test_what_is_not_part_of_a_row_is_not_cut_off(
    suffix: str, keep: int, folder: Path, sweep
) -> None:
    """The metadata says that the sweep was stopped, but the file has become something else."""
    path = folder / f"rows{suffix}"
    sweep(*SHORT, "-o", str(path))
    meta = json.loads(sidecar(path).read_text())
    sidecar(path).write_text(json.dumps({**meta, "complete": False}))
    mine = b"".join(path.read_bytes().splitlines(keepends=True)[: 3 * keep]) + b"my notes"
    path.write_bytes(mine)
    done = sweep(*SHORT, "-o", str(path))
    assert done.exit_code == 2
    assert "error[file-exists]" in done.stderr
    assert path.read_bytes() == mine


@pytest.mark.parametrize("content", ["mine", "{}", "[]"])
def test_a_foreign_file_with_the_name_of_the_metadata_is_kept(
    content: str, folder: Path, sweep
) -> None:
    (folder / "rows.csv.meta.json").write_text(content)
    done = sweep(*SHORT, "-o", "rows.csv")
    assert done.exit_code == 2
    assert "`rows.csv.meta.json` is not the metadata of a sweep" in done.stderr
    assert [each.read_text() for each in folder.iterdir()] == [content]
    assert sweep(*SHORT, "-o", "rows.csv", "--force").exit_code == 0


def test_metadata_that_cannot_be_written_keep_the_old_rows(
    folder: Path, sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "rows.csv").write_text("mine")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Appender, "_write_meta", fail)
    done = sweep(*SHORT, "-o", "rows.csv", "--force")
    assert done.exit_code == 2
    assert "error[unwritable]: cannot write `rows.csv`: No space left on device" in done.stderr
    assert [each.read_text() for each in folder.iterdir()] == ["mine"]


@pytest.mark.parametrize("path", ["nowhere/rows.csv", "folder.csv"])
def test_an_unwritable_path_is_one_error(path: str, folder: Path, sweep) -> None:
    (folder / "folder.csv").mkdir()
    done = sweep(*SHORT, "-o", path)
    assert done.exit_code == 2
    assert "error[unwritable]" in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_special_files_beside_a_sweep_are_not_waited_for(folder: Path, sweep) -> None:
    path = folder / "rows.csv"
    path.write_text("mine\n")
    os.mkfifo(sidecar(path))
    assert "is not a regular file" in sweep(*SHORT, "-o", str(path)).stderr
    path.unlink()
    os.mkfifo(folder / "pipe.csv")
    assert "is not a regular file" in sweep(*SHORT, "-o", str(folder / "pipe.csv")).stderr


@pytest.mark.parametrize("edit", [b"[" * 100_000 + b"\n", b"x" * (1 << 24) + b"\n", b"\n"])
def test_a_last_line_that_cannot_be_a_row_is_refused(edit: bytes, folder: Path, sweep) -> None:
    path = folder / "rows.jsonl"
    sweep(*SHORT, "-o", str(path))
    meta = json.loads(sidecar(path).read_text())
    sidecar(path).write_text(json.dumps({**meta, "complete": False}))
    with path.open("ab") as file:
        file.write(edit)
    done = sweep(*SHORT, "-o", str(path))
    assert done.exit_code == 2
    assert "its last line is not a row" in done.stderr


def test_metadata_that_is_nested_without_end_is_not_that_of_a_sweep(folder: Path, sweep) -> None:
    path = folder / "rows.csv"
    sweep(*SHORT, "-o", str(path))
    sidecar(path).write_text("[" * 100_000)
    assert "is not the metadata of a sweep" in sweep(*SHORT, "-o", str(path)).stderr
