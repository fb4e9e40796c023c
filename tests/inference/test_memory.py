"""What is alive while the folded module runs, compared with the storages of a real call, to the byte."""

from __future__ import annotations

import platform
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from generated.choices import Drawn
from generated.strategy import spec_of
from storages import FREE, Live, own

from resnetgen.compiler.analysis.evaluation_memory import evaluation_bytes
from resnetgen.compiler.codegen.inference import assign_variables, identifier
from resnetgen.compiler.passes.fold import fold
from resnetgen.compiler.passes.forward_plan import peak_memory
from resnetgen.pipeline import Compiled, compile_spec, compile_text
from resnetgen.runtime.load import build

SPECS = Path(__file__).resolve().parents[1] / "specs"
BATCH = 2
SMALL = {"input.size": [64, 64]}
NETWORKS: dict[str | Path, dict[str, object]] = {
    "resnet18": SMALL, "resnet50": SMALL, "resnet110": {}, "preact_resnet18": SMALL,
    "seresnet18": SMALL, "resnet50_gn": SMALL, "resnext50_32x4d": SMALL, "resnetblur18": SMALL,
    "resnet50d": SMALL, "googlenet": SMALL, "alexnet": {}, "r3d_18": {"input.size": [4, 32, 32]},
    "resnet18_1d": {}, SPECS / "unet_resnet34.yaml": SMALL, SPECS / "resnet50_features.yaml": SMALL,
}  # fmt: skip


def networks() -> dict[str, Callable[[], Compiled]]:
    found = {
        Path(name).stem: lambda name=name, more=more: compile_spec(name, **more)
        for name, more in NETWORKS.items()
    }
    return {**found, "free": lambda: compile_text(FREE)}


def measured_peak(source: str, net: Compiled, dtype: torch.dtype = torch.float32) -> int:
    """The most bytes of storages alive at once in the second call: the first lays weights out."""
    module = build(source, net.network.name).to(dtype).eval()
    x = torch.randn(BATCH, *net.network.input.shape).to(dtype)
    with (
        torch.no_grad()
    ):  # a dispatch mode does not see what a composite op makes in inference mode
        module(x)
        with Live(own(module)) as live:
            live.add(x)
            module(x)
    return live.peak


def predicted_peak(net: Compiled, dtype: str = "float32") -> int:
    folded = fold(net.flat_graph)
    names = assign_variables(folded, "x", several=len(folded.outputs) > 1)
    return peak_memory(folded, names, BATCH, dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("make", networks().values(), ids=networks().keys())
def test_the_peak_is_that_of_the_storages_alive(make: Callable[[], Compiled], dtype: str) -> None:
    net = make()
    measured = measured_peak(net.inference_source, net, getattr(torch, dtype))
    assert predicted_peak(net, dtype) == measured


def test_so_it_is_for_random_networks() -> None:
    drawn = random.Random(7)
    for _ in range(30):
        net = compile_text(spec_of(Drawn(drawn)))
        assert predicted_peak(net) == measured_peak(net.inference_source, net), net.network


def test_a_deletion_that_is_left_out_raises_the_peak() -> None:
    net = compile_spec(SPECS / "unet_resnet34.yaml", **SMALL)
    lines = net.inference_source.splitlines()
    deletions = [at for at, line in enumerate(lines) if line.strip().startswith("del ")]
    assert deletions
    for at in deletions:
        without = "\n".join(lines[:at] + lines[at + 1 :])
        assert measured_peak(without, net) > predicted_peak(net)


def test_a_residual_network_deletes_nothing() -> None:
    """Each variable is rebound before its old value would be in the way."""
    for name in ("resnet50", "resnet152", "seresnet50", "preact_resnet50", "resnet1202"):
        assert "del " not in compile_spec(name).inference_source, name


@pytest.mark.parametrize("name", ["resnet50", "seresnet50", "googlenet", "vgg19"])
def test_it_needs_less_than_the_printed_network(name: str) -> None:
    net = compile_spec(name)
    assert predicted_peak(net) <= evaluation_bytes(net.typed, BATCH).planned


def test_an_input_that_is_read_late_keeps_its_name() -> None:
    net = compile_text(
        "network: n\ninput: {channels: 3, size: [8, 8]}\nnodes:\n"
        "  y: {op: conv, out: 3, kernel: 3, bias: true}\n"
        "  largest: {op: tanh}\n"
        "  joined: {op: concat, inputs: [largest, x]}\n"
    )
    names = assign_variables(fold(net.flat_graph), "x", several=False)
    assert names == {"<input>": "x", "y": "y", "largest": "largest2", "joined": "x"}


def test_names_that_are_too_long_lose_their_first_components() -> None:
    assert identifier("layer1.0") == "layer1_0"
    assert identifier("inception_of_stage_3a.branch2.1") == "branch2_1"
    assert identifier("0.1") == identifier("a" * 30) == "value"


# Prints how many bytes of pages a call faults in: the first two lay weights out and warm up.
FAULTS = """
import resource, sys, torch, resnetgen
name, batch = sys.argv[1], int(sys.argv[2])
x = torch.randn(batch, *resnetgen.compile_spec(name).network.input.shape)
module = resnetgen.optimize(name, resnetgen.load(name).state_dict(), x)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
with torch.inference_mode():
    module(x), module(x)
    before = faults()
    module(x), module(x)
print((faults() - before) // 2 * resource.getpagesize())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
@pytest.mark.parametrize(("name", "batch"), [("resnet50", 16), ("resnet18_1d", 64)])
def test_memory_is_kept_from_call_to_call(name: str, batch: int) -> None:
    """In a process of its own: what others did to the heap would count. Otherwise it is over 50 MiB."""
    command = [sys.executable, "-c", FAULTS, name, str(batch)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(answer.stdout) < 32 * 2**20
