"""plan(network, root, measured) -> ModulePlan: what the printed Python looks like.

    Instance(bottleneck, width=64), Instance(bottleneck, width=128, stride=2), ...
        ->  class Bottleneck(nn.Module): def __init__(self, in_channels, width, downsample, stride=1)

Names, order, arguments, defaults and line breaks are decided in this folder; templates hold layout.

    structure.py    which classes there are, what is handed in     generic.py   num_classes, in_channels
    scope.py        literals, locals, arguments                    calls.py     constructor calls
    units.py        modules, and expressions of `forward`          body.py      one class of them
    containers.py   modules in modules                             forward.py   order and names of values
    constructor.py  arguments and locals of a class                layout.py    line breaks
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from resnetgen.codegen import layout
from resnetgen.codegen.body import Body
from resnetgen.codegen.generic import kept_names
from resnetgen.codegen.header import header
from resnetgen.codegen.layout import Brackets
from resnetgen.codegen.registry import ClassPlan, Registry
from resnetgen.codegen.scope import Scope
from resnetgen.codegen.structure import capitalised, structures, unique
from resnetgen.graph.features import features
from resnetgen.graph.ir import Instance, Network
from resnetgen.graph.measure import Measured
from resnetgen.graph.opdef import TorchModule
from resnetgen.graph.ops import OPS
from resnetgen.language.names import PRINTED_CLASSES, camel


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


def plan(network: Network, root: Instance, measured: Measured) -> ModulePlan:
    """The plan of a whole module. Raises SpecError where a container cannot be printed."""
    taken = {*support_classes(), *PRINTED_CLASSES, *capitalised(root)}
    name = unique(root.block.class_name or camel(network.name), taken)
    found = structures(root, name, taken)
    taken |= {structure.name for structure in found.all}
    registry = Registry(network, found, taken)
    kept = kept_names(network, found)
    for structure in found.all:
        scope = Scope(structure, kept.get(id(structure), frozenset()), network.axes)
        registry.scopes[id(structure)] = scope
        registry.plans[id(structure)] = Body(registry, structure).plan()
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
        uses_ordered_dict=any("OrderedDict(" in line for c in registry.printed for line in c.init),
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
    return layout.lay(Brackets("(", items), 4, "feature_info = ")


def support_classes() -> list[str]:
    """The classes that ops bring into the printed file."""
    forms = (definition.torch for definition in OPS.values())
    return [form.callee for form in forms if isinstance(form, TorchModule) and form.support]
