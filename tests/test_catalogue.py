"""The catalogue of diagnostics: it has every code, and its examples fail and work as it says.

    python tests/test_catalogue.py       writes docs/diagnostics.md

A failing spec marks the span of the error by a comment of carets on the next line; `#^^` marks from
the first column on. Of the failing commands, the last fails with the code.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sessions

from resnetgen.compiler.diagnostics import catalog
from resnetgen.compiler.diagnostics.catalog import CodeEntry
from resnetgen.compiler.diagnostics.model import Diagnostic, SpecError, render
from resnetgen.compiler.frontend import yaml_reader
from resnetgen.pipeline import compile_spec

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "diagnostics.md"
ENTRIES = {entry.code: entry for entry in catalog.entries()}

# Codes that no command of an example can cause: a package is missing, the compiler has a bug, or the
# error comes from Python code.
WITHOUT_EXAMPLES = {
    "no-torch",
    "no-safetensors",
    "no-h5py",
    "unfit-plan",
    "broken-prediction",
    "broken-graph",
    "broken-print",
    "internal",
}
CHECKPOINT = "resnet18.pth"  # what some commands read


def of(language: str) -> list[str]:
    """The codes whose examples are specs, or commands."""
    return [
        code
        for code, entry in ENTRIES.items()
        if any(each.language == language for each in entry.examples)
    ]


def example(code: str, role: str) -> str:
    """The text of the example of a code that fails, or that works."""
    (text,) = [each.text for each in ENTRIES[code].examples if each.role == role]
    return text


# --- codes


def codes_in_the_source() -> Iterator[str]:
    """Every constant that the package passes as the `code` of something."""
    files = (ROOT / "resnetgen").rglob("*.py")
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    callees = {name for node in nodes for name in takes_a_code(node)}
    calls = (node for node in nodes if isinstance(node, ast.Call) and node.args)
    for call in calls:
        name = getattr(call.func, "attr", getattr(call.func, "id", None))
        if name in callees and isinstance(call.args[0], ast.Constant):
            yield str(call.args[0].value)
    yield from (message.code for message in yaml_reader.SYNTAX_MESSAGES)


def takes_a_code(node: ast.AST) -> Iterator[str]:
    """The name of a function whose first parameter is `code`, or of a class of which it is."""
    if isinstance(node, ast.FunctionDef) and parameters(node)[:1] == ["code"]:
        yield node.name
    if isinstance(node, ast.ClassDef):
        starts = [each for each in node.body if getattr(each, "name", None) == "__init__"]
        fields = [each.target for each in node.body if isinstance(each, ast.AnnAssign)]
        names = parameters(starts[0]) if starts else [ast.unparse(each) for each in fields]
        yield from [node.name] if names[:1] == ["code"] else []


def parameters(function: ast.FunctionDef) -> list[str]:
    return [each.arg for each in function.args.args if each.arg != "self"]


def test_the_catalogue_has_the_codes_of_the_source() -> None:
    assert sorted(set(codes_in_the_source())) == catalog.codes()


@pytest.mark.parametrize("code", ENTRIES)
def test_an_entry_has_an_explanation_and_one_example_of_each_kind(code: str) -> None:
    entry = ENTRIES[code]
    roles = [each.role for each in entry.examples]
    assert roles == ([] if code in WITHOUT_EXAMPLES else ["fails", "works"])
    assert entry.explanation
    assert "```" not in entry.explanation, "a fence is `yaml` or `console`, and `fails` or `works`"
    assert not entry.title.endswith(".")


# --- examples that are specs


def place(folder: Path, text: str) -> Path:
    """Writes a spec to the file of its name."""
    named = re.match(r"network: (\w+)\n", text)
    path = folder / f"{named[1] if named else 'spec'}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def marked(text: str) -> tuple[int, int, int]:
    """Line, column and end of the span that carets mark."""
    for number, line in enumerate(text.splitlines()):
        carets = re.fullmatch(r"#( *)\^+", line)
        if carets:
            return number, len(carets[1]) + 2 if carets[1] else 1, len(line) + 1
    raise AssertionError("no carets mark the error")


def reported_in(path: Path) -> tuple[Diagnostic, ...]:
    """The errors of a spec, else its warnings."""
    try:
        compiled = compile_spec(path)
        assert compiled.checked_graph
        assert compiled.source
    except SpecError as error:
        return error.diagnostics
    return tuple(compiled.warnings)


@pytest.mark.parametrize("code", of("yaml"))
def test_the_failing_spec_fails_with_the_code_at_the_marked_span(code: str, tmp_path: Path) -> None:
    text = example(code, "fails")
    (reported,) = reported_in(place(tmp_path, text))
    assert (reported.code, reported.severity) == (code, ENTRIES[code].severity), render([reported])
    span = reported.span
    assert span
    assert (span.line, span.column, span.end) == marked(text), render([reported])


@pytest.mark.parametrize("code", of("yaml"))
def test_the_working_spec_compiles_without_a_warning(code: str, tmp_path: Path) -> None:
    assert not reported_in(place(tmp_path, example(code, "works")))


# --- examples that are commands


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a network, as a training script saves them."""
    import torch

    import resnetgen

    path = tmp_path_factory.mktemp("weights") / CHECKPOINT
    torch.save(resnetgen.load("resnet18").state_dict(), path)
    return path


def run(text: str, folder: Path) -> tuple[str, int]:
    """What the commands of an example write, and the exit status of the last."""
    done = [sessions.run(command, folder) for command in sessions.commands(text)]
    return "\n".join(written for written, _ in done), done[-1][1]


@pytest.mark.slow
@pytest.mark.parametrize("code", of("console"))
def test_the_failing_commands_fail_with_the_code_and_the_others_work(
    code: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, works = example(code, "fails"), example(code, "works")
    if "/dev/full" in fails and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    if CHECKPOINT in fails:
        shutil.copy(request.getfixturevalue("checkpoint"), tmp_path)
    monkeypatch.setenv("RESNETGEN_DEBUG", "")
    output, status = run(fails, tmp_path)
    assert status != 0, output
    assert f"error[{code}]: " in output
    output, status = run(works, tmp_path)
    assert status == 0, output


# --- the page


FORMS = """\
## Forms

`resnetgen check --format FORM` prints the same in four forms: `text` to standard error, with colour on a terminal; the others to standard output. With `--strict`, warnings are failures too; `--fix` first applies the fixes that leave no choice. The exit status is 0 if there is nothing to report, 1 if a spec is wrong, 2 if the call is wrong or a file cannot be read.

`json` is a list with one map for each diagnostic, empty if there are none:

| key | value |
|---|---|
| `code` | one of the codes below |
| `severity` | `error` or `warning` |
| `message` | what is wrong |
| `file`, `line`, `column`, `end` | the position; lines and columns count from 1, in code points, and `end` is the column after the last, on the same line; all `null` if there is no position |
| `notes` | a list of reasons, each with `text` and a position in the same four keys |
| `help` | what to type instead, or `null` |

`github` is a line of `::error file=...,line=...,col=...,endColumn=...,title=CODE::MESSAGE` (or `::warning`) for each, which GitHub Actions shows at the line of a pull request. `sarif` is a log of SARIF 2.1.0, with the explanations below as its rules; notes with a position are related locations.
"""


def page(folder: Path) -> str:
    """`docs/diagnostics.md`: the codes in a table, the forms, and each entry with its message."""
    lines = ["# Diagnostics", ""]
    lines += ["Every message of resnetgen has a code: `error[unread]: nothing reads the node ...`."]
    lines += ["`resnetgen explain CODE` prints the entry of this page."]
    lines += [
        "<!-- Written by `python tests/test_catalogue.py` from resnetgen/compiler/diagnostics/codes. -->"
    ]
    lines += ["", "| code | | about |", "|---|---|---|"]
    lines += [
        f"| [`{code}`](#{code}) | {entry.severity} | {entry.title} |"
        for code, entry in ENTRIES.items()
    ]
    parts = [
        "\n".join(lines),
        FORMS.strip(),
        *(_section(each, folder) for each in ENTRIES.values()),
    ]
    return "\n\n".join(parts) + "\n"


def _section(entry: CodeEntry, folder: Path) -> str:
    """An entry, with the diagnostic of its failing spec below it."""
    text = entry.markdown
    for each in entry.examples:
        fence = f"```{each.language} {each.role}\n{each.text}```"
        shown = f"```{each.language}\n{each.text}```"
        if each.role == "works":
            shown = f"This works:\n\n{shown}"
        elif each.language == "yaml":
            shown += f"\n```text\n{_rendered(folder, each.text)}\n```"
        text = text.replace(fence, shown)
    return f"## {entry.code}\n\n*{entry.severity}: {entry.title}*\n\n{text}"


def _rendered(folder: Path, text: str) -> str:
    """The diagnostic of a wrong spec, as in the working directory."""
    path = place(folder, text)
    return render(reported_in(path)).replace(f"{folder.as_posix()}/", "")


def test_the_page_is_current(tmp_path: Path) -> None:
    current = PAGE.read_text(encoding="utf-8") == page(tmp_path)
    assert current, "run `python tests/test_catalogue.py`"


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as here:
        PAGE.write_text(page(Path(here)), encoding="utf-8")
