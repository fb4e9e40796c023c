"""convert(tensors, source, target) -> the tensors of a checkpoint in another dialect, and what changed.

A bias that only norms read is nothing but a shift of their mean, so that it can be taken into it:
`(x + bias) - mean = x - (mean - bias)`. A bias that the file lacks is zero. All else is moved.

translate(checkpoint, dialect, networks) -> Translated: a checkpoint for another library.

Whose checkpoint it is, is found out (`recognise`); then every key is held against the prediction,
strictly and in the file's own names, before a tensor is moved (`convert`).

as_file(translated, suffix) -> the bytes of a checkpoint in the format that a suffix names.

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
from resnetgen.compiler.diagnostics.model import Diagnostic, Note, listed, visible
from resnetgen.compiler.ir.ops import OPS
from resnetgen.weights.dialects import TORCH, Dialect, folded
from resnetgen.weights.errors import Misfit, WeightsError
from resnetgen.weights.hdf5 import SUFFIXES as OF_KERAS
from resnetgen.weights.hdf5 import as_hdf5
from resnetgen.weights.identify import Found, Nearest, NetworkMatch, recognise
from resnetgen.weights.keys import unwrapped
from resnetgen.weights.library_index import Networks
from resnetgen.weights.load import remarks
from resnetgen.weights.match import Fit, fit
from resnetgen.weights.mismatch import LoadRequest, check
from resnetgen.weights.safetensors_file import SUFFIX, as_safetensors
from resnetgen.weights.tensor_layout import (
    Address,
    NamedTensors,
    by_distance,
    norms_changed,
    side,
    unlike,
)

if TYPE_CHECKING:
    import torch

    from resnetgen.weights.read import Checkpoint


@dataclass(frozen=True)
class Conversion:
    """Where each tensor of the target comes from. Made without numbers, so that it can be compared."""

    source: NamedTensors
    target: NamedTensors
    folded: Mapping[Address, Address]  # bias of the source -> the mean that takes it
    zero: tuple[Address, ...]  # of the target; the source has none
    lost: tuple[Address, ...]  # of the source; the target has none
    norms: Mapping[tuple[str, object, object], int] = field(default_factory=dict)

    @property
    def moves(self) -> dict[str, str | None]:
        """Key of the target -> key of the source; the same for networks of the same keys."""
        here = self.source.tensors
        return {
            kept.key: here[address].key if address in here else None
            for address, kept in self.target.tensors.items()
        }

    def told(self) -> Iterator[str]:
        """What is not as it was, one line each; nothing where the way back gives the same file."""
        if self.folded:
            yield f"the bias of {len(self.folded)} modules is taken into the mean of their norms"
        for name, count in _counted(self.zero):
            yield f"`{name}` of {count} modules is not in the file; set to 0"
        for name, count in _counted(self.lost):
            yield f"`{name}` of {count} modules is left out: the target has none"
        for (name, old, new), count in self.norms.items():
            yield f"{name} of {count} norms was {old} and is {new} there: outputs differ slightly"


def _counted(addresses: tuple[Address, ...]) -> Iterator[tuple[str, int]]:
    names = [tensor for _, tensor in addresses]
    for name in dict.fromkeys(names):
        yield name, names.count(name)


def plan(source: NamedTensors, target: NamedTensors) -> Conversion:
    """How to convert. Raises WeightsError `unlike-dialect` where the two are not one network."""
    notes = unlike(source.graph, target.graph)
    if notes:
        message = f"{_called(target)} is another network than {_called(source)}"
        help = "name the network that both are with `--network`"
        raise WeightsError(Diagnostic("unlike-dialect", message, notes=notes, help=help))
    gone = [address for address in source.tensors if address not in target.tensors]
    means = _means(source, gone)
    return Conversion(
        source,
        target,
        means,
        tuple(address for address in target.tensors if address not in source.tensors),
        tuple(address for address in gone if address not in means),
        norms_changed(source.graph, target.graph),
    )


def _called(side: NamedTensors) -> str:
    built = f" as `{side.dialect.name}` has it" if side.dialect and side.dialect.settings else ""
    return f"`{side.graph.name}`{built}"


def _means(source: NamedTensors, gone: list[Address]) -> dict[Address, Address]:
    """The mean that takes each bias. Raises WeightsError `unlike-dialect` where something else reads it."""
    nodes = {node.name: node for node in source.graph.nodes}
    adds = [(n, t) for n, t in gone if OPS[nodes[n].op].adds == t]
    found: dict[Address, Address] = {}
    stuck = []
    for name, tensor in adds:
        readers = [node for node in source.graph.nodes if name in node.inputs]
        takes = OPS[readers[0].op].subtracts if len(readers) == 1 else None
        if takes is None or name in (*source.graph.outputs, *source.graph.train_outputs):
            stuck.append(name)
        else:
            found[name, tensor] = (readers[0].name, takes)
    if stuck:
        message = f"the target has no bias where one is read by more than a norm: {folded(stuck)}"
        raise WeightsError(Diagnostic("unlike-dialect", message))
    return found


def convert(tensors: Mapping[str, torch.Tensor], conversion: Conversion) -> dict[str, torch.Tensor]:
    """The tensors of a file under the keys of its own side -> those of the target, in order."""
    import torch

    source, target = conversion.source.tensors, conversion.target.tensors
    biases = {mean: bias for bias, mean in conversion.folded.items()}

    def ours(address: Address) -> torch.Tensor:
        """A tensor of the source, its axes in our order; zero where there is none."""
        if address not in source or source[address].key not in tensors:
            weight = target[address].weight
            return torch.zeros(weight.shape, dtype=torch.int64 if weight.counter else None)
        kept = source[address]
        back = [kept.axes.index(axis) for axis in range(len(kept.axes))]
        return tensors[kept.key].permute(back)

    found = {}
    for address, kept in target.items():
        value = ours(address)
        if address in biases:
            value = value - ours(biases[address])
        found[kept.key] = value.permute(kept.axes).contiguous()
    return found


@dataclass(frozen=True)
class Translated:
    """The tensors of a file for another library, not yet written."""

    spec: str
    source: NamedTensors
    target: NamedTensors
    state: Mapping[str, torch.Tensor]
    told: tuple[str, ...]  # what was changed or lost


def translate(
    checkpoint: Checkpoint,
    target: Dialect,
    networks: Networks,
    among: Sequence[Dialect | None] | None = None,
) -> Translated:
    """The checkpoint in the dialect `target`; `among` are the dialects that it may be in.

    Raises Misfit `weights-mismatch` with an account of every key, WeightsError `ambiguous-network`
    where networks of the same keys are converted differently, `unlike-dialect` and `unnamed-module`
    where the target has no such network.
    """
    found = recognise(checkpoint.entries, checkpoint.name, networks, among)
    if not found.matches:
        raise _misfit(checkpoint, found.nearest, networks)
    match, conversion = _only(checkpoint, found, target, networks)
    strict = _strict(checkpoint, found, match, conversion.source, networks)
    tensors = {
        key.removeprefix(found.prefix): checkpoint.tensors[held]
        for key, held in strict.sources.items()
    }
    zeroed = tuple(key for key in strict.zeroed if key.rpartition(".")[2] not in target.without)
    said = remarks(checkpoint, replace(strict, converted={}, zeroed=zeroed))
    changed = [f"taken off the keys: `{found.prefix}`"] if found.prefix else []
    changed += conversion.told()
    told = (*said, *(visible(f"{checkpoint.name}: {line}") for line in changed))
    state = convert(tensors, conversion)
    return Translated(match.spec, conversion.source, conversion.target, state, told)


def _misfit(checkpoint: Checkpoint, nearest: Nearest | None, networks: Networks) -> Misfit:
    if nearest is None:
        message = f"`{checkpoint.name}` has no tensor of any network of the library"
        help = "name its network with `--network`"
        return Misfit(
            Diagnostic("weights-mismatch", message, help=help), fit({}, checkpoint.entries)
        )
    try:
        check(nearest.fit, _asked(checkpoint, nearest.spec, networks))
    except Misfit as error:
        return error
    raise AssertionError("what fits is no nearest")


def _asked(checkpoint: Checkpoint, spec: str, networks: Networks) -> LoadRequest:
    graph = networks.graph(spec)
    return LoadRequest(checkpoint.name, graph.name, graph.input.channels, networks.classes(spec))


def _strict(
    checkpoint: Checkpoint,
    found: Found,
    match: NetworkMatch,
    source: NamedTensors,
    networks: Networks,
) -> Fit:
    """Every key of the file held against the network, in the file's own names."""
    wanted = {found.prefix + key: shape for key, shape in source.wanted.items()}
    strict = fit(wanted, checkpoint.entries)
    check(strict, _asked(checkpoint, match.spec, networks))
    return strict


# --- which network


def _only(
    checkpoint: Checkpoint, found: Found, target: Dialect, networks: Networks
) -> tuple[NetworkMatch, Conversion]:
    """The first match, if all are converted alike."""
    numbered = _is_numbered(checkpoint)
    ways: list[tuple[NetworkMatch, Conversion]] = []
    faults: dict[str, WeightsError] = {}
    for match in found.matches:
        try:
            ways.append((match, _planned(match, target, networks, numbered)))
        except WeightsError as error:
            faults[match.spec] = error
    if not ways:
        raise next(iter(faults.values()))
    outcomes = {(tuple(way.moves.items()), tuple(way.told())) for _, way in ways}
    if faults or len(outcomes) > 1:
        raise _ambiguous(checkpoint, found, ways, faults)
    return ways[0]


def _is_numbered(checkpoint: Checkpoint) -> bool:
    """Whether a file numbers the tensors of a layer, and does not name them."""
    names, _ = unwrapped(checkpoint.tensors, ())
    return all(name.rpartition(".")[2].isdigit() for name in names)


def _planned(
    match: NetworkMatch, target: Dialect, networks: Networks, numbered: bool
) -> Conversion:
    built = match.dialect.settings if match.dialect else ()
    source = networks.graph(match.spec, match.settings + built)
    graph = networks.graph(match.spec, match.settings + target.settings)
    return plan(side(source, match.dialect, numbered=numbered), side(graph, target))


def _ambiguous(
    checkpoint: Checkpoint,
    found: Found,
    ways: Sequence[tuple[NetworkMatch, Conversion]],
    faults: Mapping[str, WeightsError],
) -> WeightsError:
    message = f"`{checkpoint.name}` has the keys of {listed(found.specs)}, not converted alike"
    notes = tuple(Note(text) for text in _reasons(ways, faults))
    first = ways[0][0]
    named = f", `--from {first.dialect.name}`" if first.dialect and not faults else ""
    help = f"say which it is, such as `--network {first.spec}`{named}"
    return WeightsError(Diagnostic("ambiguous-network", message, notes=notes, help=help))


def _reasons(
    ways: Sequence[tuple[NetworkMatch, Conversion]], faults: Mapping[str, WeightsError]
) -> Iterator[str]:
    for spec in dict.fromkeys(match.spec for match, _ in ways):
        yield f"{spec}: can be converted"
    for spec, error in faults.items():
        inner = "; ".join(note.text for note in error.diagnostic.notes)
        yield f"{spec}: {error.diagnostic.message}" + (f" ({inner})" if inner else "")


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
