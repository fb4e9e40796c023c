"""Whose checkpoint it is, from keys and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from resnetgen.compiler.frontend import library
from resnetgen.weights.dialects import load_dialect
from resnetgen.weights.identify import _MOST_LIKE_THE_LIBRARY, Identification, identify
from resnetgen.weights.library_index import NetworkIndex, Settings
from resnetgen.weights.match import TensorEntry, is_counter
from resnetgen.weights.tensor_layout import named_tensors

SAME_KEYS = ("resnet18", "resnetblur18")


@pytest.fixture(scope="module")
def networks() -> NetworkIndex:
    """The library, compiled once for all questions."""
    return NetworkIndex()


def stored(
    networks: NetworkIndex,
    spec: str,
    name: str | None = None,
    settings: Settings = (),
    prefix: str = "",
) -> dict[str, TensorEntry]:
    """The entries of a checkpoint of a network in a dialect."""
    there = load_dialect(name) if name else None
    built = settings + (there.settings if there else ())
    wanted = named_tensors(networks.graph(spec, built), there).shapes
    return {
        prefix + key: TensorEntry(shape, "int64" if is_counter(key) else "float32")
        for key, shape in wanted.items()
    }


def dialect_names(identified: Identification) -> set[str | None]:
    return {match.dialect and match.dialect.name for match in identified.matches}


def identify_entries(networks: NetworkIndex, entries: Mapping[str, TensorEntry]) -> Identification:
    return identify(entries, "x.pth", networks)


@pytest.mark.parametrize("name", ["torchvision", "timm", "huggingface", "detectron2"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
def test_every_network_of_the_keys_is_identify_entries(
    networks: NetworkIndex, name: str, prefix: str
) -> None:
    identified = identify_entries(networks, stored(networks, "resnet18", name, prefix=prefix))
    assert identified.specs == SAME_KEYS
    assert name in dialect_names(identified)
    assert (dialect_names(identified) > {name}) == (name in ("torchvision", "timm"))
    assert "".join(f"{each}." for each in identified.wrappers) == prefix
    assert (identified.prefix, identified.outside, identified.nearest) == ("", (), None)


def test_every_network_of_the_library_is_identify_entries(networks: NetworkIndex) -> None:
    by_shapes: dict[object, set[str]] = {}
    for spec in networks.specs:
        shapes = frozenset(networks.shapes(spec).items())
        by_shapes.setdefault(shapes, set()).add(spec)
    assert len(networks.specs) == len(library.network_files())
    for same in list(by_shapes.values())[::6]:
        spec = min(same)
        assert same <= set(identify_entries(networks, stored(networks, spec)).specs), spec


def test_the_network_may_lie_in_another_model(networks: NetworkIndex) -> None:
    entries = stored(networks, "resnet50", "detectron2", prefix="backbone.bottom_up.")
    entries |= {f"roi_heads.{number}.weight": TensorEntry((4, 4)) for number in range(20)}
    identified = identify_entries(networks, entries)
    assert (identified.prefix, len(identified.outside)) == ("backbone.bottom_up.", 20)
    assert "resnet50" in identified.specs


@pytest.mark.parametrize(
    "settings",
    [
        (("head.classes", "7"),),
        (("input.channels", "1"),),
        (("head.classes", "7"), ("input.channels", "5")),
    ],
)
def test_other_classes_and_channels_are_recognised(
    networks: NetworkIndex, settings: Settings
) -> None:
    for name in (None, "huggingface"):
        identified = identify_entries(networks, stored(networks, "resnet18", name, settings))
        assert identified.specs == SAME_KEYS
        assert {match.settings for match in identified.matches} == {settings}


def test_a_dialect_of_other_networks_fits_only_those(networks: NetworkIndex) -> None:
    identified = identify_entries(networks, stored(networks, "resnet50_v1", "keras"))
    assert identified.specs == ("resnet50_v1",)
    assert dialect_names(identified) == {"keras"}


def test_an_old_checkpoint_has_no_counters(networks: NetworkIndex) -> None:
    entries = stored(networks, "resnet18")
    old = {key: each for key, each in entries.items() if not is_counter(key)}
    assert identify_entries(networks, old).specs == SAME_KEYS


def test_the_nearest_network_is_reported_with_what_differs(networks: NetworkIndex) -> None:
    entries = stored(networks, "resnet34", "detectron2")
    del entries["linear.weight"], entries["linear.bias"]
    entries["extra.weight"] = TensorEntry((3,))
    identified = identify_entries(networks, entries)
    assert not identified.matches
    assert identified.nearest
    assert identified.nearest.dialect == load_dialect("detectron2")
    assert identified.nearest.spec == "resnet34"
    assert identified.nearest.match.missing == ("fc.weight", "fc.bias")
    assert list(identified.nearest.match.unexpected) == ["extra.weight"]
    assert 0.9 < identified.nearest.similarity < 1


def test_what_is_of_no_network_has_no_nearest(networks: NetworkIndex) -> None:
    identified = identify_entries(
        networks, {"encoder.attn.q": TensorEntry((8, 8)), "encoder.attn.k": TensorEntry((8, 8))}
    )
    assert (identified.matches, identified.nearest) == ((), None)


def test_types_that_are_not_converted_do_not_fit(networks: NetworkIndex) -> None:
    entries = stored(networks, "resnet18")
    entries["conv1.weight"] = TensorEntry(entries["conv1.weight"].shape, "int8")
    identified = identify_entries(networks, entries)
    assert not identified.matches
    assert identified.nearest
    assert list(identified.nearest.match.dtype_mismatches) == ["conv1.weight"]


def test_a_network_that_is_named_is_the_only_one() -> None:
    networks = NetworkIndex("resnet18", {"layer2.blocks": "3"})
    identified = identify_entries(networks, stored(networks, "resnet18", "timm"))
    assert identified.specs == ("resnet18",)
    assert identify_entries(networks, stored(NetworkIndex(), "resnet18")).matches == ()


def test_matrices_are_counted_without_a_graph(networks: NetworkIndex) -> None:
    for spec in ("resnet18", "seresnet50", "ecaresnet26t", "googlenet", "vgg11", "resnet18_1d"):
        shapes = networks.shapes(spec).values()
        assert networks.matrix_count(spec) == sum(len(shape) > 1 for shape in shapes)


def test_no_network_of_the_library_has_half_as_many_tensors(networks: NetworkIndex) -> None:
    deepest = [path.stem for path in library.network_files() if "1202" in path.stem]
    most = max(len(networks.shapes(name)) for name in deepest)
    assert 4_000 < most <= _MOST_LIKE_THE_LIBRARY / 2


def test_a_file_of_more_tensors_than_any_network_is_like_none(networks: NetworkIndex) -> None:
    entry = TensorEntry((1,))
    entries = {f"alien.block{number}.weight": entry for number in range(15_001)}
    found = identify_entries(networks, entries)
    assert not found.matches
    assert found.nearest is None
