"""The errors of this package: a diagnostic that is raised instead of collected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnetgen.compiler.diagnostics.model import Diagnostic, render

if TYPE_CHECKING:
    from resnetgen.weights.match import TensorMatch


class WeightsError(Exception):
    """A checkpoint, a dialect or a saved plan that cannot be used as asked; `diagnostic` says why."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic
        super().__init__(diagnostic.message)

    def __str__(self) -> str:
        """The error as it is printed, without colour."""
        return render([self.diagnostic])


class WeightsMismatch(WeightsError):
    """A checkpoint of another network: `weights-mismatch`; `match` lists every key that differs."""

    def __init__(self, diagnostic: Diagnostic, match: TensorMatch) -> None:
        super().__init__(diagnostic)
        self.match = match


def require_safetensors() -> None:
    """Raises WeightsError `no-safetensors` if safetensors cannot be imported."""
    try:
        import safetensors.torch  # noqa: F401
    except ImportError as error:
        message = f"safetensors cannot be imported: {error}"
        help = "install it with `pip install 'resnetgen[torch]'`"
        raise WeightsError(Diagnostic("no-safetensors", message, help=help)) from error
