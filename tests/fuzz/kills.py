"""Commands that write, killed at random moments or refused by the system: the old file or the new.

    Kill(delay=0.004, signal=9)  ->  made.py is as before, or whole; nothing else but after SIGKILL

A child runs the program as a person would, with a file in its way that resnetgen wrote earlier. It
is killed after a random time, or at a random step: a file that is opened, renamed or removed.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fuzz.program import call
from fuzz.tally import Tally, share, watched

KIND = "kills"
ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_STEPS = ("open", "os.rename", "os.remove", "os.chmod", "os.truncate")


@dataclass(frozen=True)
class Killable:
    """A command that writes `file`, and how to tell that what stands there is whole."""

    arguments: tuple[str, ...]
    file: str
    is_whole: Callable[[bytes, bytes, bytes], bool]  # what is found, the old and the new content
    beside: frozenset[str] = frozenset()  # what it writes beside


def _old_or_new(found: bytes, old: bytes, new: bytes) -> bool:
    return found in (old, new)


def _old_or_resumable(found: bytes, old: bytes, new: bytes) -> bool:
    """A sweep keeps the rows that it has: the same command goes on behind the last whole one."""
    return found == old or new.startswith(found)


# What writes, by name. A command whose partial result is of use says so in its own `is_whole`.
COMMANDS: Mapping[str, Killable] = {
    "build": Killable(("build", "net.yaml", "-o", "made.py"), "made.py", _old_or_new),
    "sweep": Killable(
        (
            "sweep",
            "net.yaml",
            "--vary=layer1.blocks=1..60",
            "--vary=layer2.blocks=1..60",
            "-o",
            "rows.csv",
            "--force",
        ),
        "rows.csv",
        _old_or_resumable,
        frozenset(["rows.csv.meta.json"]),
    ),
}
OLD = "network: net\nextends: resnet18\n"
NEW = "network: net\nextends: resnet50\n"


@dataclass(frozen=True)
class Kill:
    """When a child is killed, and by what; at a step, the child does it to itself."""

    signal: int
    delay: float | None = None  # seconds
    step: int | None = None  # the number of the file operation


@contextmanager
def _folder(command: Killable) -> Iterator[tuple[Path, bytes, bytes]]:
    """A folder with the old result and the new spec, and what the new result will be."""
    before, folder = os.getcwd(), tempfile.mkdtemp(prefix="fuzz-")
    os.chdir(folder)
    try:
        contents = []
        for text in (NEW, OLD):
            Path("net.yaml").write_text(text, encoding="utf-8")
            assert call(*command.arguments).status == 0
            contents.append(Path(command.file).read_bytes())
        new, old = contents
        assert new != old
        Path("net.yaml").write_text(NEW, encoding="utf-8")
        yield Path(folder), old, new
    finally:
        os.chdir(before)
        shutil.rmtree(folder)


def _start(command: Killable, kill: Kill) -> int:
    """A child that runs the command; its process number.

    On a busy machine the signal may come before the child has run at all. It is held back until the
    child is ready; otherwise Python would lose it, or raise it among the parent's own frames.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if kill.step is not None:
            _kill_at(kill.step, kill.signal)
        os._exit(call(*command.arguments).status)
    finally:
        os._exit(99)


def _kill_at(step: int, number: int) -> None:
    """Sends a signal to this very process at its n-th file operation."""
    left = [step]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in _STEPS:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), number)

    sys.addaudithook(hook)


def _wait(pid: int, kill: Kill) -> None:
    if kill.delay is not None:
        time.sleep(kill.delay)
        os.kill(pid, kill.signal)
    os.waitpid(pid, 0)


def _measure(command: Killable) -> tuple[float, int]:
    """How long a run takes, and how many file operations it does."""
    with _folder(command):
        start = time.monotonic()
        os.waitpid(_start(command, Kill(signal.SIGKILL)), 0)
        seconds = time.monotonic() - start
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            count = [0]
            sys.addaudithook(
                lambda event, arguments: count.__setitem__(0, count[0] + (event in _STEPS))
            )
            call(*command.arguments)
            os.write(writer, str(count[0]).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        return seconds, int(os.read(reader, 20))


def kills(count: int, seed: int, seconds: float, steps: int) -> Iterator[Kill]:
    """Half at random moments, half at random steps, by the signals that end a program."""
    rng = random.Random(seed)
    for number in range(count):
        by = _SIGNALS[number % 3]
        if number % 2:
            yield Kill(by, delay=rng.uniform(0, 1.2 * seconds))
        else:
            yield Kill(by, step=1 + rng.randrange(steps))


def search(count: int, seed: int) -> Tally:
    """The figures of `count` kills of each command, and of what the system refuses."""
    tally = Tally("Killed while writing")
    for name, command in COMMANDS.items():
        seconds, steps = _measure(command)
        ends = Counter[str]()
        plan = kills(count, seed, seconds, steps)
        with _folder(command) as (folder, old, new):
            for kill in watched(plan, count, f"kills of {name}"):
                Path(command.file).write_bytes(old)
                _wait(_start(command, kill), kill)
                path = Path(command.file)
                found = path.read_bytes() if path.exists() else b""
                ends["new" if found == new else "old" if found == old else "part"] += 1
                ends["left"] += bool(_others(command, folder))
                if wrong := _wrong(kill, command, found, old, new, folder):
                    tally.find(KIND, f"{name}, {kill}: {wrong}", b"")
        tally.figures[f"`{name}` killed by SIGKILL, SIGTERM, SIGINT"] = (
            f"{count:,} times: {ends['old']:,} x the old file, {ends['new']:,} x the new, "
            f"{ends['part']:,} x a part of it; SIGKILL left {ends['left']:,} temporary files"
        )
    refused = refusals()
    for refusal, wrong in refused.items():
        if wrong:
            tally.find(KIND, f"{refusal}: {wrong}", b"")
    held = sum(wrong is None for wrong in refused.values())
    tally.figures["writes that the system refuses"] = (
        f"{share(held, len(refused))}: {', '.join(refused)}"
    )
    return tally


def _wrong(
    kill: Kill, command: Killable, found: bytes, old: bytes, new: bytes, folder: Path
) -> str | None:
    left = _others(command, folder)
    for name in left:
        os.remove(name)
    if not command.is_whole(found, old, new):
        return f"{len(found)} bytes stand there, neither old nor new"
    return f"{left} is left" if left and kill.signal != signal.SIGKILL else None


def _others(command: Killable, folder: Path) -> list[str]:
    """What stands in the folder beside the spec and the result."""
    return sorted(set(os.listdir(folder)) - {command.file, "net.yaml"} - command.beside)


# --- what the system refuses


def refusals() -> dict[str, str | None]:
    """Ways in which a write fails, and what did not hold; None where the old file is as it was."""
    command = COMMANDS["build"]
    found: dict[str, str | None] = {}
    for name, prepare in _REFUSALS.items():
        if prepare is _no_permission and not _is_open_to_nobody():
            continue
        with _folder(command) as (folder, old, _):
            found[name] = _refused(command, prepare, old, folder)
    found["standard output is full"] = _full(("build", "net.yaml", "-o", "-"))
    found["standard output of a report is full"] = _full(("report", "resnet50"))
    return found


def _refused(
    command: Killable, prepare: Callable[[], tuple[str, ...]], old: bytes, folder: Path
) -> str | None:
    """Runs the command in a child where it cannot write."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ended = call(*(prepare() or command.arguments))
            os.write(writer, f"{ended.status} {ended.err}"[:4000].encode())
            os._exit(0)
        finally:
            os._exit(99)
    os.close(writer)
    _, code = os.waitpid(pid, 0)
    with os.fdopen(reader) as file:
        said = file.read()
    os.chmod(folder, 0o755)
    left = sorted(
        set(os.listdir(folder)) - {command.file, "net.yaml", "a_folder", "a_link", "a_pipe"}
    )
    if code or not said.startswith(("2 error[unwritable]", "2 error[file-exists]")):
        return f"ended with {code}: {said[:300]}"
    if "internal error" in said or "Traceback" in said:
        return said[:300]
    if Path(command.file).read_bytes() != old:
        return "the old file has changed"
    return f"{left} is left" if left else None


def _small_files() -> tuple[str, ...]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    return ()


def _no_files() -> tuple[str, ...]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    return ()


def _is_open_to_nobody() -> bool:
    """Whether the program still runs from here once root has become nobody."""
    places = [Path(place).resolve() for place in (ROOT, sys.prefix, sys.base_prefix)]
    above = {each for place in places for each in (place, *place.parents)}
    return os.getuid() != 0 or all(each.stat().st_mode & 0o005 == 0o005 for each in above)


def _no_permission() -> tuple[str, ...]:
    """A folder in which this process may not write; root may anywhere, so it becomes nobody."""
    os.chmod(".", 0o555)
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return ()


def _onto(path: str) -> Callable[[], tuple[str, ...]]:
    return lambda: ("build", "net.yaml", "-o", path)


def _onto_made(kind: str, make: Callable[[str], None]) -> Callable[[], tuple[str, ...]]:
    def prepare() -> tuple[str, ...]:
        make(kind)
        return ("build", "net.yaml", "-o", kind)

    return prepare


_REFUSALS: Mapping[str, Callable[[], tuple[str, ...]]] = {
    "a limit of 1,000 bytes a file": _small_files,
    "a limit of 0 bytes a file": _no_files,
    "no permission in the folder": _no_permission,
    "onto /dev/full": _onto("/dev/full"),
    "into a folder that does not exist": _onto("nowhere/made.py"),
    "below a file": _onto("net.yaml/made.py"),
    "a name of 300 characters": _onto("x" * 300 + ".py"),
    "onto a symbolic link to nothing": _onto_made(
        "a_link", lambda name: os.symlink("nothing", name)
    ),
    "onto a pipe": _onto_made("a_pipe", os.mkfifo),
}


def _full(arguments: tuple[str, ...]) -> str | None:
    """Runs a command whose standard output is a full device."""
    with _folder(COMMANDS["build"]) as (_, old, _new):
        pid = os.fork()
        if pid == 0:
            full = os.open("/dev/full", os.O_WRONLY)
            said = os.open("said", os.O_WRONLY | os.O_CREAT)
            os.dup2(full, 1)
            os.dup2(said, 2)
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            os.execve(sys.executable, [sys.executable, "-m", "resnetgen", *arguments], environment)
        _, code = os.waitpid(pid, 0)
        said_text = Path("said").read_text(encoding="utf-8")
        if (
            os.waitstatus_to_exitcode(code) != 2
            or "error[" not in said_text
            or "Traceback" in said_text
        ):
            return f"ended with {os.waitstatus_to_exitcode(code)}: {said_text[:300]}"
        return None if Path("made.py").read_bytes() == old else "a file has changed"
