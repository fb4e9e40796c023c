"""`explain`: what a code means; without one, all codes."""

from __future__ import annotations

import pytest

from resnetgen.compiler.diagnostics import catalog


def test_every_code_is_listed_with_its_title(call) -> None:
    lines = call("explain").stdout.splitlines()[1:]
    entries = list(catalog.entries())
    assert [line.split()[:2] for line in lines] == [[each.code, each.severity] for each in entries]
    assert all(line.endswith(each.title) for each, line in zip(entries, lines, strict=True))


@pytest.mark.parametrize("word", ["no-value", "error[no-value]", "error[no-value]:"])
def test_a_code_is_explained_with_both_examples(call, word: str) -> None:
    shown = call("explain", word).stdout
    assert shown.startswith("error[no-value]: `none` is read where a value is needed\n\n")
    assert "`none` is the absence of a value." in shown
    assert "\nThis fails:\n\n    network: bare\n" in shown
    assert "\nThis works:\n\n    network: bare\n" in shown
    assert "```" not in shown


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("no-valu", "did you mean `no-value`?"),
        ("E0308", "`resnetgen explain` lists all codes"),
        ("../catalogue/no-value", "`resnetgen explain` lists all codes"),
        ("", "`resnetgen explain` lists all codes"),
    ],
)
def test_a_misspelt_code_gets_a_hint(call, word: str, hint: str) -> None:
    done = call("explain", word)
    assert done.exit_code == 2
    assert f"error[unknown-code]: there is no code `{word}`" in done.stderr
    assert f"help: {hint}" in done.stderr
