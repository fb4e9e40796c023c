"""Checkpoints: read without running anything, held against the compiler's prediction, filled in.

    read      file -> Checkpoint: {key: tensor}, and what was unpacked
    names     the keys of wrappers -> the keys of the network
    fit       {key: shape} predicted, {key: Entry} held -> Fit: what comes from where
    explain   a Fit that does not hold -> one diagnostic with the mend
    fill      Fit -> the tensors of a live module
    place     a live module -> the bytes of a safetensors file, and its place on disk
    plan_file what an optimized module was made of and for, as a file beside both

For checkpoints of other libraries (`resnetgen weights`):

    dialects   the names of another library, as data; `patterns` reads and writes them
    networks   what a checkpoint may be of; `recognise` finds out
    sides      a network and its tensors in a dialect, and where two of them are unlike
    convert    tensors of one side -> those of the other; `translate` is all of it
    hdf5, save files of Keras; the bytes of any file that is written

torch is imported inside functions only; `names`, `fit` and `explain` do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnetgen.compiler.diagnostics.model import Diagnostic, render

if TYPE_CHECKING:
    from resnetgen.weights.match import Fit


class WeightsError(Exception):
    """A checkpoint that cannot be read or taken as asked: `unreadable-weights`, `unknown-module`, `unfit-plan`."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic
        super().__init__(diagnostic.message)

    def __str__(self) -> str:
        """The fault as it is printed without colour."""
        return render([self.diagnostic])


def require_safetensors() -> None:
    """Raises WeightsError `no-safetensors` where it cannot be imported."""
    try:
        import safetensors.torch  # noqa: F401
    except ImportError as error:
        message = f"safetensors cannot be imported: {error}"
        help = "install it with `pip install 'resnetgen[torch]'`"
        raise WeightsError(Diagnostic("no-safetensors", message, help=help)) from error


class Misfit(WeightsError):
    """A checkpoint of another network: `weights-mismatch`; `fit` holds every key at fault."""

    def __init__(self, diagnostic: Diagnostic, fit: Fit) -> None:
        super().__init__(diagnostic)
        self.fit = fit
