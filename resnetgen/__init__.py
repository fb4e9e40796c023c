"""resnetgen: YAML declares a residual network; this compiles it to PyTorch source and exact costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
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
    from resnetgen.compiler import Compiled, compile_spec
    from resnetgen.language.diagnostics import SpecError
    from resnetgen.modules import load, load_plan, optimize
    from resnetgen.runtime.regions import compile_module
    from resnetgen.weights import WeightsError

_HOMES = {
    "Compiled": "resnetgen.compiler",
    "SpecError": "resnetgen.language.diagnostics",
    "WeightsError": "resnetgen.weights",
    "compile_module": "resnetgen.runtime.regions",
    "compile_spec": "resnetgen.compiler",
    "load": "resnetgen.modules",
    "load_plan": "resnetgen.modules",
    "optimize": "resnetgen.modules",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: `import resnetgen` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'resnetgen' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
