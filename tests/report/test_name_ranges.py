"""Numbered names for people: ranges, names that differ in one number, patterns."""

from __future__ import annotations

import pytest

from resnetgen.compiler.analysis.name_ranges import (
    fold_names,
    name_patterns,
    name_range,
    number_ranges,
    range_start,
)


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        ("layer3.1", "layer3.35", "layer3.1-35"),
        ("layer3.1", "layer3.1", "layer3.1"),
        ("layer1.0", "layer2.3", "layer1.0 - layer2.3"),
        ("conv1", "layer1.0", "conv1 - layer1.0"),
        ("conv1", "conv3", "conv1 - conv3"),
    ],
)
def test_a_range_starts_with_its_first_module(first: str, last: str, text: str) -> None:
    assert name_range(first, last) == text
    assert range_start(text) == first
    assert range_start(f"{text}.conv1") == (f"{first}.conv1" if first == last else first)


def test_number_ranges() -> None:
    assert number_ranges([5]) == "5"
    assert number_ranges([2, 0, 1, 5, 7, 8]) == "0-2,5,7-8"


def test_names_that_differ_in_their_first_number_are_folded() -> None:
    lines = [(f"a.{at}.b.0", "x") for at in range(3)] + [("a.3.b.0", "y"), ("c1", "x")]
    assert [(each.name, each.text, each.count) for each in fold_names(lines)] == [
        ("a.0-2.b.0", "x", 3), ("a.3.b.0", "y", 1), ("c1", "x", 1)
    ]  # fmt: skip


def test_patterns_have_no_numbers_but_those_of_words() -> None:
    names = ["layer1.0.se.fc1", "layer2.11.se.fc2", "l2norm", "0.x"]
    assert name_patterns(names) == ["layer*.*.se.fc*", "l2norm", "*.x"]
