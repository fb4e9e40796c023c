"""load_weights(build, checkpoint, graph, classes, leave) -> LoadedModule: a module with a file's weights.

    with_network_keys   a checkpoint in a torch dialect -> under the network's own keys
    match_checkpoint    which tensor comes from where, or an error that lists all that differs
    copy_tensors        the paired tensors become those of the module

The match is complete before the module is built, so a checkpoint that does not fit costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resnetgen.compiler.diagnostics.model import escape_invisible
from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.weights.dialects import TORCH, matching_dialects
from resnetgen.weights.keys import covering_paths, strip_wrappers
from resnetgen.weights.match import COUNTER, TensorMatch, match_tensors
from resnetgen.weights.mismatch import LoadRequest, check_leave, check_match

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from torch import nn

    from resnetgen.compiler.ir.nodes import Graph
    from resnetgen.weights.read import Checkpoint


@dataclass(frozen=True)
class LoadedModule:
    """A module with the weights of a checkpoint, and what was done to them, line by line."""

    module: nn.Module
    remarks: tuple[str, ...]


def load_weights(
    build: Callable[[], nn.Module],
    checkpoint: Checkpoint,
    graph: Graph,
    classes: object,
    leave: Sequence[str] = (),
) -> LoadedModule:
    """The module that `build` returns, with the weights of a checkpoint in any torch dialect.

    Nothing is built if the checkpoint does not fit. Raises as `match_checkpoint` does.
    """
    checkpoint = with_network_keys(checkpoint, graph)
    match = match_checkpoint(checkpoint, graph, classes, leave)
    module = build()
    copy_tensors(module, checkpoint, match)
    return LoadedModule(module, tuple(load_remarks(checkpoint, match)))


def build_seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """Builds a module with the same initial weights every time; the caller's random state stays."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def with_network_keys(checkpoint: Checkpoint, graph: Graph) -> Checkpoint:
    """The checkpoint under the network's own keys, if it has those of a torch dialect.

    Otherwise unchanged: a dialect whose networks are built differently needs `weights convert`.
    """
    stored, _ = strip_wrappers(checkpoint.tensors, ())
    if stored.keys() & state_dict(graph).keys():
        return checkpoint
    for dialect, names in matching_dialects(stored):
        if dialect.framework == TORCH:
            tensors = {name: checkpoint.tensors[stored[key]] for key, name in names.items()}
            remarks = (*checkpoint.remarks, f"keys renamed from those of `{dialect.name}`")
            return replace(checkpoint, tensors=tensors, remarks=remarks)
    return checkpoint


def match_checkpoint(
    checkpoint: Checkpoint, graph: Graph, classes: object, leave: Sequence[str] = ()
) -> TensorMatch:
    """Where each tensor comes from; those of the modules in `leave` keep their initial values.

    `classes` is the network's `head.classes`, None if it has none. Raises WeightsMismatch, and
    WeightsError `unknown-module` for a module in `leave` that does not exist.
    """
    expected = state_dict(graph)
    count = classes if isinstance(classes, int) else None
    request = LoadRequest(checkpoint.name, graph.name, graph.input.channels, count)
    match = match_tensors(expected, checkpoint.entries, leave)
    check_leave(leave, [*expected, *match.stored], request)
    check_match(match, request)
    return match


def copy_tensors(module: nn.Module, checkpoint: Checkpoint, match: TensorMatch) -> None:
    """Copies every paired tensor, cast to the module's own dtype; the others keep their values."""
    import torch

    state = module.state_dict()  # detached, and of the same memory
    with torch.no_grad():
        for key, source in match.sources.items():
            state[key].copy_(checkpoint.tensors[source])
        for key in match.zeroed:
            state[key].zero_()


# --- remarks


def load_remarks(checkpoint: Checkpoint, match: TensorMatch) -> Iterator[str]:
    """What was done to a checkpoint that fits: lines without control characters."""
    for line in (*checkpoint.remarks, *_changes(match)):
        yield escape_invisible(f"{checkpoint.name}: {line}")


def _changes(match: TensorMatch) -> Iterator[str]:
    if match.wrappers:
        yield f"taken off the keys: {', '.join(f'`{each}.`' for each in match.wrappers)}"
    if match.zeroed:
        yield f"`{COUNTER}` of {len(match.zeroed)} norms is not in the file; set to 0"
    for (old, new), count in match.converted.items():
        yield f"{count} {'tensor' if count == 1 else 'tensors'} converted from {old} to {new}"
    if match.skipped:
        yield f"left at initial weights: {_folded(match.skipped, match.expected)}"
    if match.unused:
        yield f"not used from the file: {_folded(match.unused, match.stored)}"


def _folded(chosen: Collection[str], keys: Iterable[str]) -> str:
    """Keys for people, whole modules by their path: `layer3.5 (18 tensors), fc.bias`."""
    paths = covering_paths(chosen, keys) or {key: [key] for key in chosen}
    return ", ".join(
        inside[0] if len(inside) == 1 else f"{path} ({len(inside)} tensors)"
        for path, inside in paths.items()
    )
