"""The pages say what is so: examples compile or fail as they say, outputs and tables are current.

    python tests/test_docs.py       writes the outputs and tables of the pages anew

A fenced `yaml` example is a file of one folder, so that a later example may use an earlier one. Over
it may stand `<!-- over: X -->` (it extends X) or `<!-- error: CODE, line N -->` (it must fail so).
A `text` block after `<!-- report -->`, and a span before a comment such as `<!-- total -->`, are
outputs of the example above; between `<!-- ops -->` and `<!-- end -->` stands a table. A `console`
block holds commands, each with what it writes, and a `python` block of the guide is run; both in a
folder with the examples of their page.
"""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from peers import import_timm
from sessions import fenced, session

from resnetgen import pipeline
from resnetgen.compiler.codegen import render
from resnetgen.compiler.diagnostics import model
from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import expressions, identifiers, library, yaml_reader, yaml_scalars
from resnetgen.compiler.ir.init_rules import INIT_RULES
from resnetgen.compiler.ir.op_def import Attribute
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes import infer_types, instantiate, stages
from resnetgen.compiler.passes.elaborate_blocks import MAX_BLOCK_NODES, MAX_CALL_DEPTH
from resnetgen.compiler.passes.elaborate_checks import MAX_NAMES
from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.pipeline import Compiled
from resnetgen.reports.metrics import METRICS, Conditions
from resnetgen.reports.numbers import cost_summary
from resnetgen.reports.report import Report
from resnetgen.reports.report_tables import lines_table
from resnetgen.reports.table_layout import plain

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs/blocks.md"
PAGES = [path for path in (ROOT / "docs/language.md", GUIDE, ROOT / "README.md") if path.is_file()]


@dataclass(frozen=True)
class Example:
    """A `yaml` block of a page: what stands there, where, and what its comment says of it."""

    line: int
    text: str
    said: Mapping[str, str]

    @property
    def file(self) -> str:
        """Its name: `# blocks/NAME.yaml` on the first line, else that of its network."""
        named = re.match(r"# (\S+\.yaml)\n", self.text) or re.match(r"network: (\S+)", self.text)
        name = named[1] if named else "example"
        return name if name.endswith(".yaml") else f"{name}.yaml"

    @property
    def spec(self) -> str:
        """The whole file."""
        over = self.said.get("over")
        return f"network: example\nextends: {over}\n{self.text}" if over else self.text


def examples(page: str) -> Iterator[Example]:
    """The `yaml` blocks of a page."""
    fence = re.compile(
        r"(?:<!-- (\w+): ([^>]*) -->\n)?```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL
    )
    for found in fence.finditer(page):
        said = {found[1]: found[2]} if found[1] else {}
        yield Example(page.count("\n", 0, found.start(3)) + 1, found[3], said)


def place(folder: Path, example: Example) -> Path:
    """Writes an example to its file."""
    path = folder / example.file
    path.parent.mkdir(exist_ok=True)
    path.write_text(example.spec, encoding="utf-8")
    return path


def compiled(folder: Path, example: Example) -> Compiled | None:
    """Writes an example to its file; compiles it if it is a network, and its Python too."""
    path = place(folder, example)
    if "/" in example.file:
        return None
    result = pipeline.compile_spec(path)
    assert result.checked_graph
    compile(result.source, example.file, "exec")
    return result


# --- what is written into a page


def _total(net: Compiled, call: str) -> str:
    """The line above `resnetgen show`, of the example or of `SPEC KEY=VALUE...`."""
    if call:
        spec, *settings = call.split()
        net = pipeline.compile_spec(spec, **dict(setting.split("=") for setting in settings))
    results = ", ".join(str(each) for each in net.typed.outputs)
    return f"{net.network.input} -> {results}; {cost_summary(net.cost)}"


def _modules(net: Compiled, pattern: str) -> str:
    """The modules that hold weights, in the order of the state_dict."""
    paths = dict.fromkeys(key.rpartition(".")[0] for key in state_dict(net.checked_graph))
    return " ".join(path for path in paths if fnmatchcase(path, pattern))


def _rules() -> str:
    """The rules of `init`."""
    return ", ".join(
        f"{{{name}: NUMBER}}" if any(each.required for each in options.values()) else name
        for name, options in INIT_RULES.items()
    )


def _limits() -> str:
    limits = (
        (yaml_scalars.MAX_BYTES, "bytes in a file"),
        (yaml_reader.MAX_NODES, "keys and values in a file"),
        (yaml_reader.MAX_DEPTH, "maps and lists in one another"),
        (yaml_reader.MAX_ITEMS, "values in a list, and outputs"),
        (yaml_scalars.MAX_SCALAR, "characters of a value"),
        (expressions.MAX_LENGTH, "characters of an expression"),
        (expressions.MAX_DEPTH, "operations in one another"),
        (identifiers.MAX_LENGTH, "characters of a name"),
        (yaml_scalars.MAX_DIGITS, "digits of an integer"),
        (MAX_NAMES, "parameters, slots and let of a block"),
        (MAX_BLOCK_NODES, "nodes written in a block"),
        (library.MAX_CHAIN, "files or blocks in a chain of extends"),
        (MAX_CALL_DEPTH, "calls in one another"),
        (instantiate.MAX_DEPTH, "blocks in one another"),
        (stages.MAX_OPS, "ops of a network, all repetitions counted"),
        (infer_types.MAX_PARAMS, "parameters of a network"),
        (infer_types.MAX_ACTIVATIONS, "elements in its results"),
        (render.MOST_BYTES, "bytes of a printed file"),
        (model.MAX_REPORTED, "faults told at once"),
    )
    return ", ".join(f"{number:,} {what}" for number, what in limits)


SPANS: Mapping[str, Callable[[Any, str], str]] = {
    "total": _total,
    "modules": _modules,
    "functions": lambda net, _: " ".join(expressions.FUNCTION_NAMES),
    "rules": lambda net, _: _rules(),
    "limits": lambda net, _: _limits(),
}


def _attribute(name: str, attribute: Attribute) -> str:
    if attribute.required:
        return f"**{name}**"
    if callable(attribute.default) or attribute.default is None:
        return f"{name} ..."
    default = attribute.default
    return f"{name} {str(default).lower() if isinstance(default, bool) else default}"


def _ops() -> Iterator[str]:
    yield from ("| op | computes | attributes |", "|---|---|---|")
    for name, op in OPS.items():
        attributes = ", ".join(_attribute(key, each) for key, each in op.attributes.items())
        yield f"| `{name}` | {op.doc} | {attributes} |"


def session_beside(page: str, text: str) -> str:
    """The commands of a `console` block, run in a folder with the examples of its page."""
    with tempfile.TemporaryDirectory() as folder:
        for example in examples(page):
            place(Path(folder), example)
        return session(text, Path(folder))


_SPAN = re.compile(r"`[^`]*` <!-- (total|modules|functions|rules|limits)(: [^>]+)? -->")


def regenerated(page: str) -> str:
    """The page with its outputs and tables as they are now."""
    starts = {example.line: example for example in examples(page)}
    net: Compiled | None = None  # of the last example
    skip_to: str | None = None
    lines: list[str] = []

    def span(found: re.Match[str]) -> str:
        argument = found[2] or ""
        output = SPANS[found[1]](net, argument.removeprefix(": "))
        return f"`{output}` <!-- {found[1]}{argument} -->"

    with tempfile.TemporaryDirectory() as folder:
        for number, line in enumerate(page.splitlines(), 1):
            if number in starts and "error" not in starts[number].said:
                net = compiled(Path(folder), starts[number]) or net
            if skip_to not in (None, line):
                continue
            skip_to = None
            lines.append(_SPAN.sub(span, line))
            if lines[-2:] == ["<!-- report -->", "```text"]:
                assert net
                lines += _table(net)
                skip_to = "```"
            elif line == "<!-- ops -->":
                lines += _ops()
                skip_to = "<!-- end -->"
    return "\n".join(lines) + "\n"


def _table(net: Compiled) -> list[str]:
    """What `report` prints of a network."""
    figures = tuple(METRICS[name] for name in ("params", "macs", "activations"))
    table = lines_table(Report(net.network, net.typed, Conditions(), figures), "stage")
    return [table.title, *plain(table)]


# --- the tests


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every example that is a file of its own."""
    here = tmp_path_factory.mktemp("docs")
    for example in reversed([each for page in PAGES for each in _examples_of(page)]):
        place(here, example)
    return here


@cache
def _examples_of(page: Path) -> tuple[Example, ...]:
    return tuple(examples(page.read_text(encoding="utf-8")))


def _cases(wrong: bool) -> list[Any]:
    return [
        pytest.param(example, id=f"{page.stem}-{example.line}")
        for page in PAGES
        for example in _examples_of(page)
        if ("error" in example.said) is wrong
    ]


@pytest.mark.parametrize("example", _cases(wrong=False))
def test_example_compiles(example: Example, folder: Path) -> None:
    compiled(folder, example)


@pytest.mark.parametrize("example", _cases(wrong=True))
def test_example_fails_as_the_page_says(example: Example, folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        compiled(folder, example)
    found = [(each.code, each.span and each.span.line) for each in caught.value.diagnostics]
    code, line = re.fullmatch(r"([\w-]+), line (\d+)", example.said["error"]).groups()
    assert found == [(code, int(line))], str(caught.value)


CONV = "network: n\ninput: {channels: 3, size: [32, 32]}\nnodes: {c: {op: conv, kernel: 1, out: 8, %s}}\n"
WIDTH = CONV.replace("out: 8, ", "out: ")
EVEN = CONV.replace("kernel: 1", "kernel: 4") % ""
POOLED = CONV.replace("}}", "}, p: {op: max_pool, kernel: 2}}") % ""
TWO = CONV.replace("}}", "}, d: {op: norm, as: c}}") % ""
CALLED = CONV.replace("}}", "}, d: {op: u}}") % "" + "define: {u: {%s, nodes: {e: {op: relu}}}}"
BARE = "network: n\ninput: {channels: 8, size: [8]}\nstages: {a: {op: basic, width: 8}}"
OVER = "network: n\nextends: resnet18\n%s\n"
FACTS = [  # what the page says, a spec, the shape that comes out or the code of the error
    ("`010` is ten", WIDTH % "010", "10 x 32 x 32"),
    ("`round` goes to the even neighbour", WIDTH % "round(2.5)", "2 x 32 x 32"),
    ("nearest multiple, at least `by`", WIDTH % "'divisible(20, 8)'", "24 x 32 x 32"),
    ("goes one up", WIDTH % "'divisible(11, 8, 0.9)'", "16 x 32 x 32"),
    ("channels are integers", WIDTH % "64 / 2", "wrong-value"),
    ("no powers", WIDTH % "2 ** 5", "expression"),
    ("chained comparisons", WIDTH % "8 if 1 < 2 < 3 else 4", "expression"),
    ("A comma within `{}` or `[]` ends a value", WIDTH % "max(8, 16)", "unquoted-comma"),
    ("so that stride 1 keeps the size", CONV % "dilation: 2", "8 x 32 x 32"),
    ("0 for an even one", EVEN, "8 x 29 x 29"),
    ("The stride of a pool", POOLED, "8 x 16 x 16"),
    ("any other reader is an error", CONV % "inputs: none", "no-value"),
    ("a node that nothing reads", POOLED + "outputs: [c]", "unread"),
    ("any other two on one path", TWO, "module-path"),
    ("are not names of params", CALLED % "params: {role: 4}", "wrong-name"),
    ("not an attribute of `nn.Module`", CONV.replace("{c:", "{forward:") % "", "wrong-name"),
    ("no anchors", WIDTH % "&a 8", "yaml-alias"),
    ("or tags", WIDTH % "!!int 8", "yaml-tag"),
    ("No key may be given twice", CONV % "out: 9", "duplicate-key"),
    ("no default for `shortcut`", BARE, "missing-shortcut"),
    ("nor for `centred`", OVER % "shortcut: zero_pad", "missing-argument"),
    ("{op: zero_pad, centred: false}", OVER % "shortcut: {op: zero_pad, centred: false}", "1000"),
    ("{op: zero_pad, centred: true}", OVER % "shortcut: {op: zero_pad, centred: true}", "1000"),
    ("`null` deletes", OVER % "stages: {layer4: null}\nhead: none", "256 x 14 x 14"),
    (
        "or after another",
        OVER % "stages: {b: {width: 64, after: layer4}}\nhead: none",
        "64 x 7 x 7",
    ),
]


@pytest.mark.parametrize(("claim", "spec", "expected"), FACTS, ids=[fact[0] for fact in FACTS])
def test_what_the_page_says_is_so(claim: str, spec: str, expected: str) -> None:
    assert claim in (ROOT / "docs/language.md").read_text(encoding="utf-8")
    try:
        found = str(pipeline.compile_text(spec).typed.outputs[0])
    except SpecError as error:
        found = error.diagnostics[0].code
    assert found == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_outputs_and_tables_are_current(page: Path) -> None:
    written = page.read_text(encoding="utf-8")
    changes = difflib.unified_diff(
        written.splitlines(), regenerated(written).splitlines(), "written", "computed", lineterm=""
    )
    assert not (shown := "\n".join(changes)), f"`python tests/test_docs.py` mends this:\n{shown}"


def _blocks_of_the_guide(language: str) -> list[Any]:
    return [
        pytest.param(each.text, id=f"{GUIDE.stem}-{each.line}")
        for each in fenced(GUIDE.read_text(encoding="utf-8"), language)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("text", _blocks_of_the_guide("console"))
def test_commands_write_what_the_guide_says(text: str) -> None:
    assert session_beside(GUIDE.read_text(encoding="utf-8"), text) == text


@pytest.mark.slow
@pytest.mark.parametrize("text", _blocks_of_the_guide("python"))
def test_python_of_the_guide_runs(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_timm()
    for example in _examples_of(GUIDE):
        place(tmp_path, example)
    monkeypatch.chdir(tmp_path)
    exec(text, {})


if __name__ == "__main__":
    for path in PAGES:
        page = regenerated(path.read_text(encoding="utf-8"))
        for each in fenced(page, "console"):
            page = page.replace(each.text, session_beside(page, each.text))
        path.write_text(page, encoding="utf-8")
