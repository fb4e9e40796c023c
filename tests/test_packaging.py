"""Wheel, sdist and editable install work from any directory."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
DATA = ("specs", "templates")


def run(arguments: list[str], cwd: Path, **environment: str) -> str:
    """Run Python, away from the checkout; return what it printed."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=inherited | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def data_files() -> dict[str, bytes]:
    """The library and the templates of the checkout, by path from the root."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for folder in DATA
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
    }


@dataclass(frozen=True)
class Built:
    wheel: Path
    sdist: Path
    site: Path  # the wheel, unpacked
    elsewhere: Path  # an empty folder to run from


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist of the checkout, and the wheel that is built from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    run(["-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)], elsewhere)
    [wheel] = out.glob("*.whl")
    [sdist] = out.glob("*.tar.gz")
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return Built(wheel, sdist, site, elsewhere)


def test_the_wheel_has_the_library_and_the_templates(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    expected = {f"resnetgen/{name}": data for name, data in data_files().items()}
    assert "resnetgen/specs/resnet50.yaml" in expected
    assert any(name.startswith("resnetgen/templates/") for name in expected)
    missing = sorted(name for name, data in expected.items() if files.get(name) != data)
    assert not missing
    tops = {name.split("/")[0] for name in files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"resnetgen"}


def test_metadata_of_the_wheel(built: Built) -> None:
    [folder] = built.site.glob("*.dist-info")
    metadata = Parser().parsestr((folder / "METADATA").read_text(encoding="utf-8"))
    assert (metadata["Name"], metadata["License-Expression"]) == ("resnetgen", "MIT")
    required = metadata.get_all("Requires-Dist", [])
    assert not [one for one in required if "torch" in one and "extra ==" not in one]
    entry_points = (folder / "entry_points.txt").read_text(encoding="utf-8")
    assert "resnetgen = resnetgen.cli:main" in entry_points


def test_the_sdist_has_what_tests_need(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"README.md", "LICENSE", "constraints.txt", "pyproject.toml", "tests/test_house.py"}
    assert needed | set(data_files()) <= names


def test_wheel_works_from_another_directory(built: Built) -> None:
    def python(*arguments: str) -> str:
        return run([*arguments], built.elsewhere, PYTHONPATH=str(built.site))

    where = python("-c", "import resnetgen; print(resnetgen.__file__)")
    assert Path(where.strip()).is_relative_to(built.site)
    assert "resnet50" in python("-m", "resnetgen", "list", "networks").split()
    python("-m", "resnetgen", "check", "resnet50")


def test_editable_install_reads_the_checkout(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """An editable install leaves copies of the library behind; they must not be read."""
    out = tmp_path_factory.mktemp("editable")
    site = tmp_path_factory.mktemp("editable-site")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    run(["-c", f"from hatchling.build import build_editable as b; b({str(out)!r})"], ROOT)
    [wheel] = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for copy in (path for path in site.glob("resnetgen/**/*") if path.is_file()):
        copy.write_text("stale: [", encoding="utf-8")

    def resnetgen(*arguments: str) -> str:
        lines = [
            "import runpy, site, sys",
            f"site.addsitedir({str(site)!r})",
            f"sys.argv = {['resnetgen', *arguments]!r}",
            "runpy.run_module('resnetgen', run_name='__main__', alter_sys=True)",
        ]
        return run(["-c", "\n".join(lines)], elsewhere)

    assert "resnet50" in resnetgen("list", "networks").split()
    resnetgen("check", "resnet50")
