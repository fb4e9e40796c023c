"""draft(...) -> Draft: the spec of a variant, and its network as it will be in its place.

# yaml-language-server: $schema=network.schema.json
# 77 layers, 35,611,688 parameters, 6.05 G multiply-adds for 3 x 224 x 224
# ...
network: my77
doc: resnet50 with 77 layers
extends: resnet50
stages:
  layer3: {blocks: 15}

draft(...) -> Draft: the spec of a network that was inferred from a checkpoint.

# yaml-language-server: $schema=network.schema.json
# Inferred from cars.pth: 267 tensors, all that this network has and no others.
#   head.classes: 196           fc.weight is 196 x 2048
#   stages.layer3.blocks: 11    there are layer3.0 to layer3.10
network: cars
doc: inferred from cars.pth
extends: resnet50
...

changes(base, later) -> the tree that `extends` has to merge over one spec to get another.

    {block: bottleneck, stages: {layer3: {blocks: 6, width: 256}}}     base
    {block: bottleneck, stages: {layer3: {blocks: 15, width: 256}}}    later
        ->  {stages: {layer3: {blocks: 15}}}

Non-goal: the order of keys. A key that is new stands at the end.

What a choice of repeats is, and why, for people.

               resnet50        my77   74 layers   80 layers
layer1                3           3           3           3
layer2                4           4           4           4
layer3                6          15          14          16
layer4                3           3           3           3
depth                50          77          74          80
...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from resnetgen.compiler.diagnostics.model import Diagnostic, Source, SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.inheritance import apply_override, merge
from resnetgen.compiler.frontend.library import Document, canonical_text
from resnetgen.compiler.frontend.tree import MapTree, Scalar, Tree, without
from resnetgen.compiler.frontend.yaml_reader import parse
from resnetgen.compiler.frontend.yaml_writer import WIDTH, to_yaml
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.pipeline import Compiled, compile_document
from resnetgen.reports.numbers import cost_summary, count
from resnetgen.reports.table_layout import align
from resnetgen.variants.repeats import Budget, Choice, DepthFamily, depth
from resnetgen.weights.infer.candidates import Candidate
from resnetgen.weights.infer.checkpoint import CheckpointShapes


@dataclass(frozen=True, slots=True)
class Draft:
    """A spec that is not yet placed, and its network."""

    text: str
    compiled: Compiled


def draft_depth_variant(
    name: str, base: Path, family: DepthFamily, choice: Choice, said: Sequence[str], place: Path
) -> Draft:
    """The spec of a choice, which extends the file `base` and is to stand at `place`.

    `said` becomes comments. Raises SpecError where the file would mean another network at its
    place, or the choice does not have its depth.
    """
    place = place.absolute()
    document = family.base.document
    tree = document.tree
    for stage, blocks in family.changes(choice.repeats).items():
        tree = apply_override(tree, f"stages.{stage}.blocks", blocks)
    changed = overlay(library.load(base).tree, tree)
    doc = f"{base.stem} with {choice.depth} layers"
    text = to_yaml(extending_spec(base.stem, changed, network=name, doc=doc))
    text = "\n".join([*_comments(family, choice, said, place), text])
    compiled = compile_in_place(place, text, Document(tree, document.folders, document.sources))
    if depth(compiled.root) != choice.depth:
        raise SpecError([_uneven(family, choice, depth(compiled.root))])
    return Draft(text, compiled)


def extending_spec(base: str, changed: MapTree, *, network: str, doc: str) -> MapTree:
    """Changes as a spec of its own."""
    own = {"network": network, "doc": doc, "extends": base}
    words = {key: Scalar(text, text, changed.span, False) for key, text in own.items()}
    return MapTree({**words, **changed.entries}, changed.keys, changed.span)


def _comments(family: DepthFamily, choice: Choice, said: Sequence[str], place: Path) -> list[str]:
    """The line that editors need, what the network is, and why it is so."""
    costs = cost_summary(family.cost(choice.repeats))
    told = [f"{choice.depth} layers, {costs} for {family.network.input}", *said]
    lines = [line for each in told for line in wrap(each, WIDTH - 2)]
    return [f"# {line}" for line in (modeline(place.parent), *lines)]


def modeline(folder: Path) -> str:
    """What tells editors where the schema of a spec lies, seen from its folder: docs/editor.md."""
    schema = "schema/network.json" if folder == library.LIBRARY else "network.schema.json"
    return f"yaml-language-server: $schema={schema}"


def compile_in_place(place: Path, text: str, wanted: Document) -> Compiled:
    """The network of a text; beside its place there may be others of the names that it uses."""
    tree = parse(Source(library.display_path(place), text))
    document = library.complete(tree, (place.parent,), {})
    if _digest(document, tree) == _digest(wanted, tree):
        return compile_document(document)
    message = f"`{library.display_path(place)}` would mean another network than was asked for"
    help = "place it where no other specs and blocks have the names that it uses"
    raise SpecError([Diagnostic("other-meaning", message, help=help)])


def _digest(document: Document, named: MapTree) -> str:
    """What a document means, under the name that another one has."""
    name = MapTree({"network": named.entries["network"]}, named.keys, named.span)
    tree = merge(without(document.tree, "doc"), name)
    return elaborate(Document(tree, document.folders, document.sources)).digest


def _uneven(family: DepthFamily, choice: Choice, found: int) -> Diagnostic:
    """The blocks of a stage are not all as deep as the one that was measured."""
    message = (
        f"the blocks of a stage of `{family.network.name}` differ in depth, so it cannot be told"
        f" which repeats make {choice.depth} layers: {choice} makes {found}"
    )
    return Diagnostic("fixed-repeats", message, family.network.span)


_TRACELESS = (
    "What leaves no trace in tensors is that of {base}: the size of the input, strides,"
    " activations, pools, dropout and how weights start."
)


def draft_inferred(
    name: str, chosen: Candidate, others: Sequence[str], held: CheckpointShapes, place: Path
) -> Draft:
    """The spec of a candidate, to stand at `place`; `others` were candidates too.

    Raises SpecError `other-meaning` where the file would mean another network at its place.
    """
    place = place.absolute()
    design = chosen.design
    base = library.load(design.base)
    changed = overlay(base.tree, design.tree)
    doc = f"inferred from {Path(held.file).name}"
    spec = to_yaml(extending_spec(design.base, changed, network=name, doc=doc))
    comments = [modeline(place.parent), *_told(chosen, others, held)]
    text = "\n".join([*(f"# {line}" for line in comments), spec])
    return Draft(text, compile_in_place(place, text, design.document))


def _told(chosen: Candidate, others: Sequence[str], held: CheckpointShapes) -> Iterator[str]:
    """Of what the network was inferred, and each change with its reason."""
    count = len(held.shapes) + len(held.counters)
    yield f"Inferred from {Path(held.file).name}: {count:,} tensors, all that this network has and no others."
    yield from held.remarks
    width = max((len(reason.setting) for reason in chosen.evidence), default=0)
    for reason in chosen.evidence:
        yield f"  {reason.setting:{width}}  {reason.shown_by}".rstrip()
    if others:
        yield from wrap(f"Chosen; the same tensors have {', '.join(others)}.", WIDTH - 2)
    yield from wrap(_TRACELESS.format(base=chosen.design.base), WIDTH - 2)


def overlay(base: MapTree, later: MapTree) -> MapTree:
    """What differs, as `merge` takes it: `null` deletes, a call of another block replaces."""
    entries: dict[str, Tree] = {}
    for key, value in later.entries.items():
        before = base.entries.get(key)
        if before and canonical_text(before) == canonical_text(value):
            continue
        entries[key] = value
        if isinstance(before, MapTree) and isinstance(value, MapTree):
            entries[key] = overlay(before, value) if _calls_alike(before, value) else value
    gone = base.entries.keys() - later.entries.keys()
    entries |= {key: Scalar(None, "null", base.keys[key], False) for key in sorted(gone)}
    return MapTree(entries, later.keys, later.span)


def _calls_alike(before: MapTree, value: MapTree) -> bool:
    """Whether neither map calls another block than the other."""
    one, other = before.entries.get("op"), value.entries.get("op")
    return (one and canonical_text(one)) == (other and canonical_text(other))


Column = tuple[str, Choice]


def comparison_table(family: DepthFamily, columns: Sequence[Column]) -> list[str]:
    """Repeats, depth and costs of some choices, a column each; all of them measured."""
    costs = [family.cost(choice.repeats) for _, choice in columns]
    rows = [
        ("", *(head for head, _ in columns)),
        *(
            (stage, *(str(choice.repeats[at]) for _, choice in columns))
            for at, stage in enumerate(family.stages)
        ),
        ("depth", *(str(choice.depth) for _, choice in columns)),
        ("parameters", *(count(cost.params) for cost in costs)),
        ("multiply-adds", *(count(cost.macs) for cost in costs)),
    ]
    return align(rows, "<" + ">" * len(columns))


def explain_choice(family: DepthFamily, choice: Choice, budget: Budget | None) -> list[str]:
    """Why this depth, if a budget was given, and why these repeats."""
    told = [f"{choice.depth} layers are the most within {budget}."] if budget else []
    return [*told, f"Repeats {choice}: {_reason(family, choice)}."]


def _reason(family: DepthFamily, choice: Choice) -> str:
    if choice.published:
        return f"those of {choice.published}, which has the same blocks"
    if choice.repeats == family.rule.base:
        return f"{family.network.name} has them"
    none = f"no library network with these blocks has {choice.depth} layers"
    return f"{none}, so {_rule(family, choice)}"


def _rule(family: DepthFamily, choice: Choice) -> str:
    """What the rule did to the base."""
    rule, more = family.rule, sum(choice.repeats) - sum(family.rule.base)
    if rule.rung(sum(choice.repeats)) != choice.repeats:
        return "a few blocks, which differ in depth, make up the number"
    if rule.is_even:
        rest = f", and {family.stages[rule.order[0]]} is the first to get one of the rest"
        return f"all stages have equally many{rest if len(set(choice.repeats)) > 1 else ''}"
    if more > 0:
        return f"{family.stages[rule.fullest]}, which has most, gets {more} more"
    return f"{-more} are taken, each from the stage that then has most"
