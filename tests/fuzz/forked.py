"""run(cases, work) -> Iterator[Outcome]: each case in a child that is forked from a warm parent.

    for outcome in run(texts, compile_text_quietly, jobs=2):
        print(outcome.case, outcome.ended, outcome.value)

A child takes a batch of cases, one after the other, and says what came of each. If it dies, the
case that it worked on is to blame, and the rest of its batch goes to another child.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Generic, NoReturn, TypeVar

Case = TypeVar("Case")
Value = TypeVar("Value")

MEGABYTE = 1 << 20
DONE = "done"


@dataclass(frozen=True)
class Limits:
    """What one case may take; a child that takes more is killed."""

    memory: int = 512 * MEGABYTE  # of address space, beyond what the warm parent has
    cpu: int = 7  # seconds of processor time
    silent: float = 120.0  # seconds without a word, on a machine that others use too


@dataclass(frozen=True)
class Outcome(Generic[Case, Value]):
    """What came of a case: its value, or how the child ended instead of giving one."""

    case: Case
    value: Value | None
    ended: str = DONE  # or `signal 11`, `status 1`, `7 s of processor time`, an exception
    cpu: float = 0.0  # seconds of processor time
    peak: int = 0  # bytes: the most that the child had resident until then, beyond its parent


@dataclass
class _Child(Generic[Case]):
    pid: int
    results: Connection
    left: deque[Case]
    heard: float


def run(
    cases: Iterable[Case],
    work: Callable[[Case], Value],
    *,
    limits: Limits | None = None,
    jobs: int = 1,
    batch: int = 50,
) -> Iterator[Outcome[Case, Value]]:
    """The outcome of every case, in no particular order where there are several jobs.

    An exception of `work` is an outcome too: its value is None, and `ended` names the exception.
    """
    limits = limits or Limits()
    source, again = iter(cases), deque[Case]()
    children: list[_Child[Case]] = []
    try:
        while True:
            while len(children) < jobs:
                taken = deque([*_popped(again, batch)] or islice(source, batch))
                if not taken:
                    break
                children.append(_forked(taken, work, limits))
            if not children:
                return
            wait([child.results for child in children], timeout=0.5)
            for child in list(children):
                yield from _heard(child, limits)
                if not child.left or child.pid == 0:
                    again += child.left
                    children.remove(child)
    finally:
        for child in children:
            if child.pid:
                _reap(child, kill=True)


def _popped(queue: deque[Case], count: int) -> Iterator[Case]:
    while queue and count:
        yield queue.popleft()
        count -= 1


def _forked(cases: deque[Case], work: Callable[[Case], Value], limits: Limits) -> _Child[Case]:
    results, sender = Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        results.close()
        _work_off(cases, work, limits, sender)
    sender.close()
    return _Child(pid, results, cases, time.monotonic())


def _work_off(
    cases: deque[Case], work: Callable[[Case], Value], limits: Limits, sender: Connection
) -> NoReturn:
    """The child: never returns, and leaves nothing of the parent's undone."""
    try:
        space, resident = _memory()
        ceiling = space + limits.memory
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for case in cases:
            start = time.process_time()
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (int(start) + limits.cpu + 1, hard))
            try:
                value, ended = work(case), DONE
            except Exception as error:
                value, ended = None, f"{type(error).__name__}: {error}"
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - resident
            sender.send((value, ended, time.process_time() - start, peak))
        os._exit(0)
    finally:
        os._exit(1)


def _memory() -> tuple[int, int]:
    """Bytes of address space and of resident memory of this process (proc(5), statm)."""
    with open("/proc/self/statm") as file:
        space, resident = (int(pages) * resource.getpagesize() for pages in file.read().split()[:2])
    return space, resident


def _heard(child: _Child[Case], limits: Limits) -> Iterator[Outcome[Case, Value]]:
    """What a child has said since; if it is gone or silent, the case in its hands is to blame."""
    ended = None
    try:
        while child.left and child.results.poll():
            outcome = child.results.recv()
            child.heard = time.monotonic()
            yield Outcome(child.left.popleft(), *outcome)
    except EOFError:
        ended = _reap(child)
    if ended is None and child.left and time.monotonic() - child.heard > limits.silent:
        _reap(child, kill=True)
        ended = f"{limits.silent:g} s without a word"
    if ended == f"signal {signal.SIGXCPU:d}":
        ended = f"{limits.cpu} s of processor time and more"
    if ended is not None:
        yield Outcome(child.left.popleft(), None, ended)
    elif not child.left:
        _reap(child)


def _reap(child: _Child[Case], *, kill: bool = False) -> str:
    """Waits for the end of a child and says how it ended."""
    if kill and child.pid:
        os.kill(child.pid, signal.SIGKILL)
    child.results.close()
    _, status = os.waitpid(child.pid, 0)
    child.pid = 0
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"status {os.waitstatus_to_exitcode(status)}"


def alone(
    case: Case, work: Callable[[Case], Value], limits: Limits | None = None
) -> Outcome[Case, Value]:
    """One case in a child of its own."""
    return next(iter(run([case], work, limits=limits, batch=1)))
