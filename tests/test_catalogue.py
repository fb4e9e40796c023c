"""The catalogue of diagnostics: its examples fail and compile as it says, and it holds every code.

    python tests/test_catalogue.py       writes docs/diagnostics.md anew

A failing spec marks the place at fault by a comment of carets below its line; `#^^` marks from the
first column on. Of commands, the last fails with the code, and those that mend it come after.
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

# Codes that no command of a person brings about: what is needed is missing, the compiler is at
# fault, or only Python code asks.
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
# What takes a code as its first argument.
TAKE_A_CODE = {"Diagnostic", "fault", "record", "stop", "unknown", "BadScalar", "RuntimeFault"}
CHECKPOINT = "resnet18.pth"  # what some commands read


def of(language: str) -> list[str]:
    """The codes whose examples are specs, or commands."""
    return [
        code
        for code, entry in ENTRIES.items()
        if any(each.language == language for each in entry.examples)
    ]


def example(code: str, role: str) -> str:
    """The text of the failing or the mended example of a code."""
    (found,) = [each.text for each in ENTRIES[code].examples if each.role == role]
    return found


# --- codes


def codes_in_the_source() -> Iterator[str]:
    """Every code that stands in the package, in the place of one."""
    for path in (ROOT / "resnetgen").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "attr", getattr(node.func, "id", None))
                if name in TAKE_A_CODE:
                    yield str(node.args[0].value)
    yield from (reason.code for reason in yaml_reader.SYNTAX_MESSAGES)


def test_the_catalogue_holds_the_codes_of_the_source() -> None:
    assert sorted(set(codes_in_the_source())) == catalog.codes()


@pytest.mark.parametrize("code", ENTRIES)
def test_an_entry_has_an_explanation_and_one_example_of_each_kind(code: str) -> None:
    entry = ENTRIES[code]
    roles = [each.role for each in entry.examples]
    assert roles == ([] if code in WITHOUT_EXAMPLES else ["fails", "mended"])
    assert entry.explanation
    assert "```" not in entry.explanation, "a fence is `yaml` or `console`, and `fails` or `mended`"
    assert not entry.title.endswith(".")


# --- examples that are specs


def place(folder: Path, text: str) -> Path:
    """Writes a spec to the file of its name."""
    named = re.match(r"network: (\w+)\n", text)
    path = folder / f"{named[1] if named else 'spec'}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def marked(text: str) -> tuple[int, int, int]:
    """Line, column and end of the place that carets mark."""
    for number, line in enumerate(text.splitlines()):
        carets = re.fullmatch(r"#( *)\^+", line)
        if carets:
            return number, len(carets[1]) + 2 if carets[1] else 1, len(line) + 1
    raise AssertionError("no carets mark the place at fault")


def found_in(path: Path) -> tuple[Diagnostic, ...]:
    """The errors of a spec, else its warnings."""
    try:
        compiled = compile_spec(path)
        assert compiled.graph
        assert compiled.source
    except SpecError as error:
        return error.diagnostics
    return tuple(compiled.warnings)


@pytest.mark.parametrize("code", of("yaml"))
def test_the_failing_spec_fails_with_the_code_at_the_marked_place(
    code: str, tmp_path: Path
) -> None:
    text = example(code, "fails")
    (fault,) = found_in(place(tmp_path, text))
    assert (fault.code, fault.severity) == (code, ENTRIES[code].severity), render([fault])
    assert fault.span
    assert (fault.span.line, fault.span.column, fault.span.end) == marked(text), render([fault])


@pytest.mark.parametrize("code", of("yaml"))
def test_the_mended_spec_compiles_without_a_warning(code: str, tmp_path: Path) -> None:
    assert not found_in(place(tmp_path, example(code, "mended")))


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
def test_the_commands_fail_with_the_code_and_are_mended(
    code: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, mended = example(code, "fails"), example(code, "mended")
    if "/dev/full" in fails and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    if CHECKPOINT in fails:
        shutil.copy(request.getfixturevalue("checkpoint"), tmp_path)
    monkeypatch.setenv("RESNETGEN_DEBUG", "")
    said, status = run(fails, tmp_path)
    assert status != 0, said
    assert f"error[{code}]: " in said
    said, status = run(mended, tmp_path)
    assert status == 0, said


# --- the page


FORMS = """\
## Forms

`resnetgen check --format FORM` says the same in four forms. In `text` it goes to standard error, with colour on a terminal; in the others to standard output. `--strict` makes failures of warnings; `--fix` first makes the mends that leave no choice. The exit status is 0 where all is sound, 1 where a spec is wrong, 2 where the call is wrong or a file cannot be read.

`json` is a list with one map for each diagnostic, empty where there is none:

| key | holds |
|---|---|
| `code` | one of the codes below |
| `severity` | `error` or `warning` |
| `message` | what is wrong |
| `file`, `line`, `column`, `end` | the place; lines and columns count from 1, in code points, and `end` is the column after the last, on the same line; all `null` where there is no place |
| `notes` | a list of reasons, each with `text` and a place in the same four keys |
| `help` | what to type instead, or `null` |

`github` is a line of `::error file=...,line=...,col=...,endColumn=...,title=CODE::MESSAGE` (or `::warning`) for each, which GitHub Actions shows at the line of a pull request. `sarif` is a log of SARIF 2.1.0, with the explanations below as its rules; notes with a place are related locations.
"""


def page(folder: Path) -> str:
    """`docs/diagnostics.md`: the codes in a table, the forms, and each entry with its message."""
    lines = ["# Diagnostics", ""]
    lines += ["Every message of resnetgen has a code: `error[unread]: nothing reads the node ...`."]
    lines += ["`resnetgen explain CODE` prints the entry of this page."]
    lines += [
        "<!-- Written by `python tests/test_catalogue.py` from resnetgen/language/catalogue. -->"
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
    """An entry, with what is said of its failing spec below it."""
    text = entry.markdown
    for each in entry.examples:
        fence = f"```{each.language} {each.role}\n{each.text}```"
        shown = f"```{each.language}\n{each.text}```"
        if each.role == "mended":
            shown = f"Mended:\n\n{shown}"
        elif each.language == "yaml":
            shown += f"\n```text\n{_said(folder, each.text)}\n```"
        text = text.replace(fence, shown)
    return f"## {entry.code}\n\n*{entry.severity}: {entry.title}*\n\n{text}"


def _said(folder: Path, text: str) -> str:
    """What is said of a wrong spec, which lies in the folder where the person works."""
    path = place(folder, text)
    return render(found_in(path)).replace(f"{folder.as_posix()}/", "")


def test_the_page_is_current(tmp_path: Path) -> None:
    current = PAGE.read_text(encoding="utf-8") == page(tmp_path)
    assert current, "`python tests/test_catalogue.py` mends this"


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as here:
        PAGE.write_text(page(Path(here)), encoding="utf-8")
