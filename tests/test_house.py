"""The house rules: lint, format and types; one name for one class; pages that name real paths."""

import ast
import fnmatch
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
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
FOLDERS = ("resnetgen", "benchmarks", "docs", "specs", "templates", "tests", "tools")
# A path in backticks: it ends in a slash, or in a suffix that files of the repository have.
PATH = re.compile(r"`([\w.-]+(?:/[\w.*-]+)*(?:/|\.(?:py|md|jinja|svg|toml|txt)))`")
# Files that a reader makes, or that stand for any of a kind.
EXAMPLE = re.compile(r"NAME|CODE|VERB|^(?:mine|my|scout|resnet)")


@cache
def paths() -> list[str]:
    """The files and folders of the repository, each between slashes."""
    inside = (path for folder in FOLDERS for path in (ROOT / folder, *(ROOT / folder).rglob("*")))
    return [f"/{path.relative_to(ROOT).as_posix()}/" for path in (*ROOT.iterdir(), *inside)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    """A page may leave out the folders above: `ir/ops.py`, `ops.py`."""
    named = {path.strip("/") for path in PATH.findall(page.read_text(encoding="utf-8"))}
    patterns = {path: f"*/{path}/" for path in named if not EXAMPLE.search(path)}
    missing = {path for path, pattern in patterns.items() if not fnmatch.filter(paths(), pattern)}
    assert not missing
