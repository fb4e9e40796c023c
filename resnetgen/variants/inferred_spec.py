"""The spec of a network that was inferred from a checkpoint, as `infer` writes it.

# Inferred from cars.pth: this network has exactly its 267 tensors.
#   head.classes: 196           fc.weight is 196 x 2048
#   stages.layer3.blocks: 11    the file has layer3.0 to layer3.10
network: cars
doc: inferred from cars.pth
extends: resnet50
...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.yaml_writer import WIDTH
from resnetgen.reports.table_layout import align
from resnetgen.variants.derived_spec import Draft, draft_spec
from resnetgen.weights.infer.candidates import Candidate
from resnetgen.weights.infer.checkpoint import CheckpointShapes

_NOT_INFERRED = (
    "Tensors do not show the size of the input, strides, activations, pools, dropout and initial"
    " weights: these are as in {base}."
)


def draft_inferred(
    name: str,
    candidate: Candidate,
    others: Sequence[str],
    checkpoint: CheckpointShapes,
    path: Path,
) -> Draft:
    """The spec of a candidate at `path`; `others` are the names of the other candidates.

    Raises SpecError `other-meaning` if its names refer to other specs or blocks there.
    """
    design = candidate.design
    return draft_spec(
        path,
        library.locate_network(design.base),
        design.document,
        network=name,
        doc=f"inferred from {Path(checkpoint.file).name}",
        comments=_comments(candidate, others, checkpoint),
    )


def _comments(
    candidate: Candidate, others: Sequence[str], checkpoint: CheckpointShapes
) -> Iterator[str]:
    count = len(checkpoint.shapes) + len(checkpoint.counters)
    file = Path(checkpoint.file).name
    yield f"Inferred from {file}: this network has exactly its {count:,} tensors."
    yield from checkpoint.remarks
    evidence = [(each.setting, each.shown_by) for each in candidate.evidence]
    yield from (f"  {line}" for line in align(evidence, "<<"))
    if others:
        choice = f"Chosen from several networks with these tensors; also: {', '.join(others)}."
        yield from wrap(choice, WIDTH - 2)
    yield from wrap(_NOT_INFERRED.format(base=candidate.design.base), WIDTH - 2)
