"""Which tensor comes from where, by keys, shapes and dtypes alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from resnetgen.weights.errors import WeightsError, WeightsMismatch
from resnetgen.weights.match import TensorEntry, TensorMatch, match_tensors
from resnetgen.weights.mismatch import LoadRequest, check_leave, check_match

EXPECTED = {
    "conv1.weight": (8, 3, 3, 3),
    "bn1.weight": (8,),
    "bn1.num_batches_tracked": (),
    "fc.weight": (10, 8),
    "fc.bias": (10,),
}
STORED = {key: TensorEntry(shape) for key, shape in EXPECTED.items()} | {
    "bn1.num_batches_tracked": TensorEntry((), "int64")
}
REQUEST = LoadRequest("net.pth", "net", channels=3, classes=10)


def without(*keys: str) -> dict[str, TensorEntry]:
    return {key: entry for key, entry in STORED.items() if key not in keys}


def diagnostic_of(match: TensorMatch) -> tuple[str, str, str | None]:
    """Message, notes and help."""
    with pytest.raises(WeightsMismatch) as caught:
        check_match(match, REQUEST)
    diagnostic = caught.value.diagnostic
    assert diagnostic.code == "weights-mismatch"
    assert caught.value.match is match
    return diagnostic.message, "\n".join(note.text for note in diagnostic.notes), diagnostic.help


def test_equal_names_and_shapes_fit() -> None:
    match = match_tensors(EXPECTED, STORED)
    check_match(match, REQUEST)
    assert match.sources == {key: key for key in EXPECTED}
    assert (*match.zeroed, *match.skipped, *match.unused, *match.converted) == ()


def test_order_does_not_count() -> None:
    assert match_tensors(EXPECTED, dict(reversed(STORED.items()))).ok


def test_counters_that_an_old_checkpoint_lacks_start_at_zero() -> None:
    match = match_tensors(EXPECTED, without("bn1.num_batches_tracked"))
    assert match.ok
    assert match.zeroed == ("bn1.num_batches_tracked",)


def test_one_counter_that_is_missing_among_others_is_a_diagnostic_of() -> None:
    wanted = {**EXPECTED, "bn2.num_batches_tracked": ()}
    assert match_tensors(wanted, STORED).missing == ("bn2.num_batches_tracked",)


def test_types_that_are_converted_are_counted() -> None:
    stored = {
        **STORED,
        "fc.weight": TensorEntry((10, 8), "float16"),
        "fc.bias": TensorEntry((10,), "float16"),
    }
    match = match_tensors(EXPECTED, stored)
    assert match.ok
    assert match.converted == {("float16", "float32"): 2}


@pytest.mark.parametrize(
    ("key", "dtype"),
    [
        ("fc.bias", "int8"),
        ("fc.bias", "bool"),
        ("fc.bias", "complex64"),
        ("fc.bias", "qint8"),
        ("fc.bias", "sparse float32"),
        ("fc.bias", "no data, float32"),
        ("bn1.num_batches_tracked", "float32"),
    ],
)
def test_types_of_another_kind_are_refused(key: str, dtype: str) -> None:
    match = match_tensors(EXPECTED, {**STORED, key: TensorEntry(EXPECTED[key], dtype)})
    message, notes, help = diagnostic_of(match)
    assert message == "`net.pth` does not fit `net`: 1 tensor of a type that cannot be converted"
    assert f"of {dtype}" in notes
    assert help


def test_every_difference_is_listed() -> None:
    stored = without("bn1.weight") | {
        "conv1.weight": TensorEntry((8, 1)),
        "aux.bias": TensorEntry((4,)),
    }
    message, notes, _ = diagnostic_of(match_tensors(EXPECTED, stored))
    assert message == (
        "`net.pth` does not fit `net`: 1 tensor of 5 missing, 1 tensor unexpected,"
        " 1 tensor of another shape"
    )
    assert notes.splitlines() == [
        "missing: bn1: weight",
        "unexpected: aux: bias",
        "another shape: conv1: weight 8 x 3 x 3 x 3 (in the file 8 x 1)",
    ]


def test_a_whole_module_is_one_line() -> None:
    stored = STORED | {f"aux.{part}.weight": TensorEntry((1,)) for part in "abc"}
    assert diagnostic_of(match_tensors(EXPECTED, stored))[1] == "unexpected: aux: all 3 tensors"


def test_long_lists_end() -> None:
    stored = {f"x{number}.{tensor}": TensorEntry(()) for number in range(50) for tensor in "ab"}
    notes = diagnostic_of(match_tensors(EXPECTED, stored | {"y" * 900: TensorEntry(())}))[
        1
    ].splitlines()
    assert notes[-1] == "unexpected: and 85 more, in 43 modules"
    assert max(map(len, notes)) < 200


def test_other_classes() -> None:
    stored = {**STORED, "fc.weight": TensorEntry((7, 8)), "fc.bias": TensorEntry((7,))}
    help = diagnostic_of(match_tensors(EXPECTED, stored))[2]
    assert help is not None
    assert help.startswith(
        "to match the file: `--set head.classes=7`; or `--except fc` (in Python,"
    )


def test_other_channels() -> None:
    help = diagnostic_of(
        match_tensors(EXPECTED, {**STORED, "conv1.weight": TensorEntry((8, 1, 3, 3))})
    )[2]
    assert help is not None
    assert "`--set input.channels=1`; or `--except conv1`" in help


def test_another_width_is_not_taken_for_other_classes() -> None:
    help = diagnostic_of(match_tensors(EXPECTED, {**STORED, "bn1.weight": TensorEntry((16,))}))[2]
    assert help is None or "--set" not in help


def test_a_prefix_that_all_keys_have() -> None:
    stored = {f"backbone.{key}": entry for key, entry in STORED.items()}
    assert (
        diagnostic_of(match_tensors(EXPECTED, stored))[2]
        == "all keys start with `backbone.`; save them again without it"
    )


@pytest.mark.parametrize(("leave", "left"), [("fc", 2), ("fc.bias", 1), ("bn1", 2)])
def test_what_is_left_out_is_not_compared(leave: str, left: int) -> None:
    stored = {key: entry for key, entry in STORED.items() if not key.startswith(leave)}
    match = match_tensors(EXPECTED, stored, [leave])
    assert match.ok
    assert len(match.skipped) == left
    assert match_tensors(EXPECTED, STORED, [leave]).skipped == match.skipped
    assert not set(match.skipped) & match.sources.keys()


def test_what_only_the_checkpoint_has_can_be_left_out() -> None:
    match = match_tensors(EXPECTED, STORED | {"aux.bias": TensorEntry(())}, ["aux"])
    assert match.ok
    assert match.unused == ("aux.bias",)


def test_a_module_is_not_matched_by_the_start_of_its_name() -> None:
    assert match_tensors(EXPECTED, STORED, ["f"]).skipped == ()


@pytest.mark.parametrize("leave", ["head", "f", "fc.", "", "fc.weight.x"])
def test_leaving_out_nothing_is_an_error(leave: str) -> None:
    with pytest.raises(WeightsError) as caught:
        check_leave([leave], EXPECTED, REQUEST)
    assert caught.value.diagnostic.code == "unknown-module"


def test_a_misspelt_module_has_a_suggestion() -> None:
    with pytest.raises(WeightsError, match="did you mean `conv1`") as caught:
        check_leave(["conv"], EXPECTED, REQUEST)
    assert not isinstance(caught.value, WeightsMismatch)


def test_none_of_it_needs_torch() -> None:
    names = ", ".join(
        f"resnetgen.weights.{name}" for name in ("mismatch", "read", "load", "safetensors_file")
    )
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
