"""A share of the fuzzing kit in every run, the kit held against known faults, and all old finds.

The long run is `python -m tests.fuzz`; its figures stand in docs/robustness.md.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuzz import inputs, malformed, mutants, payloads, valid
from fuzz.forked import DONE, Limits, alone, run
from fuzz.interpreter import COMPUTE
from fuzz.shrink import shrunk
from fuzz.tally import REGRESSIONS

from resnetgen import compile_spec
from resnetgen.compiler.ir.ops import OPS

ROOT = Path(__file__).resolve().parents[1]


# --- a share of each kind, by the command

SHARES = {
    "valid": ["--valid", "150", "--torch", "20", "--run", "20"],
    "malformed": ["--malformed", "400", "--seconds", "30"],
    "inject": ["--inject", "12"],
    "kills": ["--kills", "30"],
    "determinism": ["--hash-seeds", "2"],
    "plans": ["--plans", "100", "--seconds", "30"],
    "outputs": ["--outputs", "120"],
    "checkpoints": ["--checkpoints", "80", "--seconds", "30"],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SHARES)
def test_a_share_of_the_long_run_finds_nothing(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    call = [sys.executable, "-m", "tests.fuzz", "--only", kind, *SHARES[kind], "--jobs", "1"]
    done = subprocess.run(
        [*call, "--seed", "4", "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert file.is_file(), done.stderr
    (figures,) = json.loads(file.read_text(encoding="utf-8"))
    assert figures["finds"] == [], done.stderr
    assert done.returncode == 0, done.stderr


# --- what was found before


def regressions(kind: str) -> list[object]:
    paths = sorted((REGRESSIONS / kind).glob("*.yaml"))
    return [pytest.param(path, id=path.stem) for path in paths]


@pytest.mark.parametrize("path", regressions("valid"))
def test_a_valid_spec_that_failed_once_holds(path: Path) -> None:
    valid.holds(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", regressions("malformed"))
def test_a_malformed_input_that_did_harm_once_does_none(path: Path) -> None:
    malformed.holds(path.read_bytes())


@pytest.mark.parametrize("path", regressions("inject"))
def test_a_payload_that_reached_the_code_once_does_not(path: Path) -> None:
    assert alone(path.read_bytes(), payloads.holds, payloads.TORCH).ended == DONE


# --- the kit itself


def test_the_interpreter_knows_every_op() -> None:
    assert set(COMPUTE) == set(OPS)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("self.act2(x + shortcut)", "self.act2(x - shortcut)"),
        ("nn.MaxPool2d(3, stride=2", "nn.AvgPool2d(3, stride=2"),
        ("stride=2, padding=3", "stride=2, padding=3, padding_mode='reflect'"),
        ("self.fc(x.flatten(1))", "self.fc(x.flatten(1).detach() + 0 * x.flatten(1))"),
    ],
)
def test_the_interpreter_finds_a_module_that_computes_something_else(
    right: str, wrong: str
) -> None:
    compiled = compile_spec("resnet18", **{"input.size": [64, 64]})
    valid.runs_alike(compiled.checked_graph, compiled.source)
    altered = compiled.source.replace(right, wrong)
    assert altered != compiled.source
    with pytest.raises(AssertionError, match="relative difference"):
        valid.runs_alike(compiled.checked_graph, altered)


def _behave(case: str) -> str:
    if case == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if case == "spin":
        while True:
            pass
    if case == "wait":
        while True:
            time.sleep(60)
    if case == "grow":
        return str(len(bytearray(1 << 40)))
    return case


def test_the_case_that_ends_a_child_is_to_blame_and_the_others_go_on() -> None:
    cases = ["a", "crash", "b", "spin", "c", "grow", "d"]
    ended = {each.case: each.ended for each in run(cases, _behave, limits=Limits(cpu=1), batch=4)}
    assert ended.pop("crash") == f"signal {signal.SIGKILL:d}"
    assert ended.pop("spin") == "1 s of processor time and more"
    assert ended.pop("grow").startswith("MemoryError")
    assert ended == dict.fromkeys("abcd", DONE)


def test_a_case_that_waits_for_ever_is_to_blame() -> None:
    assert alone("wait", _behave, Limits(silent=1)).ended == "1 s without a word"


def test_a_find_is_shrunk_to_what_shows_it() -> None:
    text = b"network: net\nstages:\n  layer1: {blocks: 3, width: 64}\n  layer2: {width: 128}\nhead: none\n"
    small = shrunk(text, lambda each: b"width: 1" in each)
    assert b"width: 1" in small
    assert len(small) < 25


def test_mutants_have_one_fault_where_they_say() -> None:
    for kind in mutants.CLASSES:
        for mutant in mutants.drawn(kind, 0)[:40]:
            original = next(
                each for each in mutants.texts()
                if each.file == mutant.file and _differ_in_a_line(each.text, mutant.text)
            )  # fmt: skip
            lines = mutant.text.splitlines()
            assert lines[mutant.place.line - 1] not in original.text.splitlines() or mutant.gone


def _differ_in_a_line(first: str, second: str) -> bool:
    return len(set(first.splitlines()) ^ set(second.splitlines())) <= 2


def test_the_same_seed_draws_the_same_inputs() -> None:
    assert [inputs.drawn(seed) for seed in range(50)] == [inputs.drawn(seed) for seed in range(50)]
    assert {inputs.drawn(seed).kind for seed in range(300)} == set(inputs.MAKERS)
