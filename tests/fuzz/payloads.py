'''Text that tries to become code: where a spec with it compiles, only string constants may differ.

    doc: """\\nimport os  ->  the same syntax tree as for `doc: harmless`, but for a string

Every payload stands once in every field that takes a string. What compiles is imported under an
audit hook: no process, no file but its own, no socket.
'''

from __future__ import annotations

import ast
import importlib.util
import itertools
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from fuzz.forked import DONE, MEGABYTE, Limits, run
from fuzz.tally import Tally, share, watched
from resnetgen import SpecError
from resnetgen.compiler.frontend.identifiers import camel_case
from resnetgen.pipeline import compile_text

KIND = "inject"
HARMLESS = "plain"
TORCH = Limits(memory=4096 * MEGABYTE, cpu=60)

_CODE = ("__import__('os').system('id')", "open('x','w')", "exec('1')", "print(1)", "1/0")
_BREAKS = ('"""', "'''", '"', "'", "\\", '\\"""', '""""', "\n", "\r", "\r\n", "\u2028", "\x0c", "\x0b", "\x1c", "\x85", "\t", "\0", "\ufeff",
           "{{ 1 }}", "{% include 'x' %}", "{# #}", "%s", "{0}", "${x}", "#", ";", ")", "]", "}", ",", ":", "=", "\\N{DIGIT ONE}",
           "\\x22\\x22\\x22", "\\u0022", "\\\n", "\u202e", "\U0001f600", "\ud800", "é", "\uff02", "\u037e")  # fmt: skip
_WORDS = ("os.system", "nn.Module", "self", "super", "torch", "nn", "Tensor", "__init__", "__class__", "__all__", "forward", "import", "class",
          "lambda", "None", "True", "print", "match", "_", "x", "added", "a.b", "../../etc/passwd", "/etc/passwd", "%(x)s", "a b", "1", "-", "",
          "name: other", "os; import sys", "x=1", "x):\n        pass", "a\u200bb", "ｏｓ", "Ａ", "ﬁ", "µ")  # fmt: skip


# Code that leaves a sound file where the text is printed between quotes, in a call or on a line.
_BREAKOUTS = (
    'a": print(1) or x, "b', "a': print(1) or x, 'b", 'a" + str(print(1)) + "', "a' + str(print(1)) + '", "a\nprint(1)\n",
    'a"""\nprint(1)\n"""', "a\'\'\'\nprint(1)\n\'\'\'", "a, print(1)", "a) or print(1) or (a", "a; print(1)", "a  # ", "a\\",
    "a, x=print(1)", "a[print(1)]", "a if print(1) else a", "{{ print(1) }}", "a\r\nprint(1)", "a:\n    print(1)\n    x",
)  # fmt: skip


def payloads(count: int, seed: int) -> list[str]:
    """Texts: words, code behind whatever might end a string, a line or a call, and all of these."""
    made = [*_BREAKOUTS, *_WORDS, *_BREAKS]
    made += [f"{end}{code}" for end in _BREAKS for code in _CODE[:2]]
    made += [f"a{end}\n{code}\n{end}" for end in ('"""', "'''", '"', "\\") for code in _CODE]
    rng = random.Random(seed)
    while len(made) < count:
        parts = [rng.choice((*_BREAKS, *_WORDS, *_CODE)) for _ in range(rng.randrange(2, 6))]
        made.append("".join(parts))
    return made[:count] if count < len(made) else made


_SPEC = """\
network: {network}
class: {class}
doc: {doc}
paper: {paper}
family: {family}
input: {{channels: 3, size: [8, 8]}}
let: {{{let}: 4}}
act: {act}
stages:
  {stage}: {{op: unit, {param}: 4, blocks: 2, as: {stage_path}}}
nodes:
  {node}: {{op: conv, out: {let_use}, kernel: 1, as: {path}, role: {role}}}
  {index}: {{op: {block}, mode: {word}}}
  last: {{op: add, inputs: [{read}, {read}]}}
outputs: {{{output}: last, other: {read}}}
init: {{{init_role}: {{weight: {rule}}}}}
define:
  unit:
    class: {unit_class}
    doc: {unit_doc}
    params: {{{param}: int}}
    slots: {{{slot}: identity}}
    nodes: {{a: {{op: conv, out: {param_use}, kernel: 1}}, b: {{op: {slot_use}}}}}
  {block}:
    params: {{mode: 1}}
    nodes: {{a: {{op: resize, scale: 2, mode: {mode}}}}}
"""
# The words of a spec that compiles. Fields that name the same thing change together.
_DEFAULTS = {
    "network": "net", "class": "Net", "doc": "text", "paper": "https://example.org", "family": "words", "let": "wide",
    "act": "relu", "stage": "layer1", "param": "width", "stage_path": "layer1.<index>", "node": "conv1", "path": "conv1",
    "role": "tail", "index": "grow", "block": "enlarge", "word": "1", "output": "fine", "rule": "kaiming_normal",
    "unit_class": "Unit", "unit_doc": "a unit", "slot": "gate", "mode": "nearest",
}  # fmt: skip
_SAME = {"let_use": "let", "read": "index", "init_role": "role", "param_use": "param", "slot_use": "slot"}  # fmt: skip
FIELDS = (*_DEFAULTS, "extends", "let_value", "language")


def spec(field: str, payload: str) -> str:
    """A spec with a payload in one of its fields, as a quoted scalar."""
    words = {name: quoted(word) for name, word in _DEFAULTS.items()}
    if field in words:
        words[field] = quoted(payload)
    words |= {name: words[other] for name, other in _SAME.items()}
    text = _SPEC.format_map(words)
    if field == "extends":
        return f"extends: {quoted(payload)}\n{text}"
    if field == "language":
        return f"language: {quoted(payload)}\n{text}"
    return (
        text.replace(": 4}\nact", f": {quoted(payload)}}}\nact") if field == "let_value" else text
    )


def quoted(text: str) -> str:
    """A text as a double-quoted scalar of YAML, all but plain ASCII escaped."""
    return '"' + "".join(_escape(char) for char in text) + '"'


def _escape(char: str) -> str:
    if char in '\\"':
        return "\\" + char
    return char if " " <= char <= "~" else f"\\U{ord(char):08x}"


# --- what must hold


def skeleton(source: str, names: Mapping[str, str]) -> str:
    """The syntax tree without the values of strings, and with other names for some identifiers."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
        for field, value in ast.iter_fields(node):
            if isinstance(value, str) and value in names:
                setattr(node, field, names[value])
    return ast.dump(tree)


@dataclass(frozen=True)
class Try:
    """A payload in a field."""

    field: str
    payload: str


def tried(case: Try) -> bool:
    """Whether the spec compiles. Raises AssertionError if it does and is not as its harmless twin."""
    try:
        source = compile_text(spec(case.field, case.payload)).source
    except SpecError:
        return False
    twin = compile_text(spec(case.field, _twin(case))).source
    ours, theirs = (_identifiers(text) for text in (case.payload, _twin(case)))
    names = {name: other for name, other in zip(ours, theirs, strict=False) if name != other}
    assert skeleton(source, names) == skeleton(twin, names), "the syntax tree differs"
    imports_quietly(source)
    return True


def _twin(case: Try) -> str:
    """Something harmless for a field: a name of the same form, or what stands there by default."""
    payload = case.payload
    if case.field in ("doc", "unit_doc", "paper", "family", "network"):
        return HARMLESS if payload.strip() else payload  # without a text there is no docstring
    if case.field in _WORDS_WITH_MEANING:
        return _DEFAULTS.get(case.field, payload)
    if case.field in _PATHS:
        numbers = itertools.count(1)
        return _NAME.sub(lambda _: f"{HARMLESS}{next(numbers)}", payload)
    return HARMLESS if _NAME.fullmatch(payload) else payload


_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WORDS_WITH_MEANING = ("act", "rule", "word", "mode", "let_value", "extends", "language")
_PATHS = ("path", "stage_path", "node", "index", "stage")


def _identifiers(text: str) -> list[str]:
    """The identifiers that the printed file may make of a word."""
    words = _NAME.findall(text)
    joined = re.sub(r"\W", "_", text)  # the value of `a.b` is called `a_b`
    return [*words, joined, camel_case(text), *(camel_case(word) for word in words)]


_HARMFUL = re.compile(
    r"open|socket\.|subprocess\.|os\.(system|exec|fork|posix_spawn|spawn|startfile|remove|rename|mkdir|putenv|chmod|link)"
    r"|ctypes\.|shutil\.|urllib\.|ftplib\.|smtplib\.|webbrowser\.|pty\."
)
_watch: list[Callable[[str, tuple[object, ...]], None]] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    for watch in _watch:
        watch(event, arguments)


def imports_quietly(source: str) -> None:
    """Imports a module from a file. Raises AssertionError if it does anything but define classes."""
    import torch  # noqa: F401  # before the hook: it opens files

    if not getattr(sys, "_fuzz_audited", False):
        sys.addaudithook(_audit)  # stays as long as the process
        sys._fuzz_audited = True  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder, "printed.py")
        path.write_text(source, encoding="utf-8")
        seen = [
            f"{event} {arguments}"
            for event, arguments in _events(path)
            if _is_harmful(event, arguments, path)
        ]
    assert not seen, f"importing does {', '.join(seen[:3])}"


def _events(path: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    found: list[tuple[str, tuple[object, ...]]] = []
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    module = _module(path)
    assert module.__spec__ is not None
    assert module.__spec__.loader is not None
    _watch.append(lambda event, arguments: found.append((event, arguments)))
    try:
        module.__spec__.loader.exec_module(module)
    finally:
        _watch.clear()
        sys.dont_write_bytecode = kept
    yield from found


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("printed", path)
    assert spec is not None
    return importlib.util.module_from_spec(spec)


def _is_harmful(event: str, arguments: tuple[object, ...], path: Path) -> bool:
    own = event == "open" and arguments[0] in (str(path), str(path.parent))
    cached = event == "open" and "__pycache__" in str(arguments[0]) and arguments[1] == "r"
    return bool(_HARMFUL.match(event)) and not own and not cached


# --- the figures


def search(count: int, seed: int, jobs: int) -> Tally:
    """The figures of `count` payloads in every field."""
    tally = Tally("Injection")
    with suppress(ImportError):
        import torch  # noqa: F401  # once, for all children
    texts = payloads(count, seed)
    cases = [Try(field, text) for text in texts for field in FIELDS]
    _ = compile_text(spec("doc", HARMLESS)).source  # warm
    compiled = Counter[str]()
    for outcome in watched(run(cases, tried, limits=TORCH, jobs=jobs), len(cases), "inject"):
        case = outcome.case
        compiled[case.field] += outcome.value is True
        if outcome.ended != DONE:
            why = f"{case.field}: {outcome.ended} for {case.payload!r}"
            tally.find(KIND, why, spec(case.field, case.payload).encode())
    tally.figures |= {
        "payloads": f"{len(texts):,} in each of {len(FIELDS)} fields",
        "specs that compile": share(compiled.total(), len(cases)),
        "fields in which some do": ", ".join(f"`{f}` {n:,}" for f, n in compiled.items() if n),
        "syntax trees equal to the twin's, and imports without effects": share(
            compiled.total(), compiled.total() + len(tally.finds)
        ),
    }
    return tally


def holds(text: bytes) -> None:
    """What must hold of a spec with a payload, without its twin: it is refused, or harmless."""
    try:
        source = compile_text(text.decode()).source
    except SpecError:
        return
    imports_quietly(source)
