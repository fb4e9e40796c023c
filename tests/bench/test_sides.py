"""The table of sides, and what each can be asked for."""

from __future__ import annotations

import pytest

from resnetgen.runtime.bench.build import BUILDERS, layouts
from resnetgen.runtime.bench.results import BASELINE
from resnetgen.runtime.bench.sides import sides

SIDES = sides()


def test_every_side_has_a_builder_and_every_builder_a_side() -> None:
    assert {each.build for each in SIDES.values()} == set(BUILDERS)
    assert BASELINE in SIDES


@pytest.mark.parametrize("name", SIDES)
def test_a_side_has_layouts_and_modes_that_exist(name: str) -> None:
    side = SIDES[name]
    assert set(side.layouts) <= {"contiguous", "channels_last"}
    assert set(side.modes) <= {"inference", "training"}
    assert side.layouts
    assert side.modes


def test_what_a_side_cannot_do_is_a_reason() -> None:
    side = SIDES["onnxruntime"]
    assert side.unsupported("inference", "float32") is None
    assert side.unsupported("inference", "bfloat16") == "not in bfloat16, only in float32"
    assert side.unsupported("training", "float32") == "not in training, only in inference"


@pytest.mark.parametrize("axes", [3, 4, 5])
def test_batches_of_signals_have_one_memory_format(axes: int) -> None:
    found = layouts(SIDES["eager"], axes)
    assert found == (["contiguous"] if axes == 3 else ["contiguous", "channels_last"])
