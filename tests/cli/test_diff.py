"""`diff`: exit statuses, formats, what --set changes, and errors of both specs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sessions import fenced
from test_docs import session_beside

ROOT = Path(__file__).resolve().parents[2]


def test_equal_networks_exit_with_0(call) -> None:
    done = call("diff", "resnet50", "resnet50")
    assert (done.exit_code, done.stdout) == (0, "resnet50 -> resnet50: nothing differs\n")


def test_a_difference_exits_with_1(call, tiny: Path) -> None:
    done = call("diff", "resnet50", "tiny.yaml")
    assert done.exit_code == 1
    assert done.stdout.startswith("resnet50 -> tiny: ")


def test_settings_apply_only_to_the_second(call, tiny: Path) -> None:
    done = call(
        "diff", "tiny.yaml", "tiny.yaml", "--set", "layer1.blocks=4", "--set", "head.classes=5"
    )
    assert done.exit_code == 1
    first = done.stdout.splitlines()[0]
    assert first.startswith(
        "tiny.yaml -> tiny.yaml with layer1.blocks=4, head.classes=5: 2 more blocks in layer1"
    )
    assert "head.classes          10      5" in done.stdout


def test_specs_that_differ_only_in_words_exit_with_1_and_say_so(call, tiny: Path) -> None:
    done = call("diff", "tiny.yaml", "tiny.yaml", "--set", "block.dilation=1")
    assert done.exit_code == 1
    assert "the specs differ, the networks are equal" in done.stdout
    done = call("diff", "tiny.yaml", "tiny.yaml", "--set", "doc=other words")
    assert done.exit_code == 0


def test_json_is_one_object(call) -> None:
    done = call("diff", "resnet18", "resnet34", "--format", "json")
    assert done.exit_code == 1
    data = json.loads(done.stdout)
    assert data["before"]["network"] == "resnet18"
    assert {each["path"] for each in data["spec"]} == {
        f"stages.layer{at}.blocks" for at in (1, 2, 3, 4)
    }


def test_markdown(call) -> None:
    done = call("diff", "resnet18", "resnet34", "--format", "md")
    assert "| cost | resnet18 | resnet34 | difference |  |" in done.stdout


def test_a_file(call, folder: Path) -> None:
    done = call("diff", "resnet18", "resnet34", "-o", "what.txt")
    assert (done.exit_code, done.stdout) == (1, "wrote what.txt\n")
    assert Path("what.txt").read_text(encoding="utf-8").startswith("resnet18 -> resnet34: ")


def test_errors_of_both_are_reported_together(call, folder: Path) -> None:
    Path("one.yaml").write_text("network: one\nextends: resnet51\n", encoding="utf-8")
    Path("two.yaml").write_text("network: two\nextends: resnet18\nblock: basik\n", encoding="utf-8")
    done = call("diff", "one.yaml", "two.yaml")
    assert done.exit_code == 1
    assert "there is no spec `resnet51`" in done.stderr
    assert "`basik`" in done.stderr
    assert done.stdout == ""


def test_an_error_of_one_spec_that_is_named_twice_is_reported_once(call, folder: Path) -> None:
    Path("one.yaml").write_text("network: one\nextends: resnet51\n", encoding="utf-8")
    done = call("diff", "one.yaml", "one.yaml")
    assert done.stderr.count("error[") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "resnet18"), "there is no file and no library network `nowhere`"),
        (("resnet18", "resnet18", "--set", "layr1.blocks=3"), "no stage and no key `layr1`"),
        (("resnet18", "resnet18", "--set", "layer1"), "is not KEY=VALUE"),
        (("resnet18",), "Missing argument"),
        (("resnet18", "resnet18", "--format", "html"), "html"),
    ],
)
def test_a_wrong_call_exits_with_2(call, arguments: tuple[str, ...], words: str) -> None:
    done = call("diff", *arguments)
    assert done.exit_code == 2
    assert words in done.stderr


@pytest.mark.parametrize(
    "text",
    [each.text for each in fenced((ROOT / "docs/language.md").read_text("utf-8"), "console")],
)
def test_the_page_of_the_language_shows_what_is_printed(text: str) -> None:
    assert text.startswith("$ resnetgen diff")
    assert session_beside((ROOT / "docs/language.md").read_text(encoding="utf-8"), text) == text
