"""`resnetgen bench` as a command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from resnetgen.runtime.bench import run
from resnetgen.runtime.bench.process import WorkerFailed
from resnetgen.runtime.bench.results import Case, Results, SideResult


@pytest.fixture
def measured(monkeypatch) -> list[run.BenchmarkConfig]:
    """The configurations that the command makes; each side but one takes 10 ms."""
    asked: list[run.BenchmarkConfig] = []

    def measure(config: run.BenchmarkConfig, progress) -> Results:
        asked.append(config)
        found = {each.name: SideResult("contiguous", [0.01]) for each in config.sides}
        found |= {"timm": SideResult(reason="has no network resnet20")} if "timm" in found else {}
        cases = [Case(batch, dtype, found) for batch in config.batches for dtype in config.dtypes]
        machine = {"cpu": "A processor", "cores": 2, "threads": 1, "load": 0, "versions": {}}
        return Results(machine, "resnet20", 1, config.mode, cases)

    monkeypatch.setattr(run, "measure", measure)
    return asked


def test_sides_by_default_are_those_of_the_mode(call, measured) -> None:
    done = call("bench", "resnet20")
    assert done.exit_code == 0
    assert done.stdout.endswith("timm: has no network resnet20\n")
    call("bench", "resnet20", "--mode", "training")
    inference, training = ([each.name for each in asked.sides] for asked in measured)
    assert "optimized" in inference
    assert training == [name for name in inference if name in training]
    assert "optimized" not in training
    assert not any("-compile" in name for name in inference)


def test_a_named_side_that_gave_nothing_is_an_error_after_the_others(call, measured) -> None:
    done = call("bench", "resnet20", "--side", "eager,timm")
    assert done.exit_code == 2
    assert "10 ms" in done.stdout
    assert "error[not-measured]: `timm` cannot be measured: has no network resnet20" in done.stderr


def test_options_reach_the_question(call, measured, folder: Path) -> None:
    arguments = (
        "--batch 1,16,1 --dtype float32,bfloat16 --cold --runs 2 --rounds 3 --no-memory --threads 1"
    )
    files = "--format json -o out.json --plot out.svg --set head.classes=7"
    done = call("bench", "resnet20", *arguments.split(), *files.split(), "--side", "eager")
    assert done.exit_code == 0
    (asked,) = measured
    assert (asked.batches, asked.dtypes) == ([1, 16], ["float32", "bfloat16"])
    assert (asked.runs, asked.rounds, asked.memory, asked.threads) == (2, 3, False, 1)
    assert asked.overrides == {"head.classes": "7"}
    assert len(json.loads((folder / "out.json").read_text())["cases"]) == 4
    assert (folder / "out.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "name a spec"),
        ("resnet20 --side eagre", "did you mean `eager`"),
        ("resnet20 --side ,", "names no side"),
        ("resnet20 --dtype float61", "there is no type 'float61'"),
        ("resnet20 --dtype ,", "names no type"),
        ("resnet20 --batch 0", "not a list of sizes"),
        ("resnet20 --batch 1,x", "not a list of sizes"),
        ("resnet20 --rounds 0", "nothing to measure"),
        (
            "resnet20 --mode training --side eager,optimized",
            "error[not-measured]: `optimized` cannot be measured: not in training, only in inference",
        ),
        ("resnet20 --dtype bfloat16 --side onnxruntime", "not in bfloat16, only in float32"),
    ],
)
def test_a_wrong_call_is_reported_before_anything_runs(
    call, measured, arguments: str, message: str
) -> None:
    done = call("bench", *arguments.split())
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert measured == []


def test_a_network_that_does_not_run_is_reported(call, monkeypatch) -> None:
    def measure(config: run.BenchmarkConfig, progress) -> Results:
        raise WorkerFailed("its process failed (exit status 1): out of luck", None)

    monkeypatch.setattr(run, "measure", measure)
    done = call("bench", "resnet20")
    assert done.exit_code == 2
    assert "error[not-measured]: `resnet20` cannot be run: its process failed" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_ends_the_processes_and_leaves_nothing(
    environment, folder: Path, how: signal.Signals, status: int
) -> None:
    # The first process is not sent its request: it waits, and the benchmark waits for its answer.
    code = (
        "from resnetgen.runtime.bench import process\n"
        "process._send = lambda process, request: print(process.pid, flush=True)\n"
        "from resnetgen.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "bench", "resnet20", "-o", "out.txt"],
        env=environment(TMPDIR=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # whoever runs the tests in the background has it ignored, and so would the command
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as bench:
        assert bench.stdout is not None
        child = Path("/proc", bench.stdout.readline().strip())
        assert child.exists()
        assert list(folder.iterdir())
        bench.send_signal(how)
        try:
            _, stderr = bench.communicate(timeout=60)
        finally:
            bench.kill()  # should it have ignored the signal
    assert bench.returncode == status
    assert "Traceback" not in stderr
    assert not child.exists()
    assert list(folder.iterdir()) == []
