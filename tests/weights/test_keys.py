"""Wrappers are stripped where all keys have them; keys are covered by as few modules as possible."""

from __future__ import annotations

import pytest

from resnetgen.weights.keys import covering_paths, module_paths, strip_wrappers

WANTED = ("conv1.weight", "layer1.0.conv1.weight", "layer1.1.conv1.weight")


@pytest.mark.parametrize(
    ("keys", "removed"),
    [
        (WANTED, ()),
        ([f"module.{key}" for key in WANTED], ("module",)),
        ([f"_orig_mod.{key}" for key in WANTED], ("_orig_mod",)),
        ([f"module._orig_mod.{key}" for key in WANTED], ("module", "_orig_mod")),
        ([f"_orig_mod.module.{key}" for key in WANTED], ("_orig_mod", "module")),
        ([f"module.module.{key}" for key in WANTED], ("module",)),
        ([key.replace("layer1.", "layer1._orig_mod.") for key in WANTED], ("_orig_mod",)),
        ([key.replace("layer1.0.", "layer1.0._orig_mod.") for key in WANTED], ("_orig_mod",)),
        (
            [f"module.{key}".replace("layer1.1.", "layer1.1._orig_mod.") for key in WANTED],
            ("module", "_orig_mod"),
        ),
    ],
)
def test_wrappers_that_all_keys_have_are_stripped(keys, removed) -> None:
    names, wrappers = strip_wrappers(keys, WANTED)
    assert names == dict(zip(WANTED, keys, strict=True))
    assert wrappers == removed


@pytest.mark.parametrize(
    "keys",
    [
        ["module.conv1.weight", "fc.weight"],
        ["layer1._orig_mod.conv1.weight", "layer1.conv2.weight"],
        ["module", "modules.x", "my_module.x"],
        ["", ".", "..", ".module"],
    ],
)
def test_any_other_key_stays(keys: list[str]) -> None:
    assert strip_wrappers(keys, WANTED) == ({key: key for key in keys}, ())


def test_a_network_may_have_a_module_of_that_name() -> None:
    keys = ["module.conv1.weight", "module.fc.weight"]
    assert strip_wrappers(keys, keys) == ({key: key for key in keys}, ())


def test_keys_stay_apart() -> None:
    keys = ["module.module.a", "module.a", "a._orig_mod", "_orig_mod.a._orig_mod"]
    assert len(strip_wrappers(keys, ())[0]) == len(keys)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (["fc.weight", "fc.bias"], ["fc"]),
        (["fc.weight"], ["fc.weight"]),
        (["layer1.0.a", "layer1.1.a", "layer1.1.b"], ["layer1"]),
        (["layer1.1.a", "layer1.1.b", "conv1.a"], ["layer1.1", "conv1"]),
        ([], []),
    ],
)
def test_the_fewest_paths_cover_the_chosen_keys(chosen: list[str], expected: list[str]) -> None:
    every = ["fc.weight", "fc.bias", "layer1.0.a", "layer1.1.a", "layer1.1.b", "conv1.a", "x"]
    paths = covering_paths(chosen, every)
    assert list(paths) == expected
    assert sorted(key for keys in paths.values() for key in keys) == sorted(chosen)


def test_all_keys_have_no_module_in_common() -> None:
    assert covering_paths(["a.x", "b.x"], ["a.x", "b.x"]) == {}


def test_the_modules_of_keys() -> None:
    assert module_paths(["layer1.0.a", "x"]) == {"layer1", "layer1.0"}
