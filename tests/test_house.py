"""The house rules: lint, format and types; one name for one class; pages that name real paths."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tools.house.imports import modules

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["ruff", "check", "--no-cache", "."], id="ruff-check"),
        pytest.param(["ruff", "format", "--check", "--diff", "--no-cache", "."], id="ruff-format"),
        pytest.param(["mypy"], id="mypy"),
    ],
)
def test_tool_is_content(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}"


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict(list)
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert not twice


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
# A path of the repository in backticks: it ends in a slash, or in a suffix that its files have.
PATH = re.compile(r"`([\w.-]+(?:/[\w.*-]+)*(?:/|\.(?:py|md|jinja|svg|toml|txt)))`")
# A path may be short for one in these folders, as `compiler/ir/ops.py`.
BASES = [ROOT, ROOT / "resnetgen", ROOT / "docs", ROOT / "specs", ROOT / "templates"]
# Files that a reader makes, or that stand for any of a kind.
MADE = re.compile(r"NAME|CODE|VERB|^(?:mine|my|scout|resnet)")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    named = set(PATH.findall(page.read_text(encoding="utf-8")))
    missing = {
        path
        for path in named
        if not MADE.search(path) and not any(any(base.glob(path)) for base in BASES)
    }
    assert not missing
