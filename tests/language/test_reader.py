"""What YAML a spec may use, and which errors the rest gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from resnetgen.compiler.diagnostics.model import Diagnostic, Source, Span, SpecError
from resnetgen.compiler.frontend import yaml_reader
from resnetgen.compiler.frontend.tree import (
    ListTree,
    MapTree,
    Scalar,
    Tree,
    key_span,
    python_value,
    value_span,
)

LOADERS = [yaml.SafeLoader]
if hasattr(yaml, "CSafeLoader"):
    LOADERS.insert(0, yaml.CSafeLoader)


@pytest.fixture(autouse=True, params=LOADERS, ids=lambda loader: loader.__name__)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds for libyaml's parser and for the one in Python."""
    monkeypatch.setattr(yaml_reader, "LOADER", request.param)


def tree_of(text: str) -> MapTree:
    return yaml_reader.parse(Source("mine.yaml", text))


def value_of(text: str) -> object:
    return python_value(tree_of(f"key: {text}\n").entries["key"])


def errors_of(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(SpecError) as caught:
        tree_of(text)
    return caught.value.diagnostics


def only_error(text: str) -> Diagnostic:
    errors = errors_of(text)
    assert len(errors) == 1, [error.message for error in errors]
    return errors[0]


def place(span: Span | None) -> tuple[int, int, int]:
    assert span is not None
    return span.line, span.column, span.end


# --- scalars: YAML 1.2, core schema ---------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(text, None) for text in ("", "~", "null", "Null", "NULL")],
        *[(text, True) for text in ("true", "True", "TRUE")],
        *[(text, False) for text in ("false", "False", "FALSE")],
        *[(text, text) for text in ("no", "on", "off", "yes", "No", "Y", "nULL", "tRUE")],
        *[(text, text) for text in ("12:30", "1_000", "2024-13-45", "2024-01-01", "0b11", "+0x1")],
        *[(text, text) for text in (".", "-x", "1e", "e3", "1.2.3", "0x", "0o8", "٣", "=", "1 2")],
        ("0", 0),
        ("010", 10),
        ("+7", 7),
        ("-64", -64),
        ("0o17", 15),
        ("0xfF", 255),
        ("9" * 18, 10**18 - 1),
        ("1e-3", 1e-3),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("-1.", -1.0),
        ("6.02", 6.02),
        ("max(a, b) * 2", "max(a, b) * 2"),
    ],
)
def test_plain_scalars_follow_the_core_schema(text: str, value: object) -> None:
    read = value_of(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", ["010", "true", "null", "1e-3", ".inf", "~", "9" * 5000, "<<"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_quoted_scalars_are_strings(text: str, quote: str) -> None:
    assert value_of(f"{quote}{text}{quote}") == text


def test_block_text_is_a_string() -> None:
    assert value_of("|\n  10\n") == "10\n"
    assert value_of(">-\n  one\n  two\n") == "one two"


@pytest.mark.parametrize(
    "text", ["1" * 19, "-" + "0" * 19, "9" * 5000, "0x" + "f" * 16, "0o" + "7" * 30]
)
def test_an_integer_has_at_most_18_digits(text: str) -> None:
    error = only_error(f"key: {text}")
    assert (error.code, place(error.span)) == ("yaml-number", (1, 6, 6 + len(text)))
    assert "18 digits" in error.message


@pytest.mark.parametrize("text", [".inf", "-.INF", "+.Inf", ".nan", ".NaN", "1e999"])
def test_no_value_is_infinite(text: str) -> None:
    assert only_error(f"key: {text}").code == "yaml-number"


def test_keys_keep_their_raw_text() -> None:
    tree = tree_of("0: a\n1.10: b\n010: c\ntrue: d\n'x y': e\n" + "7" * 30 + ": f\n.inf: g")
    assert list(tree.entries) == ["0", "1.10", "010", "true", "x y", "7" * 30, ".inf"]


# --- keys -----------------------------------------------------------------------------------


def test_a_repeated_key_is_reported_with_a_note_at_the_first() -> None:
    error = only_error("{a: 1, b: 3, a: 2}")
    assert (error.code, place(error.span)) == ("duplicate-key", (1, 14, 15))
    assert place(error.notes[0].span) == (1, 2, 3)


@pytest.mark.parametrize("text", ["a: 1\n'a': 2", "1: x\n'1': y", "b:\n  - a: 1\n    a: 2"])
def test_keys_are_equal_when_their_text_is(text: str) -> None:
    assert only_error(text).code == "duplicate-key"


def test_the_same_key_in_two_maps_is_no_repetition() -> None:
    assert python_value(tree_of("a: {x: 1}\nb: {x: 1}")) == {
        "a": {"x": 1},
        "b": {"x": 1},
    }


@pytest.mark.parametrize(
    "text", ["{[a]: 1}", "{{a: 1}: 2}", "? - a\n: 1", "? |\n  a\n: 1", "? \n: 1"]
)
def test_a_key_is_a_word(text: str) -> None:
    assert only_error(text).code == "yaml-key"


# --- what specs do not have -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("a: &x 1", "yaml-alias", (1, 4)),
        ("a: *x", "yaml-alias", (1, 4)),
        ("a: {<<: *x}", "yaml-alias", (1, 5)),
        ("<<: {a: 1}", "yaml-alias", (1, 1)),
        ("{*x : 1}", "yaml-alias", (1, 2)),
        ("a: *", "yaml-alias", (1, 5)),
        ("a: !!str 1", "yaml-tag", (1, 4)),
        ("a: !!python/object/apply:os.system [ls]", "yaml-tag", (1, 4)),
        ("a: ! 1", "yaml-tag", (1, 4)),
        ("a: !x!y 1", "yaml-tag", (1, 4)),
        ("a: 1\n---\nb: 2", "yaml-documents", (2, 1)),
    ],
)
def test_aliases_tags_and_further_documents_are_refused(
    text: str, code: str, where: tuple[int, int]
) -> None:
    error = only_error(text)
    assert (error.code, place(error.span)[:2]) == (code, where)


def test_an_alias_error_says_what_to_write_instead() -> None:
    assert "`extends:`" in str(only_error("a: *x").help)


def test_an_anchor_and_its_aliases_are_one_cause() -> None:
    errors = errors_of("a: &x 1\nb: *x\nc: *x\nd: *x\ne: *y")
    assert [place(error.span)[0] for error in errors] == [1, 2, 5]


def test_an_alias_bomb_ends_at_once() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    assert {error.code for error in errors_of("\n".join(lines))} == {"yaml-alias"}


# --- commas in expressions ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "expression"),
    [
        ("{out: max(a, b)}", (1, 7, 12), 'out: "max(a, b)"'),
        ("{out: max(a, b) * 2, stride: 2}", (1, 7, 12), 'out: "max(a, b) * 2"'),
        ("{out: min(max(a, b), c), d: 1}", (1, 7, 16), 'out: "min(max(a, b), c)"'),
        ("{out: max(a , a, a), d: 1}", (1, 7, 12), 'out: "max(a , a, a)"'),
        ("a: [1, max(b, min(c, d)), 2]", (1, 8, 13), '"max(b, min(c, d))"'),
        ('{out: max(a, "b")}', (1, 7, 12), "out: 'max(a, \"b\")'"),
        ("{é: 漢, out: max(a, b)}", (1, 13, 18), 'out: "max(a, b)"'),
    ],
)
def test_a_comma_in_a_flow_expression_needs_quotes(
    text: str, where: tuple[int, int, int], expression: str
) -> None:
    error = only_error(text)
    assert (error.code, place(error.span)) == ("unquoted-comma", where)
    assert error.help == f"quote the expression: {expression}"


@pytest.mark.parametrize(
    "text", ["out: max(a, b)", '{out: "max(a, b)"}', "{out: (a + b) * 2, c: (d)}", "{out: max(a}"]
)
def test_no_comma_splits_these(text: str) -> None:
    assert isinstance(tree_of(text), MapTree)


def test_two_split_expressions_are_two_errors() -> None:
    assert len(errors_of("a: {x: max(a, b), y: min(c, d)}")) == 2


# --- caps -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1100,
        "[" * 100_000,
        "{a: " * 65,
        "- " * 65,
        "".join("\n" + " " * n + "a:" for n in range(70)),
    ],
)
def test_depth_is_limited_and_what_lies_deeper_is_not_read(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[object] = []
    parse = yaml.parse

    def noted(*arguments: object, **options: object) -> Iterator[object]:
        for event in parse(*arguments, **options):
            events.append(event)
            yield event

    monkeypatch.setattr(yaml, "parse", noted)
    error = only_error(text)
    assert error.code == "limit"
    assert "64" in error.message
    # Two at the start, at most a map and a key for each level, and the one that is too deep.
    assert 64 < len(events) <= 2 + 2 * 64 + 1


def test_64_levels_can_be_read_and_taken_apart() -> None:
    tree = tree_of("a: " + "[" * 63 + "]" * 63)
    assert str(python_value(tree)).count("[") == 63
    assert value_span(tree, ["a", *[0] * 62]).column == 4 + 62


def test_the_number_of_nodes_is_limited() -> None:
    error = only_error("".join(f"a{n}: [{'1,' * 250}]\n" for n in range(400)))
    assert (error.code, "100,000" in error.message) == ("limit", True)


def test_the_length_of_a_list_is_limited() -> None:
    assert len(python_value(tree_of("a: [" + "1," * 256 + "]"))["a"]) == 256
    error = only_error("a: [" + "1," * 257 + "]")
    assert (error.code, error.message) == ("limit", "a list has at most 256 values")


def test_the_length_of_a_scalar_is_limited() -> None:
    assert value_of("x" * 10_000) == "x" * 10_000
    assert only_error("a: " + "x" * 10_001).code == "limit"


def test_the_size_of_a_text_is_limited() -> None:
    assert only_error("# " + "é" * (1 << 19)).code == "limit"


# --- characters -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: \0", (1, 4)),
        ("a: b\n\x1b[31mc: 1", (2, 1)),
        ("é: \x07", (1, 4)),
        ("a: \ud800", (1, 4)),
        ("a: \ufeff1", (1, 4)),
        ("a: \u2028b", (1, 4)),
        ("a: x\u202ey", (1, 5)),
        ("a: \x85", (1, 4)),
        ("a: \x7f", (1, 4)),
        ('a: "\\0"', (1, 4)),
        ('a: "\\e"', (1, 4)),
        ('a: "\\L"', (1, 4)),
        ('a: "x\\ry"', (1, 4)),
        ('"\\x07": 1', (1, 1)),
    ],
)
def test_harmful_characters_are_refused_raw_and_as_escapes(
    text: str, where: tuple[int, int]
) -> None:
    error = only_error(text)
    assert (error.code, place(error.span)[:2]) == ("yaml-encoding", where)


@pytest.mark.parametrize("escape", ["\\ud800", "\\U00110000", "\\UFFFFFFFF"])
def test_escapes_of_no_character_are_refused(escape: str) -> None:
    assert only_error(f'a: "{escape}"').code == "yaml-encoding"


@pytest.mark.parametrize("text", ["\ufeffa: 1\nb: 2", "a: 1\r\nb: 2\r\n", "a: 1\rb: 2"])
def test_a_byte_order_mark_and_any_line_ends_are_harmless(text: str) -> None:
    tree = tree_of(text)
    assert python_value(tree) == {"a": 1, "b": 2}
    assert (place(tree.key_spans["a"]), place(tree.key_spans["b"])) == ((1, 1, 2), (2, 1, 2))


def test_a_tab_inside_a_string_is_harmless() -> None:
    assert value_of('"a\tb"') == "a\tb"


def test_a_tab_does_not_indent() -> None:
    error = only_error("a:\n\tb: 1")
    assert (error.code, place(error.span)[:2]) == ("yaml-syntax", (2, 1))
    assert (error.message, error.help) == ("a tab is not allowed here", "use spaces")


# --- syntax ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("a: b: c", (1, 5), "`:` is not allowed here"),
        ("a: 1\n b: 2", (2, 3), "`:` is not allowed here"),
        ("a: 1\nstride\nb: 1", (2, 1), "not a `key: value` line"),
        ("a: {b: 1\n\n", (1, 9), "closing `}` is missing"),
        ("a: [1, 2}", (1, 9), "closing `]` is missing"),
        ("a: @x", (1, 4), "cannot start with `@`"),
        ('a: "x\n', (1, 6), "the quote is never closed"),
        ("- a\nb: 1", (2, 1), "does not fit the lines above"),
        ("a: - 1", (1, 4), "a list item cannot start here"),
        ("a: }", (1, 4), "a key or a value is missing"),
        ("{: 1}", (1, 2), "a key or a value is missing"),
        ("{a: 1}}", (1, 7), "more text after the end"),
        ("%YAML " + "1" * 5000 + ".1\n---\na: 1", None, "start with `%`"),
        ('a: "\\q"', None, "unknown escape"),
        ('a: "\\xzz"', None, "unknown escape"),
        ("a: |x\n", (1, 5), "after `|` or `>`"),
    ],
)
def test_syntax_errors_say_what_is_wrong(
    text: str, where: tuple[int, int] | None, words: str
) -> None:
    error = only_error(text)
    assert error.code == "yaml-syntax"
    assert words in error.message
    assert where is None or place(error.span)[:2] == where


def test_an_unclosed_bracket_is_shown_where_it_was_opened() -> None:
    assert place(only_error("a: {b: 1").notes[0].span) == (1, 4, 5)


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "---\n", "- a\n- b", "[a]", "word", "7"]
)
def test_the_top_level_is_a_map(text: str) -> None:
    assert only_error(text).code == "not-a-map"


# --- all errors at once ---------------------------------------------------------------------


def test_independent_errors_are_reported_together_in_order() -> None:
    text = "a: 1\na: 2\nb: *x\nc: !t 1\nd: .inf\ne: {f: max(a, b)}\ng: [1"
    codes = ["duplicate-key", "yaml-alias", "yaml-tag", "yaml-number", "unquoted-comma"]
    assert [error.code for error in errors_of(text)] == [*codes, "yaml-syntax"]


@pytest.mark.parametrize("end", ["", "z: [1"])
@pytest.mark.parametrize("count", [18, 19, 20, 21, 5000])
def test_at_most_20_errors_are_reported(count: int, end: str) -> None:
    text = "".join(f"a{n}: .inf\n" for n in range(count)) + end
    assert len(errors_of(text)) == min(20, count + bool(end))


def test_at_most_two_errors_have_one_cause() -> None:
    assert len(errors_of("a: 1\n" * 10)) == 2


# --- spans ----------------------------------------------------------------------------------

SPEC = """\
network: "résumé 漢字 😀"
let: {é😀: 漢字, width: 64}   # a comment
stages:
  layer1:
    blocks: 3
    args: [1, {a: x}]
text: |
  two
  lines
long: one
  two
empty:
"""


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ([], (1, 1, 23), (1, 1, 23)),
        (["network"], (1, 10, 23), (1, 1, 8)),
        (["let"], (2, 6, 25), (2, 1, 4)),
        (["let", "é😀"], (2, 11, 13), (2, 7, 9)),
        (["let", "width"], (2, 22, 24), (2, 15, 20)),
        (["stages"], (4, 3, 9), (3, 1, 7)),
        (["stages", "layer1", "blocks"], (5, 13, 14), (5, 5, 11)),
        (["stages", "layer1", "args", 1, "a"], (6, 19, 20), (6, 16, 17)),
        (["stages", "layer1", "args", 1], (6, 15, 21), (6, 15, 21)),
        (["text"], (7, 7, 8), (7, 1, 5)),
        (["long"], (10, 7, 10), (10, 1, 5)),
        (["empty"], (12, 7, 8), (12, 1, 6)),
        (["stages", "layer9", "blocks"], (4, 3, 9), (4, 3, 9)),
        (["stages", "layer1", "args", 7], (6, 11, 22), (6, 11, 22)),
        (["stages", "layer1", "args", "x"], (6, 11, 22), (6, 11, 22)),
        (["network", "x"], (1, 10, 23), (1, 10, 23)),
    ],
)
def test_values_and_keys_are_located_in_code_points(
    path: list[str | int], value: tuple[int, int, int], key: tuple[int, int, int]
) -> None:
    tree = tree_of(SPEC)
    assert place(value_span(tree, path)) == value
    assert place(key_span(tree, path)) == key


def test_a_numeric_step_finds_a_key_of_a_map() -> None:
    tree = tree_of("features: {0: conv}")
    assert place(value_span(tree, ["features", 0])) == (1, 15, 19)
    assert place(key_span(tree, ["features", 0])) == (1, 12, 13)


def test_a_flow_map_over_several_lines_ends_on_its_first() -> None:
    assert place(value_span(tree_of("a: {b: 12,\n  c: 3}"), ["a"])) == (1, 4, 10)


# --- anything at all ------------------------------------------------------------------------


PIECES = ["a", "b: ", "\n", " ", "  ", "- ", "? ", ": ", "[", "]", "{", "}", ",", "max(", ")", "'"]
PIECES += [
    '"',
    "\\",
    "&x ",
    "*x",
    "!t ",
    "|",
    ">",
    "%",
    "#",
    "---\n",
    "...",
    "\t",
    "é",
    "😀",
    "1",
    "<<",
]


def check_spans(tree: Tree) -> None:
    lines = tree.span.source.lines()
    assert 1 <= tree.span.line <= len(lines)
    assert 1 <= tree.span.column < tree.span.end <= len(lines[tree.span.line - 1]) + 2
    if isinstance(tree, Scalar) and not tree.quoted and tree.text and "\n" not in tree.text:
        shown = lines[tree.span.line - 1][tree.span.column - 1 : tree.span.end - 1]
        assert tree.text.startswith(shown)
    for child in tree.items if isinstance(tree, ListTree) else []:
        check_spans(child)
    for child in tree.entries.values() if isinstance(tree, MapTree) else []:
        check_spans(child)


def check_errors(errors: tuple[Diagnostic, ...]) -> None:
    assert 1 <= len(errors) <= 20
    assert all(str(error.span).startswith("mine.yaml:") for error in errors)


def test_any_text_is_a_tree_or_errors() -> None:
    @given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
    def holds(text: str) -> None:
        try:
            tree = tree_of(text)
        except SpecError as error:
            check_errors(error.diagnostics)
        else:
            check_spans(tree)

    holds()
