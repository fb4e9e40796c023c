"""What is found of a file, and what is not."""

from __future__ import annotations

import pytest

from resnetgen.weights.infer.candidates import Candidate, candidates_of, distinguishing_features
from resnetgen.weights.infer.checkpoint import held
from resnetgen.weights.infer.design import Design, Trials, meaning
from resnetgen.weights.infer.search import SearchResult, infer
from resnetgen.weights.library_index import Networks
from resnetgen.weights.match import Shape


@pytest.fixture(scope="module")
def trials() -> Trials:
    return Trials()


def tensors(base: str, **settings: object) -> dict[str, Shape]:
    """What a network predicts, with values set as `--set` does."""
    return Networks().shapes(base, tuple((key, str(value)) for key, value in settings.items()))


def found(shapes: dict[str, Shape], trials: Trials) -> SearchResult:
    return infer(held("file", shapes), trials)


def changes(outcome: SearchResult) -> dict[str, dict[str, str]]:
    return {design.base: dict(design.settings) for design in outcome.candidates}


def test_a_published_network_is_preferred_to_one_with_other_numbers(trials: Trials) -> None:
    assert changes(found(tensors("wide_resnet28_10"), trials)) == {"wide_resnet28_10": {}}
    assert changes(found(tensors("resnet20"), trials)) == {
        "plain20": {},
        "resnet20": {},
        "resnet20_appended": {},
    }


def test_numbers_are_told_from_the_nearest_network(trials: Trials) -> None:
    shapes = tensors("resnext50_32x4d", **{"block.attention": "squeeze_excite", "head.classes": 7})
    assert changes(found(shapes, trials)) == {"seresnext50_32x4d": {"head.classes": "7"}}


def test_groups_and_base_width_are_told_together(trials: Trials) -> None:
    shapes = tensors("seresnet50", **{"block.groups": 8, "block.base_width": 16})
    ((base, set_there),) = changes(found(shapes, trials)).items()
    assert Design(base).tree.entries["block"] is not None
    assert set_there.keys() & {"block.groups", "block.base_width"}
    assert set_there.keys() <= {"block.groups", "block.base_width"} | {
        f"stages.layer{stage}.blocks" for stage in (1, 2, 3, 4)
    }


def test_numbers_may_differ_from_stage_to_stage(trials: Trials) -> None:
    shapes = tensors("seresnet18", **{"stages.layer2.attention": "{ratio: 1 / 2}"})
    assert changes(found(shapes, trials)) == {
        "seresnet18": {"stages.layer2.attention.ratio": "1 / 2"}
    }


def test_a_stage_that_the_file_lacks_is_deleted(trials: Trials) -> None:
    shapes = tensors("seresnet50", **{"stages.layer4": "null"})
    assert changes(found(shapes, trials)) == {"seresnet50": {"stages.layer4": "null"}}


def test_parts_are_mixed_where_numbers_do_not_do(trials: Trials) -> None:
    shapes = tensors("resnet18", **{"stem": "{op: cifar, width: 64}", "head.classes": 10})
    outcome = found(shapes, trials)
    assert {design.parts for design in outcome.candidates} == {(("stem",),)}
    assert {design.base for design in outcome.candidates} == {"resnet18", "resnetblur18"}


def test_the_number_of_axes_is_a_part(trials: Trials) -> None:
    shapes = tensors("seresnet18", **{"input.size": "[1000]"})
    (design,) = found(shapes, trials).candidates
    compiled = trials.graph(design)
    assert len(compiled.input.size) == 1
    assert trials.shapes(design) == held("", shapes).shapes


def test_wrappers_are_taken_off_and_counters_may_lack(trials: Trials) -> None:
    shapes = tensors("vgg11_bn")
    wrapped = {
        f"module._orig_mod.{key}": shape
        for key, shape in shapes.items()
        if not key.endswith("num_batches_tracked")
    }
    outcome = found(wrapped, trials)
    assert changes(outcome) == {"vgg11_bn": {}}
    assert outcome.held.remarks == ("taken off the keys: `module.`, `_orig_mod.`",)


def test_a_counter_too_few_fits_nothing(trials: Trials) -> None:
    shapes = tensors("vgg11_bn")
    del shapes["features.1.num_batches_tracked"]
    assert not found(shapes, trials).candidates


def test_the_order_of_a_file_does_not_matter_where_it_is_nobodys(trials: Trials) -> None:
    shapes = dict(sorted(tensors("preact_resnet18").items()))
    assert changes(found(shapes, trials)) == {"preact_resnet18": {}}


def test_keys_of_a_dialect_are_read_as_our_own(trials: Trials) -> None:
    from resnetgen.weights.dialects import dialect, renamed

    graph = renamed(Networks().graph("resnet18"), dialect("huggingface"))
    from resnetgen.compiler.passes.flatten import state_dict

    outcome = found(state_dict(graph), trials)
    assert "resnet18" in changes(outcome)
    assert outcome.held.remarks == ("keys read as those of `huggingface`",)


# --- what does not fit


def test_a_tensor_more_is_told_by_the_nearest(trials: Trials) -> None:
    outcome = found(
        tensors("vgg11", **{"head.params.classes": 3}) | {"extra.weight": (1, 2)}, trials
    )
    assert not outcome.candidates
    assert outcome.nearest is not None
    assert (outcome.nearest.base, dict(outcome.nearest.settings)["head.params.classes"]) == (
        "vgg11",
        "3",
    )


@pytest.mark.parametrize(
    "shapes",
    [
        {"blocks.0.attn.qkv.weight": (12, 4), "cls_token": (1, 1, 4)},
        {"": (1,), ".": (), "..weight": (2, 2)},
        {"layer1.99999.conv1.weight": (0, 4, 3, 3), "conv1.weight": (10**12, 3, 7, 7)},
        {"conv1.weight": (), "fc.weight": (1,) * 100},
        {f"layer{at}.{at}.{at}": (at,) for at in range(300)},
    ],
)
def test_strange_keys_fit_nothing(shapes: dict[str, Shape], trials: Trials) -> None:
    outcome = found(shapes, trials)
    assert not outcome.candidates


# --- what tells candidates apart


def told(shapes: dict[str, Shape], trials: Trials) -> dict[str, Candidate]:
    return {each.name: each for each in candidates_of(found(shapes, trials), trials)}


def test_strides_and_ops_tell_candidates_apart(trials: Trials) -> None:
    candidates = told(tensors("resnet50"), trials)
    assert [*candidates] == ["resnet50", "resnet50_v1", "resnetaa50", "resnetblur50"]
    assert candidates["resnet50"].beside is None
    assert candidates["resnet50_v1"].apart == (
        "stride 2, not 1: conv1 in layer2.0, layer3.0, layer4.0",
        "stride 1, not 2: conv2 in layer2.0, layer3.0, layer4.0",
    )
    assert "with blur: maxpool.1; aa.0 in layer2.0, layer3.0, layer4.0" in (
        candidates["resnetblur50"].apart
    )


def test_a_candidate_is_told_from_the_one_that_is_most_alike(trials: Trials) -> None:
    candidates = told(tensors("resnet20"), trials)
    assert candidates["resnet20_appended"].beside == "resnet20"
    assert "front 0, not 8: pad in layer2.0.downsample" in candidates["resnet20_appended"].apart


def test_equal_graphs_are_not_told_apart(trials: Trials) -> None:
    one, other = Design("resnet50"), Design("resnet101", {("stages", "layer3", "blocks"): "6"})
    assert meaning(trials.graph(one)) == meaning(trials.graph(other))
    assert distinguishing_features(trials.graph(one), trials.graph(other)) == []


def test_reasons_name_the_tensors(trials: Trials) -> None:
    shapes = tensors(
        "seresnet18", **{"head.classes": 7, "layer2.blocks": 4, "stages.layer4": "null"}
    )
    (candidate,) = candidates_of(found(shapes, trials), trials)
    reasons = {reason.setting: reason.shown_by for reason in candidate.reasons}
    assert reasons == {
        "stages.layer2.blocks: 4": "there are layer2.0 to layer2.3",
        "without stages.layer4": "there is nothing of layer4",
        "head.classes: 7": "fc.weight is 7 x 256",
    }
