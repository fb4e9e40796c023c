"""The peak of resident memory between two points of a process.

    peak = Peak(); work(); peak.bytes()  ->  bytes above what was resident before

Linux keeps a high-water mark that can be set back (VmHWM, proc(5)). Elsewhere it is that of the
process's whole life (getrusage): then a peak before counts too.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path

_STATUS, _MARK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Starts where it is made."""

    def __init__(self) -> None:
        self.before = _status("VmRSS") or _largest()
        self.reset()

    def reset(self) -> None:
        """Forgets peaks up to now; what is resident stays counted."""
        with suppress(OSError):
            _MARK.write_text("5")

    def bytes(self) -> int:
        """The peak since then, above what was resident at first."""
        return max((_status("VmHWM") or _largest()) - self.before, 0)


def _status(name: str) -> int | None:
    """A figure of the process in bytes, where Linux tells it."""
    with suppress(OSError):
        found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    return None


def _largest() -> int:
    """The most that ever was resident, in bytes (macOS tells bytes, others KiB)."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
