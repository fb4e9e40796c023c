"""plan(network, root, measured) -> ModulePlan: what the printed Python looks like.

    Instance(bottleneck, width=64), Instance(bottleneck, width=128, stride=2), ...
        ->  class Bottleneck(nn.Module): def __init__(self, in_channels, width, downsample, stride=1)

Names, order, arguments, defaults and line breaks are decided in this folder; templates hold layout.

    structure.py    which classes there are, what is handed in     generic.py   num_classes, in_channels
    scope.py        literals, locals, arguments                    calls.py     constructor calls
    units.py        modules, and expressions of `forward`          body.py      one class of them
    containers.py   modules in modules                             forward.py   order and names of values
    constructor.py  arguments and locals of a class                layout.py    line breaks

Which numbers of a network its printed class takes as arguments though they never vary.

`num_classes`, where the head has classes; `in_channels`, where nothing but the input channels of
convolutions depends on the channels of the input.

The docstring of a printed file: what the network is, and its table of stages, all computed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace

from resnetgen.compiler.analysis.rows import features, stages
from resnetgen.compiler.codegen import pretty
from resnetgen.compiler.codegen.class_body import ClassBody
from resnetgen.compiler.codegen.class_plan import ClassPlan, FilePlanner
from resnetgen.compiler.codegen.classes import ClassGroups, capitalised, structures, unique
from resnetgen.compiler.codegen.pretty import Brackets
from resnetgen.compiler.codegen.scope import Scope
from resnetgen.compiler.frontend.expressions import free_names, substitute
from resnetgen.compiler.frontend.identifiers import RESERVED_CLASSES, camel_case
from resnetgen.compiler.ir.nodes import Instance, InstanceNode, Network, PassThrough
from resnetgen.compiler.ir.op_def import TorchModule
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.infer_types import Cost, TypedInstance


@dataclass(frozen=True, slots=True, eq=False)
class ModulePlan:
    """The printed file."""

    header: tuple[str, ...]
    name: str  # of the network
    digest: str  # of the elaborated spec
    root: str  # the class of the network
    uses_torch: bool
    uses_ordered_dict: bool
    support: tuple[str, ...]
    axes: int
    classes: tuple[ClassPlan, ...]


def plan(network: Network, root: Instance, measured: TypedInstance) -> ModulePlan:
    """The plan of a whole module. Raises SpecError where a container cannot be printed."""
    taken = {*support_classes(), *RESERVED_CLASSES, *capitalised(root)}
    name = unique(root.block.class_name or camel_case(network.name), taken)
    found = structures(root, name, taken)
    taken |= {structure.name for structure in found.all}
    registry = FilePlanner(network, found, taken)
    kept = kept_names(network, found)
    for structure in found.all:
        scope = Scope(structure, kept.get(id(structure), frozenset()), network.axes)
        registry.scopes[id(structure)] = scope
        registry.plans[id(structure)] = ClassBody(registry, structure).plan()
        registry.printed.append(registry.plans[id(structure)])
    printed = registry.printed
    if len(network.outputs) > 1:
        printed[-1] = replace(printed[-1], constants=tuple(_feature_info(network, root)))
    return ModulePlan(
        header=tuple(header(network, measured)),
        name=network.name,
        digest=network.digest,
        root=name,
        uses_torch=registry.uses_torch,
        uses_ordered_dict=registry.uses_ordered_dict,
        support=tuple(sorted(registry.support)),
        axes=network.axes,
        classes=tuple(registry.printed),
    )


def _feature_info(network: Network, root: Instance) -> list[str]:
    """What each output is, as timm says it."""
    items = tuple(
        f'{{"module": "{each.module}", "num_chs": {each.channels}, "reduction": {each.reduction}}}'
        for each in features(network, root)
    )
    return pretty.lay(Brackets("(", items), 4, "feature_info = ")


def support_classes() -> list[str]:
    """The classes that ops bring into the printed file."""
    forms = (definition.torch for definition in OPS.values())
    return [form.callee for form in forms if isinstance(form, TorchModule) and form.support]


IN_CHANNELS = frozenset(["in_channels"])
Kept = dict[int, frozenset[str]]


def kept_names(network: Network, found: ClassGroups) -> Kept:
    """For each class, by identity of its structure, the names that stay arguments."""
    kept: Kept = {}
    root = found.root
    if _takes_any_channels(root.instances[0], found, kept):
        kept[id(root)] = IN_CHANNELS
    else:
        kept = {}
    _keep(root.instances[0], frozenset(network.root.params), found, kept)
    return kept


def _keep(instance: Instance, names: frozenset[str], found: ClassGroups, kept: Kept) -> None:
    """Keeps names of a class, and those of its callees to which they are passed."""
    structure = found.of[id(instance)]
    kept[id(structure)] = kept.get(id(structure), frozenset()) | names
    for placed in instance.nodes:
        if not placed.runs:
            continue
        passed = frozenset(
            name
            for name, term in placed.block_node.arguments.items()
            if names.intersection(free_names(substitute(term.expr, placed.scope or {})))
        )
        for run in placed.runs if passed else ():
            _keep(run.instance, passed, found, kept)


def _takes_any_channels(instance: Instance, found: ClassGroups, kept: Kept) -> bool:
    block = instance.block
    terms = [
        *(param.default for param in block.params.values()),
        *block.let.values(),
        block.when,
        *(term for node in block.nodes for term in (*node.arguments.values(), node.when)),
    ]
    if any("in_channels" in free_names(term.expr) for term in terms if term):
        return False
    if block.inputs[0] in instance.outputs:
        return False
    readers = [placed for placed in instance.nodes if block.inputs[0] in placed.inputs]
    return all(_reads_any_channels(placed, found, kept) for placed in readers)


def _reads_any_channels(placed: InstanceNode, found: ClassGroups, kept: Kept) -> bool:
    if placed.op:
        return placed.op.name == "convolution" and placed.op.attributes["groups"] == 1
    if isinstance(placed.callee, PassThrough) or len(placed.inputs) > 1:
        return False
    if len(placed.runs) > 1 or placed.runs[0].count > 1:
        return False
    instance = placed.runs[0].instance
    kept[id(found.of[id(instance)])] = IN_CHANNELS
    return _takes_any_channels(instance, found, kept)


WIDTH = 88


def header(network: Network, measured: TypedInstance) -> Iterator[str]:
    """The lines, without quotes."""
    yield from textwrap.wrap(sentence(network.doc) if network.doc else network.name, WIDTH - 6)
    yield ""
    if network.paper:
        yield f"Paper: {network.paper}"
        yield ""
    yield from table(measured)


def table(measured: TypedInstance) -> Iterator[str]:
    """Stage, output shape, parameters and multiply-adds for one image of the spec's size."""
    rows = [("stage", "output", "parameters", "multiply-adds")]
    for name, steps in stages(measured).items():
        cost = sum((step.cost for step in steps), Cost())
        rows.append((name, str(steps[-1].result), f"{cost.params:,}", f"{cost.macs:,}"))
    total = measured.cost
    rows.append(("total", "", f"{total.params:,}", f"{total.macs:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for name, output, params, macs in rows:
        line = f"{name:<{widths[0]}}  {output:<{widths[1]}}  {params:>{widths[2]}}  {macs:>{widths[3]}}"
        yield line.rstrip()


def sentence(text: str) -> str:
    """The text as a sentence: a capital first, a full stop last."""
    text = " ".join(text.split())
    ended = text if text.endswith((".", "!", "?")) else f"{text}."
    return ended[:1].upper() + ended[1:]
