"""How commands fail: statuses, codes, and never a traceback."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from resnetgen import pipeline
from resnetgen.compiler.passes.flatten import InvalidGraph

COMMANDS = ["build", "check", "report", "show", "verify"]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_name_is_a_wrong_call(call, folder: Path, command: str) -> None:
    done = call(command, "resnett50")
    assert done.exit_code == 2
    assert "error[unknown-spec]: there is no file and no library network `resnett50`" in done.stderr
    assert "help: did you mean `resnet50`?" in done.stderr
    assert not list(folder.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_spec_ends_with_1(call, folder: Path, command: str) -> None:
    (folder / "bad.yaml").write_text("network: bad\n", encoding="utf-8")
    done = call(command, "bad.yaml")
    assert done.exit_code == 1
    assert "bad.yaml:1:1: error[missing-key]" in done.stderr
    assert not done.stdout
    assert os.listdir(folder) == ["bad.yaml"]


@pytest.mark.parametrize(
    "spec", ["missing.yaml", ".", "a/b/c", "x" * 5000, "a\0b", "\udcff.yaml", "/dev/zero", ""]
)
def test_what_cannot_be_read_is_a_wrong_call(call, folder: Path, spec: str) -> None:
    done = call("report", spec)
    assert done.exit_code == 2
    assert "error[unreadable]" in done.stderr or "error[unknown-spec]" in done.stderr
    assert "\0" not in done.stderr


def test_a_missing_file_is_looked_up_in_the_library(call, folder: Path) -> None:
    assert "help: for the library network, use `resnet50`" in call("show", "resnet50.yaml").stderr


def test_a_file_without_read_permission(call, tiny: Path, monkeypatch) -> None:
    """The refusal is simulated: tests may run as root, which is refused nothing."""

    def refuse(path: Path, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        done = call("report", "tiny.yaml")
    assert done.exit_code == 2
    assert "error[unreadable]: cannot read `tiny.yaml`: Permission denied" in done.stderr


def broken(*_: object) -> None:
    raise InvalidGraph("resnet50: a cycle")


def test_a_broken_graph_ends_with_3(call, folder, monkeypatch) -> None:
    monkeypatch.setattr("resnetgen.pipeline.check_graph", broken)
    done = call("build", "resnet50")
    assert done.exit_code == 3
    assert "error[broken-graph]: resnet50: a cycle" in done.stderr
    assert not list(folder.iterdir())


def crash(*_: object) -> None:
    raise KeyError("x\ny\x1b[31m")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unforeseen_exception_is_one_line(call, folder, monkeypatch, command: str) -> None:
    monkeypatch.setattr(pipeline, "elaborate", crash)
    done = call(command, "resnet50")
    assert done.exit_code == 3
    assert "error[internal]: internal error: KeyError" in done.stderr
    assert "please report it" in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr


def test_debug_shows_where_it_arose(call, monkeypatch) -> None:
    monkeypatch.setattr(pipeline, "elaborate", crash)
    monkeypatch.setenv("RESNETGEN_DEBUG", "1")
    done = call("report", "resnet50")
    assert done.exit_code == 3
    assert "Traceback" in done.stderr


def test_an_interrupt_ends_with_130(call, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "elaborate", interrupt)
    done = call("report", "resnet50")
    assert done.exit_code == 130
    assert not done.stderr


def test_a_real_interrupt_ends_with_130(environment) -> None:
    code = (
        "import resnetgen.pipeline as c, time\n"
        "def wait(*_): print('ready', flush=True); time.sleep(60)\n"
        "c.elaborate = wait\n"
        "from resnetgen.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "report", "resnet50"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # `&` of a shell ignores it
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in err


def test_a_closed_pipe_is_quiet(environment) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "resnetgen", "report", "resnet50", "--by", "node"],
            env=environment(),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_reported(program) -> None:
    with open("/dev/full", "w") as full:
        done = program(
            "report", "resnet50", capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 2
    assert "error[input-output]: reading or writing failed: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_terminal_without_the_characters_gets_escapes(program, environment, folder: Path) -> None:
    (folder / "bad.yaml").write_text("network: ü\ninput: é\n", encoding="utf-8")
    done = program("check", "bad.yaml", env=environment(PYTHONIOENCODING="ascii", LC_ALL="C"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.fixture
def on_terminal(environment) -> Callable[..., str]:
    return partial(_on_terminal, environment())


def _on_terminal(environment: dict[str, str], *arguments: str, **extra: str) -> str:
    """What a command writes to stderr where that is a terminal."""
    parent, child = pty.openpty()
    env = {key: value for key, value in environment.items() if key not in ("NO_COLOR", "TERM")}
    subprocess.run(
        [sys.executable, "-m", "resnetgen", *arguments],
        env={**env, "TERM": "xterm", **extra},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=child,
        check=False,
    )
    os.close(child)
    shown = b""
    try:
        while chunk := os.read(parent, 4096):
            shown += chunk
    except OSError:  # Linux: the other side is closed
        pass
    os.close(parent)
    return shown.decode()


def test_diagnostics_have_colour_on_a_terminal(on_terminal) -> None:
    assert "\x1b[1;31merror[unknown-spec]\x1b[0m" in on_terminal("report", "resnett50")


def test_explain_is_suggested_on_a_terminal_and_not_in_a_file(on_terminal, program) -> None:
    shown = on_terminal("report", "resnett50")
    assert "for more information, try `resnetgen explain unknown-spec`" in shown.splitlines()[-1]
    assert "explain" not in program("report", "resnett50").stderr


@pytest.mark.parametrize("extra", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_is_honoured(on_terminal, extra: dict[str, str]) -> None:
    shown = on_terminal("report", "resnett50", **extra)
    assert "error[unknown-spec]" in shown
    assert "\x1b" not in shown


def test_a_file_gets_no_colour(program) -> None:
    assert "\x1b" not in program("report", "resnett50").stderr
    assert "\x1b" not in program("report", "resnet50").stdout
