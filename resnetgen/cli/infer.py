"""`infer`: the spec of a checkpoint, from its keys and shapes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnetgen.cli import errors
from resnetgen.cli.console import Progress, output_file
from resnetgen.cli.options import (
    Force,
    Format,
    format_option,
    look_up,
    output_file_option,
)
from resnetgen.compiler.diagnostics.model import Diagnostic, Note, escape_invisible, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resnetgen.weights.infer.candidates import Candidate
    from resnetgen.weights.infer.design import DesignCompiler
    from resnetgen.weights.infer.search import SearchResult

FORMATS = (Format.text, Format.json)
Checkpoint = Annotated[
    str, typer.Argument(metavar="FILE", help="A checkpoint: safetensors or torch.save.")
]
Assume = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="If several networks fit, use this one from the list."),
]
Name = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The name of the network. [default: from FILE]"),
]
Output = Annotated[str | None, output_file_option(".yaml")]
InFormat = Annotated[
    Format, format_option(FORMATS, "How to print the candidates and the evidence.")
]


def infer(
    file: Checkpoint,
    assume: Assume = None,
    name: Name = None,
    output: Output = None,
    force: Force = False,
    format: InFormat = Format.text,
) -> None:
    """Writes the spec of a checkpoint, from its keys and shapes alone.

    The spec extends the library network that it is a variant of, and states only what differs:
    depths, widths, groups, stem, attention, shortcuts, norm, classes, input channels. It has been
    compiled, and its tensors are exactly those of the file. Nothing is looked up by name or hash.

    A stride, a pool or an activation leaves no trace in tensors. If several networks fit for that
    reason, all are listed with their differences, nothing is written, and --assume chooses one.

    \b
    Examples:
      resnetgen infer model.safetensors
      resnetgen infer old.pth --assume resnet50_v1 --name old -o nets/
      resnetgen infer model.pth --name net -o - | less
    """
    from resnetgen.compiler.codegen.files import UNMARKED
    from resnetgen.compiler.frontend.input_file import note_input
    from resnetgen.reports.numbers import cost_summary
    from resnetgen.variants.inferred_spec import draft_inferred
    from resnetgen.weights.infer.candidates import describe_candidates
    from resnetgen.weights.infer.design import DesignCompiler

    network = _network_name(name, file)
    note_input(file)
    out = output_file(output, f"{network}.yaml", UNMARKED, force)
    path = out.path or Path(f"{network}.yaml")
    compiler = DesignCompiler()
    result = _search(file, compiler)
    candidates = describe_candidates(result, compiler)
    chosen = _choose(candidates, assume, result, compiler, format)
    others = [each.name for each in candidates if each is not chosen]
    draft = draft_inferred(network, chosen, others, result.checkpoint, path)
    errors.show_diagnostics(draft.compiled.warnings)
    out.write(draft.text)
    if out.path is None:
        return
    if format is Format.json:
        _print_json(result, candidates, chosen, str(path))
        return
    print("\n".join(map(escape_invisible, _explain(chosen))))
    out.announce(cost_summary(draft.compiled.cost))


def _search(file: str, compiler: DesignCompiler) -> SearchResult:
    from resnetgen.weights.infer.checkpoint import read_checkpoint
    from resnetgen.weights.infer.search import infer as search

    with Progress() as progress:
        progress("reading")
        return search(read_checkpoint(file), compiler, progress)


def _network_name(name: str | None, file: str) -> str:
    """The name that was given, else one made from that of the file."""
    from resnetgen.compiler.frontend import library
    from resnetgen.compiler.frontend.identifiers import MAX_LENGTH, file_name_error

    known = {path.stem for path in library.network_files()}
    if name is None:
        stem = re.sub(r"[^A-Za-z0-9]+", "_", Path(file).stem).strip("_")[:MAX_LENGTH] or "inferred"
        return f"{stem}_inferred" if stem in known or file_name_error(stem) else stem
    reason = "is the name of a library network" if name in known else file_name_error(name)
    if reason:
        raise typer.BadParameter(f"{escape_invisible(repr(name))} {reason}", param_hint="--name")
    return name


def _choose(
    candidates: Sequence[Candidate],
    assume: str | None,
    result: SearchResult,
    compiler: DesignCompiler,
    format: Format,
) -> Candidate:
    """The only candidate, or the one that --assume names. Raises Failed if there is neither."""
    if not candidates:
        raise errors.Failed([_unknown(result, compiler)], errors.SPEC_ERROR)
    if assume is not None:
        known = {each.name: each for each in candidates}
        return look_up(assume, known, "--assume", "candidate ")
    if len(candidates) == 1:
        return candidates[0]
    if format is Format.json:
        _print_json(result, candidates, None, None)
    raise errors.Failed([_ambiguous(result, candidates)], errors.SPEC_ERROR)


def _ambiguous(result: SearchResult, candidates: Sequence[Candidate]) -> Diagnostic:
    notes = []
    for each in candidates:
        compared = f"; compared with {each.compared_with}:" if each.compared_with else ""
        notes += [
            f"{each.name}: {each.changes}{compared}",
            *(f"  {line}" for line in each.differences),
        ]
    message = f"{len(candidates)} networks have exactly the tensors of `{result.checkpoint.file}`"
    help = f"choose one, such as `--assume {candidates[0].name}`"
    return Diagnostic("ambiguous-weights", message, notes=tuple(map(Note, notes)), help=help)


def _unknown(result: SearchResult, compiler: DesignCompiler) -> Diagnostic:
    """Reports the nearest network and how it differs."""
    from resnetgen.weights.match import TensorEntry, match_tensors
    from resnetgen.weights.mismatch import mismatch_lines

    checkpoint, nearest = result.checkpoint, result.nearest
    message = f"no library network has the tensors of `{checkpoint.file}`, in any sizes"
    similarity = compiler.similarity(nearest, checkpoint) if nearest else 0
    if nearest is None or not similarity:
        first = listed(list(checkpoint.shapes)[:3])
        notes = [Note(f"no network has a tensor in common with it; it begins with {first}")]
        return Diagnostic("unknown-architecture", message, notes=tuple(notes))
    call = " ".join([nearest.base, *(f"--set {key}={value}" for key, value in nearest.settings)])
    near = f"the nearest has {similarity:.0%} of its tensors: `{call}`"
    entries = {key: TensorEntry(shape) for key, shape in checkpoint.shapes.items()}
    lines = mismatch_lines(match_tensors(compiler.shapes(nearest) or {}, entries))
    notes = [Note(near), *(Note(line) for line in lines)]
    help = "start from the nearest, and write a spec that states the differences"
    return Diagnostic("unknown-architecture", message, notes=tuple(notes), help=help)


def _explain(chosen: Candidate) -> list[str]:
    """The base, and each change with its evidence."""
    from resnetgen.reports.table_layout import align

    lines = align([(each.setting, each.shown_by) for each in chosen.evidence], "<<")
    return [f"extends {chosen.design.base}{':' if lines else ', unchanged'}", *lines]


def _print_json(
    result: SearchResult,
    candidates: Sequence[Candidate],
    chosen: Candidate | None,
    path: str | None,
) -> None:
    import json

    document = {
        "file": result.checkpoint.file,
        "tensors": len(result.checkpoint.shapes) + len(result.checkpoint.counters),
        "remarks": list(result.checkpoint.remarks),
        "candidates": [_as_data(each) for each in candidates],
        "chosen": chosen.name if chosen else None,
        "wrote": path,
    }
    print(json.dumps(document, indent=2))


def _as_data(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "extends": candidate.design.base,
        "changes": [
            {"path": ".".join(each.path), "value": each.value, "shown_by": each.shown_by}
            for each in candidate.evidence
        ],
        "beside": candidate.compared_with,
        "differs": list(candidate.differences),
    }
