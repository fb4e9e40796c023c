"""convert_checkpoint(checkpoint, dialect, networks) -> ConvertedCheckpoint: for another library.

    identify          whose checkpoint it is: network, dialect, prefix
    match             every key of the file against that network, in the file's own names
    plan_conversion   which tensor of the target comes from which of the source
    convert_tensors   the tensors, moved; torch is needed from here on
    encode            the bytes of a file, in the format that its suffix names

Values are moved and their axes permuted, bit for bit, with two exceptions. A tensor that the source
lacks is zero (a bias, a counter). A bias that the target lacks is folded into the mean of the norm
that reads it: `(x + bias) - mean = x - (mean - bias)`.

    .safetensors            the default of torch's dialects
    .pt  .pth  .bin         torch.save of a plain dict of tensors
    .h5  .hdf5              Keras: layers by name, for `model.load_weights(FILE)`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING

from resnetgen.compiler.codegen.files import WriteError
from resnetgen.compiler.diagnostics.model import Diagnostic, Note, escape_invisible, listed
from resnetgen.compiler.ir.nodes import Graph
from resnetgen.compiler.ir.ops import OPS
from resnetgen.weights.dialects import TORCH, Dialect, path_summary
from resnetgen.weights.errors import WeightsError, WeightsMismatch
from resnetgen.weights.hdf5 import SUFFIXES as HDF5_SUFFIXES
from resnetgen.weights.hdf5 import to_hdf5
from resnetgen.weights.identify import Identification, NearestNetwork, NetworkMatch, identify
from resnetgen.weights.keys import strip_wrappers, tensor_of
from resnetgen.weights.library_index import NetworkIndex
from resnetgen.weights.load import load_remarks
from resnetgen.weights.match import TensorMatch, match_tensors
from resnetgen.weights.mismatch import LoadRequest, check_match
from resnetgen.weights.safetensors_file import SUFFIX, to_safetensors
from resnetgen.weights.tensor_layout import (
    Address,
    NamedTensors,
    graph_differences,
    named_tensors,
    norm_differences,
)

if TYPE_CHECKING:
    import torch

    from resnetgen.weights.read import Checkpoint


@dataclass(frozen=True)
class ConvertedCheckpoint:
    """The tensors of a checkpoint for another library, not written yet."""

    spec: str
    source: NamedTensors
    target: NamedTensors
    state: Mapping[str, torch.Tensor]
    remarks: tuple[str, ...]  # what was changed or dropped


def convert_checkpoint(
    checkpoint: Checkpoint,
    target: Dialect,
    networks: NetworkIndex,
    among: Sequence[Dialect | None] | None = None,
) -> ConvertedCheckpoint:
    """The checkpoint in the dialect `target`; `among` are the dialects that it may be in.

    Raises WeightsMismatch, which lists every key that differs, and WeightsError: `ambiguous-network`
    if networks with the same keys convert differently, `unlike-dialect` and `unnamed-module` if the
    target has no such network.
    """
    identified = identify(checkpoint.entries, checkpoint.name, networks, among)
    if not identified.matches:
        raise _mismatch(checkpoint, identified.nearest, networks)
    network, conversion = _only_conversion(checkpoint, identified, target, networks)
    match = _match_all_keys(checkpoint, identified, network, conversion.source, networks)
    tensors = {
        key.removeprefix(identified.prefix): checkpoint.tensors[stored]
        for key, stored in match.sources.items()
    }
    remarks = _remarks(checkpoint, match, target, identified.prefix, conversion)
    state = convert_tensors(tensors, conversion)
    return ConvertedCheckpoint(
        network.spec, conversion.source, conversion.target, state, tuple(remarks)
    )


def _match_all_keys(
    checkpoint: Checkpoint,
    identified: Identification,
    network: NetworkMatch,
    source: NamedTensors,
    networks: NetworkIndex,
) -> TensorMatch:
    """Every key of the file, in its own names. Raises WeightsMismatch: nothing is dropped silently."""
    expected = {identified.prefix + key: shape for key, shape in source.shapes.items()}
    match = match_tensors(expected, checkpoint.entries)
    check_match(match, _request(checkpoint, network.spec, networks))
    return match


def _remarks(
    checkpoint: Checkpoint,
    match: TensorMatch,
    target: Dialect,
    prefix: str,
    conversion: Conversion,
) -> Iterator[str]:
    """What was done to the file: dtypes are kept here, and so are counters that nobody stores."""
    zeroed = tuple(key for key in match.zeroed if tensor_of(key) not in target.without)
    yield from load_remarks(checkpoint, replace(match, converted={}, zeroed=zeroed))
    stripped = [f"taken off the keys: `{prefix}`"] if prefix else []
    for line in (*stripped, *conversion.remarks()):
        yield escape_invisible(f"{checkpoint.name}: {line}")


def _mismatch(
    checkpoint: Checkpoint, nearest: NearestNetwork | None, networks: NetworkIndex
) -> WeightsMismatch:
    """Why no network matches exactly."""
    if nearest is None:
        message = f"`{checkpoint.name}` has no tensor of any network of the library"
        diagnostic = Diagnostic(
            "weights-mismatch", message, help="name its network with `--network`"
        )
        return WeightsMismatch(diagnostic, match_tensors({}, checkpoint.entries))
    try:
        check_match(nearest.match, _request(checkpoint, nearest.spec, networks))
    except WeightsMismatch as error:
        return error
    raise AssertionError("the nearest network does not match exactly")


def _request(checkpoint: Checkpoint, spec: str, networks: NetworkIndex) -> LoadRequest:
    graph = networks.graph(spec)
    return LoadRequest(checkpoint.name, graph.name, graph.input.channels, networks.classes(spec))


# --- which network, if several have these keys


def _only_conversion(
    checkpoint: Checkpoint, identified: Identification, target: Dialect, networks: NetworkIndex
) -> tuple[NetworkMatch, Conversion]:
    """The first match, if all of them convert to the same file."""
    numbered = _is_numbered(checkpoint)
    candidates: list[tuple[NetworkMatch, Conversion]] = []
    errors: dict[str, WeightsError] = {}
    for match in identified.matches:
        try:
            candidates.append((match, _conversion(match, target, networks, numbered)))
        except WeightsError as error:
            errors[match.spec] = error
    if not candidates:
        raise next(iter(errors.values()))
    results = {
        (tuple(conversion.sources.items()), tuple(conversion.remarks()))
        for _, conversion in candidates
    }
    if errors or len(results) > 1:
        raise _ambiguous(checkpoint, identified, candidates, errors)
    return candidates[0]


def _is_numbered(checkpoint: Checkpoint) -> bool:
    """Whether a file numbers the tensors of a layer instead of naming them."""
    names, _ = strip_wrappers(checkpoint.tensors, ())
    return all(tensor_of(name).isdigit() for name in names)


def _conversion(
    match: NetworkMatch, target: Dialect, networks: NetworkIndex, numbered: bool
) -> Conversion:
    built = match.dialect.settings if match.dialect else ()
    source = networks.graph(match.spec, match.settings + built)
    graph = networks.graph(match.spec, match.settings + target.settings)
    return plan_conversion(
        named_tensors(source, match.dialect, numbered=numbered), named_tensors(graph, target)
    )


def _ambiguous(
    checkpoint: Checkpoint,
    identified: Identification,
    candidates: Sequence[tuple[NetworkMatch, Conversion]],
    errors: Mapping[str, WeightsError],
) -> WeightsError:
    specs = listed(identified.specs)
    message = f"`{checkpoint.name}` has the keys of {specs}, which do not convert alike"
    notes = tuple(Note(text) for text in _outcomes(candidates, errors))
    first = candidates[0][0]
    source = f", `--from {first.dialect.name}`" if first.dialect and not errors else ""
    help = f"say which it is, such as `--network {first.spec}`{source}"
    return WeightsError(Diagnostic("ambiguous-network", message, notes=notes, help=help))


def _outcomes(
    candidates: Sequence[tuple[NetworkMatch, Conversion]], errors: Mapping[str, WeightsError]
) -> Iterator[str]:
    for spec in dict.fromkeys(match.spec for match, _ in candidates):
        yield f"{spec}: can be converted"
    for spec, error in errors.items():
        reasons = "; ".join(note.text for note in error.diagnostic.notes)
        yield f"{spec}: {error.diagnostic.message}" + (f" ({reasons})" if reasons else "")


# --- which tensor comes from where


@dataclass(frozen=True)
class Conversion:
    """Where each tensor of the target comes from. It has no values, so that two can be compared."""

    source: NamedTensors
    target: NamedTensors
    folded_biases: Mapping[
        Address, Address
    ]  # bias of the source -> the mean that it is folded into
    zeroed: tuple[Address, ...]  # of the target; the source has none
    dropped: tuple[Address, ...]  # of the source; the target has none
    norm_changes: Mapping[tuple[str, object, object], int] = field(default_factory=dict)

    @property
    def sources(self) -> dict[str, str | None]:
        """{key of the target: key of the source}; the same for networks with the same keys."""
        source = self.source.tensors
        return {
            stored.key: source[address].key if address in source else None
            for address, stored in self.target.tensors.items()
        }

    def remarks(self) -> Iterator[str]:
        """What changes, one line each; nothing if converting back returns the same file."""
        if self.folded_biases:
            count = len(self.folded_biases)
            yield f"the bias of {count} modules is folded into the mean of their norms"
        for name, count in _count_by_tensor(self.zeroed):
            yield f"`{name}` of {count} modules is not in the file; set to 0"
        for name, count in _count_by_tensor(self.dropped):
            yield f"`{name}` of {count} modules is left out: the target has none"
        for (name, old, new), count in self.norm_changes.items():
            yield f"{name} of {count} norms changes from {old} to {new}: outputs differ slightly"


def _count_by_tensor(addresses: tuple[Address, ...]) -> Iterator[tuple[str, int]]:
    names = [tensor for _, tensor in addresses]
    for name in dict.fromkeys(names):
        yield name, names.count(name)


def plan_conversion(source: NamedTensors, target: NamedTensors) -> Conversion:
    """How to convert. Raises WeightsError `unlike-dialect` if the two are not one network."""
    notes = graph_differences(source.graph, target.graph)
    if notes:
        message = f"{_built_as(target)} differs from {_built_as(source)}"
        help = "use `--network` to name a network that is the same in both"
        raise WeightsError(Diagnostic("unlike-dialect", message, notes=notes, help=help))
    only_source = [address for address in source.tensors if address not in target.tensors]
    means = _means(source, only_source)
    return Conversion(
        source,
        target,
        means,
        tuple(address for address in target.tensors if address not in source.tensors),
        tuple(address for address in only_source if address not in means),
        norm_differences(source.graph, target.graph),
    )


def _built_as(side: NamedTensors) -> str:
    built = f" as built by `{side.dialect.name}`" if side.dialect and side.dialect.settings else ""
    return f"`{side.graph.name}`{built}"


def _means(source: NamedTensors, only_source: list[Address]) -> dict[Address, Address]:
    """{bias: the mean that it is folded into}. Raises WeightsError if something else reads it."""
    nodes = {node.name: node for node in source.graph.nodes}
    outputs = (*source.graph.outputs, *source.graph.train_outputs)
    means: dict[Address, Address] = {}
    stuck = []
    for name, tensor in only_source:
        if OPS[nodes[name].op].bias_tensor != tensor:
            continue
        readers = [node for node in source.graph.nodes if name in node.inputs]
        mean = OPS[readers[0].op].mean_tensor if len(readers) == 1 else None
        if mean is None or name in outputs:
            stuck.append(name)
        else:
            means[name, tensor] = (readers[0].name, mean)
    if stuck:
        paths = path_summary(stuck)
        message = f"the target has no bias for modules that are read by more than a norm: {paths}"
        raise WeightsError(Diagnostic("unlike-dialect", message))
    return means


def convert_tensors(
    tensors: Mapping[str, torch.Tensor], conversion: Conversion
) -> dict[str, torch.Tensor]:
    """The tensors under the keys of the source -> those of the target, in its order."""
    import torch

    source, target = conversion.source.tensors, conversion.target.tensors
    biases = {mean: bias for bias, mean in conversion.folded_biases.items()}

    def in_network_axes(address: Address) -> torch.Tensor:
        """A tensor of the source, its axes in the order of the network; zero if there is none."""
        if address not in source or source[address].key not in tensors:
            weight = target[address].weight
            return torch.zeros(weight.shape, dtype=torch.int64 if weight.counter else None)
        stored = source[address]
        axes = [stored.axes.index(axis) for axis in range(len(stored.axes))]
        return tensors[stored.key].permute(axes)

    converted = {}
    for address, stored in target.items():
        value = in_network_axes(address)
        if address in biases:
            value = value - in_network_axes(biases[address])
        converted[stored.key] = value.permute(stored.axes).contiguous()
    return converted


# --- the file

TORCH_SUFFIXES = (SUFFIX, ".pt", ".pth", ".bin")
_NUMBERED_SUFFIX = ".weights.h5"  # of a form whose layers have no names of their own


def suffixes(dialect: Dialect) -> tuple[str, ...]:
    """The suffixes of files in a dialect; the first is the default."""
    return TORCH_SUFFIXES if dialect.framework == TORCH else HDF5_SUFFIXES


def check_suffix(path: str, dialect: Dialect) -> None:
    """Raises WriteError `unwritable` if a file of this name would be read as something else."""
    if path.endswith(suffixes(dialect)) and not path.endswith(_NUMBERED_SUFFIX):
        return
    message = f"`{path}` does not have a suffix of `{dialect.name}` checkpoints"
    help = f"use {listed(suffixes(dialect))}"
    if path.endswith(_NUMBERED_SUFFIX):
        help += f"; Keras expects files of another form to end with `{_NUMBERED_SUFFIX}`"
    raise WriteError(Diagnostic("unwritable", message, help=help))


def encode(converted: ConvertedCheckpoint, suffix: str) -> bytes:
    """The bytes of the file. The same tensors give the same bytes."""
    if suffix in HDF5_SUFFIXES:
        return to_hdf5(_by_layer(converted))
    if suffix == SUFFIX:
        return to_safetensors(converted.state, converted.target.graph.name)
    import torch

    buffer = BytesIO()
    torch.save(dict(converted.state), buffer)
    return buffer.getvalue()


def _by_layer(converted: ConvertedCheckpoint) -> Mapping[str, Mapping[str, torch.Tensor]]:
    """The tensors by layer, in the order in which Keras builds the layers of the network."""
    stored = converted.target.tensors.values()
    with_tensors = {each.module for each in stored}
    ordered = _in_keras_order(converted.target.file_graph)
    layers: dict[str, dict[str, torch.Tensor]] = {
        layer: {} for layer in ordered if layer in with_tensors
    }
    for each in stored:
        layers[each.module][each.tensor] = converted.state[each.key]
    return layers


def _in_keras_order(graph: Graph) -> list[str]:
    """The modules by their longest path to an output, the farthest first, then by name.

    So does Keras order the layers of a model (`keras.models.Model.layers`), in networks that name
    parallel layers in their order.
    """
    distance: dict[str, int] = {}
    for node in reversed(graph.nodes):
        own = distance.setdefault(node.name, 0)
        for name in node.inputs:
            distance[name] = max(distance.get(name, 0), own + 1)
    ordered = sorted(graph.nodes, key=lambda node: (-distance[node.name], node.module))
    return [node.module for node in ordered]
