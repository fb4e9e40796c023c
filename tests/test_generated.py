"""Random programs, in the manner of Csmith and NNSmith: valid specs, held against torch.

A fixed sample of specs is drawn once a session and serves every check; one property draws anew and
shrinks what it finds. For a search: `HYPOTHESIS_PROFILE=long pytest tests/test_generated.py`.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from generated import model
from generated.agreement import agrees
from generated.choices import Drawn
from generated.strategy import POLICIES, networks, spec_of
from hypothesis import given
from torch import Tensor, nn

from resnetgen import Compiled
from resnetgen.compiler.frontend import library
from resnetgen.compiler.ir.nodes import Instance
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.instantiate import instances_below
from resnetgen.pipeline import compile_text
from resnetgen.runtime.load import build
from resnetgen.runtime.trace import output_tensors

SEEDS = range(200)
BATCHES = [range(start, start + 20) for start in SEEDS[::20]]
TYPED = 5  # of them, the shortest files that use the most: mypy takes seconds
pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")
by_batch = pytest.mark.parametrize(
    "seeds", BATCHES, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}"
)


@dataclass(frozen=True)
class Sample:
    """A drawn spec, and what the compiler made of it."""

    seed: int
    text: str
    compiled: Compiled


@functools.cache
def sample(seed: int) -> Sample:
    """The spec of a seed. Raises SpecError if it is not valid."""
    text = spec_of(Drawn(random.Random(seed)))
    return Sample(seed, text, compile_text(text))


def every_sample() -> Iterator[Sample]:
    yield from map(sample, SEEDS)


# --- what the compiler says, and what torch does


@given(networks())
def test_torch_agrees_with_every_prediction(text: str) -> None:
    agrees(compile_text(text))


# --- what is printed


def test_sources_are_formatted_and_lint_clean(tmp_path: Path) -> None:
    for each in every_sample():
        (tmp_path / f"sample{each.seed}.py").write_text(each.compiled.source, encoding="utf-8")
    ruff(tmp_path, "format", "--check", "--diff")
    ruff(tmp_path, "check")


def ruff(folder: Path, *command: str) -> None:
    call = [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", str(folder)]
    done = subprocess.run(
        call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.slow
def test_sources_are_strictly_typed(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    for each in typed():
        (tmp_path / f"sample{each.seed}.py").write_text(each.compiled.source, encoding="utf-8")
    cache = request.config.cache.mkdir("mypy_golden")  # torch is read once for both
    call = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "."]
    done = subprocess.run(
        call, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]


def typed() -> list[Sample]:
    """A few samples that differ: by greed, the one with the most kinds of lines not seen before."""
    left, seen, chosen = list(every_sample()), set[str](), list[Sample]()
    for _ in range(TYPED):
        best = max(left, key=lambda each: len(shapes_of_lines(each.compiled.source) - seen))
        chosen.append(best)
        left.remove(best)
        seen |= shapes_of_lines(best.compiled.source)
    return chosen


def shapes_of_lines(source: str) -> set[str]:
    """The lines of a file without their numbers."""
    return {"".join(char for char in line if not char.isdigit()) for line in source.splitlines()}


def test_the_same_spec_gives_the_same_bytes() -> None:
    for each in every_sample():
        assert compile_text(each.text).source == each.compiled.source


HASHES = """
import hashlib, random, sys
from generated.choices import Drawn
from generated.strategy import spec_of
from resnetgen.pipeline import compile_text
for seed in range(int(sys.argv[1])):
    source = compile_text(spec_of(Drawn(random.Random(seed)))).source
    print(hashlib.sha256(source.encode()).hexdigest())
"""


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_the_hash_seed_changes_nothing(hash_seed: str, tmp_path: Path) -> None:
    tests = Path(__file__).resolve().parent
    path = os.pathsep.join([str(tests), str(tests.parent)])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    call = [sys.executable, "-c", HASHES, "40"]
    done = subprocess.run(
        call, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    own = [hashlib.sha256(sample(seed).compiled.source.encode()).hexdigest() for seed in range(40)]
    assert done.stdout.split() == own


# --- what it computes


def build_seeded(source: str, name: str) -> nn.Module:
    torch.manual_seed(0)
    return build(source, name)


def step(module: nn.Module, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and gradients (those of the input first) of one training step.

    Without oneDNN: its weight gradient of a 7 x 7 x 7 convolution of stride 2 on a small input is
    uninitialised memory (torch 2.13, Conv3d(3, 4, 7, stride=2, padding=3) on 6 x 8 x 6).
    """
    torch.manual_seed(1)
    x = x.clone().requires_grad_()
    with torch.backends.mkldnn.flags(enabled=False):
        outputs = output_tensors(module.train()(x))
        weights = [torch.linspace(-1, 1, each.numel()).view_as(each) for each in outputs]
        sum((each * weight).sum() for each, weight in zip(outputs, weights, strict=True)).backward()
    gradients = [each.grad for each in (x, *module.parameters()) if each.grad is not None]
    return [each.detach() for each in outputs], gradients


@by_batch
def test_in_place_activations_change_no_gradient(seeds: Sequence[int]) -> None:
    for each in map(sample, seeds):
        graph, source = each.compiled.checked_graph, each.compiled.source
        x = torch.randn(2, *graph.input.shape, generator=torch.Generator().manual_seed(each.seed))
        outputs, gradients = step(build_seeded(source, graph.name), x)
        plain = build_seeded(source.replace("inplace=True", "inplace=False"), graph.name)
        expected, wanted = step(plain, x)
        assert same(outputs, expected), f"seed {each.seed}: outputs\n{each.text}"
        assert same(gradients, wanted), f"seed {each.seed}: gradients\n{each.text}"


@by_batch
def test_evaluation_computes_values_of_the_predicted_shapes(seeds: Sequence[int]) -> None:
    for each in map(sample, seeds):
        graph = each.compiled.checked_graph
        module = build_seeded(each.compiled.source, graph.name).eval()
        x = torch.randn(3, *graph.input.shape, generator=torch.Generator().manual_seed(each.seed))
        kept = x.clone()
        with torch.no_grad():
            outputs = output_tensors(module(x))
        types = {node.name: node.type for node in graph.nodes}
        assert [tuple(out.shape[1:]) for out in outputs] == [
            types[name].shape for name in graph.outputs
        ]
        assert all(out.isfinite().all() for out in outputs), f"seed {each.seed}\n{each.text}"
        assert torch.equal(x, kept), f"seed {each.seed}: the input was overwritten\n{each.text}"


def same(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a, b) or (a.isnan() & b.isnan() | (a == b)).all()
        for a, b in zip(first, second, strict=True)
    )


def test_the_comparison_of_gradients_is_not_empty() -> None:
    """Most networks have gradients that are neither zero nor all alike, and most overwrite something."""
    counts = {"gradients": 0, "in place": 0}
    seeds = SEEDS[:40]
    for each in map(sample, seeds):
        graph, source = each.compiled.checked_graph, each.compiled.source
        x = torch.randn(2, *graph.input.shape, generator=torch.Generator().manual_seed(each.seed))
        _, gradients = step(build_seeded(source, graph.name), x)
        counts["gradients"] += bool(gradients) and bool(gradients[0].std() > 0)
        counts["in place"] += "inplace=True" in source
    assert counts["gradients"] >= 0.7 * len(seeds)
    assert counts["in place"] >= 0.3 * len(seeds)


# --- what the sample covers


def blocks_of(each: Sample) -> set[str]:
    """The names of the blocks of which there are instances."""
    found: list[Instance] = instances_below(each.compiled.root)
    return {instance.block.name for instance in found}


def test_the_sample_covers_the_language() -> None:
    samples = list(every_sample())
    ops = {node.op for each in samples for node in each.compiled.checked_graph.nodes}
    assert ops == set(OPS)
    assert set(model.OPS) == set(OPS), "the model of the tests knows every op"
    texts = " ".join(each.text for each in samples)
    used = set().union(*map(blocks_of, samples))
    files = {
        kind: {path.stem for path in library.block_files(kind)} for kind in library.BLOCK_KINDS
    }
    assert not (files["blocks"] | files["shortcuts"]) - used
    words = set(re.findall(r"\w+", texts))  # stems and heads are spliced: they have no instances
    assert not (files["stems"] | files["heads"]) - {"classifier", "default"} - words
    assert "classes: 7" in texts  # of the classifier, which is the default
    assert not [
        name for name in POLICIES if f"shortcut: {name}" not in texts and f"op: {name}" not in texts
    ]
    assert {each.compiled.network.axes for each in samples} == {1, 2, 3}
    for words in FEATURES:
        assert words in texts, words


FEATURES = (
    "extends:", "define:", "let:", "train_outputs:", "outputs: {", "outputs: [", "output_stride:", "init:",
    "when:", "else:", "as: shared_", "as: features.*", "<index>", "blocks:", "position", "first", "last",
    "slots:", "attention:", "else", "inputs: [x, skip]", "params:", "role:", "null", "centred: true",
    "centred: false", "conv: separable", "norm: {op: group_norm", "shortcut: own_policy", "head:", "stem:",
)  # fmt: skip


def test_networks_of_the_sample_are_neither_trivial_nor_large() -> None:
    sizes = sorted(len(each.compiled.checked_graph.nodes) for each in every_sample())
    assert statistics.median(sizes) >= 8
    assert sizes[-1] <= 100
