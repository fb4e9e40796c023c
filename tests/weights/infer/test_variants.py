"""Variants that nobody published are recovered exactly: nodes, attributes and keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from weights.infer.variations import Variant, variant

from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.pipeline import compile_text
from resnetgen.variants.new_spec import draft_inferred
from resnetgen.weights.infer.candidates import Candidate, candidates_of
from resnetgen.weights.infer.design import Trials, meaning
from resnetgen.weights.infer.search import infer
from resnetgen.weights.match import without_counters

SEEDS = range(40)
SAMPLE = (0, 7, 8, 11, 14, 17, 19, 20, 24)  # of each kind; the others with --exhaustive


@pytest.fixture(scope="module")
def trials() -> Trials:
    return Trials()


def recovered(made: Variant, trials: Trials) -> Candidate:
    """The candidate that computes what the variant does; all of them have its tensors."""
    outcome = infer(made.held, trials)
    assert outcome.candidates
    for design in outcome.candidates:
        assert trials.shapes(design) == made.held.shapes
    found = [
        candidate
        for candidate in candidates_of(outcome, trials)
        if meaning(trials.graph(candidate.design)) == made.meaning
    ]
    assert len(found) == 1, [design.settings for design in outcome.candidates]
    return found[0]


@pytest.mark.parametrize(
    "seed",
    [
        seed if seed in SAMPLE else pytest.param(seed, marks=pytest.mark.exhaustive)
        for seed in SEEDS
    ],
)
def test_a_variant_is_among_the_candidates_and_its_spec_compiles_to_it(
    seed: int, trials: Trials, tmp_path: Path
) -> None:
    made = variant(seed, trials)
    candidate = recovered(made, trials)
    text = draft_inferred("found", candidate, [], made.held, tmp_path / "found.yaml").text
    graph = compile_text(text).graph
    assert meaning(graph) == made.meaning
    assert without_counters(state_dict(graph)) == made.held.shapes


def test_variants_are_of_every_kind() -> None:
    trials = Trials()
    designs = [variant(seed, trials).design for seed in SEEDS]
    paths = {path for design in designs for path in design.changes}
    assert len({design.base for design in designs}) >= 25
    for path in (("block", "groups"), ("block", "base_width"), ("stem", "width"), ("stem",)):
        assert path in paths
    assert {("block",), ("shortcut",), ("block", "attention"), ("input", "channels")} <= paths
