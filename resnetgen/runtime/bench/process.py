"""Requests, and fresh worker processes that answer them: they may fail, hang or print anything.

A worker measures sides, the contenders of a benchmark.

    settings = WorkerSettings(worker_environment(folder, threads=None), timeout=600)
    request = Request("steady", workload, sides=[side], batch=16)
    run_worker(request, settings, print)    ->  {"eager": {"steady": [0.061, ...]}, ...}

The worker is `__main__.py`, which gets the request as JSON on its stdin. Neither torch nor the
compiler is imported here: a cold start is timed from the moment when torch alone is imported.
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
_MAX_REASON = 200  # characters of stderr

OnProgress = Callable[[str], None]

# --- requests


@dataclass(frozen=True)
class Workload:
    """The network that is measured. `folder` has its source, weights and images."""

    folder: str
    spec: str
    name: str
    overrides: dict[str, Any]
    shape: list[int]  # of one image: channels, then sizes
    mode: str  # "inference" or "training"
    threads: int | None = None  # None: torch's default
    weights: str | None = None  # a checkpoint; None: random weights

    @property
    def training(self) -> bool:
        """Whether a step is a forward and a backward pass."""
        return self.mode == "training"

    @property
    def source_path(self) -> Path:
        """The file of the printed module, the source that `resnetgen build` writes."""
        return Path(self.folder, "module.py")

    @property
    def state_path(self) -> Path:
        """The file of the weights, in float32."""
        return Path(self.folder, "state.pt")

    def batch_path(self, batch: int) -> Path:
        """The file of a batch of images in float32, and the outputs of eager execution for them."""
        return Path(self.folder, f"batch-{batch}.pt")


@dataclass(frozen=True)
class Request:
    """A task of a worker (`prepare`, `steady`, `cold` or `memory`), with everything it needs."""

    task: str
    workload: Workload
    batch: int = 1
    dtype: str = "float32"
    sides: list[Side] = field(default_factory=list)
    rounds: int = 1

    def to_json(self) -> str:
        """One line of JSON, which `parse_request` reads."""
        return json.dumps(asdict(self))


def parse_request(text: str) -> Request:
    """The request that `to_json` wrote."""
    from resnetgen.runtime.bench.sides import Side

    fields = json.loads(text)
    workload = Workload(**fields.pop("workload"))
    sides = [Side(**each) for each in fields.pop("sides")]
    return Request(**fields, workload=workload, sides=sides)


# --- a worker


class WorkerFailed(Exception):
    """Why a worker did not answer, and the side that it was measuring, if any."""

    def __init__(self, reason: str, side: str | None) -> None:
        self.reason = reason
        self.side = side
        super().__init__(reason)


@dataclass(frozen=True)
class WorkerSettings:
    """The environment of a worker, and for how many seconds it may print nothing."""

    environment: Mapping[str, str]
    idle_timeout: float


def worker_environment(caches: str, threads: int | None) -> dict[str, str]:
    """The environment of this process, with the caches of torch.compile in a folder."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])),
        "TORCHINDUCTOR_CACHE_DIR": os.path.join(caches, "inductor"),
        "TRITON_CACHE_DIR": os.path.join(caches, "triton"),
    }
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    return environment


def run_worker(request: Request, settings: WorkerSettings, progress: OnProgress) -> dict[str, Any]:
    """The answer of a fresh worker; `progress` gets what it reports on the way.

    Raises WorkerFailed if there is no answer, MissingRequirement if torch is not installed.
    """
    side: str | None = None
    with tempfile.TemporaryFile() as errors, _worker(settings, errors) as process:
        _send(process, request)
        timed_out = threading.Event()
        for line in _lines(process, settings.idle_timeout, timed_out):
            message = json.loads(line)
            if "missing" in message:
                raise MissingRequirement(*message["missing"])
            if "answer" in message:
                answer: dict[str, Any] = message["answer"]
                return answer
            side = message["side"]
            text = message["progress"]
            progress(f"{side}: {text}" if side else text)
        raise WorkerFailed(_failure(process, timed_out, settings.idle_timeout, errors), side)


@contextmanager
def _worker(settings: WorkerSettings, errors: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the block, and neither do those that it started."""
    process = subprocess.Popen(
        [sys.executable, "-m", "resnetgen.runtime.bench"],
        env=settings.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,  # a process group of its own, which is killed with it
    )
    try:
        yield process
    finally:
        _kill(process)
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _send(process: subprocess.Popen[str], request: Request) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has ended already; `_failure` reports that
        process.stdin.write(request.to_json() + "\n")
        process.stdin.flush()  # and not closed: the worker lives as long as this end is open


def _lines(
    process: subprocess.Popen[str], idle_timeout: float, timed_out: threading.Event
) -> Iterator[str]:
    """What a process prints, until it ends; it is killed if it prints nothing for too long."""
    assert process.stdout is not None

    def give_up() -> None:
        timed_out.set()
        _kill(process)

    while True:
        watch = threading.Timer(idle_timeout, give_up)
        watch.daemon = True
        watch.start()
        try:
            line = process.stdout.readline()
        finally:
            watch.cancel()
        if not line.endswith("\n"):
            return
        yield line


def _failure(
    process: subprocess.Popen[str],
    timed_out: threading.Event,
    idle_timeout: float,
    errors: IO[bytes],
) -> str:
    """Why there is no answer, with the last line that the process wrote on stderr."""
    if timed_out.is_set():
        return f"nothing for {idle_timeout:g} s"
    status = process.wait()
    end = f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    errors.seek(0)
    last = errors.read().decode(errors="replace").strip().rpartition("\n")[2].strip()
    failure = f"its process failed ({end})"
    return f"{failure}: {last[:_MAX_REASON]}" if last else failure
