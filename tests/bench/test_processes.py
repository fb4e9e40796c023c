"""What workers measure of a tiny network, and what happens if they fail."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from resnetgen import compile_spec
from resnetgen.runtime.bench.process import (
    Request,
    WorkerFailed,
    Workload,
    _lines,
    parse_request,
    worker_environment,
)
from resnetgen.runtime.bench.run import ROUNDS, BenchmarkConfig, measure
from resnetgen.runtime.bench.sides import Side, sides

ROOT = Path(__file__).resolve().parents[2]
SPEC = """\
network: tiny
extends: resnet20
input: {channels: 3, size: [8, 8]}
stages: {layer1: {blocks: 1}, layer2: {blocks: 1}, layer3: null}
"""


@pytest.fixture
def spec(folder: Path) -> str:
    """The path of a tiny network, in an empty working directory."""
    Path("tiny.yaml").write_text(SPEC, encoding="utf-8")
    return "tiny.yaml"


def configuration(spec: str, named: list[Side], **more: object) -> BenchmarkConfig:
    """Two rounds and no memory by default."""
    config = BenchmarkConfig(compile_spec(spec), spec, {}, named, rounds=2, memory=False, threads=1)
    return replace(config, **more)  # type: ignore[arg-type]


def peer(function: str) -> Side:
    """A side that runs what a function of the zoo makes."""
    constructor = f"peer_zoo.{function}"
    return Side(function, "", "module", ["contiguous"], ["inference"], constructor=constructor)


def test_a_side_that_fails_has_a_reason_and_the_others_go_on(spec, folder, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("ZOO_SPEC", str(folder / spec))
    names = ("noisy", "raising", "dying", "other_weights", "other_meaning")
    config = configuration(spec, [sides()["optimized"], *map(peer, names), sides()["eager"]])
    shown: list[str] = []
    (case,) = measure(config, shown.append).cases
    reasons = {name: each.reason for name, each in case.sides.items()}
    assert reasons["optimized"] is reasons["noisy"] is reasons["eager"] is None
    assert reasons["raising"] == "RuntimeError: no such luck"
    assert str(reasons["dying"]).startswith("its process failed (ended by SIGSEGV)")
    assert reasons["other_weights"] == "its tiny has other weights"
    assert str(reasons["other_meaning"]).startswith("computes something else: relative error")
    for name in ("optimized", "noisy", "eager"):
        found = case.sides[name]
        assert len(found.steady) == 2
        assert all(seconds > 0 for seconds in found.steady)
        assert found.error is not None
        assert found.error.norm <= found.error.max * 2 < 1e-4
    assert list(case.sides) == ["optimized", *names, "eager"]
    assert any("dying: building" in text for text in shown)


def test_after_some_rounds_there_is_a_new_worker(spec) -> None:
    shown: list[str] = []
    config = configuration(spec, [sides()["optimized"]], rounds=ROUNDS + 1)
    (case,) = measure(config, shown.append).cases
    found = case.sides["optimized"]
    assert len(found.steady) == ROUNDS + 1
    assert found.layout in sides()["optimized"].layouts
    assert sum("building" in text for text in shown) == 2


def test_memory_cold_starts_and_types(spec) -> None:
    config = configuration(
        spec, [sides()["optimized"]], dtypes=["bfloat16"], rounds=0, runs=2, memory=True
    )
    results = measure(config, lambda text: None)
    assert results.machine["threads"] == 1
    ((ours,),) = [case.sides.values() for case in results.cases]
    assert ours.reason is None
    assert ours.memory is not None
    assert ours.memory > 0
    assert [toolchain for toolchain, _ in ours.cold] == [None, None]
    assert ours.error is not None
    assert 1e-6 < ours.error.norm < 0.05
    assert ours.steady == []


def test_a_training_step_is_that_of_a_peer_of_the_same_name(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "benchmarks/startup"), str(ROOT)]))
    # Norms over few values amplify rounding, which differs from run to run: 8 images of 64 x 64.
    small = {"input.size": "[64, 64]"}
    config = BenchmarkConfig(
        compile_spec("resnet18", **small),
        "resnet18",
        small,
        [sides()["eager"], sides()["torchvision"]],
        batches=[8],
        mode="training",
        rounds=2,
        memory=False,
    )
    (case,) = measure(config, lambda text: None).cases
    for found in case.sides.values():
        assert found.reason is None
        assert found.error is not None
        assert found.error.max < 1e-4
        assert len(found.steady) == 2


@pytest.mark.slow
def test_freezing_takes_effect_beside_another_compiled_side(spec) -> None:
    """The side requires the operator that only frozen code calls."""
    named = [sides()["compile"], sides()["freezing"]]
    (case,) = measure(configuration(spec, named), lambda text: None).cases
    assert [each.reason for each in case.sides.values()] == [None, None]


def test_a_network_that_cannot_be_run_is_an_error(spec) -> None:
    config = configuration(spec, [sides()["eager"]], weights="nowhere.safetensors")
    with pytest.raises(WorkerFailed) as failure:
        measure(config, lambda text: None)
    assert "nowhere.safetensors" in failure.value.reason


def test_a_worker_that_times_a_cold_start_has_not_imported_the_compiler() -> None:
    code = (
        "import sys, torch\n"
        "from resnetgen.runtime.bench.process import parse_request\n"
        "from resnetgen.runtime.bench.__main__ import _task\n"
        f"parse_request({Request('cold', workload(), sides=[sides()['optimized']]).to_json()!r})\n"
        "_task('cold')\n"
        "print(*sorted(name for name in sys.modules if name.startswith('resnetgen')))\n"
        "print('yaml' in sys.modules, 'pydantic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules, others = done.stdout.splitlines()
    bench = {name for name in modules.split() if name.startswith("resnetgen.runtime.bench")}
    # Names of dtypes and of errors, which any process with torch imports in no time.
    light = {"resnetgen.runtime.dtypes", "resnetgen.runtime.errors"}
    assert set(modules.split()) - bench == {
        "resnetgen", "resnetgen._version", "resnetgen.runtime", *light
    }  # fmt: skip
    assert "resnetgen.runtime.bench.prepare" not in bench
    assert others == "False False"


def workload() -> Workload:
    return Workload("folder", "tiny.yaml", "tiny", {"head.classes": "7"}, [3, 8, 8], "inference")


def test_a_request_is_read_as_it_was_written() -> None:
    request = Request("steady", workload(), 4, "bfloat16", list(sides().values()), 3)
    assert parse_request(request.to_json()) == request


def test_a_process_that_prints_nothing_is_killed() -> None:
    timed_out = threading.Event()
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; print('one', flush=True); time.sleep(600)"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        # The line is there before the watch begins: Python itself may take longer to start.
        assert select.select([process.stdout], [], [], 60)[0]
        assert list(_lines(process, 1, timed_out)) == ["one\n"]
    assert timed_out.is_set()
    assert process.returncode == -signal.SIGKILL


def test_a_worker_without_a_request_ends_by_itself() -> None:
    """The process that started it was stopped before it sent one."""
    done = subprocess.run(
        [sys.executable, "-m", "resnetgen.runtime.bench"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert done.stdout == done.stderr == b""


def test_caches_are_in_a_folder_of_the_benchmark() -> None:
    found = worker_environment("caches", threads=3)
    assert found["TORCHINDUCTOR_CACHE_DIR"].startswith("caches")
    assert found["TRITON_CACHE_DIR"].startswith("caches")
    assert found["OMP_NUM_THREADS"] == "3"
    assert worker_environment("c", threads=None).get("OMP_NUM_THREADS") == os.environ.get(
        "OMP_NUM_THREADS"
    )
