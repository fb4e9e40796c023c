"""The printed files, byte for byte, and what must hold for each of them.

    pytest tests/test_golden.py --regenerate

writes `golden/NAME.py` anew; read the difference before it is committed.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resnetgen import compile_spec

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
SPECS = ROOT / "tests" / "specs"

LIBRARY_NETWORKS = (
    "googlenet",
    "plain34",
    "preact_resnet50",
    "r3d_18",
    "resnet110",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet34_a",
    "resnet34_c",
    "resnet50",
    "resnet50_v1",
    "resnet50d",
    "resnetblur50",
    "seresnext50_32x4d",
    "vgg19",
)
OWN_NETWORKS = ("resnet50_dp", "resnet50_features", "resnet50_os8", "unet_resnet34")
NETWORKS: dict[str, str | Path] = {
    **{name: name for name in LIBRARY_NETWORKS},
    **{name: SPECS / f"{name}.yaml" for name in OWN_NETWORKS},
}

FOR_INFERENCE = ("preact_resnet18", "r3d_18", "resnet18", "seresnet18")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_printed_file_is_unchanged(name: str, expect: Callable[[Path, str], None]) -> None:
    expect(GOLDEN / f"{name}.py", compile_spec(NETWORKS[name]).source)


@pytest.mark.parametrize("name", FOR_INFERENCE)
def test_the_printed_file_of_the_inference_target_is_unchanged(
    name: str, expect: Callable[[Path, str], None]
) -> None:
    expect(GOLDEN / f"{name}_inference.py", compile_spec(name).inference_source)


def test_every_golden_has_a_network() -> None:
    known = {*NETWORKS, *(f"{name}_inference" for name in FOR_INFERENCE)}
    assert {path.stem for path in GOLDEN.iterdir() if path.is_file()} <= known


# --- the same bytes everywhere

BUILD = """
import sys
from pathlib import Path
from resnetgen import compile_spec

for name in sys.argv[1:]:
    Path(name).with_suffix(".py").write_bytes(compile_spec(name).source.encode())
"""
ENVIRONMENTS = {
    "C": {"PYTHONHASHSEED": "1", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "utf8": {"PYTHONHASHSEED": "4242", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "COLUMNS": "20"},
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_directory_hash_seed_and_locale_leave_no_trace(environment: str, tmp_path: Path) -> None:
    """Library networks by name; ours by a relative path, from a folder that they were copied to."""
    for name in OWN_NETWORKS:
        text = (SPECS / f"{name}.yaml").read_bytes()
        (tmp_path / f"{name}.yaml").write_bytes(text)
    specs = [*LIBRARY_NETWORKS, *(f"{name}.yaml" for name in OWN_NETWORKS)]
    subprocess.run(
        [sys.executable, "-c", BUILD, *specs],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **ENVIRONMENTS[environment]},
        check=True,
    )
    for name in NETWORKS:
        printed = (tmp_path / f"{name}.py").read_bytes()
        assert printed == compile_spec(NETWORKS[name]).source.encode(), name


def test_build_writes_what_the_library_call_returns(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "resnetgen", "build", "resnet50"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    assert os.listdir(tmp_path) == ["resnet50.py"]
    assert (tmp_path / "resnet50.py").read_bytes() == compile_spec("resnet50").source.encode()


# --- the whole folder, with the tools' own settings


def tool(arguments: list[str], cwd: Path = ROOT) -> None:
    """Fails with the output of the tool."""
    command = [sys.executable, "-m", *arguments, str(GOLDEN)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}{done.stderr}"


def test_ruff_would_format_nothing() -> None:
    tool(["ruff", "format", "--isolated", "--no-cache", "--check", "--diff"])


def test_ruff_finds_nothing() -> None:
    tool(["ruff", "check", "--isolated", "--no-cache"])


@pytest.mark.slow
def test_mypy_finds_nothing(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Outside of the checkout, so that its settings do not count."""
    cache = request.config.cache.mkdir("mypy_golden")
    tool(["mypy", "--strict", "--config-file=", f"--cache-dir={cache}"], tmp_path)


# --- what is in each file


def imported(tree: ast.Module) -> Iterator[str]:
    """The packages that a file imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "").partition(".")[0]


def choices(tree: ast.Module) -> Iterator[str]:
    """Where a `forward` decides something: `Class: condition`. Training mode may decide."""
    for owner in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        if owner.name == "DropPath":
            continue
        for method in owner.body:
            if not isinstance(method, ast.FunctionDef) or method.name == "__init__":
                continue
            for node in ast.walk(method):
                if isinstance(node, ast.If | ast.IfExp | ast.While | ast.For | ast.Match | ast.Try):
                    condition = ast.unparse(getattr(node, "test", node))
                    if condition != "self.training":
                        yield f"{owner.name}.{method.name}: {condition}"


@pytest.mark.parametrize("name", NETWORKS)
def test_only_torch_and_the_standard_library_are_imported(name: str) -> None:
    tree = ast.parse(compile_spec(NETWORKS[name]).source)
    assert {"torch"} <= set(imported(tree)) <= {"torch", "math", "collections"}


@pytest.mark.parametrize("name", NETWORKS)
def test_forward_branches_only_on_training_mode(name: str) -> None:
    tree = ast.parse(compile_spec(NETWORKS[name]).source)
    assert not list(choices(tree))


def test_a_choice_in_forward_would_be_found() -> None:
    text = "class A:\n def forward(self, x):\n  return x if self.downsample is None else x + 1"
    assert list(choices(ast.parse(text))) == ["A.forward: self.downsample is None"]


def test_resnet50_is_short() -> None:
    assert len(compile_spec("resnet50").source.splitlines()) <= 115
