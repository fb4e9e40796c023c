"""Inputs that nobody should send: each ends with 0, 1 or 2, in a child with limits.

    tried(b"network: re")  ->  Seen((1, 1, 1), wrong=None, seconds=0.01)

An input goes through `check`, `build -o FILE` and `report`. What must hold: no traceback, no signal,
two seconds, 512 MB, no raw control characters on the terminal, a file only where all went well.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fuzz.forked import DONE, MEGABYTE, Limits, Outcome, alone, run
from fuzz.inputs import MAKERS, corpus, drawn, forms, sound
from fuzz.program import Ended, call
from fuzz.shrink import shrunk
from fuzz.tally import Tally, watched

KIND = "malformed"
SECONDS = 2.0  # of processor time, for one command
PATIENT = 30.0  # the same where time is not what is tested
MEMORY = 512 * MEGABYTE
COMMANDS = ("check", "build", "report")
_RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u202a-\u202e]")


@dataclass(frozen=True)
class Seen:
    """What was seen of an input: the status of each command, and what should not have been."""

    statuses: tuple[int, ...]
    wrong: str | None
    seconds: float  # of the slowest command


@contextmanager
def _folder() -> Any:
    """An empty working directory."""
    folder = tempfile.mkdtemp(prefix="fuzz-")
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield Path(folder)
    finally:
        os.chdir(before)
        shutil.rmtree(folder)


def tried(text: bytes, most: float = SECONDS) -> Seen:
    """Puts an input through the commands, in a folder of its own; each may take `most` seconds."""
    statuses, slowest = [], 0.0
    with _folder() as folder:
        (folder / "case.yaml").write_bytes(text)
        for command in COMMANDS:
            more = ("-o", "made.py") if command == "build" else ()
            start = os.times()
            ended = call(command, "case.yaml", *more)
            end = os.times()
            seconds = end.user - start.user + end.system - start.system
            slowest = max(slowest, seconds)
            statuses.append(ended.status)
            wrong = _wrong(ended, seconds, most) or (_wrong_files(ended, folder) if more else None)
            if wrong:
                return Seen(tuple(statuses), f"{command}: {wrong}", slowest)
        return Seen(tuple(statuses), _wrong_together(statuses, text), slowest)


def _wrong(ended: Ended, seconds: float, most: float) -> str | None:
    said = ended.out + ended.err
    if ended.status not in (0, 1, 2):
        return f"status {ended.status}: {ended.err[:300]}"
    if "Traceback" in said or "internal error" in said:
        return f"a traceback: {said[:300]}"
    if raw := _RAW.search(said):
        return f"a raw {raw[0]!r} on the terminal"
    if ended.status and not ended.err:
        return f"status {ended.status}, and nothing is said"
    return f"{seconds:.1f} s of processor time" if seconds > most else None


def _wrong_together(statuses: Sequence[int], text: bytes) -> str | None:
    """`check` and `build` agree, but on a block or a dialect, which is checked and not built."""
    check, build, _ = statuses  # a network that cannot be printed may have a report
    if check == build or (check == 0 and (b"block" in text or b"dialect" in text)):
        return None
    return f"`check` ends with {check}, `build` with {build}"


def _wrong_files(ended: Ended, folder: Path) -> str | None:
    """A module stands there exactly if all went well, and is a module."""
    found = sorted(set(os.listdir(folder)) - {"case.yaml"})
    if found != (["made.py"] if ended.status == 0 else []):
        return f"status {ended.status}, and it leaves {found}"
    if found:
        ast.parse((folder / "made.py").read_text(encoding="utf-8"))
    return None


def holds(text: bytes) -> None:
    """Raises AssertionError for what does not hold of an input, however slow this machine is."""
    wrong = judged(alone(text, partial(tried, most=PATIENT), Limits(cpu=3 * int(PATIENT))))
    assert wrong is None, wrong


def judged(outcome: Outcome[Any, Seen]) -> str | None:
    """Why an outcome is a find; None if all holds."""
    if outcome.ended != DONE or outcome.value is None:
        return outcome.ended
    if outcome.peak > MEMORY:
        return f"{outcome.peak / MEGABYTE:.0f} MB"
    return outcome.value.wrong


def _tried_seed(seed: int, most: float) -> Seen:
    return tried(drawn(seed).text, most)


def search(count: int, seed: int, jobs: int, most: float = SECONDS) -> Tally:
    """Puts `count` inputs through the program, where each command may take `most` seconds."""
    tally = Tally("Malformed inputs")
    tried(b"extends: resnet18\n")  # warm: what a first run imports
    corpus(), forms(), sound()
    first = seed * 1_000_000
    kinds, statuses = Counter[str](), Counter[int]()
    slowest, peak, causes = 0.0, 0, Counter[str]()
    limits = Limits(cpu=3 * int(most) + 1)
    work = partial(_tried_seed, most=most)
    outcomes = run(range(first, first + count), work, limits=limits, jobs=jobs)
    for outcome in watched(outcomes, count, "malformed"):
        peak = max(peak, outcome.peak)
        if outcome.value:
            statuses.update(outcome.value.statuses)
            slowest = max(slowest, outcome.value.seconds)
        kinds[drawn(outcome.case).kind] += 1
        wrong = judged(outcome)
        if wrong:
            cause = _cause(wrong)
            causes[cause] += 1
            if causes[cause] == 1:  # more of one cause would say the same
                text = _small(drawn(outcome.case).text, cause, most, limits)
                tally.find(KIND, f"seed {outcome.case}: {wrong}", text)
    tally.figures |= {
        "inputs": f"{count:,} ({', '.join(f'{kinds[each]:,} {each}' for each in MAKERS)})",
        "runs of `check`, `build -o FILE` and `report`": f"{statuses.total():,}",
        "exit statuses": ", ".join(f"{n:,} x {status}" for status, n in sorted(statuses.items())),
        "the slowest, seconds of processor time": f"{slowest:.2f}",
        "the most memory, beyond the warm parent": f"{peak / MEGABYTE:.0f} MB",
        "inputs for which something does not hold": ", ".join(
            f"{count:,} x {cause}" for cause, count in causes.most_common()
        )
        or "none",
    }
    return tally


def _cause(wrong: str | None) -> str:
    """A reason without the command, names and numbers: finds of one cause read alike."""
    said = (wrong or "").splitlines()[0] if wrong else ""
    return re.sub(r"[\d.]+ (s of|MB)[^:]*", "slow or large", re.sub(r"`[^`]*`|^\w+: ", "", said))[
        :80
    ]


def _small(text: bytes, cause: str, most: float, limits: Limits) -> bytes:
    def fails(text: bytes) -> bool:
        return _cause(judged(alone(text, partial(tried, most=most), limits))) == cause

    return shrunk(text, fails) if fails(text) else text
