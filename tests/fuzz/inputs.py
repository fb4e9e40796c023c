"""Inputs that nobody should send, drawn from a seed.

    drawn(7)  ->  Input("truncated", b"network: re")

Specs of the library and of the tests with bytes, lines or parts of their tree changed; what is
known to hurt readers of YAML and compilers, at random sizes; other encodings; noise.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
_LARGEST = 3000  # bytes of a spec that is changed: most are read whole, and small ones are quick


@dataclass(frozen=True)
class Input:
    """A spec file, and what was done to it."""

    kind: str
    text: bytes


# --- what inputs are made of


@functools.cache
def corpus() -> tuple[bytes, ...]:
    """Specs of the library, of the tests, and wrong ones; none of a hundred layers, to be quick."""
    folders = ("specs", "specs/*", "tests/specs", "tests/errors")
    paths = sorted(path for folder in folders for path in ROOT.glob(f"{folder}/*.yaml"))
    small = [path for path in paths if not re.search(r"\d{3}", path.stem)]
    return tuple(text for path in small if len(text := path.read_bytes()) <= _LARGEST)


_TEXTS = (
    *"{}[]:,-?&*!|>%@`#'\"\\\t\r\n \0",
    ": ", "- ", "\n  ", "---\n", "...\n", "<<: *a\n", "&a ", "*a", "!!python/object:os.system ", "!x ", "~", "null",
    "true", ".inf", "-.inf", ".nan", "0x10", "0o17", "1e309", "-1", "0", "9" * 19, "9" * 40, "2024-13-45", "12:30",
    "1_000", "\ufeff", "\x85", "\u2028", "\x1b[31m", "\x07", "\u202e", "\U0001f600", "é", "network", "nodes: ",
    "stages: ", "op: ", "inputs: ", "extends: ", "define: ", "block: ", "index", "width * ", "(", ")", "//", "**", "if",
    "else", "1 / 0", "sqrt(-1)", "log2(0)", "max(", "../", "/etc/passwd", ".", "..", "*", "<", ">", "<index>", "none",
    "identity", "shortcut", "conv", "self", "__class__", "forward", "a" * 200,
)  # fmt: skip
TOKENS = (
    *(text.encode() for text in _TEXTS),
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe\xff",
)

VALUES: tuple[Any, ...] = (
    "0", "-1", "1", "2", "3", "7", "1000000000", "9" * 18, "9" * 19, "9" * 5000, "1.5", "1e3", "1e-3", "1e309", ".nan",
    ".inf", "true", "no", "on", "null", "~", "010", "12:30", "1_000", "2024-13-45", "x", "none", "identity", "", " ",
    "in_channels", "width * 1000000", "width // 0", "width / 3", "9**9**9", "9 * 9 * 9", "divisible(width, 0)",
    "sqrt(-1)", "log2(0)", "int(1e308 * 10)", "max(1, 2)", "(" * 60 + "1" + ")" * 60, "-" * 300 + "1", "1 if 1 else 2",
    "a.b.c", "a..b", ".", "*", "x.*", "<index>", "<9**9>", "__import__", "self", "forward", "../x", "basic", "resnet50",
    "bottleneck", "conv", "norm", "act", "shortcut", "add", "concat", "mul", "flatten", "linear", "resize", [], {}, [[]],
    ["1", "2"], ["1", "2", "3", "4"], ["x", "x"], ["64", "64"], {"op": "conv"}, {"op": "basic", "width": "8"},
    {"nodes": {}}, {"nodes": {"a": {"op": "relu"}}}, {"op": "none"}, {"x": {"x": {"x": {}}}}, "\x1b[2J", "\u202e", "é",
    "\U0001f600", "a\nb", "a: b", "a #b", "'", '"', "'''", "\\",
)  # fmt: skip

KEYS = (
    "op", "inputs", "when", "else", "as", "role", "blocks", "after", "width", "stride", "out", "kernel", "groups", "x",
    "nodes", "stages", "stem", "head", "define", "let", "params", "slots", "init", "outputs", "train_outputs", "extends",
    "output_stride", "input", "channels", "size", "block", "shortcut", "conv", "norm", "act", "class", "network", "0",
    "1", "a.b", "layer1", "__init__", "doc", "language",
)  # fmt: skip


# --- how inputs are changed


def _bytes(rng: random.Random) -> bytes:
    """A spec with a few bytes or pieces left out, doubled, swapped or put in."""
    text = rng.choice(corpus())
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 1, 1, 2, 8, 40)))
        piece = rng.choice(
            [
                b"",
                rng.choice(TOKENS),
                bytes([rng.randrange(256)]),
                text[start:end] * rng.choice((2, 3, 50)),
                text[end:start:-1],
                text[(other := rng.randrange(len(text) + 1)) : other + rng.randrange(80)],
            ]
        )
        text = text[:start] + piece + text[end:]
    return text


def _truncated(rng: random.Random) -> bytes:
    text = rng.choice(corpus())
    return text[: rng.randrange(len(text) + 1)]


def _spliced(rng: random.Random) -> bytes:
    """The beginning of one spec and the end of another."""
    first, second = rng.choice(corpus()), rng.choice(corpus())
    return first[: rng.randrange(len(first) + 1)] + second[rng.randrange(len(second) + 1) :]


def _lines(rng: random.Random) -> bytes:
    """Lines left out, doubled, swapped, or indented differently."""
    lines = rng.choice(corpus()).splitlines(keepends=True)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        other = rng.randrange(len(lines))
        change = rng.randrange(5)
        if change == 0 and len(lines) > 1:
            del lines[at]
        elif change == 1:
            lines.insert(other, lines[at])
        elif change == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif change == 3:
            lines[at] = rng.choice((b" ", b"  ", b"\t", b"- ")) + lines[at]
        else:
            lines[at] = lines[at].lstrip() if rng.random() < 0.5 else lines[at][1:]
    return b"".join(lines)


@functools.cache
def forms() -> tuple[Any, ...]:
    found = []
    for text in corpus():
        with suppress(yaml.YAMLError, ValueError):
            found.append(yaml.load(text, yaml.BaseLoader))
    return tuple(each for each in found if isinstance(each, dict))


def _structural(rng: random.Random) -> bytes:
    """A spec whose tree was changed: keys and values replaced, left out, moved or wrapped."""
    form = rng.choice(forms())
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        form = _changed(form, rng)
    return flow(form).encode("utf-8", "surrogatepass")


def _changed(tree: Any, rng: random.Random) -> Any:
    """One change, at a random place below."""
    if not tree or not isinstance(tree, dict | list) or rng.random() < 0.1:
        return rng.choice(VALUES) if rng.random() < 0.7 else rng.choice(([tree], {"op": tree}))
    items = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree))
    at = rng.randrange(len(items))
    key, value = items[at]
    change = rng.randrange(12)
    if change == 0:
        del items[at]
    elif change == 1:
        items[at] = (rng.choice(KEYS), value)
    elif change == 2:
        items.append((rng.choice(KEYS), rng.choice(VALUES)))
    elif change == 3:
        other = rng.randrange(len(items))
        items[at], items[other] = (key, items[other][1]), (items[other][0], value)
    elif change == 4:
        rng.shuffle(items)
    elif change == 5:
        items[at] = (key, rng.choice(VALUES))
    else:
        items[at] = (key, _changed(value, rng))
    return dict(items) if isinstance(tree, dict) else [value for _, value in items]


def flow(tree: Any, top: bool = True) -> str:
    """A tree as YAML: a line for each key at the top, flow style below."""
    if isinstance(tree, dict):
        pairs = [f"{_word(str(key))}: {flow(value, top=False)}" for key, value in tree.items()]
        return "\n".join(pairs) + "\n" if top else "{" + ", ".join(pairs) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(flow(each, top=False) for each in tree) + "]"
    return _word(str(tree))


_PLAIN = re.compile(r"[A-Za-z0-9_.+~-][A-Za-z0-9_.+*/()<>=% -]*\Z")


def _word(text: str) -> str:
    if _PLAIN.match(text) and text.strip() == text and text != "-":
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _spec(**changes: Any) -> Any:
    """A small sound network with other values for some of its keys."""
    stages = {"layer1": {"blocks": 1, "width": 8}, "layer2": {"blocks": 1, "width": 8, "stride": 2}}
    base = {"network": "n", "input": {"channels": 3, "size": [32, 32]}, "stem": "cifar", "block": "basic",
            "shortcut": "projection", "stages": stages, "head": {"classes": 10}}  # fmt: skip
    return {**base, **changes}


def _node(**node: Any) -> Any:
    return _spec(nodes={"extra": node})


def _chain(length: int) -> Any:
    """Blocks that contain each other, a chain that ends or a circle."""
    define = {
        f"b{i}": {"nodes": {"a": {"op": f"b{i + 1}"}, "b": {"op": f"b{i + 1}"}}}
        for i in range(length)
    }
    return define  # fmt: skip


def _hostile(rng: random.Random) -> bytes:
    """One of the rows of what is known to hurt readers of YAML, and sizes that hurt a compiler."""
    big = rng.choice((10, 1000, 10**5, 10**9, 10**12, 10**17, 10**18))
    deep = rng.choice((10, 60, 64, 65, 1100, 100_000))
    many = rng.choice((10, 1000, 20_000))
    op = rng.choice("+-*/%<")
    rows: list[Callable[[], Any]] = [
        # YAML
        lambda: "{a: 1, a: 2}",
        lambda: f"network: {rng.choice(['no', 'on', '010', '12:30', '1_000', '1e-3', '2024-13-45'])}\n",
        lambda: _bomb(rng.choice((3, 9, 20)), "[*a{}, *a{}, *a{}, *a{}, *a{}, *a{}, *a{}, *a{}, *a{}]", 9),
        lambda: _bomb(rng.choice((3, 20)), "{{<<: [*a{}, *a{}], k: 1}}", 2),
        lambda: "[" * deep,
        lambda: "{a: " * deep,
        lambda: "- " * deep,
        lambda: "network: n\nnodes: " + "[" * deep + "]" * deep,
        lambda: "".join(f"{' ' * i}a:\n" for i in range(min(deep, 1100))),
        lambda: "network: " + "9" * many,
        lambda: f"network: n\ninput: {{channels: {'9' * many}, size: [8, 8]}}\n",
        lambda: "network: n\n" + "".join(f"k{i}: 1\n" for i in range(many)),
        lambda: "network: n\n" + "k: 1\n" * many,
        lambda: "? " * many,
        lambda: "'" * many,
        lambda: '"' + "\\x41" * many,
        lambda: "a: |\n" + "  x\n" * many,
        lambda: "&a " * min(many, 1000) + "x",
        lambda: "!!" + "x" * many + " y",
        lambda: "--- a\n" * many,
        lambda: "%YAML 9" + "9" * min(many, 9000) + ".1\n--- a\n",
        lambda: "%TAG ! x\n" * 2,
        lambda: "#" * 1_100_000,
        lambda: "a: " + "x" * rng.choice((9_999, 10_001, 1_048_570, 1_100_000)),
        lambda: rng.choice(("", " ", "\n", "\ufeff", "---", "...", "~", "null", "[]", "{}", "a", "\0", "# c")),
        lambda: "network: \"" + rng.choice(("\\ud800", "\\udc00", "\\uffff", "\\U00110000", "\\x1b", "\\0")) + "\"\n",
        lambda: "network: " + rng.choice(("\x1b[31m", "\x9b", "\x85", "\u2028", "\u202e", "\x7f", "\ufffe")) + "\n",
        # resources
        lambda: _spec(stages={"layer1": {"blocks": big, "width": 8}}),
        lambda: _spec(stages={f"layer{i}": {"blocks": 60_000, "width": 8} for i in range(rng.choice((1, 2, 9)))}),
        lambda: _spec(stages={"layer1": {"blocks": 1, "width": big}}),
        lambda: _spec(input={"channels": big, "size": [big, big]}),
        lambda: _spec(input={"channels": 3, "size": [rng.choice((0, -1, 1, big))] * rng.randrange(5)}),
        lambda: _spec(head={"classes": big}),
        lambda: _spec(stages={f"s{i}": {"width": 8} for i in range(many)}),
        lambda: _spec(stages={f"s{i}": {"width": 8 + i} for i in range(min(many, 3000))}),
        lambda: _spec(nodes={f"n{i}": {"op": "relu"} for i in range(many)}),
        lambda: _spec(nodes={"add": {"op": "add", "inputs": ["layer1"] * many}}),
        lambda: _spec(outputs=["layer1", "layer2"] * many),
        lambda: _spec(define=_chain(deep % 1000), nodes={"a": {"op": "b0"}}),
        lambda: _spec(define={**_chain(many % 40), f"b{many % 40}": {"nodes": {"a": {"op": "relu"}}}},
                      nodes={"a": {"op": "b0"}}),
        lambda: _spec(define={"b": {"extends": "b", "nodes": {"a": {"op": "relu"}}}}, nodes={"a": {"op": "b"}}),
        lambda: _spec(define={"b": {"nodes": {"a": {"op": "b"}}}}, nodes={"a": {"op": "b"}}),
        lambda: _spec(define={f"b{i}": {"extends": f"b{i + 1}"} for i in range(min(many, 1000))}, nodes={"a": {"op": "b0"}}),
        lambda: _spec(let={f"v{i}": f"v{i - 1} * v{i - 1}" if i else "9" for i in range(many % 1000)}),
        lambda: _spec(let={f"v{i}": f"v{i + 1} + v{i + 1}" for i in range(min(many, 1000))}),
        lambda: _spec(let={"a": "b", "b": "a"}, block={"op": "basic", "width": "a"}),
        lambda: _spec(let={f"v{i}": f"v{i - 1} + v{i - 1}" if i else ["1", "2"] for i in range(many % 1000)}),
        lambda: _spec(define={"b": {"params": {"k": "1"}, "nodes": {"c": {"op": "conv", "out": "8", "kernel": f"k {op} {big}"}}}},
                      nodes={"a": {"op": "b", "inputs": "layer1", "k": rng.choice((["3", "3"], "nearest", "%999999999d"))}}),
        lambda: _spec(block={"op": "basic", "width": _expression(rng, many)}),
        lambda: _node(op="conv", out=big, kernel=rng.choice((1, 3, big)), stride=rng.choice((1, big))),
        lambda: _node(op="conv", out=8, kernel=3, padding=big, dilation=rng.choice((1, big)), groups=rng.choice((1, big))),
        lambda: _node(op="max_pool", kernel=rng.choice((2, big)), dilation=rng.choice((1, 2, big)), padding=1),
        lambda: _node(op="max_pool", inputs="layer1", kernel=big, dilation=2, padding=big // 2, stride=1),
        lambda: _node(op="resize", inputs="layer1", scale=big),
        lambda: _node(op="pad_channels", inputs="layer1", front=big, back=big),
        lambda: _node(op="adaptive_avg_pool", inputs="layer1", size=big),
        lambda: _node(op="basic", inputs="layer1", width=8, blocks=big),
        lambda: _spec(nodes={f"n{i}": {"op": "resize", "scale": 9} for i in range(many % 100)}, head=None),
        lambda: _spec(nodes={f"n{i}": {"op": "concat", "inputs": [f"n{i - 1}" if i else "layer1"] * 2}
                             for i in range(many % 500)}, head=None),
        # names and paths
        lambda: {**_spec(), "network": rng.choice(("../x", "/etc/passwd", "a/b", "..", ".", "-", "a" * 300, "con", "a\0b"))},
        lambda: {**_spec(), "extends": rng.choice(("../x", "/etc/passwd", "a/b", ".", "..", "case", "x" * 300, "", "\0"))},
        lambda: {**_spec(), "class": rng.choice(("nn", "Module", "Tensor", "a b", "class", "x" * 300, "\u00c9", "torch"))},
        lambda: _node(op="conv", out=8, kernel=1, **{"as": rng.choice(("<" * 50, "<1/0>", "<index>" * 20, "a." * 900 + "b",
                      "a.*.*", "*", "<9999999999>", "<-1>", "self", "0", "", " ", "a.<true>"))}),
        lambda: _spec(nodes={f"a.{i * rng.choice((1, 99, 9999))}": {"op": "relu"} for i in range(min(many, 2000))}),
        lambda: _spec(nodes={"a." * min(deep, 1100) + "b": {"op": "relu"}}),
        lambda: _spec(nodes={f"a.{99_999}": {"op": "conv", "out": 8, "kernel": 1}}),
    ]  # fmt: skip
    made = rng.choice(rows)()
    return (made if isinstance(made, str) else flow(made)).encode("utf-8", "surrogatepass")


def _bomb(levels: int, row: str, count: int) -> str:
    lines = ["a0: &a0 [x]" if row.startswith("[") else "a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {row.format(*[i - 1] * count)}" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


def _expression(rng: random.Random, size: int) -> str:
    size = min(size, rng.choice((50, 400, 2000)))
    return rng.choice(
        ("(" * size + "1" + ")" * size, "1" + " + 1" * size, "-" * size + "1", "not " * size + "1", "9**9**9", "9" * size,
         "9*" * size + "9", "1 if 1 else " * size + "1", "max(" * size + "1" + ")" * size, "x" * size, "1e308*1e308",
         "int(1e308)", "round(0.5)", "log2(0)", "sqrt(-1)", "1//0", "1%0", "1e400", "floor(1e308 * 10)", "divisible(1,0)",
         "a.b", "a[0]", "'a'", "lambda: 1", "__import__('os')", "1;1", "1 == 1 == 1", "true + true", "min()", "1,2",
         "divisible(9, 1e-300)", "int(0 / 1 * 1e308 * 1e308)", "10 ** 400", "1 << 99")
    )  # fmt: skip


def _encoded(rng: random.Random) -> bytes:
    """A sound spec in another encoding, or with other line ends."""
    text = rng.choice(sound())
    codec = rng.choice(
        ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp037", "utf-8-sig", "latin-1")
    )
    line_end = rng.choice(("\n", "\r\n", "\r", "\x85", "\u2028", "\n\r", "\x0b", "\x0c"))
    changed = text.replace("\n", line_end)
    if rng.random() < 0.3:
        changed = changed.replace(
            rng.choice((" ", "e", ":")), rng.choice(("\u00a0", "\t", "\u0435", "\uff1a", "\0")), 1
        )
    return changed.encode(codec, "replace") if rng.random() < 0.7 else changed.encode()


@functools.cache
def sound() -> tuple[str, ...]:
    paths = sorted(ROOT.glob("specs/resnet[1-5][0-9]*.yaml"))
    return tuple(
        path.read_text(encoding="utf-8") for path in paths if not re.search(r"\d{3}", path.stem)
    )


def _noise(rng: random.Random) -> bytes:
    """Bytes or tokens without any sense."""
    if rng.random() < 0.5:
        return rng.randbytes(rng.choice((1, 10, 100, 1000)))
    return b"".join(rng.choice(TOKENS) for _ in range(rng.choice((3, 10, 40))))


MAKERS: Mapping[str, tuple[int, Callable[[random.Random], bytes]]] = {
    "bytes": (25, _bytes),
    "lines": (12, _lines),
    "structural": (34, _structural),
    "truncated": (8, _truncated),
    "spliced": (6, _spliced),
    "hostile": (7, _hostile),
    "encoded": (4, _encoded),
    "noise": (4, _noise),
}


def drawn(seed: int) -> Input:
    """The input of a seed."""
    rng = random.Random(seed)
    kinds = list(MAKERS)
    kind = rng.choices(kinds, [MAKERS[each][0] for each in kinds])[0]
    return Input(kind, MAKERS[kind][1](rng))
