"""The model zoos that generated modules are compared with, imported only when a test asks.

A torchvision whose compiled operators cannot be loaded (a build for CUDA beside a torch for the
CPU) fails on import, because it describes two of them. Classification models use neither, so they
are declared, without an implementation, and the import goes through. Tests write

    from peers import import_torchvision

and call it inside the test; a plain ``import torchvision`` or ``import timm`` at the top of a test
module would load torch for the whole run.
"""

from __future__ import annotations

import functools
import importlib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")


def _operators_load() -> bool:
    """Whether torchvision's compiled operators can be loaded; asked without importing it."""
    import torch

    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # let the import say what is wrong
    folder = Path(spec.origin).parent
    for library in sorted(p for p in folder.glob("_C*") if p.suffix in {".so", ".pyd", ".dylib"}):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            continue
        return True
    return False


@functools.cache
def declare_operators() -> Any:
    """Declare the two operators where they are missing; the library object is kept alive here."""
    if _operators_load():
        return None
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in _OPERATORS:
        library.define(name + _SCHEMA)
    return library


def import_torchvision() -> ModuleType:
    """``torchvision``, with or without its compiled operators."""
    declare_operators()
    return importlib.import_module("torchvision")


def import_timm() -> ModuleType:
    """``timm``, which imports torchvision."""
    import_torchvision()
    return importlib.import_module("timm")
