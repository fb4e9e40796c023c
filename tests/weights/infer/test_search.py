"""`infer`: the candidates for keys and shapes, and what is reported of each."""

from __future__ import annotations

import pytest

from resnetgen.weights.infer.candidates import (
    Candidate,
    describe_candidates,
    distinguishing_features,
)
from resnetgen.weights.infer.checkpoint import unwrap_checkpoint
from resnetgen.weights.infer.design import Design, DesignCompiler, equivalence_key
from resnetgen.weights.infer.search import SearchResult, infer
from resnetgen.weights.library_index import NetworkIndex
from resnetgen.weights.match import Shape


@pytest.fixture(scope="module")
def compiler() -> DesignCompiler:
    return DesignCompiler()


def tensors(base: str, **settings: object) -> dict[str, Shape]:
    """What a network predicts, with values set as `--set` does."""
    chosen = tuple((key, str(value)) for key, value in settings.items())
    return dict(NetworkIndex().shapes(base, chosen))


def inferred(shapes: dict[str, Shape], compiler: DesignCompiler) -> SearchResult:
    return infer(unwrap_checkpoint("file", shapes), compiler)


def changes(result: SearchResult) -> dict[str, dict[str, str]]:
    return {design.base: dict(design.settings) for design in result.candidates}


def test_a_published_network_is_preferred_to_one_with_other_numbers(
    compiler: DesignCompiler,
) -> None:
    assert changes(inferred(tensors("wide_resnet28_10"), compiler)) == {"wide_resnet28_10": {}}
    assert changes(inferred(tensors("resnet20"), compiler)) == {
        "plain20": {},
        "resnet20": {},
        "resnet20_appended": {},
    }


def test_overrides_are_those_of_the_nearest_network(compiler: DesignCompiler) -> None:
    shapes = tensors("resnext50_32x4d", **{"block.attention": "squeeze_excite", "head.classes": 7})
    assert changes(inferred(shapes, compiler)) == {"seresnext50_32x4d": {"head.classes": "7"}}


def test_groups_and_base_width_are_solved_together(compiler: DesignCompiler) -> None:
    shapes = tensors("seresnet50", **{"block.groups": 8, "block.base_width": 16})
    ((base, settings),) = changes(inferred(shapes, compiler)).items()
    assert Design(base).tree.entries["block"] is not None
    assert settings.keys() & {"block.groups", "block.base_width"}
    assert settings.keys() <= {"block.groups", "block.base_width"} | {
        f"stages.layer{stage}.blocks" for stage in (1, 2, 3, 4)
    }


def test_hyperparameters_may_differ_between_stages(compiler: DesignCompiler) -> None:
    shapes = tensors("seresnet18", **{"stages.layer2.attention": "{ratio: 1 / 2}"})
    assert changes(inferred(shapes, compiler)) == {
        "seresnet18": {"stages.layer2.attention.ratio": "1 / 2"}
    }


def test_a_stage_without_tensors_is_deleted(compiler: DesignCompiler) -> None:
    shapes = tensors("seresnet50", **{"stages.layer4": "null"})
    assert changes(inferred(shapes, compiler)) == {"seresnet50": {"stages.layer4": "null"}}


def test_components_are_replaced_where_no_hyperparameters_fit(compiler: DesignCompiler) -> None:
    shapes = tensors("resnet18", **{"stem": "{op: cifar, width: 64}", "head.classes": 10})
    result = inferred(shapes, compiler)
    assert {design.replaced for design in result.candidates} == {(("stem",),)}
    assert {design.base for design in result.candidates} == {"resnet18", "resnetblur18"}


def test_the_number_of_axes_is_a_component(compiler: DesignCompiler) -> None:
    shapes = tensors("seresnet18", **{"input.size": "[1000]"})
    (design,) = inferred(shapes, compiler).candidates
    compiled = compiler.graph(design)
    assert len(compiled.input.size) == 1
    assert compiler.shapes(design) == unwrap_checkpoint("", shapes).shapes


def test_wrappers_are_stripped_and_counters_may_be_missing(compiler: DesignCompiler) -> None:
    shapes = tensors("vgg11_bn")
    wrapped = {
        f"module._orig_mod.{key}": shape
        for key, shape in shapes.items()
        if not key.endswith("num_batches_tracked")
    }
    result = inferred(wrapped, compiler)
    assert changes(result) == {"vgg11_bn": {}}
    assert result.checkpoint.remarks == ("taken off the keys: `module.`, `_orig_mod.`",)


def test_a_single_missing_counter_fits_nothing(compiler: DesignCompiler) -> None:
    shapes = tensors("vgg11_bn")
    del shapes["features.1.num_batches_tracked"]
    assert not inferred(shapes, compiler).candidates


def test_the_order_of_keys_is_ignored_if_no_network_has_it(compiler: DesignCompiler) -> None:
    shapes = dict(sorted(tensors("preact_resnet18").items()))
    assert changes(inferred(shapes, compiler)) == {"preact_resnet18": {}}


def test_keys_of_a_dialect_are_translated(compiler: DesignCompiler) -> None:
    from resnetgen.weights.dialects import load_dialect, rename_modules

    graph = rename_modules(NetworkIndex().graph("resnet18"), load_dialect("huggingface"))
    from resnetgen.compiler.passes.flatten import state_dict

    result = inferred(state_dict(graph), compiler)
    assert "resnet18" in changes(result)
    assert result.checkpoint.remarks == ("keys read as those of `huggingface`",)


# --- what does not fit


def test_an_extra_tensor_leaves_the_nearest_network(compiler: DesignCompiler) -> None:
    result = inferred(
        tensors("vgg11", **{"head.params.classes": 3}) | {"extra.weight": (1, 2)}, compiler
    )
    assert not result.candidates
    assert result.nearest is not None
    assert (result.nearest.base, dict(result.nearest.settings)["head.params.classes"]) == (
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
def test_strange_keys_fit_nothing(shapes: dict[str, Shape], compiler: DesignCompiler) -> None:
    result = inferred(shapes, compiler)
    assert not result.candidates


# --- how candidates differ


def described(shapes: dict[str, Shape], compiler: DesignCompiler) -> dict[str, Candidate]:
    return {each.name: each for each in describe_candidates(inferred(shapes, compiler), compiler)}


def test_candidates_differ_in_strides_and_ops(compiler: DesignCompiler) -> None:
    candidates = described(tensors("resnet50"), compiler)
    assert [*candidates] == ["resnet50", "resnet50_v1", "resnetaa50", "resnetblur50"]
    assert candidates["resnet50"].compared_with is None
    assert candidates["resnet50_v1"].differences == (
        "stride 2, not 1: conv1 in layer2.0, layer3.0, layer4.0",
        "stride 1, not 2: conv2 in layer2.0, layer3.0, layer4.0",
    )
    assert "with blur: maxpool.1; aa.0 in layer2.0, layer3.0, layer4.0" in (
        candidates["resnetblur50"].differences
    )


def test_a_candidate_is_compared_with_the_most_similar_one(compiler: DesignCompiler) -> None:
    candidates = described(tensors("resnet20"), compiler)
    assert candidates["resnet20_appended"].compared_with == "resnet20"
    assert (
        "front 0, not 8: pad in layer2.0.downsample" in candidates["resnet20_appended"].differences
    )


def test_equal_graphs_have_no_distinguishing_features(compiler: DesignCompiler) -> None:
    one, other = Design("resnet50"), Design("resnet101", {("stages", "layer3", "blocks"): "6"})
    assert equivalence_key(compiler.graph(one)) == equivalence_key(compiler.graph(other))
    assert distinguishing_features(compiler.graph(one), compiler.graph(other)) == []


def test_evidence_names_the_tensors(compiler: DesignCompiler) -> None:
    shapes = tensors(
        "seresnet18", **{"head.classes": 7, "layer2.blocks": 4, "stages.layer4": "null"}
    )
    (candidate,) = describe_candidates(inferred(shapes, compiler), compiler)
    assert {each.setting: each.shown_by for each in candidate.evidence} == {
        "stages.layer2.blocks: 4": "the file has layer2.0 to layer2.3",
        "without stages.layer4": "the file has nothing in layer4",
        "head.classes: 7": "fc.weight is 7 x 256",
    }
