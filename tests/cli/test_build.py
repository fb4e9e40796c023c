"""`build`: where the module goes, what it may replace, and that nothing else is touched."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from resnetgen.compiler.codegen.files import MODULE
from resnetgen.pipeline import compile_spec

SOURCE = compile_spec("resnet34").source


def test_the_module_goes_to_its_name(call, folder: Path) -> None:
    done = call("build", "resnet34")
    assert done.exit_code == 0, done.stderr
    assert (folder / "resnet34.py").read_text(encoding="utf-8") == SOURCE
    lines = SOURCE.count("\n")
    assert done.stdout == (
        f"wrote resnet34.py ({lines} lines; 21,797,672 parameters, 3.66 G multiply-adds)\n"
    )


def test_dashes_and_dots_of_a_name_become_underscores(call, tiny: Path) -> None:
    tiny.write_text(tiny.read_text().replace("network: tiny", "network: tiny-1.5"))
    assert call("build", "tiny.yaml").exit_code == 0
    assert Path("tiny_1_5.py").is_file()


def test_a_file_that_is_named(call, folder: Path) -> None:
    assert call("build", "resnet34", "-o", "net.py").exit_code == 0
    assert os.listdir(folder) == ["net.py"]


def test_a_folder_that_is_named(call, folder: Path) -> None:
    (folder / "out").mkdir()
    assert call("build", "resnet34", "--output", "out").exit_code == 0
    assert os.listdir(folder / "out") == ["resnet34.py"]


def test_standard_output_has_the_module_alone(call, folder: Path) -> None:
    done = call("build", "resnet34", "-o", "-")
    assert done.stdout_bytes == SOURCE.encode()
    assert not list(folder.iterdir())


def test_standard_output_is_utf8_whatever_the_terminal(program, environment, folder: Path) -> None:
    done = program(
        "build", "resnet34", "-o", "-", env=environment(PYTHONIOENCODING="utf-16"), text=False
    )
    assert done.stdout == SOURCE.encode()


def test_set_is_compiled_in(call, folder: Path) -> None:
    assert call("build", "resnet34", "--set", "head.classes=7").exit_code == 0
    assert "num_classes: int = 7" in Path("resnet34.py").read_text()


def test_our_own_file_is_replaced(call, folder: Path) -> None:
    assert call("build", "resnet34", "--set", "head.classes=7").exit_code == 0
    assert call("build", "resnet34").exit_code == 0
    assert Path("resnet34.py").read_text() == SOURCE


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("print('mine')\n", id="foreign"),
        pytest.param(SOURCE + "# edited\n", id="appended"),
        pytest.param(SOURCE.replace("padding=1", "padding=2", 1), id="edited"),
        pytest.param(SOURCE.replace(", code ", ", code 0"), id="broken-mark"),
        pytest.param("# " + SOURCE, id="not-at-the-top"),
    ],
)
def test_any_other_file_is_kept_unless_forced(call, folder: Path, text: str) -> None:
    path = folder / "resnet34.py"
    path.write_text(text, encoding="utf-8")
    done = call("build", "resnet34")
    assert done.exit_code == 2
    assert "error[file-exists]: `resnet34.py` was not written by resnetgen" in done.stderr
    assert "help: use `--force` to replace it" in done.stderr
    assert path.read_text(encoding="utf-8") == text
    assert call("build", "resnet34", "--force").exit_code == 0
    assert path.read_text(encoding="utf-8") == SOURCE
    assert os.listdir(folder) == ["resnet34.py"]


def test_a_binary_file_is_kept(call, folder: Path) -> None:
    (folder / "resnet34.py").write_bytes(b'"""\xff\x00')
    assert call("build", "resnet34").exit_code == 2
    assert (folder / "resnet34.py").read_bytes() == b'"""\xff\x00'


def test_a_module_with_other_line_endings_is_replaced(call, folder: Path) -> None:
    (folder / "resnet34.py").write_bytes(SOURCE.replace("\n", "\r\n").encode())
    assert call("build", "resnet34").exit_code == 0


@pytest.mark.parametrize("name", ["resnet34", "r3d_18", "googlenet"])
def test_an_untouched_module_has_the_stamp(folder: Path, name: str) -> None:
    text = compile_spec(name).source
    path = folder / "module.py"

    def is_ours(text: str) -> bool:
        path.write_text(text, encoding="utf-8")
        return MODULE.is_on(path)

    assert is_ours(text)
    assert not is_ours(text[:-1])
    assert not is_ours("")
    assert not is_ours('"""')


def test_a_symbolic_link_is_not_followed(call, folder: Path) -> None:
    (folder / "kept.txt").write_text("kept")
    (folder / "resnet34.py").symlink_to("kept.txt")
    assert "is a symbolic link" in call("build", "resnet34").stderr
    assert call("build", "resnet34", "--force").exit_code == 0
    assert (folder / "kept.txt").read_text() == "kept"
    assert not (folder / "resnet34.py").is_symlink()


def test_a_link_to_nothing_is_not_followed(call, folder: Path) -> None:
    (folder / "resnet34.py").symlink_to("elsewhere.py")
    done = call("build", "resnet34")
    assert done.exit_code == 2
    assert "error[file-exists]" in done.stderr
    assert not (folder / "elsewhere.py").exists()


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_device_is_never_replaced(call, folder: Path, force: list[str]) -> None:
    done = call("build", "resnet34", "-o", "/dev/null", *force)
    assert done.exit_code == 2
    assert "error[unwritable]" in done.stderr
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_folder_in_the_way_is_never_replaced(call, folder: Path, force: list[str]) -> None:
    (folder / "resnet34.py").mkdir()
    done = call("build", "resnet34", *force)
    assert done.exit_code == 2
    assert "error[unwritable]: `resnet34.py` is not a regular file" in done.stderr


@pytest.mark.parametrize("output", ["no/net.py", "no/", "tiny.yaml/net.py", "x" * 300])
def test_an_impossible_path(call, tiny: Path, output: str) -> None:
    done = call("build", "tiny.yaml", "-o", output)
    assert done.exit_code == 2
    assert "error[unwritable]" in done.stderr
    assert os.listdir(tiny.parent) == ["tiny.yaml"]


def test_a_folder_without_write_permission(call, folder: Path, monkeypatch) -> None:
    """The refusal is simulated: tests may run as root, which is refused nothing."""

    def refuse(path: object, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *mode)  # type: ignore[call-overload]

    opened = os.open
    monkeypatch.setattr(os, "open", refuse)
    done = call("build", "resnet34", "-o", "net.py")
    assert done.exit_code == 2
    assert "error[unwritable]: cannot write `net.py`: Permission denied" in done.stderr
    assert not list(folder.iterdir())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_a_file_system_that_accepts_no_files(call) -> None:
    done = call("build", "resnet34", "-o", "/proc/net.py")
    assert done.exit_code == 2
    assert "error[unwritable]: cannot write `/proc/net.py`" in done.stderr


def test_the_mode_respects_the_umask(call, folder: Path) -> None:
    before = os.umask(0o027)
    try:
        assert call("build", "resnet34").exit_code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "resnet34.py").stat().st_mode) == 0o640


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_in_the_middle_leaves_nothing(call, folder, monkeypatch, step, error) -> None:
    def fail(*_: object) -> None:
        assert any(name.endswith(".tmp") for name in os.listdir(folder))
        raise error

    monkeypatch.setattr(os, step, fail)
    done = call("build", "resnet34")
    assert done.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert not list(folder.iterdir())


def test_a_failure_in_the_middle_keeps_the_file_that_was_there(call, folder, monkeypatch) -> None:
    assert call("build", "resnet34", "--set", "head.classes=7").exit_code == 0
    before = Path("resnet34.py").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: os.close(-1))
        assert call("build", "resnet34").exit_code == 2
    assert Path("resnet34.py").read_text() == before
    assert os.listdir(folder) == ["resnet34.py"]


def test_a_kill_in_the_middle_leaves_nothing(environment, folder: Path) -> None:
    code = (
        "import os, time\n"
        "os.fsync = lambda handle: (print('ready', flush=True), time.sleep(60))\n"
        "from resnetgen.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "build", "resnet34"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert len(list(folder.iterdir())) == 1
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGTERM
    assert err == ""
    assert not list(folder.iterdir())


# --- torch is asked before the file is placed


def test_a_module_that_fails_verification_is_not_written(call, folder: Path, monkeypatch) -> None:
    wrong = SOURCE.replace("padding=3", "padding=2", 1)
    monkeypatch.setattr("resnetgen.compiler.codegen.render.render", lambda plan: wrong)
    done = call("build", "resnet34", "--trace")
    assert done.exit_code == 3
    assert "error[broken-prediction]: eval: conv1: predicted 64 x 112 x 112, torch" in done.stderr
    assert not list(folder.iterdir())


def test_a_module_that_passes_verification_is_written(call, tiny: Path) -> None:
    done = call("build", "tiny.yaml", "--trace")
    assert done.exit_code == 0, done.stderr
    verified, wrote = done.stdout.splitlines()
    assert verified.startswith("every prediction holds (")
    assert wrote.startswith("wrote tiny.py (")


def test_an_existing_file_is_refused_before_torch_runs(call, folder: Path, monkeypatch) -> None:
    (folder / "resnet34.py").write_text("mine")
    monkeypatch.setattr(
        "resnetgen.runtime.verify.verify", lambda *_, **__: pytest.fail("torch was asked")
    )
    assert call("build", "resnet34", "--trace").exit_code == 2


@pytest.mark.parametrize("option", [["--trace"], ["--compile", "cpu"]])
def test_without_torch_one_line_says_so(call, folder: Path, monkeypatch, option) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = call("build", "resnet34", *option)
    assert done.exit_code == 2
    assert "error[no-torch]" in done.stderr
    assert "pip install 'resnetgen[torch]'" in done.stderr
    assert not list(folder.iterdir())


def test_a_compiled_module_that_disagrees_is_not_written(call, folder: Path, monkeypatch) -> None:
    from resnetgen.runtime import compile_check as runtime

    report = runtime.CompileReport("cpu", (), 1e-4, ("eval: outputs differ",))
    monkeypatch.setattr(runtime, "compile_and_run", lambda *_: report)
    done = call("build", "resnet34", "--compile", "cpu")
    assert done.exit_code == 3
    assert "error[broken-prediction]: eval: outputs differ" in done.stderr
    assert not list(folder.iterdir())


def test_a_compiled_module_that_agrees_is_printed(call, folder: Path, monkeypatch) -> None:
    from resnetgen.runtime import compile_check as runtime

    mode = runtime.ModeResult("eval", 1.25, 2e-7)
    report = runtime.CompileReport("cpu", (mode,), 1e-4, ())
    monkeypatch.setattr(runtime, "compile_and_run", lambda *_: report)
    done = call("build", "resnet34", "--compile", "cpu", "-o", "-")
    assert done.stdout == SOURCE
    assert done.stderr == (
        "compiled for cpu and as in eager execution (eval in 1.2 s, relative error 2e-07)\n"
    )


def test_verify_reports_what_it_checked(call, tiny: Path) -> None:
    done = call("verify", "tiny.yaml", "--set", "head.classes=7")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("tiny: every prediction holds (")


def test_verify_reports_a_wrong_prediction(call, folder: Path, monkeypatch) -> None:
    wrong = SOURCE.replace("self.fc = nn.Linear(512,", "self.fc = nn.Linear(256,")
    monkeypatch.setattr("resnetgen.compiler.codegen.render.render", lambda plan: wrong)
    done = call("verify", "resnet34")
    assert done.exit_code == 3
    assert "error[broken-prediction]: parameters: predicted 21,797,672" in done.stderr
    assert not done.stdout
