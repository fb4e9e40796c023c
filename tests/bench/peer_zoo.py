"""A zoo of peers that behave badly, each in its way; on PYTHONPATH of a process that measures."""

from __future__ import annotations

import os
import signal
from typing import Any


def list_models() -> list[str]:
    """What it has."""
    return ["tiny"]


def _ours(name: str) -> Any:
    from pathlib import Path

    from resnetgen import load

    return load(Path(os.environ["ZOO_SPEC"]))


def noisy(name: str) -> Any:
    """Prints, below Python's own stdout too."""
    print('{"answer": "not this"}', flush=True)
    os.write(1, b"printed by a library\n")
    return _ours(name)


def raising(name: str) -> Any:
    """Fails."""
    raise RuntimeError("no such luck")


def dying(name: str) -> Any:
    """Ends the process."""
    os.kill(os.getpid(), signal.SIGSEGV)


def other_weights(name: str) -> Any:
    """Another network of that name."""
    import torch

    return torch.nn.Linear(1, 1)


def other_meaning(name: str) -> Any:
    """The same weights, used in another way."""
    import torch

    module = _ours(name)
    forward = module.forward
    module.forward = lambda x: torch.sin(forward(x) * 7)
    return module
