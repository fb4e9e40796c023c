"""convert(tensors, source, target) -> the tensors of a checkpoint in another dialect, and what changed.

A bias that only norms read is nothing but a shift of their mean, so that it can be taken into it:
`(x + bias) - mean = x - (mean - bias)`. A bias that the file lacks is zero. All else is moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resnetgen.graph.ops import OPS
from resnetgen.language.diagnostics import Diagnostic
from resnetgen.weights import WeightsError
from resnetgen.weights.dialects import folded
from resnetgen.weights.sides import Address, Side, norms_changed, unlike

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Conversion:
    """Where each tensor of the target comes from. Made without numbers, so that it can be compared."""

    source: Side
    target: Side
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


def plan(source: Side, target: Side) -> Conversion:
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


def _called(side: Side) -> str:
    built = f" as `{side.dialect.name}` has it" if side.dialect and side.dialect.settings else ""
    return f"`{side.graph.name}`{built}"


def _means(source: Side, gone: list[Address]) -> dict[Address, Address]:
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
