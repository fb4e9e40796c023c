"""What a small spec may do to a machine: each limit is enforced, and named, before the work is done.

Every spec here is compiled in a process that may use 1 GB and 20 s of processor time, far more than
it needs and far less than it would use without its limit.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pytest

from resnetgen.compiler.diagnostics.model import MAX_REPORTED, Diagnostic, SpecError, listed, render
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.expressions import (
    Const,
    ExpressionError,
    evaluate,
    free_names,
    parse,
    substitute,
    to_python,
)
from resnetgen.compiler.ir.shape_rules import (
    ShapeError,
    TensorType,
    adaptive_window_axis,
    output_size,
    pool_shape,
)
from resnetgen.compiler.passes import instantiate
from resnetgen.pipeline import compile_text
from resnetgen.reports.draw.page import draw

ROOT = Path(__file__).resolve().parents[1]
NETWORK = "network: net\ninput: {channels: 3, size: [8, 8]}\n"
CONV = "{op: conv, out: 4, kernel: 1}"

_PROGRAM = """
import sys
from resnetgen.pipeline import compile_text
from resnetgen.compiler.diagnostics.model import SpecError
try:
    compiled = compile_text(sys.stdin.read(), "mine.yaml")
    compiled.warnings, compiled.checked_graph, compiled.source
    print("sound")
except SpecError as error:
    print(error)
"""


def _limit_this_process() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))


def output_of(text: str) -> str:
    """The errors of a spec, or `sound`."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=text,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        preexec_fn=_limit_this_process,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def nodes(lines: Iterable[str]) -> str:
    return f"{NETWORK}nodes:\n" + "".join(f"  {line}\n" for line in lines)


def define(blocks: Iterable[str], top: str) -> str:
    return (
        f"{NETWORK}define:\n"
        + "".join(f"  {each}\n" for each in blocks)
        + f"nodes: {{top: {top}}}\n"
    )


def stage(text: str) -> str:
    return f"{NETWORK}stem: cifar\nblock: basic\nshortcut: projection\nstages: {{layer1: {{{text}}}}}\n"


# --- products


LIMITS = {
    "blocks of a stage": (stage("blocks: 1000000000, width: 8"), "50000 ops"),
    "ops of all": (stage("blocks: 100000, width: 8"), "50000 ops"),
    "blocks by an expression": (stage("blocks: 999999 * 999999 * 999, width: 8"), "50000 ops"),
    "parameters": (stage("blocks: 2, width: 1000000000000"), "at most 1e+15"),
    "a number": (stage("blocks: 2, width: 99999999 * 99999999 * 9999"), "no network has such"),
    "a power": (stage("blocks: 2, width: 9**9**9"), "there is no `**`"),
    "a list times a number": (nodes(["a: {op: conv, out: 4, kernel: '[1] * 1000000000'}"]), "not allowed"),
    "digits": (stage(f"blocks: 2, width: {'9' * 5000}"), "18 digits"),
    "extends": (
        define([*(f"b{n}: {{extends: b{n + 1}}}" for n in range(1500)), f"b1500: {{nodes: {{a: {CONV}}}}}"], "{op: b0}"),
        "a chain of more than 16 blocks",
    ),
    "blocks in blocks": (
        define([*(f"b{n}: {{nodes: {{a: {{op: b{n + 1}}}}}}}" for n in range(500)), f"b500: {{nodes: {{a: {CONV}}}}}"], "{op: b0}"),
        "nests at most 64 deep",
    ),
    "slots in slots": (
        define([*(f"b{n}: {{slots: {{s: b{n + 1}}}, nodes: {{a: {{op: s}}}}}}" for n in range(500)), f"b500: {{nodes: {{a: {CONV}}}}}"], "{op: b0}"),
        "nests at most 64 deep",
    ),
    "a block twice in each": (
        define([*(f"b{n}: {{nodes: {{a: {{op: b{n + 1}}}, b: {{op: b{n + 1}}}}}}}" for n in range(30)), f"b30: {{nodes: {{a: {CONV}}}}}"], "{op: b0}"),
        "50000 ops",
    ),
    "a sum of 500": (f"{NETWORK}let: {{a: 4, b: {'+'.join('a' * 499)}}}\nnodes: {{c: {CONV}}}\n", "nested too deeply"),
    "signs": (f"{NETWORK}let: {{a: 4, b: '{'-' * 900}a'}}\nnodes: {{c: {CONV}}}\n", "nested too deeply"),
    "a list": (nodes([f"a: {{op: concat, inputs: [{', '.join(['x'] * 30_000)}]}}"]), "a list has at most 256 values"),
    "a map of outputs": (nodes([f"a: {CONV}"]) + f"outputs: {{{', '.join(f'o{n}: a' for n in range(300))}}}\n", "at most 256 outputs"),
    "names": (f"{NETWORK}let: {{{', '.join(f'a{n}: {n}' for n in range(20_000))}}}\nnodes: {{c: {CONV}}}\n", "at most 256 parameters, slots and `let`"),
    "nodes of a block": (nodes(f"n{n}: {{op: relu}}" for n in range(2100)), "a block has at most 2000"),
    "nodes of blocks that extend one": (
        define([f"b: {{nodes: {{{', '.join(f'n{n}: {{op: relu}}' for n in range(1900))}}}}}", *(f"d{n}: {{extends: b}}" for n in range(1900))], "{op: d0}"),
        "100,000 keys and values, with what they extend",
    ),
    "nodes of different blocks": (
        NETWORK + f"define: {{b: {{params: {{w: int}}, nodes: {{{', '.join(f'n{n}: {{op: conv, out: w, kernel: 1}}' for n in range(1900))}}}}}}}\n"
        + f"nodes: {{{', '.join(f'm{n}: {{op: b, w: {n + 1}}}' for n in range(1900))}}}\n",
        "too many different blocks",
    ),
    "values of different blocks": (
        NETWORK + f"define: {{b: {{params: {{p0: int, {', '.join(f'p{n}: p{n - 1} + 1' for n in range(1, 255))}}}, nodes: {{c: {{op: conv, out: p254, kernel: 1}}}}}}}}\n"
        + f"nodes: {{{', '.join(f'm{n}: {{op: b, p0: {n}}}' for n in range(1900))}}}\n",
        "too many different blocks",
    ),
    "parentheses": (f"{NETWORK}let: {{b: '{'(' * 400}1{')' * 400}'}}\nnodes: {{c: {CONV}}}\n", "too many nested"),
}  # fmt: skip


@pytest.mark.parametrize("what", LIMITS)
def test_a_product_is_limited_before_it_is_made(what: str) -> None:
    text, words = LIMITS[what]
    output = output_of(text)
    assert words in output
    assert output.count("error[") == 1
    assert "mine.yaml:" in output


def laughing(count: int, first: str) -> list[str]:
    """Names each of which reads the one before three times: written out they are 3^count terms."""
    return [f"a0: {first}", *(f"a{n}: a{n - 1} + a{n - 1} - a{n - 1}" for n in range(1, count))]


LAUGHS = {
    "let of a network": f"{NETWORK}let: {{{', '.join(laughing(60, '4'))}}}\nnodes: {{c: {{op: conv, out: a59, kernel: 1}}}}\n",
    "let of a block": f"{NETWORK}define: {{b: {{params: {{w: int}}, let: {{{', '.join(laughing(60, 'w'))}}}, nodes: {{c: {{op: conv, out: a59, kernel: 1}}, "
    "d: {op: relu}}}}\nnodes: {p: {op: b, w: 4}, q: {op: b, w: 8}}\n",
    "defaults of parameters": f"{NETWORK}define: {{b: {{params: {{w: int, {', '.join(laughing(60, 'w'))}}}, nodes: {{c: {{op: conv, out: a59, kernel: 1}}, "
    "d: {op: relu}}}}\nnodes: {p: {op: b, w: 4}, q: {op: b, w: 8}}\n",
    "a block spliced in": f"{NETWORK}params: {{w: 4}}\ndefine: {{b: {{params: {{w: int}}, let: {{{', '.join(laughing(60, 'w'))}}}, "
    "nodes: {c: {op: conv, out: a59, kernel: 1}}}}\nnodes: {p: {op: b, w: w, as: .}}\n",
    "a long chain of names": f"{NETWORK}define: {{b: {{params: {{w: int}}, let: {{a0: w, {', '.join(f'a{n}: a{n - 1} + 1' for n in range(1, 250))}}}, "
    "nodes: {c: {op: conv, out: a249, kernel: 1}, d: {op: relu}}}}\nnodes: {p: {op: b, w: 4}, q: {op: b, w: 8}}\n",
    "many nodes": nodes(f"n{n}: {{op: relu}}" for n in range(1, 2000)),
    "a long sum": nodes([f"a: {{op: add, inputs: [{', '.join(['x'] * 256)}]}}"]),
    "sums of sums": nodes(["n0: {op: relu}", *(f"n{n}: {{op: add, inputs: [n{n - 1}, x]}}" for n in range(1, 1990))]),
    "many long sums": nodes(["n0: {op: relu}", *(f"n{n}: {{op: add, inputs: [{', '.join(f'n{m}' for m in range(max(0, n - 200), n))}, x]}}" for n in range(1, 340))]),
    "calls that do nothing": f"{NETWORK}define: {{b: {{slots: {{s: identity}}, nodes: {{c: {CONV}, {', '.join(f'p{n}: {{op: s}}' for n in range(1900))}}}}}}}\n"
    "nodes: {u: {op: b}, v: {op: b, s: relu}}\n",
    "blocks that are called": define((f"d{n}: {{nodes: {{a: {CONV}}}}}" for n in range(1500)), "{op: d0}").replace(
        "nodes: {top: {op: d0}}", "nodes:\n" + "".join(f"  n{n}: {{op: d{n}}}\n" for n in range(1500))),
    "a stage of many blocks": stage("blocks: 6000, width: 8"),
}  # fmt: skip


@pytest.mark.parametrize("what", LAUGHS)
def test_what_is_large_only_when_it_is_written_out_compiles(what: str) -> None:
    assert output_of(LAUGHS[what]) == "sound\n"


# Numbers of positions over which nothing may walk.
POSITIONS = {
    "an adaptive pool": ("[8, 8]", "a: {op: adaptive_avg_pool, size: 99999999}"),
    "an adaptive pool of a large input": ("[999999999]", "a: {op: adaptive_avg_pool, size: 99999998}"),
    "a flattened pool": ("[8, 8]", "a: {op: adaptive_avg_pool, size: 9999999}", "b: {op: flatten}"),
    "a dilated pool": ("[9999999, 9999999]", "a: {op: max_pool, kernel: 999, padding: 400, dilation: 2, stride: 1}"),
    "a resize": ("[8, 8]", "a: {op: resize, scale: 9999999, mode: linear}"),
    "a kernel as large as its input": ("[99999, 99999, 99999]", "a: {op: max_pool, kernel: 99999, padding: 49999, stride: 2}"),
    "channels": ("[8, 8]", "a: {op: pad_channels, front: 999999999}", "b: {op: conv, out: 4, kernel: 1}"),
}  # fmt: skip


@pytest.mark.parametrize("what", POSITIONS)
def test_nothing_walks_over_positions(what: str) -> None:
    size, *lines = POSITIONS[what]
    assert output_of(nodes(lines).replace("[8, 8]", size)) == "sound\n"


@pytest.mark.parametrize("size", [1, 2, 7, 12, 30])
@pytest.mark.parametrize("windows", [2, 3, 7, 12, 31])
def test_the_window_of_an_adaptive_pool_covers_each_of_its_windows(size: int, windows: int) -> None:
    step = size / windows
    starts = [math.floor(i * size / windows) - i * step for i in range(windows)]
    ends = [math.ceil((i + 1) * size / windows) - 1 - i * step for i in range(windows)]
    window = adaptive_window_axis(size, windows)
    assert (window.first, window.last) == pytest.approx((min(starts), max(ends)))
    assert window.step == step


def test_a_dilated_pool_is_refused_where_a_window_has_padding_only() -> None:
    refused = 0
    for size, kernel, dilation, stride in product(range(1, 9), range(1, 7), (2, 3, 7, 9), (1, 3)):
        for padding, ceil in product(range(kernel // 2 + 1), (False, True)):
            given = {"kernel": kernel, "padding": padding, "dilation": dilation, "stride": stride}
            source = TensorType(1, (size,))
            try:
                (count,) = output_size(given, source, ceil)
            except ShapeError:
                continue
            starts = [stride * i - padding for i in range(count)]
            taps = [range(start, start + dilation * kernel, dilation) for start in starts]
            empty = any(all(tap not in range(size) for tap in each) for each in taps)
            refused += empty
            try:
                pool_shape({**given, "ceil": ceil}, [source])
            except ShapeError:
                assert empty, given
            else:
                assert not empty, given
    assert refused


def test_all_nodes_that_turn_out_to_be_live_are_found_in_one_walk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walks = []
    root = instantiate.Instantiator.root
    counting = lambda self: walks.append(self) or root(self)  # noqa: E731
    monkeypatch.setattr(instantiate.Instantiator, "root", counting)
    compile_text(LAUGHS["calls that do nothing"])
    assert len(walks) == 2


@pytest.mark.parametrize("depth", [65, 2000, 200_000])
def test_a_path_of_set_is_not_deeper_than_a_spec(depth: int) -> None:
    with pytest.raises(SpecError) as caught:
        compile_text(nodes([f"a: {CONV}"]), **{".".join(["layer1"] * depth): 1})
    (error,) = caught.value.diagnostics
    assert (error.code, error.message) == ("limit", "`--set` sets a value at most 64 maps deep")


@pytest.mark.parametrize("outputs", ["[]", "{}"])
def test_a_network_has_an_output(outputs: str) -> None:
    with pytest.raises(SpecError) as caught:
        compile_text(nodes([f"a: {CONV}"]) + f"outputs: {outputs}\n")
    (error,) = caught.value.diagnostics
    assert (error.code, error.message) == ("wrong-value", "`outputs` needs at least one value")


def test_a_drawing_has_as_many_lines_as_can_be_followed() -> None:
    compiled = compile_text(LAUGHS["many long sums"])
    with pytest.raises(SpecError, match="a drawing has at most 4,000"):
        draw(compiled.network, compiled.typed)


def test_an_expression_that_would_be_vast_keeps_its_names_and_is_not_printed() -> None:
    expr = parse("a + b")
    for _ in range(12):
        expr = substitute(parse("x + x - c"), {"x": expr})
    assert set(free_names(expr)) == {"a", "b", "c"}
    assert to_python(expr) is None
    with pytest.raises(ExpressionError, match="more than 256 operations"):
        evaluate(expr, {"a": 1, "b": 1, "c": 1})
    assert substitute(parse("x + x"), {"x": Const(2)}) == Const(4)


# --- many errors


MANY = {
    "unknown keys": "network: net\n" + "".join(f"k{n}: 1\n" for n in range(20_000)),
    "forms": nodes(f"n{n}: {{op: 3}}" for n in range(20_000)),
    "unknown ops": nodes(f"n{n}: {{op: rlu{n}}}" for n in range(1900)),
    "unknown inputs": nodes(f"n{n}: {{op: relu, inputs: m{n}}}" for n in range(1900)),
    "unknown arguments": nodes(f"n{n}: {{op: conv, out: 3, kernel: 1, kern{n}: 1}}" for n in range(1900)),
    "wrong names": nodes(f"'{n} ': {{op: relu}}" for n in range(1900)),
    "unknown names": NETWORK + "define:\n" + "".join(f"  d{n}: {{nodes: {{a: {{op: conv, out: b{n}, kernel: 1}}}}}}\n" for n in range(4000))
    + "nodes: {a: {op: relu}}\n",
    "missing arguments": nodes(f"n{n}: {{op: conv, out: 3, inputs: x}}" for n in range(2000)),
    "repeated keys": "network: net\n" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("what", MANY)
def test_at_most_20_errors_are_shown_and_a_note_that_there_are_more(what: str) -> None:
    output = output_of(MANY[what])
    assert output.count("error[") in range(2, MAX_REPORTED + 1)  # repeated keys are one cause: two
    if output.count("error[") == MAX_REPORTED:
        assert "only the first 20 are shown" in output


@pytest.mark.parametrize("count", [1, 19, 20])
def test_all_errors_are_shown_if_they_are_few(count: int) -> None:
    errors = [Diagnostic("unread", f"error {n}") for n in range(count)]
    assert render(SpecError(errors).diagnostics) == render(errors)


def test_a_list_of_names_in_a_sentence_is_short() -> None:
    assert listed("ab") == "`a`, `b`"
    assert listed(map(str, range(100))).endswith("`11`, and 88 more")


def test_a_misspelt_extends_is_one_error() -> None:
    with pytest.raises(SpecError) as caught:
        compile_text("network: net\nextnds: resnet50\n")
    (error,) = caught.value.diagnostics
    assert (error.code, error.help) == ("unknown-key", "did you mean `extends`?")


def test_files_that_extend_each_other_form_a_short_chain(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"n{number}.yaml").write_text(f"extends: n{number + 1}\nnetwork: n\n")
    with pytest.raises(SpecError, match="a chain of more than 16 specs"):
        library.load(tmp_path / "n0.yaml")
