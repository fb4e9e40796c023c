"""Sweeps: the cost of every variant of a network; what variants share is computed once.

    for row in sweep("resnet50", {"layer3.blocks": range(1, 41)}, where="macs < 5e9"): ...

space -> costs -> rows -> files, with run.py in charge; docs/sweep.md says what each file does.
"""

from __future__ import annotations

from resnetgen.reports.sweep.run import sweep

__all__ = ["sweep"]
