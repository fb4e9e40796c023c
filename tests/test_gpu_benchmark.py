"""The GPU measurements, tried on a CPU: what they compute is right, and needs torch alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu, gpu_convolutions, gpu_networks
from benchmarks.gpu_page import render
from benchmarks.gpu_prepared import Prepared, Problem, prepare
from benchmarks.results import Result

ROOT = Path(__file__).resolve().parents[1]
BARE = """
import runpy, sys
for name in ("pydantic", "yaml", "networkx", "jinja2", "typer", "rich", "safetensors"):
    sys.modules[name] = None
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("prepared")
    prepare("resnet20", folder)
    return Prepared(folder)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile captures whole graphs, which then run as they are."""
    compile_ = torch.compile

    def captured(call: Any, *, fullgraph: bool, dynamic: bool, mode: str | None = None) -> Any:
        return compile_(call, fullgraph=fullgraph, dynamic=dynamic, backend="eager")

    monkeypatch.setattr(torch, "compile", captured)


def test_the_problems_are_the_convolutions_of_the_folded_network(prepared: Prepared) -> None:
    assert sum(each.calls for each in prepared.problems) == 19
    assert prepared.problems[0] == Problem(3, 16, (32, 32), 3, 1, 1, 1, 1, False, True)
    assert sum(each.calls for each in prepared.problems if each.adds) == 9


def test_each_way_computes_the_convolution(prepared: Prepared, uncompiled: None) -> None:
    whole = Problem(16, 32, (9, 9), 1, 2, 0, 1, 1, adds=True, rectifies=True)
    grouped = Problem(16, 32, (8, 8), 3, 1, 2, 2, 4, adds=False, rectifies=False)
    for problem, ways in ((whole, {"epilogue", "product"}), (grouped, {"epilogue"})):
        found = gpu_convolutions.measure_problem(problem, "cpu", 2, 2)
        assert found.pop("fused") == {"reason": "NotImplementedError: cuDNN needs a CUDA device"}
        assert set(found) == ways
        for way in found.values():
            assert len(way["seconds"]) == 2
            assert 0 < way["error"] < 1e-2


def test_all_sides_compute_the_network(prepared: Prepared, uncompiled: None) -> None:
    sides = [side for side in gpu.SIDES if side != "regional"]  # it calls Inductor itself
    with torch.no_grad():
        found = gpu_networks.steady(prepared, "cpu", 2, 1, sides)
    assert list(found) == sides
    for side in sides:
        assert 0 < found[side]["error"] < 3e-2, found[side]


def test_a_side_that_fails_says_why(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(module: object, x: object) -> Any:
        raise RuntimeError("no kernel")

    monkeypatch.setitem(gpu_networks.PLAIN, "B0", failing)
    with torch.no_grad():
        found = gpu_networks.steady(prepared, "cpu", 1, 1, ["B0", "eager"])
    assert found["B0"] == {"reason": "RuntimeError: no kernel"}
    assert found["eager"]["seconds"]


def test_the_sides_are_named_alike() -> None:
    assert set(gpu.SIDES) == set(gpu_networks.SIDES)


@pytest.mark.slow
def test_a_machine_with_torch_alone_can_measure(prepared: Prepared) -> None:
    command = [sys.executable, "-c", BARE, "benchmarks.gpu_networks", "cold"]
    arguments = str(prepared.folder), "cpu", "1", "captured"
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["seconds"] > 0
    assert 0 < found["error"] < 3e-2
    helped = [sys.executable, "-c", BARE, "benchmarks.gpu", "--help"]
    assert subprocess.run(helped, cwd=ROOT, capture_output=True).returncode == 0


def test_results_are_stored_and_rendered(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = {"first": 0.5, "seconds": [1e-4, 3e-4, 2e-4], "error": 2e-3}
    phases = {"bytecode_tracing": 1.25}
    made: dict[str, Any] = {
        "benchmarks.gpu_convolutions": [
            {
                "problem": vars(Problem(64, 256, (56, 56), 1, 1, 0, 1, 1, True, True, 3)),
                "ways": ways,
            }
            for ways in ({"fused": way, "product": {"reason": "out of memory"}},)
        ],
        "cold": {"seconds": 2.0, "error": 3e-3, "phases": phases},
        "steady": {"B0": way, "B1": {"reason": "no kernel"}},
    }

    def run_module(module: str, what: str, *_: str) -> Any:
        return made[module if module in made else what]

    monkeypatch.setattr(gpu, "run_module", run_module)
    options = "--device", "cpu", "--batch", "1,4", "--side", "B0,B1", "--results", str(tmp_path)
    gpu.main([str(prepared.folder), *options])
    results = [Result(**json.loads(path.read_text())) for path in sorted(tmp_path.iterdir())]
    assert [each.name for each in results] == [
        f"gpu-{name}-resnet20" for name in ("cold", "convolutions", "steady")
    ]
    text = "\n".join(render(results))
    assert "64 to 256, 56x56, 1x1, stride 1, adds, ReLU" in text
    assert "200 us (0.50 s)" in text
    assert "out of memory" in text
    assert "1.25 s" in text
    assert "20,000" in text  # 4 images in 200 us
    assert "no kernel" in text
