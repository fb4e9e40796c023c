"""as_file(translated, suffix) -> the bytes of a checkpoint in the format that a suffix names.

.safetensors            the default of torch's dialects
.pt  .pth  .bin         torch.save of a plain dict of tensors
.h5  .hdf5              Keras: layers by name, for `model.load_weights(FILE)`
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING

from resnetgen.codegen.write import WriteError
from resnetgen.language.diagnostics import Diagnostic, listed
from resnetgen.weights.dialects import TORCH, Dialect
from resnetgen.weights.hdf5 import SUFFIXES as OF_KERAS
from resnetgen.weights.hdf5 import as_hdf5
from resnetgen.weights.place import SUFFIX, as_safetensors
from resnetgen.weights.sides import by_distance

if TYPE_CHECKING:
    import torch

    from resnetgen.weights.translate import Translated

OF_TORCH = (SUFFIX, ".pt", ".pth", ".bin")
_OTHER_FORM = ".weights.h5"  # whose layers have no names of their own


def suffixes(dialect: Dialect) -> tuple[str, ...]:
    """The suffixes of files in a dialect; the first is the default."""
    return OF_TORCH if dialect.framework == TORCH else OF_KERAS


def check_suffix(path: str, dialect: Dialect) -> None:
    """Raises WriteError `unwritable` where a file of this name would not be read as what it is."""
    if path.endswith(suffixes(dialect)) and not path.endswith(_OTHER_FORM):
        return
    message = f"`{path}` does not end as a checkpoint of `{dialect.name}` does"
    help = f"name it with {listed(suffixes(dialect))}"
    if path.endswith(_OTHER_FORM):
        help += f"; Keras takes a file on `{_OTHER_FORM}` for one of another form"
    raise WriteError(Diagnostic("unwritable", message, help=help))


def as_file(translated: Translated, suffix: str) -> bytes:
    """The file. The same tensors give the same bytes."""
    if suffix in OF_KERAS:
        return as_hdf5(_layers(translated))
    if suffix == SUFFIX:
        return as_safetensors(translated.state, translated.target.graph.name)
    import torch

    buffer = BytesIO()
    torch.save(dict(translated.state), buffer)
    return buffer.getvalue()


def _layers(translated: Translated) -> Mapping[str, Mapping[str, torch.Tensor]]:
    """The tensors by layer, in the order in which Keras builds the layers of the network."""
    target = translated.target
    holding = {kept.module for kept in target.tensors.values()}
    ordered = (node.module for node in by_distance(target.theirs))
    found: dict[str, dict[str, torch.Tensor]] = {name: {} for name in ordered if name in holding}
    for kept in target.tensors.values():
        found[kept.module][kept.tensor] = translated.state[kept.key]
    return found
