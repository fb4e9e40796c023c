"""Times the front end as whole processes, in turn with its peers; prints medians and ratios.

    python benchmarks/front_end.py [RUNS]

build    `resnetgen build resnet152`  against  importing torch and torchvision and building resnet152()
report   `resnetgen report resnet152` against  each of five tools that count its operations
depth    check + build + report of ResNet-1202 (CIFAR) against ResNet-20

Each round runs both sides of each pair once, alternating. Nothing is cached between processes but
what the operating system keeps and Python's own bytecode.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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
# Each as its users run it; on the meta device, which is faster, where the tool allows it.
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
CIFAR = ["--set", "layer1.blocks={n}", "--set", "layer2.blocks={n}", "--set", "layer3.blocks={n}"]


def resnetgen(*arguments: str) -> list[str]:
    """A command of this checkout."""
    return [sys.executable, "-m", "resnetgen", *arguments]


def cifar(n: int) -> list[list[str]]:
    """The three commands on a CIFAR ResNet of depth 6n + 2."""
    sets = [part.format(n=n) for part in CIFAR]
    return [
        resnetgen("report", "resnet110", *sets),
        resnetgen("report", "resnet110", "--by", "total", *sets),
        resnetgen("build", "resnet110", "--force", *sets),
    ]


PAIRS: dict[str, tuple[list[list[str]], list[list[str]]]] = {
    "build": (
        [resnetgen("build", "resnet152", "--force")],
        [[sys.executable, "-c", CONSTRUCT]],
    ),
    **{
        f"report / {tool}": (
            [resnetgen("report", "resnet152", "--format", "json")],
            [[sys.executable, "-c", script]],
        )
        for tool, script in COUNTERS.items()
    },
    "depth": (cifar(200), cifar(3)),
}


def seconds(commands: list[list[str]], folder: str) -> float:
    """The wall time of some processes, one after the other."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # both sides run from bytecode, as installed
    start = time.perf_counter()
    for command in commands:
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main(runs: int) -> None:
    """Runs all pairs and prints a table."""
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    print(f"{'pair':18} {'ours':>18} {'theirs':>18} {'theirs / ours':>14}")
    with tempfile.TemporaryDirectory() as folder:
        for name, (ours, theirs) in PAIRS.items():
            seconds(ours, folder), seconds(theirs, folder)
            rows = [(seconds(ours, folder), seconds(theirs, folder)) for _ in range(runs)]
            mine, others = zip(*rows, strict=True)
            ratio = statistics.median(others) / statistics.median(mine)
            print(f"{name:18} {spread(mine):>18} {spread(others):>18} {ratio:>14.2f}", flush=True)


def spread(times: tuple[float, ...]) -> str:
    """Median, least and most."""
    return f"{statistics.median(times):.2f} ({min(times):.2f}-{max(times):.2f})"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
