"""Valid specs: all compile; torch agrees node by node; a second interpreter computes the same.

Tally(figures={"compiled": "10,000 of 10,000 (100.0 %)", ...}, finds=[])
"""

from __future__ import annotations

import ast
import random
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import yaml
from generated import model
from generated.agreement import agrees
from generated.choices import Drawn
from generated.strategy import POLICIES, drafts
from torch import Tensor

from fuzz.forked import DONE, MEGABYTE, Limits, alone, run
from fuzz.interpreter import interpret
from fuzz.shrink import shrunk
from fuzz.tally import Tally, share, watched
from resnetgen import Compiled
from resnetgen.compiler.ir.nodes import Graph
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.flatten import graph_cost
from resnetgen.compiler.passes.instantiate import instances_below
from resnetgen.pipeline import compile_text
from resnetgen.runtime.load import build
from resnetgen.runtime.trace import output_tensors

KIND = "valid"
TORCH = Limits(memory=4096 * MEGABYTE, cpu=60, silent=600)
LARGEST_ERROR = 1e-9  # of the largest value; in float64
IMAGES = 3
Forward = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Facts:
    """What a compiled sample is made of."""

    used: frozenset[str]  # ops, blocks, policies, stems and heads
    nodes: int
    drafts: int  # attempts that the generator made until it had a spec


def spec(seed: int) -> str:
    """The valid spec of a seed."""
    return _drafted(seed)[0]


def _drafted(seed: int) -> tuple[str, int]:
    for count, text in enumerate(drafts(Drawn(random.Random(seed))), 1):
        if text is not None:
            return text, count
    raise AssertionError("drafts end with a spec")


# --- compiled


def compiled_facts(seed: int) -> Facts:
    """Compiles a sample as far as its source. Raises where a pass fails or two disagree."""
    text, count = _drafted(seed)
    compiled = compiles(text)
    return Facts(frozenset(used(compiled, text)), len(compiled.checked_graph.nodes), count)


def compiles(text: str) -> Compiled:
    """Runs every pass over a spec that must be sound."""
    compiled = compile_text(text)
    assert compiled.cost == graph_cost(compiled.checked_graph)
    ast.parse(compiled.source)
    return compiled


def used(compiled: Compiled, text: str) -> set[str]:
    """Ops and blocks by what was instantiated; what leaves no instance, by the words of the spec."""
    form = yaml.load(text, yaml.BaseLoader)
    if "extends" in form:
        form = model.merged(model.library_network(form["extends"]), form)
    found = {node.op for node in compiled.checked_graph.nodes}
    found |= {instance.block.name for instance in instances_below(compiled.root)}
    found |= {_called(form.get("stem")), _called(form.get("shortcut"))}
    head = form.get("head")
    named = _called(head)  # the head that arguments alone refine is the library's default
    found |= {named} if named or not isinstance(head, dict) else {"default", "classifier"}
    found |= set(re.findall(r"\w+", text)) & SPLICED
    return found - {""}


def _called(form: Any) -> str:
    return form.get("op", "") if isinstance(form, dict) else form or ""


# Stems that others hold in a slot: their nodes are spliced, and leave no instance.
SPLICED = set(model.library_names("stems"))
WANTED = {
    *OPS,
    *POLICIES,
    *(name for kind in ("blocks", "shortcuts", "stems", "heads") for name in model.library_names(kind)),
}  # fmt: skip


def compile_many(seeds: Sequence[int], tally: Tally, jobs: int) -> None:
    """Compiles the samples and says what they cover."""
    facts: list[Facts] = []
    for outcome in watched(run(seeds, compiled_facts, jobs=jobs), len(seeds), "valid"):
        if outcome.value:
            facts.append(outcome.value)
        else:
            _keep(tally, outcome.case, outcome.ended, compiles)
    counts = Counter(name for each in facts for name in each.used)
    rarest = min(WANTED, key=lambda name: counts[name])
    attempts = sum(each.drafts for each in facts)
    tally.figures |= {
        "specs compiled as far as their source": share(len(facts), len(seeds)),
        "attempts of the generator that came to nothing": share(attempts - len(facts), attempts),
        "ops, blocks, policies, stems and heads in 1 % of them or more": share(
            sum(100 * counts[name] >= len(facts) for name in WANTED), len(WANTED)
        ),
        "the rarest": f"`{rarest}` in {share(counts[rarest], len(facts))}",
        "nodes, median and most": (
            f"{statistics.median(each.nodes for each in facts):g}, "
            f"{max(each.nodes for each in facts)}"
        ),
    }


# --- held against torch


def agreed(seed: int) -> bool:
    """Holds a sample against torch on the meta device, node by node."""
    agrees(compile_text(spec(seed)))
    return True


def computed(seed: int) -> bool:
    """Runs a sample in both modes, forward and backward, beside the interpreter."""
    computes(spec(seed))
    return True


def computes(text: str) -> None:
    """Raises AssertionError where the printed module and the interpreter differ."""
    compiled = compile_text(text)
    runs_alike(compiled.checked_graph, compiled.source)


def runs_alike(graph: Graph, source: str) -> None:
    """Holds a module against the interpreter: outputs, gradients and statistics, in both modes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = build(source, graph.name).double()
    x = torch.randn(IMAGES, *graph.input.shape, dtype=torch.float64)
    for training in (False, True):
        module.train(training)
        tensors = {key: each.detach().clone() for key, each in module.state_dict().items()}
        weights = dict(module.named_parameters())
        trained = {key: tensors[key].requires_grad_() for key in weights}
        theirs = _step(module, x, weights)
        ours = _step(partial(interpret, graph, tensors, training=training), x, trained)
        buffers = {name: each for name, each in module.named_buffers() if name in tensors}
        theirs |= {f"statistic {name}": each for name, each in buffers.items()}
        ours |= {f"statistic {name}": tensors[name] for name in buffers}
        _same("training" if training else "evaluation", theirs, ours)


def _step(forward: Forward, x: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs, and the gradients of the input and of all weights that have one, by name."""
    torch.manual_seed(1)  # what dropout draws
    x = x.clone().requires_grad_()
    for each in weights.values():
        each.grad = None
    outputs = output_tensors(forward(x))
    directions = [torch.linspace(-1, 1, each.numel(), dtype=each.dtype) for each in outputs]
    pairs = zip(outputs, directions, strict=True)
    sum((each * way.view_as(each)).sum() for each, way in pairs).backward()
    found = {f"output {number}": each.detach() for number, each in enumerate(outputs)}
    leaves = {"input": x, **weights}
    return found | {
        f"gradient of {name}": each.grad.clone()
        for name, each in leaves.items()
        if each.grad is not None
    }


def _same(mode: str, theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> None:
    assert theirs.keys() == ours.keys(), f"{mode}: {sorted(theirs.keys() ^ ours.keys())}"
    for name, wanted in ours.items():
        assert theirs[name].shape == wanted.shape, f"{mode}: {name}: shapes"
        scale = max(wanted.abs().max().item(), 1.0)
        error = (theirs[name] - wanted).abs().max().item() / scale
        assert error <= LARGEST_ERROR, f"{mode}: {name}: a relative difference of {error:.1e}"


def in_torch(
    seeds: Sequence[int], work: Any, check: Any, title: str, tally: Tally, jobs: int
) -> None:
    """Holds samples against torch, each in a child."""
    held = 0
    outcomes = run(seeds, work, limits=TORCH, jobs=jobs, batch=20)
    for outcome in watched(outcomes, len(seeds), title):
        held += outcome.value is True
        if outcome.value is None:
            _keep(tally, outcome.case, outcome.ended, check)
    tally.figures[title] = share(held, len(seeds))


def holds(text: str) -> None:
    """All that must hold of a valid spec. Raises what does not."""
    agrees(compiles(text))
    computes(text)


def _keep(tally: Tally, seed: int, ended: str, check: Any) -> None:
    """Shrinks the spec of a seed as long as it ends alike, and keeps it."""

    def fails(text: bytes) -> bool:
        outcome = alone(text.decode(), check, TORCH)
        return outcome.ended != DONE and _cause(outcome.ended) == _cause(ended)

    text = spec(seed).encode()
    small = shrunk(text, fails) if fails(text) else text
    tally.find(KIND, f"seed {seed}: {ended.splitlines()[0]}", small)


def _cause(ended: str) -> str:
    """How a case ended, without names and numbers: a shrunk spec fails alike."""
    return re.sub(r"[\d`].*", "", ended.splitlines()[0])[:60]


def search(count: int, torch_count: int, run_count: int, seed: int, jobs: int) -> Tally:
    """The figures of `count` samples, of which some are held against torch and some are run."""
    tally = Tally("Valid specs")
    first = seed * 1_000_000
    compile_many(range(first, first + count), tally, jobs)
    title = "equal to the prediction at every node on the meta device"
    in_torch(range(first, first + torch_count), agreed, lambda t: agrees(compile_text(t)), title, tally, jobs)  # fmt: skip
    title = "equal to the interpreter, forward and backward, in both modes"
    in_torch(range(first, first + run_count), computed, computes, title, tally, jobs)
    return tally
