"""plan(network, root, typed) -> ModulePlan: what the printed module consists of.

    Instance(bottleneck, width=64), Instance(bottleneck, width=128, stride=2), ...
        ->  class Bottleneck(nn.Module): def __init__(self, in_channels, width, downsample, stride=1)

The plan fixes every name, argument, order and line break; templates only put the lines together.

    classes.py        instances to classes, and which modules are passed in
    scope.py          each number of a class: a literal, an expression or an argument
    calls.py          constructor calls
    lowering.py       nodes to statements of `forward` and their modules
    class_body.py     statements to containers, constructor and `forward` of a class
    forward.py        the lines of `forward`
    class_plan.py     arguments and locals of a constructor
    init_weights.py   the initialisation of weights
    pretty.py         line breaks

The text of the plan is the work of `render.py`. The inference target has a plan of its own kind, one
class with a straight-line `forward`: `inference.py`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace

from resnetgen.compiler.analysis.depth import depth
from resnetgen.compiler.analysis.rows import features, stages
from resnetgen.compiler.codegen import pretty
from resnetgen.compiler.codegen.class_body import ClassBody
from resnetgen.compiler.codegen.class_plan import ClassPlan, FilePlanner
from resnetgen.compiler.codegen.classes import (
    ClassGroup,
    ClassGroups,
    capitalised,
    class_groups,
    unique,
)
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

    @property
    def uses_math(self) -> bool:
        """Whether a constructor computes a logarithm or a root."""
        return any("math." in line for each in self.classes for line in each.init)


def plan(network: Network, root: Instance, typed: TypedInstance) -> ModulePlan:
    """The plan of a whole module. Raises SpecError where a container cannot be printed."""
    taken = {*support_classes(network.axes), *RESERVED_CLASSES, *capitalised(root)}
    name = unique(root.block.class_name or camel_case(network.name), taken)
    groups = class_groups(root, name, taken)
    taken |= {group.name for group in groups.all}
    planner = FilePlanner(network, groups, taken, dict(_stage_comments(typed)))
    kept = kept_arguments(network, groups)
    scopes: dict[Instance, Scope] = {}
    for group in groups.all:
        scope = Scope(group, kept.get(group, frozenset()), network.axes, scopes)
        scopes |= dict.fromkeys(group.instances, scope)
        planner.scopes[group] = scope
        planner.plans[group] = ClassBody(planner, group).plan()
        planner.classes.append(planner.plans[group])
    classes = planner.classes
    if len(network.outputs) > 1:
        classes[-1] = replace(classes[-1], constants=tuple(_feature_info(network, root)))
    return ModulePlan(
        header=tuple(header(network, typed)),
        name=network.name,
        digest=network.digest,
        root=name,
        uses_torch=planner.uses_torch,
        uses_ordered_dict=planner.uses_ordered_dict,
        support=tuple(sorted(planner.support)),
        axes=network.axes,
        classes=tuple(classes),
    )


def _stage_comments(typed: TypedInstance) -> Iterator[tuple[str, str]]:
    """The shape after each stage, for an image of the spec's size, and that it is dilated."""
    for each in typed.nodes:
        if each.node.block_node.stage and each.node.runs:
            dilation = each.node.runs[-1].instance.values.get("dilation", 1)
            note = "" if dilation == 1 else f", dilation {dilation}"
            yield each.node.key, f"{each.result}{note}"


def support_classes(axes: int) -> list[str]:
    """The classes that ops may bring into the printed file."""
    forms = (form for op in OPS.values() for form in (op.torch, op.inference_module))
    modules = (form for form in forms if isinstance(form, TorchModule) and form.support)
    return [form.callee.format(n=axes) for form in modules]


def _feature_info(network: Network, root: Instance) -> list[str]:
    """The outputs, as timm describes them."""
    items = tuple(
        f'{{"module": "{each.module}", "num_chs": {each.channels}, "reduction": {each.reduction}}}'
        for each in features(network, root)
    )
    return pretty.lay(Brackets("(", items), 4, "feature_info = ")


# --- the docstring of the file: what the network is, and its stages


def header(network: Network, typed: TypedInstance, options: str = "") -> Iterator[str]:
    """The lines, without quotes; `options` are further ones of the command that builds the file."""
    yield from textwrap.wrap(pretty.sentence(title(network, typed)), pretty.WIDTH - 6)
    yield ""
    if network.paper:
        yield f"Paper: {network.paper}"
        yield ""
    yield from table(typed)
    if network.command:
        yield ""
        yield from textwrap.wrap(
            network.command + options,
            pretty.WIDTH,
            initial_indent="    ",
            subsequent_indent="        ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def title(network: Network, typed: TypedInstance) -> str:
    """What the network is; how deep, where nobody but the changes of a spec says so."""
    if network.is_changed:
        return f"{network.doc} ({depth(typed.instance)} layers)"
    return network.doc or network.name


def table(typed: TypedInstance) -> Iterator[str]:
    """Stage, output shape, parameters and multiply-adds for one image of the spec's size."""
    rows = [("stage", "output", "parameters", "multiply-adds")]
    rows.append(("input", str(typed.source), "", ""))
    for name, nodes in stages(typed).items():
        cost = sum((node.cost for node in nodes), Cost())
        rows.append((name, str(nodes[-1].result), f"{cost.params:,}", f"{cost.macs:,}"))
    total = typed.cost
    rows.append(("total", "", f"{total.params:,}", f"{total.macs:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for name, output, params, macs in rows:
        line = f"{name:<{widths[0]}}  {output:<{widths[1]}}  {params:>{widths[2]}}  {macs:>{widths[3]}}"
        yield line.rstrip()


# --- arguments of the network's class that never vary within the network
#
# `num_classes` and the other parameters of the spec; `in_channels`, where nothing but the input
# channels of convolutions depends on the channels of the input.

IN_CHANNELS = frozenset(["in_channels"])
KeptArguments = dict[ClassGroup, frozenset[str]]


def kept_arguments(network: Network, groups: ClassGroups) -> KeptArguments:
    """For each class, the names that stay arguments although they have one value."""
    kept: KeptArguments = {}
    root = groups.root
    if _accepts_any_channels(root.instances[0], groups, kept):
        kept[root] = IN_CHANNELS
    else:
        kept = {}
    _keep_arguments(root.instances[0], frozenset(network.root.params), groups, kept)
    return kept


def _keep_arguments(
    instance: Instance, names: frozenset[str], groups: ClassGroups, kept: KeptArguments
) -> None:
    """Keeps names of a class, and those of its callees to which they are passed."""
    group = groups.of[instance]
    kept[group] = kept.get(group, frozenset()) | names
    for node in instance.nodes:
        if not node.runs:
            continue
        passed = frozenset(
            name
            for name, term in node.block_node.arguments.items()
            if names.intersection(free_names(substitute(term.expr, node.scope or {})))
        )
        for run in node.runs if passed else ():
            _keep_arguments(run.instance, passed, groups, kept)


def _accepts_any_channels(instance: Instance, groups: ClassGroups, kept: KeptArguments) -> bool:
    """Whether a body accepts any input channels; keeps `in_channels` of the blocks that read them."""
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
    readers = [node for node in instance.nodes if block.inputs[0] in node.inputs]
    return all(_reads_any_channels(node, groups, kept) for node in readers)


def _reads_any_channels(node: InstanceNode, groups: ClassGroups, kept: KeptArguments) -> bool:
    if node.op:
        return node.op.name == "convolution" and node.op.attributes["groups"] == 1
    if isinstance(node.callee, PassThrough) or len(node.inputs) > 1:
        return False
    if len(node.runs) > 1 or node.runs[0].count > 1:
        return False
    instance = node.runs[0].instance
    kept[groups.of[instance]] = IN_CHANNELS
    return _accepts_any_channels(instance, groups, kept)
