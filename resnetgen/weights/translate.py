"""translate(checkpoint, dialect, networks) -> Translated: a checkpoint for another library.

Whose checkpoint it is, is found out (`recognise`); then every key is held against the prediction,
strictly and in the file's own names, before a tensor is moved (`convert`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resnetgen.language.diagnostics import Diagnostic, Note, listed, visible
from resnetgen.weights import Misfit, WeightsError
from resnetgen.weights.convert import Conversion, convert, plan
from resnetgen.weights.dialects import Dialect
from resnetgen.weights.explain import Asked, check
from resnetgen.weights.fill import remarks
from resnetgen.weights.fit import Fit, fit
from resnetgen.weights.names import unwrapped
from resnetgen.weights.networks import Networks
from resnetgen.weights.recognise import Found, Match, Nearest, recognise
from resnetgen.weights.sides import Side, side

if TYPE_CHECKING:
    import torch

    from resnetgen.weights.read import Checkpoint


@dataclass(frozen=True)
class Translated:
    """The tensors of a file for another library, not yet written."""

    spec: str
    source: Side
    target: Side
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


def _asked(checkpoint: Checkpoint, spec: str, networks: Networks) -> Asked:
    graph = networks.graph(spec)
    return Asked(checkpoint.name, graph.name, graph.input.channels, networks.classes(spec))


def _strict(
    checkpoint: Checkpoint, found: Found, match: Match, source: Side, networks: Networks
) -> Fit:
    """Every key of the file held against the network, in the file's own names."""
    wanted = {found.prefix + key: shape for key, shape in source.wanted.items()}
    strict = fit(wanted, checkpoint.entries)
    check(strict, _asked(checkpoint, match.spec, networks))
    return strict


# --- which network


def _only(
    checkpoint: Checkpoint, found: Found, target: Dialect, networks: Networks
) -> tuple[Match, Conversion]:
    """The first match, if all are converted alike."""
    numbered = _is_numbered(checkpoint)
    ways: list[tuple[Match, Conversion]] = []
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


def _planned(match: Match, target: Dialect, networks: Networks, numbered: bool) -> Conversion:
    built = match.dialect.settings if match.dialect else ()
    source = networks.graph(match.spec, match.settings + built)
    graph = networks.graph(match.spec, match.settings + target.settings)
    return plan(side(source, match.dialect, numbered=numbered), side(graph, target))


def _ambiguous(
    checkpoint: Checkpoint,
    found: Found,
    ways: Sequence[tuple[Match, Conversion]],
    faults: Mapping[str, WeightsError],
) -> WeightsError:
    message = f"`{checkpoint.name}` has the keys of {listed(found.specs)}, not converted alike"
    notes = tuple(Note(text) for text in _reasons(ways, faults))
    first = ways[0][0]
    named = f", `--from {first.dialect.name}`" if first.dialect and not faults else ""
    help = f"say which it is, such as `--network {first.spec}`{named}"
    return WeightsError(Diagnostic("ambiguous-network", message, notes=notes, help=help))


def _reasons(
    ways: Sequence[tuple[Match, Conversion]], faults: Mapping[str, WeightsError]
) -> Iterator[str]:
    for spec in dict.fromkeys(match.spec for match, _ in ways):
        yield f"{spec}: can be converted"
    for spec, error in faults.items():
        inner = "; ".join(note.text for note in error.diagnostic.notes)
        yield f"{spec}: {error.diagnostic.message}" + (f" ({inner})" if inner else "")
