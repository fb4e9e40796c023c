"""fill(module, checkpoint, fit): the tensors of a checkpoint become those of a live module."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resnetgen.compiler.diagnostics.model import visible
from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.weights.dialects import TORCH, readings
from resnetgen.weights.keys import roots, unwrapped
from resnetgen.weights.match import COUNTER, Fit, fit
from resnetgen.weights.mismatch import LoadRequest, check, check_left

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from torch import nn

    from resnetgen.compiler.ir.nodes import Graph
    from resnetgen.weights.read import Checkpoint


def match(checkpoint: Checkpoint, graph: Graph, classes: object, leave: Sequence[str] = ()) -> Fit:
    """Where each tensor goes; those of the modules in `leave` stay as they are.

    `classes` is what `head.classes` says, None where the network has none. Raises Misfit, and WeightsError
    `unknown-module` where `leave` names nothing.
    """
    wanted = state_dict(graph)
    number = classes if isinstance(classes, int) else None
    asked = LoadRequest(checkpoint.name, graph.name, graph.input.channels, number)
    found = fit(wanted, checkpoint.entries, leave)
    check_left(leave, [*wanted, *found.held], asked)
    check(found, asked)
    return found


def in_own_names(checkpoint: Checkpoint, graph: Graph) -> Checkpoint:
    """The checkpoint under the network's own keys, where it has those of a dialect of torch.

    Else as it is. A dialect whose networks are built otherwise is left to `weights convert`.
    """
    held, _ = unwrapped(checkpoint.tensors, ())
    if held.keys() & state_dict(graph).keys():
        return checkpoint
    for dialect, names in readings(held):
        if dialect.framework == TORCH:
            tensors = {own: checkpoint.tensors[held[key]] for key, own in names.items()}
            told = (*checkpoint.remarks, f"names of `{dialect.name}` taken for our own")
            return replace(checkpoint, tensors=tensors, remarks=told)
    return checkpoint


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A module whose initial weights are always the same; the caller's random state stays."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def fill(module: nn.Module, checkpoint: Checkpoint, found: Fit) -> None:
    """Copies every tensor that was paired, in the module's own types; the rest keeps its values."""
    import torch

    own = module.state_dict()  # detached, and of the same memory
    with torch.no_grad():
        for key, source in found.sources.items():
            own[key].copy_(checkpoint.tensors[source])
        for key in found.zeroed:
            own[key].zero_()


@dataclass(frozen=True)
class Filled:
    """A module with the weights of a checkpoint, and what was done to them, line by line."""

    module: nn.Module
    told: tuple[str, ...]


def filled(
    make: Callable[[], nn.Module],
    given: Checkpoint,
    graph: Graph,
    classes: object,
    leave: Sequence[str] = (),
) -> Filled:
    """What `make` gives, with the weights of a checkpoint under our own names or a dialect's.

    Nothing is made where the checkpoint does not fit. Raises as `match` does.
    """
    checkpoint = in_own_names(given, graph)
    fit = match(checkpoint, graph, classes, leave)
    module = make()
    fill(module, checkpoint, fit)
    return Filled(module, tuple(remarks(checkpoint, fit)))


def remarks(checkpoint: Checkpoint, found: Fit) -> Iterator[str]:
    """What was done to a checkpoint that fits: lines without control characters."""
    for line in (*checkpoint.remarks, *_changes(found)):
        yield visible(f"{checkpoint.name}: {line}")


def _changes(found: Fit) -> Iterator[str]:
    if found.wrappers:
        yield f"taken off the keys: {', '.join(f'`{each}.`' for each in found.wrappers)}"
    if found.zeroed:
        yield f"`{COUNTER}` of {len(found.zeroed)} norms is not in the file; set to 0"
    for (old, new), count in found.converted.items():
        yield f"{count} {'tensor' if count == 1 else 'tensors'} converted from {old} to {new}"
    if found.fresh:
        yield f"left at initial weights: {_folded(found.fresh, found.wanted)}"
    if found.unused:
        yield f"not used of the file: {_folded(found.unused, found.held)}"


def _folded(chosen: Collection[str], keys: Iterable[str]) -> str:
    """Keys for people, whole modules by their name: `layer3.5 (18 tensors), fc.bias`."""
    paths = roots(chosen, keys) or {key: [key] for key in chosen}
    return ", ".join(
        inside[0] if len(inside) == 1 else f"{path} ({len(inside)} tensors)"
        for path, inside in paths.items()
    )
