"""The spec of a network at another depth, as `new` writes it, and why it has these repeats.

    # 77 layers, 35,611,688 parameters, 6.05 G multiply-adds for 3 x 224 x 224
    # Repeats 3-4-15-3: no library network with these blocks has 77 layers, so layer3, ...
    network: my77
    doc: ResNet-77, ResNet-50 with 3-4-15-3 blocks
    extends: resnet50
    stages:
      layer3: {blocks: 15}

`comparison_table` shows it beside its base and its neighbours:

                   resnet50        my77   74 layers   80 layers
    layer1                3           3           3           3
    layer2                4           4           4           4
    layer3                6          15          14          16
    layer4                3           3           3           3
    depth                50          77          74          80
    ...
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from resnetgen.compiler.analysis.depth import depth
from resnetgen.compiler.diagnostics.model import Diagnostic, SpecError
from resnetgen.compiler.frontend.inheritance import apply_override
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.title import short_title
from resnetgen.compiler.frontend.yaml_writer import WIDTH
from resnetgen.reports.numbers import cost_summary, count
from resnetgen.reports.table_layout import align
from resnetgen.variants.derived_spec import Draft, draft_spec
from resnetgen.variants.repeats import Budget, Choice, DepthFamily


def draft_depth_variant(
    name: str, base: Path, family: DepthFamily, choice: Choice, reasons: Sequence[str], path: Path
) -> Draft:
    """The spec of a choice at `path`, which extends the file `base`; `reasons` become comments.

    Raises SpecError where the file would mean another network there, or where the blocks of a stage
    differ in depth, so that the choice does not have its depth.
    """
    document = family.base.document
    tree = document.tree
    for stage, blocks in family.changes(choice.repeats).items():
        tree = apply_override(tree, f"stages.{stage}.blocks", blocks)
    draft = draft_spec(
        path,
        base,
        Document(tree, document.folders, document.sources),
        network=name,
        doc=_doc(family, choice),
        comments=_comments(family, choice, reasons),
    )
    if depth(draft.compiled.root) != choice.depth:
        raise SpecError([_uneven(family, choice, depth(draft.compiled.root))])
    return draft


def _doc(family: DepthFamily, choice: Choice) -> str:
    """What the variant is: `ResNet-77, ResNet-50 with 3-4-15-3 blocks`."""
    name = short_title(family.network.doc) or family.network.name
    renamed = name.replace(str(depth(family.base.root)), str(choice.depth), 1)
    if choice.repeats == family.rule.base:
        return name
    if renamed == name:
        return f"{name} with {choice.depth} layers"
    return f"{renamed}, {name.partition(' with ')[0]} with {choice} blocks"


def _comments(family: DepthFamily, choice: Choice, reasons: Sequence[str]) -> list[str]:
    costs = cost_summary(family.cost(choice.repeats))
    sentences = [f"{choice.depth} layers, {costs} for {family.network.input}", *reasons]
    return [line for each in sentences for line in wrap(each, WIDTH - 2)]


def _uneven(family: DepthFamily, choice: Choice, actual: int) -> Diagnostic:
    message = (
        f"the blocks of a stage of `{family.network.name}` differ in depth, so it is unknown which"
        f" repeats make {choice.depth} layers: {choice} makes {actual}"
    )
    return Diagnostic("fixed-repeats", message, family.network.span)


# --- for people

Column = tuple[str, Choice]


def comparison_table(family: DepthFamily, columns: Sequence[Column]) -> list[str]:
    """Repeats, depth and costs of some choices, a column each."""
    costs = [family.cost(choice.repeats) for _, choice in columns]
    rows = [
        ("", *(head for head, _ in columns)),
        *(
            (stage, *(str(choice.repeats[index]) for _, choice in columns))
            for index, stage in enumerate(family.stages)
        ),
        ("depth", *(str(choice.depth) for _, choice in columns)),
        ("parameters", *(count(cost.params) for cost in costs)),
        ("multiply-adds", *(count(cost.macs) for cost in costs)),
    ]
    return align(rows, "<" + ">" * len(columns))


def explain_choice(family: DepthFamily, choice: Choice, budget: Budget | None) -> list[str]:
    """Why this depth, if a budget was given, and why these repeats."""
    lines = [f"{choice.depth} layers are the most within {budget}."] if budget else []
    return [*lines, f"Repeats {choice}: {_reason(family, choice)}."]


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
        return "a few blocks of other depths make up the rest"
    if rule.is_even:
        extra = f", and the first extra block goes to {family.stages[rule.order[0]]}"
        return f"all stages have equally many{extra if len(set(choice.repeats)) > 1 else ''}"
    if more > 0:
        return f"{family.stages[rule.fullest]}, which has the most, gets {more} more"
    return f"{-more} are removed, each from the stage that has the most at that point"
