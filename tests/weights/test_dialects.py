"""Dialects: names in both directions, and the errors for a name that does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.expressions import ExpressionError
from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.pipeline import compile_spec
from resnetgen.weights.dialects import (
    DIALECT_FOLDER,
    Renaming,
    load_dialect,
    network_keys,
    network_shape,
    rename_modules,
    shipped_dialects,
)
from resnetgen.weights.errors import WeightsError
from resnetgen.weights.tensor_layout import named_tensors

DIALECTS = [each.name for each in shipped_dialects()]


# --- renamings


@pytest.mark.parametrize(
    ("network", "dialect", "path", "name"),
    [
        ("conv1", "stem.conv", "conv1", "stem.conv"),
        ("layer<s>.<b>", "res<s + 1>.<b>", "layer1.0", "res2.0"),
        ("layer<s>.<b>", "<b - 1>.x<s>", "layer12.10", "9.x12"),
        ("a<n>", "b<2 * n + 3>", "a4", "b11"),
        ("a<n>", "b<9 - n>", "a4", "b5"),
    ],
)
def test_a_path_is_renamed_there_and_back(network: str, dialect: str, path: str, name: str) -> None:
    renaming = Renaming.parse(network, dialect)
    assert renaming.to_dialect(path) == name
    assert renaming.to_network(name) == path


@pytest.mark.parametrize("path", ["layer1.0.conv12", "layer01.0.conv1", "xlayer1.0.conv1", "layer"])
def test_another_path_is_not(path: str) -> None:
    assert Renaming.parse("layer<s>.<b>.conv1", "res<s + 1>.<b>").to_dialect(path) is None


def test_a_name_that_no_number_gives_is_not_taken_back() -> None:
    assert Renaming.parse("a<n>", "b<2 * n>").to_network("b7") is None
    assert Renaming.parse("a<n>", "b<n + 3>").to_network("b2") is None
    assert Renaming.parse("a<n>", "b<n - 1>").to_dialect("a0") is None


@pytest.mark.parametrize(
    ("network", "dialect"),
    [
        ("a<n + 1>", "b<n>"),
        ("a<n>.<n>", "b<n>"),
        ("a<n>", "b"),
        ("a", "b<n>"),
        ("a<m>.<n>", "b<m + n>.<n>"),
        ("a<n>", "b<n +>"),
        ("a<n>", "b<n>.<3>"),
    ],
)
def test_what_cannot_be_inverted_is_refused(network: str, dialect: str) -> None:
    with pytest.raises(ExpressionError):
        Renaming.parse(network, dialect)


# --- what is shipped


def test_a_dialect_is_the_file_of_its_name() -> None:
    assert [path.stem for path in library.network_files(DIALECT_FOLDER)] == DIALECTS
    assert all(each.doc and each.link for each in shipped_dialects())


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("spec", ["resnet18", "resnet50", "resnet152", "wide_resnet50_2"])
def test_keys_go_there_and_back(name: str, spec: str) -> None:
    there, graph = load_dialect(name), compile_spec(spec).checked_graph
    kept = named_tensors(graph, there).tensors
    own = {f"{module}.{tensor}" for module, tensor in _own(graph, there)}
    assert set(network_keys([each.key for each in kept.values()], there).values()) == own
    for each in kept.values():
        assert network_shape(each.key, each.shape, there) == each.weight.shape


def _own(graph, there) -> list[tuple[str, str]]:
    paths = [key.rpartition(".") for key in state_dict(graph)]
    return [(module, tensor) for module, _, tensor in paths if tensor not in there.without]


def test_torchvision_and_timm_have_our_own_names() -> None:
    for spec, name in [
        ("resnet50", "torchvision"),
        ("vgg16", "torchvision"),
        ("googlenet", "torchvision"),
        ("r3d_18", "torchvision"),
        ("seresnet50t", "timm"),
        ("ecaresnet50d", "timm"),
        ("resnetrs50", "timm"),
        ("resnetv2_50", "timm"),
    ]:
        graph = compile_spec(spec).checked_graph
        assert rename_modules(graph, load_dialect(name)) == graph


def test_modules_without_a_name_are_reported_as_a_pattern() -> None:
    with pytest.raises(WeightsError) as caught:
        rename_modules(compile_spec("resnetv2_50").checked_graph, load_dialect("torchvision"))
    diagnostic = caught.value.diagnostic
    assert diagnostic.code == "unnamed-module"
    assert "`stages.*.blocks.*.norm*`" in diagnostic.message
    assert (
        "`torchvision` names the classification models of torchvision" in diagnostic.notes[0].text
    )


def test_an_unknown_dialect_has_a_suggestion() -> None:
    with pytest.raises(WeightsError, match="did you mean `detectron2`") as caught:
        load_dialect("detectron")
    assert caught.value.diagnostic.code == "unknown-dialect"


# --- dialects in a file

OWN = "dialect: mine\ndoc: my models\n"


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(OWN + text, encoding="utf-8")
    return str(path)


def error_of(folder: Path, text: str) -> tuple[str, int]:
    with pytest.raises(SpecError) as caught:
        load_dialect(written(folder, text))
    [error] = caught.value.diagnostics
    assert error.span
    return error.code, error.span.line


def test_a_dialect_is_read_from_a_file(tmp_path: Path) -> None:
    mine = load_dialect(written(tmp_path, "names: {conv1: first}"))
    assert network_keys(["first.weight", "second.weight"], mine) == {"first.weight": "conv1.weight"}


def test_errors_in_the_file_have_positions(tmp_path: Path) -> None:
    assert error_of(tmp_path, "names: {'a<n>': b}") == ("expression", 3)
    assert error_of(tmp_path, "name: {a: b}\nnames: {}") == ("unknown-key", 3)
    assert error_of(tmp_path, "names: {a: 1}") == ("wrong-value", 3)
    assert error_of(tmp_path, "names: {a: b}\ntensors: jax") == ("unknown-value", 4)
    assert error_of(tmp_path, "tensors: torch") == ("missing-key", 1)


def test_one_name_for_two_modules_is_an_error_in_the_file(tmp_path: Path) -> None:
    lines = ["names:", "  conv1: a", "  bn1: a"]
    mine = load_dialect(written(tmp_path, "\n".join(lines)))
    with pytest.raises(SpecError, match="`conv1` and `bn1` are both called `a`") as caught:
        rename_modules(compile_spec("resnet18").checked_graph, mine)
    assert caught.value.diagnostics[0].code == "module-path"


def test_a_flattened_value_is_refused_for_another_layout(tmp_path: Path) -> None:
    names = "names: {features.<n>: f<n>, classifier.<n>: c<n>}"
    mine = load_dialect(written(tmp_path, f"tensors: keras\n{names}"))
    with pytest.raises(WeightsError, match="flattens 512 x 7 x 7"):
        named_tensors(compile_spec("vgg11").checked_graph, mine)
