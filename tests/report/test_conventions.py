"""The tables of conventions are sound, sums are exact, and `docs/conventions.md` is current.

    python tests/report/test_conventions.py       writes the tables of the page again

test_tools.py compares with the tools themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from resnetgen import Compiled, compile_spec
from resnetgen.compiler.analysis.rows import rows_by_block, rows_by_node, rows_by_stage
from resnetgen.compiler.frontend import library
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.infer_types import op_counts
from resnetgen.pipeline import compile_document, compile_text
from resnetgen.reports.conventions import (
    NAMES,
    conventions,
    explain,
    explanation_lines,
    network_operations,
    operations,
    read_conventions,
)
from resnetgen.reports.match import (
    FigureMatch,
    MatchKind,
    match,
    match_lines,
    read_figure,
    siblings,
)
from resnetgen.reports.tables import read_table

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/conventions.md"
TABLE = read_table("conventions")

# Of different kinds: bottlenecks, gates, a blur, branches and training outputs, three axes, biases.
KINDS = ("resnet50", "seresnet50", "resnetblur50", "googlenet", "r3d_18", "vgg19")


@cache
def compiled(name: str) -> Compiled:
    return compile_spec(name)


# --- the tables


def test_the_names_of_the_table_are_those_that_are_computed() -> None:
    assert list(TABLE["names"]) == list(NAMES)


def test_no_name_hides_an_attribute_of_an_op() -> None:
    assert not set(NAMES) & {name for op in OPS.values() for name in op.attributes}


def test_every_reason_is_given_somewhere() -> None:
    rules = [rule for each in conventions().values() for op in each.rules.values() for rule in op]
    assert {rule.reason for rule in rules} == set(TABLE["reasons"])


def test_a_convention_says_what_it_is() -> None:
    for convention in conventions().values():
        assert convention.doc
        assert re.match(r"[12] for a multiply-add, called \S", convention.unit), convention.name
        assert (convention.version is None) == (convention.tool == "resnetgen")


def test_an_op_of_training_alone_counts_nothing() -> None:
    training = {name for name, op in OPS.items() if op.training_only}
    assert training
    for convention in conventions().values():
        assert not training & set(convention.rules)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"pooling": {"max_pol": "source"}}, "there is no op `max_pol`"),
        ({"poling": {"max_pool": "source"}}, "there is no reason `poling`"),
        ({"pooling": {"max_pool": "sorce"}}, "there is no `sorce` to read"),
        ({"pooling": {"max_pool": "mode == linear"}}, "there is no `mode` to read"),
        ({"pooling": {"max_pool": "source **"}}, "is not an expression"),
    ],
)
def test_a_slip_in_a_table_is_found(counts: dict[str, Any], message: str) -> None:
    table: dict[str, Any] = deepcopy(TABLE)
    table["conventions"]["fvcore"]["counts"] = counts
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_conventions(table)
    assert str(caught.value).startswith("fvcore")


# --- counting


@pytest.mark.parametrize("path", library.network_files(), ids=lambda path: path.stem)
def test_our_own_conventions_are_the_costs(path: Path) -> None:
    net = compiled(path.stem)
    assert network_operations(conventions()["macs"], net.typed) == net.cost.macs
    assert network_operations(conventions()["flops"], net.typed) == net.cost.flops
    assert network_operations(conventions()["torchvision"], net.typed) == net.cost.macs


# Figures of the tools for ResNet-50 when FACTS were collected, and v1 beside v1.5.
KNOWN = {
    "fvcore": 4_111_512_576,
    "ptflops": 4_132_436_968,
    "ptflops-modules": 4_121_925_096,
    "ptflops-aten": 4_089_185_256,
    "thop": 4_133_742_592,
    "torchinfo": 4_089_238_376,
    "torch": 8_178_368_512,
}


@pytest.mark.parametrize("name", KNOWN)
def test_resnet50_counts_what_is_known(name: str) -> None:
    assert network_operations(conventions()[name], compiled("resnet50").typed) == KNOWN[name]


@pytest.mark.parametrize("name", KINDS)
def test_rows_of_every_kind_sum_to_the_whole(name: str) -> None:
    net = compiled(name).typed
    by_kind = [
        list(rows_by_node(net)),
        list(rows_by_node(net, folded=True)),
        list(rows_by_block(net)),
        list(rows_by_stage(net)),
    ]
    for convention in conventions().values():
        whole = network_operations(convention, net)
        for rows in by_kind:
            assert sum(operations(convention, row.nodes) for row in rows) == whole


def test_what_only_training_computes_counts_nothing() -> None:
    """GoogLeNet without its auxiliary heads, by each convention and by the costs of its nodes."""
    whole, bare = compiled("googlenet"), compile_spec("googlenet", train_outputs="null", **_NO_AUX)
    assert whole.cost.params > bare.cost.params
    for convention in conventions().values():
        assert network_operations(convention, whole.typed) == network_operations(
            convention, bare.typed
        )
    rows = list(rows_by_node(whole.typed))
    assert sum(row.cost.macs for row in rows) == whole.cost.macs
    assert sum(row.cost.activations for row in rows) == whole.cost.activations


_NO_AUX = {"nodes.aux1": "null", "nodes.aux2": "null"}


def test_a_deep_network_costs_what_a_shallow_one_does() -> None:
    steps = {
        name: len(list(op_counts((step, 1) for step in compiled(name).typed.nodes)))
        for name in ("resnet1202", "resnet20")
    }
    assert steps["resnet1202"] == steps["resnet20"]


def test_a_count_does_not_depend_on_how_blocks_are_grouped() -> None:
    """1202 layers, by the closed form that three stages of 200 blocks have."""
    net = compiled("resnet1202")
    norms = 16 * 32 * 32 * 401 + 32 * 16 * 16 * 400 + 64 * 8 * 8 * 400
    fvcore = network_operations(conventions()["fvcore"], net.typed)
    assert fvcore - net.cost.macs == 2 * norms + 64 * 8 * 8


def test_an_adaptive_pool_that_does_not_divide_is_cut_off_as_thop_does() -> None:
    spec = "network: n\ninput: {channels: 3, size: [13, 13]}\nnodes: {p: {op: adaptive_avg_pool, size: 6}}"
    [(step, _)] = op_counts((each, 1) for each in compile_text(spec).typed.nodes)
    ratio = (13 / 6) * (13 / 6)
    assert operations(conventions()["thop"], [(step, 1)]) == int(3 * 36 * (ratio + 1))


# --- explaining


@pytest.mark.parametrize("name", KINDS)
def test_reasons_sum_to_the_difference(name: str) -> None:
    net = compiled(name).typed
    for first, second in permutations(conventions().values(), 2):
        explanation = explain(first, second, net)
        assert explanation.totals == (
            network_operations(first, net),
            network_operations(second, net),
        )
        assert (
            sum(each.second - each.first for each in explanation.reasons) == explanation.difference
        )
        assert all(each.how for each in explanation.reasons)


def test_an_explanation_as_people_read_it() -> None:
    both = conventions()
    lines = explanation_lines(explain(both["torch"], both["thop"], compiled("resnetblur50").typed))
    assert lines == [
        "reason                  torch           thop      difference  each op counts",
        "multiply-adds  10,259,267,584  5,129,633,792  -5,129,633,792  convolution, linear: 2 * macs -> macs",
        "blur filters        6,773,760              0      -6,773,760  blur: 2 * macs -> 0",
        "normalisation               0     46,563,328     +46,563,328  batch_norm: 0 -> 4 * source",
        "pooling                     0        102,400        +102,400  global_avg_pool: 0 -> int(result * (ratio + 1))",
        "total          10,266,041,344  5,176,299,520  -5,089,741,824",
        "",
        "macs    multiply-adds of a convolution, a linear layer or a blur",
        "source  elements of the first input",
        "result  elements of the result",
        "ratio   positions of the first input for each position of the result",
    ]


def test_what_both_count_has_a_row() -> None:
    both = conventions()
    lines = explanation_lines(explain(both["macs"], both["fvcore"], compiled("resnet50").typed))
    [row] = [line for line in lines if line.startswith("what")]
    assert row.split() == ["what", "both", "count", "4,089,184,256", "4,089,184,256", "0"]


def test_conventions_that_agree_have_no_reason() -> None:
    explanation = explain(
        conventions()["flops"], conventions()["torch"], compiled("resnet50").typed
    )
    assert not explanation.reasons
    assert explanation_lines(explanation)[1:] == [
        "total   8,178,368,512  8,178,368,512           0"
    ]


# --- matching


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("4.12G", 4_115_000_000, 4_125_000_000),
        ("4.1 GFLOPs", 4_050_000_000, 4_150_000_000),
        ("4.1 GMac", 4_050_000_000, 4_150_000_000),
        ("8.18e9", 8_175_000_000, 8_185_000_000),
        ("3.8x10^9", 3_750_000_000, 3_850_000_000),
        ("3.8 × 10^9 FLOPs", 3_750_000_000, 3_850_000_000),
        ("25.6M", 25_550_000, 25_650_000),
        ("25.6 million parameters", 25_550_000, 25_650_000),
        ("4089184256 MACs", 4_089_184_255.5, 4_089_184_256.5),
        ("4,089,184,256", 4_089_184_255.5, 4_089_184_256.5),
        ("11B", 10_500_000_000, 11_500_000_000),
    ],
)
def test_a_figure_is_read_at_its_precision(text: str, low: float, high: float) -> None:
    assert read_figure(text).span(MatchKind.rounded) == (low, high)


@pytest.mark.parametrize("text", ["", "G", "4.12 X", "4,12G", "-4G", "4.1 GB/s", "4..1G", "1e-3"])
def test_what_is_no_figure_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"`{text}` is not a figure")):
        read_figure(text)


def found(text: str, name: str, **overrides: object) -> list[FigureMatch]:
    """What a figure may mean, of a network or of a sibling of it."""
    asked = compile_spec(name, **overrides)
    others = siblings(asked.document, overrides)
    networks = [(name, asked.typed)]
    networks += [(each, compile_document(document).typed) for each, document in others]
    return match(read_figure(text), networks)


def matches(text: str, name: str, **overrides: object) -> list[tuple[str, ...]]:
    return [(each.network, *each.by) for each in found(text, name, **overrides)]


def test_the_figure_of_a_tool_is_recognised() -> None:
    assert matches("4.12G", "resnet50")[0] == ("resnet50", "ptflops-modules")
    assert matches("4.11 G", "resnet50") == [("resnet50", "fvcore")]
    assert matches("8.18e9", "resnet50")[0] == ("resnet50", "flops", "torch")
    assert found("8.18e9", "resnet50")[0].kind is MatchKind.rounded


def test_the_figure_of_the_paper_is_that_of_a_sibling() -> None:
    """Table 1 gives 3.8e9 for what counts 3.858e9: cut off, and with the stride in the first 1x1."""
    answers = found("3.8e9", "resnet50")
    assert {each.network for each in answers} == {"resnet50_v1"}
    assert answers[0].count == 3_857_973_248
    assert answers[0].kind is MatchKind.cut


def test_a_unit_says_what_a_figure_is_of() -> None:
    assert {each.by for each in found("25.6M", "resnet50")} == {("parameters",)}
    assert {each.by for each in found("25.6M params", "resnet50")} == {("parameters",)}
    assert found("25.6 MFLOPs", "resnet50")[0].kind is MatchKind.nearest


def test_twice_a_convention_is_recognised() -> None:
    [answer] = found("8.22G", "resnet50")
    assert (answer.network, answer.by, answer.factor) == ("resnet50", ("fvcore",), 2)
    lines = match_lines(read_figure("8.22G"), [answer])
    assert lines[0] == "8.22G is 8,215,000,000 to 8,225,000,000, rounded:"
    assert lines[2].split() == ["resnet50", "twice", "fvcore", "4,111,512,576", "+0.04%"]


def test_without_a_match_the_nearest_are_told() -> None:
    answers = found("5.0 GFLOPs", "resnet50")
    assert len(answers) == 3
    assert {each.kind for each in answers} == {MatchKind.nearest}
    assert [abs(each.off) for each in answers] == sorted(abs(each.off) for each in answers)
    assert match_lines(read_figure("5.0 GFLOPs"), answers)[0].startswith(
        "nothing counts 5.0 GFLOPs"
    )


def test_siblings_keep_the_overrides() -> None:
    late, early = (
        compile_spec(f"resnet50{form}", **{"input.size": [256, 256]}) for form in ("", "_v1")
    )
    assert late.cost.macs != early.cost.macs
    answers = found(f"{early.cost.macs}", "resnet50", **{"input.size": [256, 256]})
    assert {each.network for each in answers} == {"resnet50_v1"}


def test_siblings_are_those_that_could_have_been_meant() -> None:
    def names(name: str) -> set[str]:
        return {each for each, _ in siblings(compile_spec(name).document)}

    assert {"resnet50_v1", "resnet50d", "resnet50_gn"} <= names("resnet50")
    assert not {"resnet50", "resnet101", "seresnet50", "resnet18_1d"} & names("resnet50")
    assert names("vgg19") == {"vgg19_bn"}
    assert names("googlenet") == set()
    assert {each.network for each in found("0.27M", "resnet20")} == {
        "resnet20",
        "resnet20_appended",
        "resnet20_b",
    }


def test_a_network_of_other_shapes_is_no_sibling() -> None:
    """ResNet-34 has the stages of ResNet-50, of other blocks."""
    macs = compiled("resnet34").cost.macs
    assert "resnet34" in {each for each, _ in siblings(compile_spec("resnet50").document)}
    assert "resnet34" not in {each.network for each in found(str(macs), "resnet50")}


# --- the page


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _figures() -> Iterator[str]:
    yield from ("| convention | ResNet-50 | counts | |", "|---|--:|---|---|")
    for name, each in conventions().items():
        version = f" ({each.tool} {each.version})" if each.version else ""
        figure = network_operations(each, compiled("resnet50").typed)
        yield f"| `{name}` | {figure:,} | {each.unit} | {_cell(each.doc)}{version} |"


def _coefficients() -> Iterator[str]:
    heads = [name for name in conventions() if name not in ("flops", "torchvision")]
    yield f"| | {' | '.join(f'`{name}`' for name in heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for reason in TABLE["reasons"]:
        for op in OPS:
            cells = [_coefficient(name, reason, op) for name in heads]
            if any(cells):
                yield f"| {reason}: `{op}` | {' | '.join(cells)} |"


def _coefficient(convention: str, reason: str, op: str) -> str:
    rules = conventions()[convention].rules.get(op, ())
    return "".join(f"`{rule.text}`" for rule in rules if rule.reason == reason)


def _names() -> Iterator[str]:
    yield from (f"- `{name}`: {doc}" for name, doc in TABLE["names"].items())


def _notes() -> Iterator[str]:
    for name, each in conventions().items():
        if each.notes:
            yield from (f"**{name}**", "")
            yield from (f"- {note}" for note in each.notes)
            yield ""


PARTS = {"figures": _figures, "coefficients": _coefficients, "names": _names, "notes": _notes}


def regenerated(page: str) -> str:
    """The page with what is between `<!-- PART -->` and `<!-- end -->` as it is now."""
    for part, lines in PARTS.items():
        text = "\n".join(lines()).rstrip()
        pattern = rf"(<!-- {part} -->\n).*?(<!-- end -->)"
        page, times = re.subn(
            pattern, lambda m, t=text: f"{m[1]}{t}\n{m[2]}", page, flags=re.DOTALL
        )
        assert times == 1, part
    return page


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == regenerated(page), "`python tests/report/test_conventions.py` mends this"


if __name__ == "__main__":
    PAGE.write_text(regenerated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
