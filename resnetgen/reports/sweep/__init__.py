"""Sweeps: the cost of every variant of a network, what they share computed once.

    for row in sweep("resnet50", {"layer3.blocks": range(1, 41)}, where="macs < 5e9"): ...

docs/sweep.md says what the files do.
"""

from __future__ import annotations

from resnetgen.reports.sweep.run import sweep

__all__ = ["sweep"]
