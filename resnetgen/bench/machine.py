"""The machine on which something is measured, as far as times depend on it.

facts(["torch"])  ->  {"cpu": "AMD EPYC", "cores": 2, "flags": ["avx2", ...], "load": 0.1, ...}
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Extensions that decide how fast convolutions are (x86-64 and Arm), as Linux calls them.
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "sve", "bf16")


def facts(packages: Iterable[str], cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Processor, versions of what is installed of the packages, load of the last minute, date."""
    about = dict(reversed(list(_entries(cpuinfo))))
    flags = about.get("flags", about.get("Features", "")).split()
    return {
        "cpu": about.get("model name") or platform.processor() or platform.machine(),
        "cores": _cores(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": dict(_versions(packages)),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _entries(cpuinfo: Path) -> Iterator[tuple[str, str]]:
    """What Linux says of each processor; nothing elsewhere."""
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
