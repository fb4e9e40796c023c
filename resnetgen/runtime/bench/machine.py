"""The machine on which something is measured: what times depend on.

machine_info(["torch"])  ->  {"cpu": "AMD EPYC", "cores": 2, "flags": ["avx2", ...], "load": 0.1, ...}
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_SAMPLE = 0.5  # seconds
# Extensions that decide how fast convolutions are (x86-64 and Arm), by their names in Linux.
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "sve", "bf16")


def machine_info(packages: Iterable[str], cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Processor, versions of the packages that are installed, load, date; takes half a second."""
    processor = dict(reversed(list(_cpuinfo_entries(cpuinfo))))
    flags = processor.get("flags", processor.get("Features", "")).split()
    return {
        "cpu": processor.get("model name") or platform.processor() or platform.machine(),
        "cores": _cores(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": dict(_versions(packages)),
        "load": _load(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _load(stat: Path = Path("/proc/stat")) -> float | None:
    """How many cores are busy while this process waits; outside Linux, the load average of a minute.

    That average would include what was measured just before.
    """
    if not stat.exists():
        return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    before = _ticks(stat)
    time.sleep(_SAMPLE)
    spent = [now - then for now, then in zip(_ticks(stat), before, strict=True)]
    idle = sum(spent[3:5])  # proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal
    return round((os.cpu_count() or 1) * (1 - idle / max(sum(spent), 1)), 2)


def _ticks(stat: Path) -> list[int]:
    """How all cores together have spent their time since the system started."""
    first, _, _ = stat.read_text(encoding="ascii").partition("\n")
    return [int(each) for each in first.split()[1:9]]


def _cpuinfo_entries(cpuinfo: Path) -> Iterator[tuple[str, str]]:
    """What Linux reports about each processor; nothing elsewhere."""
    with suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            yield key.strip(), value.strip()


def _cores() -> int | None:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _versions(packages: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in packages:
        with suppress(PackageNotFoundError):
            yield name, version(name)
