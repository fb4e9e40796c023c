"""Random variants of library networks are recovered exactly: nodes, attributes and keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from weights.infer.variations import Variant, variant

from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.pipeline import compile_text
from resnetgen.variants.inferred_spec import draft_inferred
from resnetgen.weights.infer.candidates import Candidate, describe_candidates
from resnetgen.weights.infer.design import DesignCompiler, equivalence_key
from resnetgen.weights.infer.search import infer
from resnetgen.weights.match import without_counters

SEEDS = range(40)
SAMPLE = (0, 7, 8, 11, 14, 17, 19, 20, 24)  # of each kind; the others with --exhaustive


@pytest.fixture(scope="module")
def compiler() -> DesignCompiler:
    return DesignCompiler()


def recovered(made: Variant, compiler: DesignCompiler) -> Candidate:
    """The candidate that is equivalent to the variant; all candidates have its tensors."""
    result = infer(made.checkpoint, compiler)
    assert result.candidates
    for design in result.candidates:
        assert compiler.shapes(design) == made.checkpoint.shapes
    found = [
        candidate
        for candidate in describe_candidates(result, compiler)
        if equivalence_key(compiler.graph(candidate.design)) == made.equivalence_key
    ]
    assert len(found) == 1, [design.settings for design in result.candidates]
    return found[0]


@pytest.mark.parametrize(
    "seed",
    [
        seed if seed in SAMPLE else pytest.param(seed, marks=pytest.mark.exhaustive)
        for seed in SEEDS
    ],
)
def test_a_variant_is_among_the_candidates_and_its_spec_compiles_to_it(
    seed: int, compiler: DesignCompiler, tmp_path: Path
) -> None:
    made = variant(seed, compiler)
    candidate = recovered(made, compiler)
    text = draft_inferred("found", candidate, [], made.checkpoint, tmp_path / "found.yaml").text
    graph = compile_text(text).checked_graph
    assert equivalence_key(graph) == made.equivalence_key
    assert without_counters(state_dict(graph)) == made.checkpoint.shapes


def test_variants_are_of_every_kind() -> None:
    compiler = DesignCompiler()
    designs = [variant(seed, compiler).design for seed in SEEDS]
    paths = {path for design in designs for path in design.overrides}
    assert len({design.base for design in designs}) >= 25
    for path in (("block", "groups"), ("block", "base_width"), ("stem", "width"), ("stem",)):
        assert path in paths
    assert {("block",), ("shortcut",), ("block", "attention"), ("input", "channels")} <= paths
