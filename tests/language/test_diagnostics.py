"""How a diagnostic is shown to a person, to a program and to GitHub."""

from __future__ import annotations

import json
import pickle

import pytest

from resnetgen.compiler.diagnostics.formats import as_github, as_json
from resnetgen.compiler.diagnostics.model import (
    Diagnostic,
    Note,
    Source,
    Span,
    SpecError,
    closest_match,
    did_you_mean,
    render,
)

TEXT = "network: mine\n" * 13 + "  layer3: {blocks: 6, width: 256, stride: 2}\n"
SOURCE = Source("specs/mine.yaml", TEXT)
STRIDE = Span(SOURCE, 14, 35, 44)
ERROR = Diagnostic(
    "shape-mismatch",
    "layer3.0.add: cannot add 256 x 14 x 14 to 128 x 28 x 28",
    STRIDE,
    notes=(
        Note("the main path halves the size here", STRIDE),
        Note("the shortcut policy is `identity`", Span(SOURCE, 6, 11, 14)),
        Note("which keeps the shape of its input"),
    ),
    help="use `shortcut: projection`",
)


def shown(line: str, column: int, end: int, **more: str) -> list[str]:
    """Source line and caret line of an error on a line of its own."""
    span = Span(Source("a.yaml", line), 1, column, end)
    return render([Diagnostic("code", "message", span, **more)]).split("\n")[2:4]  # type: ignore[arg-type]


def test_an_error_is_shown_with_its_line_a_caret_the_reason_and_the_fix() -> None:
    assert render([ERROR]).split("\n") == [
        "specs/mine.yaml:14:35: error[shape-mismatch]: "
        "layer3.0.add: cannot add 256 x 14 x 14 to 128 x 28 x 28",
        "   |",
        "14 |   layer3: {blocks: 6, width: 256, stride: 2}",
        "   |                                   ^^^^^^^^^ the main path halves the size here",
        "   = note: the shortcut policy is `identity` (specs/mine.yaml:6:11)",
        "   = note: which keeps the shape of its input",
        "   = help: use `shortcut: projection`",
    ]


def test_an_error_without_a_place_has_no_excerpt() -> None:
    error = Diagnostic("cycle", "a extends itself", help="remove it", severity="warning")
    assert render([error]) == "warning[cycle]: a extends itself\n  = help: remove it"


@pytest.mark.parametrize("span", [Span(Source("a", ""), 1, 1, 2), Span(Source("a", "x"), 9, 1, 2)])
def test_a_place_that_the_text_does_not_have_is_named_only(span: Span) -> None:
    assert render([Diagnostic("limit", "too large", span)]).count("\n") == 0


def test_several_errors_are_separated_by_an_empty_line() -> None:
    assert render([ERROR, ERROR]) == f"{render([ERROR])}\n\n{render([ERROR])}"


def test_colour_adds_only_colour() -> None:
    painted = render([ERROR], color=True)
    assert "\x1b[1;31merror[shape-mismatch]\x1b[0m" in painted
    assert "\x1b[1;31m^^^^^^^^^\x1b[0m" in painted
    assert "\x1b" not in render([ERROR])


@pytest.mark.parametrize("color", [False, True])
def test_control_characters_are_never_echoed(color: bool) -> None:
    bad = "a\x1b]0;x\x07\x00\r\n\x9b\u202e\u2028\ud800\U000e0001"
    span = Span(Source(f"{bad}.yaml", "key: \x1b[31m\x7f\u202e"), 1, 6, 7)
    error = Diagnostic(bad, bad, span, (Note(bad, span), Note(bad)), bad, severity="error")
    text = render([error], color=color) + as_github([error])
    for style in ("\x1b[1;31m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"):
        text = text.replace(style, "")
    assert all(char == "\n" or char.isprintable() for char in text)
    assert "a\\x1b]0;x\\x07\\x00\\x0d\\x0a\\x9b\\u202e\\u2028\\ud800\\U000e0001" in text
    assert as_github([error]).count("\n") == 0


@pytest.mark.parametrize(
    ("line", "column", "end", "excerpt", "carets"),
    [
        ("a: bc", 4, 6, "a: bc", "   ^^"),
        ("a:", 3, 4, "a:", "  ^"),
        ("a:", 9, 12, "a:", "  ^"),
        ("\ta: b", 5, 6, "    a: b", "       ^"),
        ("漢字: é😀b", 5, 8, "漢字: é😀b", "      ^^^^"),
        ("e\u0301: b", 5, 6, "e\u0301: b", "   ^"),
        ("\x1b: b", 4, 5, "\\x1b: b", "      ^"),
        ("a\x1bb", 2, 3, "a\\x1bb", " ^^^^"),
    ],
)
def test_carets_are_below_what_they_mark(
    line: str, column: int, end: int, excerpt: str, carets: str
) -> None:
    assert shown(line, column, end) == [f"1 | {excerpt}", f"  | {carets}"]


@pytest.mark.parametrize("char", ["x", "漢", "\x1b", "\t"])
@pytest.mark.parametrize("column", [1, 100, 50_000, 99_999])
def test_a_wide_line_is_clipped_around_the_caret(char: str, column: int) -> None:
    line = char * (column - 1) + "HERE" + char * (100_000 - column)
    excerpt, carets = shown(line, column, column + 4)
    assert len(excerpt) <= 175
    before = excerpt[4 : excerpt.index("HERE")]
    width = len(before) * 2 - before.count(".") if char == "漢" else len(before)
    assert carets == "  | " + " " * width + "^^^^"


def test_a_line_of_160_columns_is_shown_whole() -> None:
    assert shown("x" * 160, 150, 151)[0] == "1 | " + "x" * 160
    assert shown("x" * 161, 150, 151)[0].startswith("1 | ...xxx")


def test_a_wide_mark_is_clipped_too() -> None:
    excerpt, carets = shown("a: " + "x" * 5000, 4, 5004)
    assert excerpt.endswith("...")
    assert carets.count("^") == 157


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_yaml_counts_them(end: str) -> None:
    source = Source("a", f"one{end}two\x0cmore{end}three")
    assert source.lines() == ["one", "two\x0cmore", "three"]


def test_the_text_of_the_error_is_the_rendering() -> None:
    error = SpecError([ERROR])
    assert str(error) == render([ERROR])
    assert error.diagnostics == (ERROR,)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_json_carries_everything() -> None:
    (data,) = json.loads(json.dumps(as_json([ERROR])))
    assert data == {
        "code": "shape-mismatch",
        "severity": "error",
        "message": ERROR.message,
        "file": "specs/mine.yaml",
        "line": 14,
        "column": 35,
        "end": 44,
        "notes": [
            {
                "text": "the main path halves the size here",
                "file": "specs/mine.yaml",
                "line": 14,
                "column": 35,
                "end": 44,
            },
            {
                "text": "the shortcut policy is `identity`",
                "file": "specs/mine.yaml",
                "line": 6,
                "column": 11,
                "end": 14,
            },
            {
                "text": "which keeps the shape of its input",
                "file": None,
                "line": None,
                "column": None,
                "end": None,
            },
        ],
        "help": "use `shortcut: projection`",
    }


def test_github_commands_are_escaped() -> None:
    span = Span(Source("a,b:c%.yaml", "x"), 3, 5, 9)
    error = Diagnostic("a::b", "100% wrong, say: why", span, help="do it")
    assert as_github([error]) == (
        "::error file=a%2Cb%3Ac%25.yaml,line=3,col=5,endColumn=9,title=a%3A%3Ab"
        "::100%25 wrong, say: why%0Ahelp: do it"
    )


def test_a_github_command_needs_no_place() -> None:
    assert as_github([Diagnostic("x", "y", severity="warning")]) == "::warning title=x::y"


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("projecton", "projection"),
        ("PROJECTION", "projection"),
        ("relu", "ReLU"),
        ("zeropad", "zero_pad"),
        ("qqqq", None),
        ("", None),
        ("x" * 1_000_000, None),
    ],
)
def test_a_close_word_is_suggested(word: str, meant: str | None) -> None:
    candidates = ["identity", "projection", "zero_pad", "ReLU"]
    assert closest_match(word, candidates) == meant
    assert closest_match(word, reversed(candidates)) == meant
    assert did_you_mean(word, candidates) == (meant and f"did you mean `{meant}`?")
