"""What a small spec may do to a machine: each limit is enforced, and named, before the work is done.

Every spec here is compiled in a process that may use 1 GB and 20 s of processor time, far more than
it needs and far less than it would use without its limit.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterable
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
from resnetgen.pipeline import compile_text

ROOT = Path(__file__).resolve().parents[1]
NETWORK = "network: net\ninput: {channels: 3, size: [8, 8]}\n"
CONV = "{op: conv, out: 4, kernel: 1}"

_PROGRAM = """
import sys
from resnetgen.pipeline import compile_text
from resnetgen.compiler.diagnostics.model import SpecError
try:
    compiled = compile_text(sys.stdin.read(), "mine.yaml")
    compiled.graph, compiled.source
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
    "blocks of a stage": (stage("blocks: 1000000000, width: 8"), "200000 ops"),
    "ops of all": (stage("blocks: 100000, width: 8"), "200000 ops"),
    "blocks by an expression": (stage("blocks: 999999 * 999999 * 999, width: 8"), "200000 ops"),
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
        "200000 ops",
    ),
    "a sum of 500": (f"{NETWORK}let: {{a: 4, b: {'+'.join('a' * 499)}}}\nnodes: {{c: {CONV}}}\n", "nested too deeply"),
    "signs": (f"{NETWORK}let: {{a: 4, b: '{'-' * 900}a'}}\nnodes: {{c: {CONV}}}\n", "nested too deeply"),
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
    "a long chain of names": f"{NETWORK}define: {{b: {{params: {{w: int}}, let: {{a0: w, {', '.join(f'a{n}: a{n - 1} + 1' for n in range(1, 1500))}}}, "
    "nodes: {c: {op: conv, out: a1499, kernel: 1}, d: {op: relu}}}}\nnodes: {p: {op: b, w: 4}, q: {op: b, w: 8}}\n",
    "many nodes": nodes(f"n{n}: {{op: relu}}" for n in range(1, 3000)),
}  # fmt: skip


@pytest.mark.parametrize("what", LAUGHS)
def test_what_is_large_only_when_it_is_written_out_compiles(what: str) -> None:
    assert output_of(LAUGHS[what]) == "sound\n"


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
    "unknown ops": nodes(f"n{n}: {{op: rlu{n}}}" for n in range(4000)),
    "unknown inputs": nodes(f"n{n}: {{op: relu, inputs: m{n}}}" for n in range(4000)),
    "unknown arguments": nodes(f"n{n}: {{op: conv, out: 3, kernel: 1, kern{n}: 1}}" for n in range(4000)),
    "wrong names": nodes(f"'{n} ': {{op: relu}}" for n in range(4000)),
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
