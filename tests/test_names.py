"""A name of a spec is accepted and right in its place, or refused with a code where it is written.

`pytest --exhaustive tests/test_names.py` tries every name in every place, which takes 3 minutes.
"""

from __future__ import annotations

import names
import pytest

EVERY = 24  # of the names, in each default run, others in each place


def _wrong(place: str, candidates: list[str]) -> dict[str, str]:
    found = {name: names.outcome(place, name) for name in candidates}
    return {name: text for name, text in found.items() if text}


@pytest.mark.parametrize("place", names.PLACES)
def test_a_name_is_right_or_refused_where_it_is_written(place: str) -> None:
    start = list(names.PLACES).index(place)
    assert _wrong(place, names.candidates()[start::EVERY]) == {}


@pytest.mark.exhaustive
@pytest.mark.parametrize("place", names.PLACES)
def test_every_name(place: str) -> None:
    assert _wrong(place, names.candidates()) == {}


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("node that is passed in", "wide"),  # beside a parameter of this name
        ("node", "flatten"),  # a method of tensors
        ("stage", "input"),
        ("stage", "outputs"),
        ("node of the stem", "stem"),
        ("node of the head", "head"),
        ("node of the head", "Unit"),  # beside a class of this name
        ("node of the head", "FusedConv2d"),
        ("class", "FusedConv2d"),
        ("network", "scale_shift"),
        ("input", "Projection"),
        ("node", "DropPath"),
    ],
)
def test_the_printer_picks_another_name(place: str, name: str) -> None:
    assert names.outcome(place, name) is None
    names.compile_text(names.spec({place: name}))


@pytest.mark.parametrize(
    ("place", "name", "code"),
    [
        ("let of the network", "position", "wrong-name"),
        ("node", "none", "wrong-name"),
        ("input", "none", "wrong-name"),
        ("input", "x", "duplicate-key"),
        ("node", "feature_info", "wrong-name"),
        ("node", "lambda", "wrong-name"),
        ("stage", "head", "duplicate-key"),
    ],
)
def test_a_name_that_nothing_can_replace_is_refused(place: str, name: str, code: str) -> None:
    with pytest.raises(names.SpecError) as caught:
        names.compile_text(names.spec({place: name}))
    assert caught.value.diagnostics[0].code == code
    assert names.outcome(place, name) is None
