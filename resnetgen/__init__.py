"""resnetgen: YAML declares a residual network; this compiles it to PyTorch source and exact costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resnetgen._version import __version__ as __version__

__all__ = [
    "Compiled",
    "SpecError",
    "WeightsError",
    "compile_module",
    "compile_spec",
    "load",
    "load_plan",
    "optimize",
]

if TYPE_CHECKING:
    from resnetgen.api import compile_module, load, load_plan, optimize
    from resnetgen.compiler.diagnostics.model import SpecError
    from resnetgen.pipeline import Compiled, compile_spec
    from resnetgen.weights.errors import WeightsError

_HOMES = {
    "Compiled": "resnetgen.pipeline",
    "SpecError": "resnetgen.compiler.diagnostics.model",
    "WeightsError": "resnetgen.weights.errors",
    "compile_module": "resnetgen.api",
    "compile_spec": "resnetgen.pipeline",
    "load": "resnetgen.api",
    "load_plan": "resnetgen.api",
    "optimize": "resnetgen.api",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: `import resnetgen` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'resnetgen' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
