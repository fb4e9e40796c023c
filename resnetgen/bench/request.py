"""What a process that measures is asked, as JSON on its stdin.

Request("cold", subject, sides=[side], batch=16)  ->  {"task": "cold", "subject": {...}, ...}

Neither torch nor the compiler is imported here: a cold start is timed from torch imported alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnetgen.bench.sides import Side


@dataclass(frozen=True)
class Subject:
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
    subject: Subject
    batch: int = 1
    dtype: str = "float32"
    sides: list[Side] = field(default_factory=list)
    rounds: int = 1

    def text(self) -> str:
        """The request as JSON."""
        return json.dumps(asdict(self))


def parse(text: str) -> Request:
    """The request that `text` gave."""
    from resnetgen.bench.sides import Side

    found = json.loads(text)
    subject = Subject(**found.pop("subject"))
    sides = [Side(**each) for each in found.pop("sides")]
    return Request(**found, subject=subject, sides=sides)
