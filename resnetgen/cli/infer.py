"""`infer`: the spec of a checkpoint."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnetgen.cli import errors
from resnetgen.cli.console import Progress, print_exactly, refuse_existing
from resnetgen.cli.options import force_option, one_of, placed_option
from resnetgen.compiler.diagnostics.model import Diagnostic, Note, listed, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resnetgen.weights.infer.candidates import Candidate
    from resnetgen.weights.infer.design import Trials
    from resnetgen.weights.infer.search import SearchResult


class Format(StrEnum):
    """How the result is told."""

    text = "text"
    json = "json"


Checkpoint = Annotated[
    str, typer.Argument(metavar="FILE", help="A checkpoint: safetensors or torch.save.")
]
Assume = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Where tensors fit several networks: take this one of the list."
    ),
]
Name = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What the network is called. [default: as FILE]"),
]
Output = Annotated[str | None, placed_option(".yaml")]
Force = Annotated[bool, force_option("Replace the file that is there.")]
How = Annotated[Format, typer.Option("--format", help="How candidates and reasons are told.")]


def infer(
    file: Checkpoint,
    assume: Assume = None,
    name: Name = None,
    output: Output = None,
    force: Force = False,
    format: How = Format.text,
) -> None:
    """Writes the spec of a checkpoint, from its keys and shapes alone.

    The spec extends the library network of which it is a variant, and says only what differs:
    depths, widths, groups, stem, attention, shortcuts, norm, classes, input channels. It has been
    compiled: its tensors are those of the file, all of them. Nothing is looked up by name or hash.

    A stride, a pool or an activation leaves no trace in tensors. Where that makes several networks
    of them, all are listed with what tells them apart, nothing is written, and --assume chooses.

    \b
    Examples:
      resnetgen infer model.safetensors
      resnetgen infer old.pth --assume resnet50_v1 --name old -o nets/
      resnetgen infer model.pth --name net -o - | less
    """
    from resnetgen.compiler.codegen.files import located, write_atomically
    from resnetgen.reports.numbers import summary
    from resnetgen.variants.new_spec import draft_inferred
    from resnetgen.weights.infer.candidates import candidates_of
    from resnetgen.weights.infer.design import Trials

    called = _called(name, file)
    place = Path(f"{called}.yaml") if output in (None, "-") else located(output, f"{called}.yaml")
    if output != "-":
        refuse_existing(place, force)
    trials = Trials()
    found = _found(file, trials)
    candidates = candidates_of(found, trials)
    chosen = _chosen(candidates, assume, found, trials, format)
    others = [each.name for each in candidates if each is not chosen]
    made = draft_inferred(called, chosen, others, found.held, place)
    errors.show(made.compiled.warnings)
    if output == "-":
        print_exactly(made.text)
        return
    write_atomically(place, made.text.encode())
    if format is Format.json:
        _print_json(found, candidates, chosen, str(place))
        return
    print("\n".join(map(visible, _told(chosen))))
    print(f"wrote {visible(str(place))} ({summary(made.compiled.cost)})")


def _found(file: str, trials: Trials) -> SearchResult:
    from resnetgen.weights.infer.checkpoint import held_by
    from resnetgen.weights.infer.search import infer as search

    with Progress() as progress:
        progress("reading")
        held = held_by(file)
        return search(held, trials, progress)


def _called(name: str | None, file: str) -> str:
    """The name of the network: as it was given, else one made of the file's."""
    from resnetgen.compiler.frontend import library
    from resnetgen.compiler.frontend.identifiers import MAX_LENGTH, file_name_error

    known = {path.stem for path in library.network_files()}
    if name is None:
        stem = re.sub(r"[^A-Za-z0-9]+", "_", Path(file).stem).strip("_")[:MAX_LENGTH] or "inferred"
        return f"{stem}_inferred" if stem in known or file_name_error(stem) else stem
    reason = "is a network of the library" if name in known else file_name_error(name)
    if reason:
        raise typer.BadParameter(f"{visible(repr(name))} {reason}", param_hint="--name")
    return name


def _chosen(
    candidates: Sequence[Candidate],
    assume: str | None,
    found: SearchResult,
    trials: Trials,
    format: Format,
) -> Candidate:
    """The one candidate, or the one that was named. Raises Failed where there is neither."""
    if not candidates:
        raise errors.Failed([_unknown(found, trials)], errors.WRONG_SPEC)
    if assume is not None:
        known = {each.name: each for each in candidates}
        return one_of(assume, known, "--assume", "candidate ")
    if len(candidates) == 1:
        return candidates[0]
    if format is Format.json:
        _print_json(found, candidates, None, None)
    raise errors.Failed([_ambiguous(found, candidates)], errors.WRONG_SPEC)


def _ambiguous(found: SearchResult, candidates: Sequence[Candidate]) -> Diagnostic:
    notes = []
    for each in candidates:
        beside = f"; beside {each.beside}:" if each.beside else ""
        notes += [f"{each.name}: {each.changes}{beside}", *(f"  {line}" for line in each.apart)]
    message = f"{len(candidates)} networks have exactly the tensors of `{found.held.file}`"
    help = f"say which one it is, such as `--assume {candidates[0].name}`"
    return Diagnostic("ambiguous-weights", message, notes=tuple(map(Note, notes)), help=help)


def _unknown(found: SearchResult, trials: Trials) -> Diagnostic:
    """How far the nearest network got."""
    from resnetgen.weights.match import TensorEntry, fit
    from resnetgen.weights.mismatch import account

    held, nearest = found.held, found.nearest
    message = f"no network of the library has the tensors of `{held.file}`, in whatever sizes"
    alike = trials.likeness(nearest, held) if nearest else 0
    if nearest is None or not alike:
        first = listed(list(held.shapes)[:3])
        notes = [Note(f"no network has a tensor in common with it; it begins with {first}")]
        return Diagnostic("unknown-architecture", message, notes=tuple(notes))
    settings = " ".join(f"--set {key}={value}" for key, value in nearest.settings)
    near = f"the nearest has {alike:.0%} of its tensors: `{' '.join([nearest.base, settings]).strip()}`"
    entries = {key: TensorEntry(shape) for key, shape in held.shapes.items()}
    lines = account(fit(trials.shapes(nearest) or {}, entries))
    notes = [Note(near), *(Note(line) for line in lines)]
    help = "start from the nearest, and say in a spec of your own what differs"
    return Diagnostic("unknown-architecture", message, notes=tuple(notes), help=help)


def _told(chosen: Candidate) -> list[str]:
    """What was found, and each change with its reason."""
    width = max((len(each.setting) for each in chosen.reasons), default=0)
    lines = [f"{each.setting:{width}}  {each.shown_by}".rstrip() for each in chosen.reasons]
    return [f"extends {chosen.design.base}{':' if lines else ', unchanged'}", *lines]


def _print_json(
    found: SearchResult,
    candidates: Sequence[Candidate],
    chosen: Candidate | None,
    wrote: str | None,
) -> None:
    import json

    document = {
        "file": found.held.file,
        "tensors": len(found.held.shapes) + len(found.held.counters),
        "remarks": list(found.held.remarks),
        "candidates": [_as_data(each) for each in candidates],
        "chosen": chosen.name if chosen else None,
        "wrote": wrote,
    }
    print(json.dumps(document, indent=2))


def _as_data(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "extends": candidate.design.base,
        "changes": [
            {"path": ".".join(each.path), "value": each.value, "shown_by": each.shown_by}
            for each in candidate.reasons
        ],
        "beside": candidate.beside,
        "differs": list(candidate.apart),
    }
