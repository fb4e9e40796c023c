"""Commands that write, called with hostile paths: what was there is as it was, or was ours to replace.

    Case("build", "a hard link to an input", "./{}", force=True)
        ->  ends with 2 and `error[file-exists]`; no file has changed

Every case has a folder of its own, with a spec, the one that it extends, a block and a checkpoint, and
something in the way of the output. Afterwards the folder is compared with what it was before. The
rule is stated here a second time, in `_may_replace`, and independently of the package.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fuzz.forked import DONE, MEGABYTE, Limits, run
from fuzz.kills import NOBODY, _is_open_to_nobody
from fuzz.program import Ended, call
from fuzz.tally import Tally, share, watched

KIND = "outputs"
LIMITS = Limits(memory=4096 * MEGABYTE, cpu=60)
FILES = {
    "mine.yaml": "network: mine\nextends: tiny\nblock: own\n",
    "tiny.yaml": """\
network: tiny
input: {channels: 3, size: [32, 32]}
stem: cifar
block: basic
shortcut: projection
stages: {layer1: {blocks: 1, width: 4}, layer2: {blocks: 1, width: 8, stride: 2}}
head: {classes: 2}
""",
    "blocks/own.yaml": "block: own\nextends: basic\n",
    "notes": "mine",
}
INPUTS = ("mine.yaml", "tiny.yaml", "blocks/own.yaml", "mine.pth")
_VARY = "--vary=layer1.blocks=1..2"


@dataclass(frozen=True)
class Writer:
    """A command, the output that is hostile in it, and the inputs that it has for certain."""

    arguments: tuple[str, ...]
    suffix: str
    inputs: tuple[str, ...] = INPUTS[:3]
    option: str = "-o"
    beside: str = ""  # the suffix of a file that is written beside the output
    weight: int = 4
    marked: bool = False  # whether a file of its own is replaced


WRITERS: Mapping[str, Writer] = {
    "build": Writer(("build", "mine.yaml"), ".py", marked=True, weight=8),
    "draw": Writer(("draw", "mine.yaml"), ".svg", marked=True),
    "report": Writer(("report", "mine.yaml"), ".csv"),
    "report json": Writer(("report", "mine.yaml", "tiny.yaml"), ".json"),
    "diff": Writer(("diff", "tiny.yaml", "mine.yaml"), ".md"),
    "new": Writer(("new", "deep", "--from", "mine.yaml", "--depth", "14"), ".yaml"),
    "schema": Writer(("schema",), ".json", (), weight=1, marked=True),
    "sweep": Writer(
        ("sweep", "mine.yaml", _VARY), ".csv", beside=".csv.meta.json", marked=True, weight=2
    ),
    "plot": Writer(
        ("sweep", "mine.yaml", _VARY, "-o", "rows.csv"),
        ".svg",
        option="--plot",
        marked=True,
        weight=2,
    ),
    "weights": Writer(
        ("build", "mine.yaml", "--weights", "mine.pth"),
        ".py",
        INPUTS,
        beside=".safetensors",
        marked=True,
        weight=2,
    ),
    "convert": Writer(
        ("weights", "convert", "mine.pth", "--network", "mine.yaml", "--to", "timm"),
        ".pth",
        INPUTS,
        weight=1,
    ),
    "grow": Writer(
        ("grow", "mine.pth", "--from", "mine.yaml", "--to", "mine.yaml", "--set=layer1.blocks=2"),
        ".safetensors",
        INPUTS,
        marked=True,
        weight=1,
    ),
}

# What is in the way of `path`; `source` is an input.
PLACES: Mapping[str, Callable[[Path, str], object]] = {
    "nothing": lambda path, source: None,
    "a foreign file": lambda path, source: path.write_text("mine"),
    "an empty file": lambda path, source: path.touch(),
    "a foreign file to read only": lambda path, source: (path.write_text("x"), path.chmod(0o400)),
    "a link to a file": lambda path, source: path.symlink_to("notes"),
    "a link to nothing": lambda path, source: path.symlink_to("nowhere"),
    "a link to itself": lambda path, source: path.symlink_to(path.name),
    "a link to a folder": lambda path, source: path.symlink_to("blocks"),
    "a link to an input": lambda path, source: path.symlink_to(source),
    "a hard link to an input": lambda path, source: os.link(source, path),
    "a link to /dev/null": lambda path, source: path.symlink_to("/dev/null"),
    "a link to /dev/full": lambda path, source: path.symlink_to("/dev/full"),
    "a link to /dev/zero": lambda path, source: path.symlink_to("/dev/zero"),
    "a link into /proc": lambda path, source: path.symlink_to("/proc/self/status"),
    "a pipe": lambda path, source: os.mkfifo(path),
    "a socket": lambda path, source: _socket(path),
    "a folder": lambda path, source: path.mkdir(),
    "a file of its own": lambda path, source: None,  # written by the command, in `_run`
    "a file of its own, edited": lambda path, source: None,
}
PATHS = (
    "{}", "{}", "{}", "./{}", "blocks/../{}", "{here}/{}", ".//{}", "{here}/../{folder}/{}",
    "locked/{}", "nowhere/{}", "mine.yaml/{}", "notes/{}", "/proc/{}", "/sys/{}", "/dev/null", "/dev/full", "/dev/fd/0",
    "/proc/self/mem", "/proc/1/{}", "", ".", "..", "/", "-", "blocks", "blocks/", "~/{}", " ", "a\0{}", "\ud800{}", "\udcff{}",
    "\x1b[31m{}", "a\n{}", "\u202e{}", "é{}", "{long}{}", "{deep}{}", "random{}", "torch{}", "class{}", "my_random{}",
    "mine.yaml", "./tiny.yaml", "{here}/mine.yaml", "blocks/own.yaml", "mine.pth",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One call: the command, what is in the way, how the path is written."""

    writer: str
    place: str
    path: str
    source: str
    beside: bool = False  # whether the file beside the output is in the way instead
    force: bool = False
    nobody: bool = False  # whether root becomes nobody for the call


def cases(count: int, seed: int) -> Iterator[Case]:
    """Every command with every place, then what is drawn."""
    rng = random.Random(seed)
    names = [name for name, each in WRITERS.items() for _ in range(each.weight)]
    every = [(name, place) for name in WRITERS for place in PLACES]
    rng.shuffle(every)
    for number in range(count):
        name, place = (
            every[number] if number < len(every) else (rng.choice(names), rng.choice(list(PLACES)))
        )
        writer = WRITERS[name]
        yield Case(
            name,
            place,
            "{}" if rng.random() < 0.5 else rng.choice(PATHS),
            rng.choice(writer.inputs or INPUTS[:1]),
            beside=bool(writer.beside) and rng.random() < 0.4,
            force=rng.random() < 0.5,
            nobody=rng.random() < 0.2,
        )


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


# --- one case


def holds(case: Case) -> str:
    """Runs a case; how it ended. Raises AssertionError if something was lost, or left.

    The rows of a sweep are a result even if there is no plot of them.
    """
    with _folder() as folder:
        ended, before, after, path = _run(case, folder)
    text = ended.err
    assert ended.status in (0, 1, 2), f"{case} ended with {ended.status}: {text[:300]}"
    assert "Traceback" not in text, text
    assert "internal error" not in text, text
    code = re.search(r"error\[([a-z-]+)\]|(Invalid value)|(Usage)", text)
    assert code or ended.status != 2, f"{case}: {text[:300]}"
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        assert not name.endswith(".tmp"), f"{case} left {name}"
        if old is not None and old != new:
            assert ended.status != 2, f"{case} failed and changed {name}"
            assert name not in WRITERS[case.writer].inputs, f"{case} changed {name}"
            assert _may_replace(case, old), f"{case} replaced {name}, which was {old[0]}"
            assert new is not None, f"{case} removed {name}"
            assert old[0] != "file" or old[2:] == new[2:], (
                f"{case}: {name} was {old[2:]}, is {new[2:]}"
            )
        if old is None and ended.status == 2 and not name.startswith("rows."):
            raise AssertionError(f"{case} failed and left {name}")
    if ended.status == 2:
        assert code
        return code[1] or "usage"
    return "replaced" if path in before else "written"


def _may_replace(case: Case, old: tuple[object, ...]) -> bool:
    """The rule once more: what is no file never, a link or a foreign file only by force."""
    if old[0] not in ("file", "link"):
        return False
    if "to an input" in case.place and WRITERS[case.writer].inputs:
        return False
    own = case.place == "a file of its own" and WRITERS[case.writer].marked
    return case.force or own or case.path == "-"


def _run(
    case: Case, folder: Path
) -> tuple[Ended, Mapping[str, tuple[object, ...]], Mapping[str, tuple[object, ...]], str]:
    """The call, and the folder before and after it."""
    writer = WRITERS[case.writer]
    output = "out" + writer.suffix
    target = Path(("out" + writer.beside) if case.beside else output)
    force = ["--force"] * case.force
    if case.place.startswith("a file of its own"):
        call(*writer.arguments, writer.option, output, "--force")
        if "edited" in case.place and target.is_file():
            target.write_bytes(target.read_bytes()[:-9] + b"/* me */\n")
    else:
        PLACES[case.place](target, case.source)
    if target.is_file() and not target.is_symlink() and case.place != "a hard link to an input":
        target.chmod(0o640)
    names = {"here": str(folder), "folder": folder.name, "long": "x" * 300, "deep": "x/" * 2100}
    path = case.path.replace("{}", output)
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    before = _contents(folder)
    with _as_nobody(case.nobody):
        ended = call(*writer.arguments, writer.option, path, *force)
    return ended, before, _contents(folder), os.path.normpath(path) if path else path


def _contents(folder: Path) -> Mapping[str, tuple[object, ...]]:
    """What each path is, without following links: type, content, mode and owner."""
    found: dict[str, tuple[object, ...]] = {}
    for each in sorted(folder.rglob("*")):
        state = each.lstat()
        name = str(each.relative_to(folder))
        if stat.S_ISLNK(state.st_mode):
            found[name] = ("link", os.readlink(each))
        elif stat.S_ISREG(state.st_mode):
            mode = stat.S_IMODE(state.st_mode)
            found[name] = ("file", each.read_bytes(), mode, state.st_uid, state.st_gid)
        else:
            found[name] = (stat.S_IFMT(state.st_mode),)
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    """A working directory with the inputs."""
    before, folder = os.getcwd(), Path(tempfile.mkdtemp(prefix="fuzz-")).resolve()
    os.chdir(folder)
    try:
        folder.chmod(0o755)
        for name, mode in (("blocks", 0o755), ("locked", 0o555)):
            Path(name).mkdir(mode)
        for name, text in FILES.items():
            Path(name).write_text(text, encoding="utf-8")
        Path("mine.pth").write_bytes(_checkpoint())
        yield folder
    finally:
        os.chdir(before)
        shutil.rmtree(folder)


@contextmanager
def _as_nobody(wanted: bool) -> Iterator[None]:
    """Without permission for any of the folders, where this process may give that up."""
    if not wanted or os.getuid() != 0 or not _is_open_to_nobody():
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@cache
def _checkpoint() -> bytes:
    """The weights of `mine.yaml`, as safetensors: commands read the content, not the suffix."""
    from resnetgen.pipeline import compile_spec
    from resnetgen.runtime.load import build
    from resnetgen.weights.safetensors_file import to_safetensors

    compiled = compile_spec("mine.yaml")
    return to_safetensors(build(compiled.source, "mine").state_dict(), "mine")


# --- all cases


def search(count: int, seed: int, jobs: int) -> Tally:
    """The figures of `count` calls."""
    _warm()
    tally, ends, slowest = Tally("Hostile outputs"), Counter[str](), 0.0
    forced = 0
    plan = run(cases(count, seed), holds, limits=LIMITS, jobs=jobs, batch=20)
    for outcome in watched(plan, count, "hostile outputs"):
        slowest = max(slowest, outcome.cpu)
        forced += outcome.case.force
        if outcome.ended != DONE or outcome.value is None:
            tally.find(KIND, f"{outcome.case}: {outcome.ended}", b"")
        else:
            ends[outcome.value] += 1
    tally.figures["calls"] = f"{count:,}, {forced:,} of them with `--force`"
    tally.figures["as the rule says"] = share(sum(ends.values()), count)
    for end, number in ends.most_common():
        tally.figures[f"ended with `{end}`"] = f"{number:,}"
    tally.figures["processor time"] = f"{slowest:.1f} s at most"
    return tally


def _warm() -> None:
    """Children share what the parent has loaded, and can load it even as nobody."""
    import torch

    torch.set_num_threads(1)  # a child of a process with threads may wait for them for ever
    with _folder():
        for name, writer in WRITERS.items():
            with suppress(SystemExit):
                ended = call(*writer.arguments, writer.option, f"warm{writer.suffix}", "--force")
            assert ended.status in (0, 1), f"{name}: {ended.err}"
