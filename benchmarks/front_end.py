"""The front end as whole processes, in turn with its peers.

build    `resnetgen build resnet152`  against  importing torch and torchvision and building resnet152()
report   `resnetgen report resnet152` against  each of five tools that count its operations
depth    check + report + build of ResNet-1202 (CIFAR) against ResNet-20

A run is the time of all processes of a side: wall time, and processor time, which other processes of
the machine affect less. Nothing is cached between processes but files by the operating system, and
bytecode by Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.processes import ROOT, environment, in_turn, resnetgen
from benchmarks.results import Measurement, OnProgress, Result, Section, prefixed
from benchmarks.tables import ratio, spread, table

PEER = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); from peers import import_torchvision\n"
CONSTRUCT = PEER + "import_torchvision().models.resnet152()"
MODEL = (
    PEER
    + """
import torch
model = import_torchvision().models.resnet152().eval()
x = torch.zeros(1, 3, 224, 224)
"""
)
META = (
    PEER
    + """
import torch
with torch.device("meta"):
    model = import_torchvision().models.resnet152().eval()
    x = torch.empty(1, 3, 224, 224)
"""
)
# Each as its users run it; on the meta device, which is faster, if the tool allows it.
COUNTERS = {
    "torch": META
    + """
from torch.utils.flop_counter import FlopCounterMode
with FlopCounterMode(display=False) as counter, torch.no_grad():
    model(x)
assert counter.get_total_flops() == 23_027_253_248
""",
    "thop": META
    + """
import thop
thop.profile(model, inputs=(x,), verbose=False)
""",
    "torchinfo": META
    + """
import torchinfo
torchinfo.summary(model, input_data=x, verbose=0, device="meta")
""",
    "fvcore": MODEL
    + """
from fvcore.nn import FlopCountAnalysis
FlopCountAnalysis(model, x).total()
""",
    "ptflops": MODEL
    + """
from ptflops import get_model_complexity_info
get_model_complexity_info(model, (3, 224, 224), as_strings=False, print_per_layer_stat=False, verbose=False)
""",
}

Commands = Sequence[Sequence[str]]


def passes(network: str) -> Commands:
    """The three commands that read a spec."""
    return (
        resnetgen("check", network),
        resnetgen("report", network),
        resnetgen("build", network, "--force"),
    )


REPORT = [resnetgen("report", "resnet152", "--format", "json")]
# Name: our side, the other side.
PAIRS: dict[str, tuple[Commands, Commands]] = {
    "build": (
        [resnetgen("build", "resnet152", "--force")],
        [[sys.executable, "-c", CONSTRUCT]],
    ),
    **{
        f"report/{tool}": (REPORT, [[sys.executable, "-c", script]])
        for tool, script in COUNTERS.items()
    },
    "depth": (passes("resnet20"), passes("resnet1202")),
}
DESCRIPTIONS = {
    "build": "`build resnet152`, against importing torch and torchvision and building `resnet152()`",
    "report/torch": "`report resnet152`, against torch's `FlopCounterMode`, on the meta device",
    "report/thop": "`report resnet152`, against thop, on the meta device",
    "report/torchinfo": "`report resnet152`, against torchinfo, on the meta device",
    "report/fvcore": "`report resnet152`, against fvcore, on the CPU",
    "report/ptflops": "`report resnet152`, against ptflops, on the CPU",
    "depth": "`check`, `report` and `build` of `resnet20`, against those of `resnet1202`",
}


def run_timed(commands: Commands, folder: str) -> tuple[float, float]:
    """The wall time and the processor time of some processes, one after the other."""
    before, start = os.times(), time.perf_counter()
    for command in commands:
        subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    wall, after = time.perf_counter() - start, os.times()
    used = (after.children_user, after.children_system)
    return wall, sum(used) - before.children_user - before.children_system


def measure(names: Sequence[str], rounds: int, progress: OnProgress) -> Any:
    """`{pair: {side: [[wall, processor], ...]}}`, and the runs of `check` on all networks."""
    pairs = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            ours, other = (partial(run_timed, side, folder) for side in PAIRS[name])
            ours(), other()  # from now on the files that both sides read are in memory
            pairs[name] = in_turn({"ours": ours, "other": other}, rounds, prefixed(progress, name))
        networks = [resnetgen("check", *map(str, sorted((ROOT / "specs").glob("*.yaml"))))]
        checked = in_turn({"check": partial(run_timed, networks, folder)}, rounds, progress)
    return {"pairs": pairs, **checked}


def wall_times(runs: Sequence[Sequence[float]]) -> list[float]:
    """The wall times of some runs."""
    return [wall for wall, _ in runs]


def relative_time(result: Result, pair: str) -> float:
    """How many times longer the other side of a pair took."""
    runs = result.figures["pairs"][pair]
    return ratio(wall_times(runs["other"]), wall_times(runs["ours"]))


def render(results: Sequence[Result]) -> list[str]:
    """A row for each pair; the whole library below."""
    [result] = results
    rows = []
    for name, runs in result.figures["pairs"].items():
        ours, other = wall_times(runs["ours"]), wall_times(runs["other"])
        used = ratio([each[1] for each in runs["other"]], [each[1] for each in runs["ours"]])
        rows.append(
            [
                DESCRIPTIONS[name],
                spread(ours),
                spread(other),
                f"{ratio(other, ours):.1f}",
                f"{used:.1f}",
            ]
        )
    heads = ["pair", "ours", "the other side", "other / ours", "in processor time"]
    checked = spread(wall_times(result.figures["check"]))
    library = f"`resnetgen check` of every network of the library, on all cores: {checked}."
    return [*table(heads, rows), "", library]


SECTION = Section(
    "front_end",
    (
        Measurement(
            "front_end",
            "build, report and check as whole processes, against torchvision and five counters",
            5,
            partial(measure, tuple(PAIRS)),
        ),
    ),
    render,
    peers=("torchvision", *(tool for tool in COUNTERS if tool != "torch")),
)
