"""draft(...) -> Draft: the spec of a network that was inferred from a checkpoint.

# yaml-language-server: $schema=network.schema.json
# Inferred from cars.pth: 267 tensors, all that this network has and no others.
#   head.classes: 196           fc.weight is 196 x 2048
#   stages.layer3.blocks: 11    there are layer3.0 to layer3.10
network: cars
doc: inferred from cars.pth
extends: resnet50
...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

from resnetgen.language import library
from resnetgen.language.expanded import WIDTH, as_spec
from resnetgen.variants.new_changes import changes
from resnetgen.variants.new_spec import Draft, compiled_at, extending, modeline
from resnetgen.weights.infer.candidates import Candidate
from resnetgen.weights.infer.held import Held

_TRACELESS = (
    "What leaves no trace in tensors is that of {base}: the size of the input, strides,"
    " activations, pools, dropout and how weights start."
)


def draft(name: str, chosen: Candidate, others: Sequence[str], held: Held, place: Path) -> Draft:
    """The spec of a candidate, to stand at `place`; `others` were candidates too.

    Raises SpecError `other-meaning` where the file would mean another network at its place.
    """
    place = place.absolute()
    design = chosen.design
    base = library.load(design.base)
    changed = changes(base.tree, design.tree)
    doc = f"inferred from {Path(held.file).name}"
    spec = as_spec(extending(design.base, changed, network=name, doc=doc))
    comments = [modeline(place.parent), *_told(chosen, others, held)]
    text = "\n".join([*(f"# {line}" for line in comments), spec])
    return Draft(text, compiled_at(place, text, design.document))


def _told(chosen: Candidate, others: Sequence[str], held: Held) -> Iterator[str]:
    """Of what the network was inferred, and each change with its reason."""
    count = len(held.shapes) + len(held.counters)
    yield f"Inferred from {Path(held.file).name}: {count:,} tensors, all that this network has and no others."
    yield from held.remarks
    width = max((len(reason.setting) for reason in chosen.reasons), default=0)
    for reason in chosen.reasons:
        yield f"  {reason.setting:{width}}  {reason.shown_by}".rstrip()
    if others:
        yield from wrap(f"Chosen; the same tensors have {', '.join(others)}.", WIDTH - 2)
    yield from wrap(_TRACELESS.format(base=chosen.design.base), WIDTH - 2)
