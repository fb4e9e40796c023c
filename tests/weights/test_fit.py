"""What of a checkpoint goes where, on names and shapes alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from resnetgen.weights.errors import WeightsMismatch, WeightsError
from resnetgen.weights.match import TensorMatch, TensorEntry, match_tensors
from resnetgen.weights.mismatch import LoadRequest, check_match, check_leave

WANTED = {
    "conv1.weight": (8, 3, 3, 3),
    "bn1.weight": (8,),
    "bn1.num_batches_tracked": (),
    "fc.weight": (10, 8),
    "fc.bias": (10,),
}
HELD = {key: TensorEntry(shape) for key, shape in WANTED.items()} | {
    "bn1.num_batches_tracked": TensorEntry((), "int64")
}
ASKED = LoadRequest("net.pth", "net", channels=3, classes=10)


def without(*keys: str) -> dict[str, TensorEntry]:
    return {key: entry for key, entry in HELD.items() if key not in keys}


def fault(found: TensorMatch) -> tuple[str, str, str | None]:
    """Message, notes and help."""
    with pytest.raises(WeightsMismatch) as caught:
        check_match(found, ASKED)
    diagnostic = caught.value.diagnostic
    assert diagnostic.code == "weights-mismatch"
    assert caught.value.fit is found
    return diagnostic.message, "\n".join(note.text for note in diagnostic.notes), diagnostic.help


def test_equal_names_and_shapes_fit() -> None:
    found = match_tensors(WANTED, HELD)
    check_match(found, ASKED)
    assert found.sources == {key: key for key in WANTED}
    assert (*found.zeroed, *found.skipped, *found.unused, *found.converted) == ()


def test_order_does_not_count() -> None:
    assert match_tensors(WANTED, dict(reversed(HELD.items()))).ok


def test_counters_that_an_old_checkpoint_lacks_start_at_zero() -> None:
    found = match_tensors(WANTED, without("bn1.num_batches_tracked"))
    assert found.ok
    assert found.zeroed == ("bn1.num_batches_tracked",)


def test_one_counter_that_is_missing_among_others_is_a_fault() -> None:
    wanted = {**WANTED, "bn2.num_batches_tracked": ()}
    assert match_tensors(wanted, HELD).missing == ("bn2.num_batches_tracked",)


def test_types_that_are_converted_are_counted() -> None:
    held = {
        **HELD,
        "fc.weight": TensorEntry((10, 8), "float16"),
        "fc.bias": TensorEntry((10,), "float16"),
    }
    found = match_tensors(WANTED, held)
    assert found.ok
    assert found.converted == {("float16", "float32"): 2}


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
    found = match_tensors(WANTED, {**HELD, key: TensorEntry(WANTED[key], dtype)})
    message, notes, help = fault(found)
    assert message == "`net.pth` does not fit `net`: 1 tensor of a type that cannot be converted"
    assert f"of {dtype}" in notes
    assert help


def test_every_difference_is_listed() -> None:
    held = without("bn1.weight") | {
        "conv1.weight": TensorEntry((8, 1)),
        "aux.bias": TensorEntry((4,)),
    }
    message, notes, _ = fault(match_tensors(WANTED, held))
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
    held = HELD | {f"aux.{part}.weight": TensorEntry((1,)) for part in "abc"}
    assert fault(match_tensors(WANTED, held))[1] == "unexpected: aux: all 3 tensors"


def test_long_lists_end() -> None:
    held = {f"x{number}.{tensor}": TensorEntry(()) for number in range(50) for tensor in "ab"}
    notes = fault(match_tensors(WANTED, held | {"y" * 900: TensorEntry(())}))[1].splitlines()
    assert notes[-1] == "unexpected: and 85 more, in 43 modules"
    assert max(map(len, notes)) < 200


def test_other_classes() -> None:
    held = {**HELD, "fc.weight": TensorEntry((7, 8)), "fc.bias": TensorEntry((7,))}
    help = fault(match_tensors(WANTED, held))[2]
    assert help is not None
    assert help.startswith("to match the file: `--set head.classes=7`; or `--except fc` (in Python,")


def test_other_channels() -> None:
    help = fault(match_tensors(WANTED, {**HELD, "conv1.weight": TensorEntry((8, 1, 3, 3))}))[2]
    assert help is not None
    assert "`--set input.channels=1`; or `--except conv1`" in help


def test_another_width_is_not_taken_for_other_classes() -> None:
    help = fault(match_tensors(WANTED, {**HELD, "bn1.weight": TensorEntry((16,))}))[2]
    assert help is None or "--set" not in help


def test_a_prefix_that_all_keys_have() -> None:
    held = {f"backbone.{key}": entry for key, entry in HELD.items()}
    assert (
        fault(match_tensors(WANTED, held))[2]
        == "all keys start with `backbone.`; save them again without it"
    )


@pytest.mark.parametrize(("leave", "left"), [("fc", 2), ("fc.bias", 1), ("bn1", 2)])
def test_what_is_left_out_is_not_compared(leave: str, left: int) -> None:
    held = {key: entry for key, entry in HELD.items() if not key.startswith(leave)}
    found = match_tensors(WANTED, held, [leave])
    assert found.ok
    assert len(found.skipped) == left
    assert match_tensors(WANTED, HELD, [leave]).skipped == found.skipped
    assert not set(found.skipped) & found.sources.keys()


def test_what_only_the_checkpoint_has_can_be_left_out() -> None:
    found = match_tensors(WANTED, HELD | {"aux.bias": TensorEntry(())}, ["aux"])
    assert found.ok
    assert found.unused == ("aux.bias",)


def test_a_module_is_no_beginning_of_a_word() -> None:
    assert match_tensors(WANTED, HELD, ["f"]).skipped == ()


@pytest.mark.parametrize("leave", ["head", "f", "fc.", "", "fc.weight.x"])
def test_leaving_out_nothing_is_an_error(leave: str) -> None:
    with pytest.raises(WeightsError) as caught:
        check_leave([leave], WANTED, ASKED)
    assert caught.value.diagnostic.code == "unknown-module"


def test_a_misspelt_module_has_a_suggestion() -> None:
    with pytest.raises(WeightsError, match="did you mean `conv1`") as caught:
        check_leave(["conv"], WANTED, ASKED)
    assert not isinstance(caught.value, WeightsMismatch)


def test_none_of_it_needs_torch() -> None:
    names = ", ".join(f"resnetgen.weights.{name}" for name in ("mismatch", "read", "load", "safetensors_file"))
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
