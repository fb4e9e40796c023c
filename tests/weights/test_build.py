"""`build --weights`: module and weights, both or none."""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
from pathlib import Path

import pytest

from resnetgen.compiler.codegen.files import WriteError, write_atomically


@pytest.fixture
def checkpoint(state, folder: Path) -> str:
    """`given.pth`, of the network `tiny`."""
    import torch

    torch.save(state, "given.pth")
    return "given.pth"


def written(folder: Path) -> list[str]:
    return sorted({*os.listdir(folder)} - {"tiny.yaml", "given.pth"})


def network(path: Path):
    """The network of a module, imported as a user would."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, module.__all__[0])()


def test_the_weights_stand_beside_the_module(call, checkpoint, state, folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    done = call("build", "tiny.yaml", "--weights", checkpoint)
    assert done.exit_code == 0, done.stderr
    assert not done.stderr
    size = (folder / "tiny.safetensors").stat().st_size
    expected = f"wrote tiny.safetensors ({len(state)} tensors, {size:,} bytes)"
    assert done.stdout.splitlines()[1] == expected
    assert written(folder) == ["tiny.py", "tiny.safetensors"]
    model = network(folder / "tiny.py")
    model.load_state_dict(load_file("tiny.safetensors"), strict=True)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_they_go_where_the_module_goes(call, checkpoint, folder: Path) -> None:
    (folder / "out").mkdir()
    assert call("build", "tiny.yaml", "--weights", checkpoint, "-o", "out/").exit_code == 0
    assert call("build", "tiny.yaml", "--weights", checkpoint, "-o", "out/a.py").exit_code == 0
    names = ["a.py", "a.safetensors", "tiny.py", "tiny.safetensors"]
    assert sorted(os.listdir(folder / "out")) == names


def test_what_is_left_out_is_listed_and_the_same_each_time(call, checkpoint, folder: Path) -> None:
    arguments = ["build", "tiny.yaml", "--weights", checkpoint, "--except", "fc"]
    arguments += ["--set", "head.classes=4"]
    done = call(*arguments)
    assert done.exit_code == 0, done.stderr
    assert done.stderr == "given.pth: left at initial weights: fc (2 tensors)\n"
    first = (folder / "tiny.safetensors").read_bytes()
    assert call(*arguments).exit_code == 0
    assert (folder / "tiny.safetensors").read_bytes() == first


def test_one_written_file_builds_the_next(call, checkpoint, folder: Path) -> None:
    assert call("build", "tiny.yaml", "--weights", checkpoint).exit_code == 0
    done = call("build", "tiny.yaml", "--weights", "tiny.safetensors", "-o", "next.py")
    assert done.exit_code == 0, done.stderr
    one, other = Path("tiny.safetensors"), Path("next.safetensors")
    assert one.read_bytes() == other.read_bytes()


def test_it_is_traced_before_it_is_placed(call, checkpoint, folder: Path) -> None:
    done = call("build", "tiny.yaml", "--weights", checkpoint, "--trace")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("every prediction holds (")


# --- what may be replaced


def test_only_unedited_weights_that_resnetgen_wrote_are_replaced(
    call, checkpoint, folder: Path
) -> None:
    arguments = ["build", "tiny.yaml", "--weights", checkpoint]
    path = folder / "tiny.safetensors"
    for data in (b"mine", b"", b"\xff" * 20, (1 << 60).to_bytes(8, "little") + b"{}"):
        path.write_bytes(data)
        done = call(*arguments)
        assert done.exit_code == 2
        assert "error[file-exists]: `tiny.safetensors` was not written by resnetgen" in done.stderr
        assert path.read_bytes() == data
        assert written(folder) == ["tiny.safetensors"]
    assert call(*arguments, "--force").exit_code == 0
    assert call(*arguments).exit_code == 0
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert call(*arguments).exit_code == 2


def test_a_link_is_not_followed(call, checkpoint, folder: Path) -> None:
    (folder / "kept").write_text("kept")
    (folder / "tiny.safetensors").symlink_to("kept")
    arguments = ["build", "tiny.yaml", "--weights", checkpoint]
    assert "is a symbolic link" in call(*arguments).stderr
    assert call(*arguments, "--force").exit_code == 0
    assert (folder / "kept").read_text() == "kept"


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_the_checkpoint_itself_is_never_replaced(call, state, folder: Path, force) -> None:
    from safetensors.torch import save_file

    save_file(state, "tiny.safetensors")
    before = Path("tiny.safetensors").read_bytes()
    done = call("build", "tiny.yaml", "--weights", "tiny.safetensors", *force)
    assert done.exit_code == 2
    assert "`tiny.safetensors` is itself an input" in done.stderr
    assert Path("tiny.safetensors").read_bytes() == before
    assert written(folder) == ["tiny.safetensors"]


def test_module_and_weights_need_two_names(call, checkpoint, folder: Path) -> None:
    done = call("build", "tiny.yaml", "--weights", checkpoint, "-o", "x.safetensors")
    assert done.exit_code == 2
    assert "error[unwritable]" in done.stderr
    assert not written(folder)


@pytest.mark.parametrize(
    "arguments",
    [["--weights", "given.pth", "-o", "-"], ["--except", "fc"], ["--weights", ""]],
)
def test_wrong_calls(call, checkpoint, folder: Path, arguments: list[str]) -> None:
    assert call("build", "tiny.yaml", *arguments).exit_code == 2
    assert not written(folder)


# --- both or none


def test_what_does_not_fit_ends_with_1(call, checkpoint, folder: Path) -> None:
    done = call("build", "tiny.yaml", "--weights", checkpoint, "--set", "head.classes=4")
    assert done.exit_code == 1
    assert done.stderr.count("error[") == 1
    assert "error[weights-mismatch]: `given.pth` does not fit `tiny`: 2 tensors of" in done.stderr
    assert "--set head.classes=10" in done.stderr
    assert not written(folder)


@pytest.mark.parametrize("file", ["missing.pth", ".", "tiny.yaml", "/dev/null"])
def test_what_cannot_be_read_ends_with_2(call, folder: Path, file: str) -> None:
    done = call("build", "tiny.yaml", "--weights", file)
    assert done.exit_code == 2
    assert done.stderr.count("error[unreadable-weights]") == 1
    assert not written(folder)


def test_an_exception_that_names_nothing_ends_with_2(call, checkpoint, folder: Path) -> None:
    done = call("build", "tiny.yaml", "--weights", checkpoint, "--except", "fcc")
    assert done.exit_code == 2
    assert "error[unknown-module]" in done.stderr
    assert "did you mean `fc`?" in done.stderr
    assert not written(folder)


@pytest.mark.parametrize(("missing", "code"), [("torch", "no-torch"), ("safetensors", "no-safet")])
def test_what_is_not_installed_is_said(
    call, checkpoint, folder: Path, monkeypatch, missing: str, code: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, f"{missing}.torch", None)
    done = call("build", "tiny.yaml", "--weights", checkpoint)
    assert done.exit_code == 2
    assert f"error[{code}" in done.stderr
    assert "pip install 'resnetgen[torch]'" in done.stderr
    assert not written(folder)


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_failure_in_the_middle_changes_nothing(
    call, checkpoint, folder: Path, monkeypatch, existed: bool, error: BaseException, nth: int
) -> None:
    arguments = ["build", "tiny.yaml", "--weights", checkpoint]
    if existed:
        assert call(*arguments, "--set", "head.classes=4", "--except", "fc").exit_code == 0
    before = {name: (folder / name).read_bytes() for name in written(folder)}
    synced = os.fsync
    left = [nth]

    def fail(handle: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise error
        synced(handle)

    monkeypatch.setattr(os, "fsync", fail)
    done = call(*arguments)
    assert done.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert {name: (folder / name).read_bytes() for name in written(folder)} == before


def test_a_file_system_without_hard_links(call, checkpoint, folder: Path, monkeypatch) -> None:
    arguments = ["build", "tiny.yaml", "--weights", checkpoint]
    assert call(*arguments).exit_code == 0
    before = (folder / "tiny.safetensors").read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links")

    def fail(path: Path, data: bytes) -> None:
        if path.suffix == ".py":
            raise WriteError.__new__(WriteError)
        write_atomically(path, data)

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr("resnetgen.weights.safetensors_file.write_atomically", fail)
    assert call(*arguments, "--set", "head.classes=4", "--except", "fc").exit_code != 0
    assert (folder / "tiny.safetensors").read_bytes() == before
    assert written(folder) == ["tiny.py", "tiny.safetensors"]
