"""resnetgen: YAML declares a residual network; this compiles it to PyTorch source and exact costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Compiled", "SpecError", "compile_spec", "load"]

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from resnetgen.compiler import Compiled, compile_spec
    from resnetgen.language.diagnostics import SpecError

_HOMES = {
    "Compiled": "resnetgen.compiler",
    "SpecError": "resnetgen.language.diagnostics",
    "compile_spec": "resnetgen.compiler",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: `import resnetgen` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'resnetgen' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def load(spec: str | Path, **overrides: object) -> torch.nn.Module:
    """The network of a spec as a torch module, with fresh weights.

    `spec` is a path or the name of a library network; overrides are as for `compile_spec`. Raises
    SpecError if the spec is wrong, OSError if it cannot be read.
    """
    from resnetgen.compiler import compile_spec
    from resnetgen.runtime.load import build

    compiled = compile_spec(spec, **overrides)
    return build(compiled.source, compiled.network.name)
