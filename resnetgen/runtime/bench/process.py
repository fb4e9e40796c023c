"""A fresh process that answers one request, watched: it may fail, hang or print whatever it likes.

terms = Terms(environment(folder, threads=None), limit=600)
ask(Request("steady", ...), terms, print)  ->  {"eager": {"steady": [0.061, ...]}, ...}

What a process that measures is asked, as JSON on its stdin.

Request("cold", subject, sides=[side], batch=16)  ->  {"task": "cold", "subject": {...}, ...}

Neither torch nor the compiler is imported here: a cold start is timed from torch imported alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from resnetgen.runtime.errors import MissingRequirement

if TYPE_CHECKING:
    from resnetgen.runtime.bench.sides import Side

_ROOT = Path(__file__).resolve().parents[3]
_LONGEST = 200

OnProgress = Callable[[str], None]


class WorkerFailed(Exception):
    """Why a process gave no answer, and the side at which it was, if it was at one."""

    def __init__(self, reason: str, side: str | None) -> None:
        self.reason = reason
        self.side = side
        super().__init__(reason)


@dataclass(frozen=True)
class WorkerSettings:
    """The environment of a process, and for how many seconds it may say nothing."""

    environment: Mapping[str, str]
    timeout: float


def worker_environment(caches: str, threads: int | None) -> dict[str, str]:
    """This process's, with the caches of torch.compile in a folder."""
    found = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])),
        "TORCHINDUCTOR_CACHE_DIR": os.path.join(caches, "inductor"),
        "TRITON_CACHE_DIR": os.path.join(caches, "triton"),
    }
    if threads is not None:
        found["OMP_NUM_THREADS"] = str(threads)
    return found


def run_worker(request: Request, terms: WorkerSettings, tell: OnProgress) -> dict[str, Any]:
    """The answer; `tell` gets what the process says on its way.

    Raises ProcessFault where there is none, RuntimeFault where torch is not installed.
    """
    side: str | None = None
    with tempfile.TemporaryFile() as errors, _process(terms, errors) as process:
        _send(process, request)
        late = threading.Event()
        for line in _lines(process, terms.timeout, late):
            said = json.loads(line)
            if "fault" in said:
                raise MissingRequirement(*said["fault"])
            if "answer" in said:
                answer: dict[str, Any] = said["answer"]
                return answer
            side = said["side"]
            tell(f"{side}: {said['say']}" if side else said["say"])
        raise WorkerFailed(_reason(process, late, terms.timeout, errors), side)


@contextmanager
def _process(terms: WorkerSettings, errors: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the block, and neither do those that it started."""
    process = subprocess.Popen(
        [sys.executable, "-m", "resnetgen.runtime.bench"],
        env=terms.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,  # a group of its own, which ends with it
    )
    try:
        yield process
    finally:
        _end(process)
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _send(process: subprocess.Popen[str], request: Request) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it ended already; that is told below
        process.stdin.write(request.to_json() + "\n")
        process.stdin.flush()  # and not closed: the process lives as long as this end is open


def _lines(process: subprocess.Popen[str], limit: float, late: threading.Event) -> Iterator[str]:
    """What it says; ends with the process, which is ended where it says nothing for too long."""
    assert process.stdout is not None

    def give_up() -> None:
        late.set()
        _end(process)

    while True:
        watch = threading.Timer(limit, give_up)
        watch.daemon = True
        watch.start()
        try:
            line = process.stdout.readline()
        finally:
            watch.cancel()
        if not line.endswith("\n"):
            return
        yield line


def _reason(
    process: subprocess.Popen[str], late: threading.Event, limit: float, errors: IO[bytes]
) -> str:
    """Why there is no answer, with the last line that the process wrote on stderr."""
    if late.is_set():
        return f"nothing for {limit:g} s"
    status = process.wait()
    what = f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    errors.seek(0)
    said = errors.read().decode(errors="replace").strip().rpartition("\n")[2].strip()
    return (
        f"its process failed ({what}): {said[:_LONGEST]}"
        if said
        else f"its process failed ({what})"
    )


@dataclass(frozen=True)
class Workload:
    """The network that is measured. `folder` holds its text, its weights and its images."""

    folder: str
    spec: str
    name: str
    overrides: dict[str, Any]
    shape: list[int]  # of one image: channels, then sizes
    mode: str  # "inference" or "training"
    threads: int | None = None  # None: as many as torch takes
    weights: str | None = None  # a checkpoint; None: random ones

    @property
    def training(self) -> bool:
        """Whether a step goes forward and backward."""
        return self.mode == "training"

    @property
    def source(self) -> Path:
        """The printed module."""
        return Path(self.folder, "module.py")

    @property
    def state(self) -> Path:
        """The weights, in float32."""
        return Path(self.folder, "state.pt")

    def images(self, batch: int) -> Path:
        """A batch of images in float32, and what eager execution makes of them."""
        return Path(self.folder, f"batch-{batch}.pt")


@dataclass(frozen=True)
class Request:
    """A task (`prepare`, `steady`, `cold` or `memory`) and what it is about."""

    task: str
    workload: Workload
    batch: int = 1
    dtype: str = "float32"
    sides: list[Side] = field(default_factory=list)
    rounds: int = 1

    def to_json(self) -> str:
        """The request as JSON."""
        return json.dumps(asdict(self))


def parse_request(text: str) -> Request:
    """The request that `text` gave."""
    from resnetgen.runtime.bench.sides import Side

    found = json.loads(text)
    subject = Workload(**found.pop("subject"))
    sides = [Side(**each) for each in found.pop("sides")]
    return Request(**found, workload=subject, sides=sides)
