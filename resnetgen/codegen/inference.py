"""inference_plan(network, measured, folded) -> InferencePlan: the printed file of the inference target.

    layer1.0.bn3 = norm(conv3), plus the shortcut, then relu
        ->  self.layer1_0_conv3 = FusedConv(64, 256, 1, relu=True, overwrites=True)
            x = self.layer1_0_conv3(x, identity)

One class with a straight-line `forward`: a step is one call, a module has the name of its path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from resnetgen.codegen import layout
from resnetgen.codegen.calls import module_call
from resnetgen.codegen.forward import statements
from resnetgen.codegen.header import header
from resnetgen.codegen.layout import MARGIN, Doc
from resnetgen.codegen.plan import ModulePlan, support_classes
from resnetgen.codegen.registry import ClassPlan
from resnetgen.codegen.results import return_lines, return_type
from resnetgen.codegen.structure import unique
from resnetgen.codegen.units import Unit
from resnetgen.graph.fold import Folded, Step
from resnetgen.graph.ir import Network
from resnetgen.graph.measure import INPUT, Measured
from resnetgen.graph.opdef import NO_WEIGHTS, TorchFunction, TorchModule
from resnetgen.language.expressions import Const, Expr
from resnetgen.language.names import MODULE_NAMES, PRINTED_CLASSES, camel

LARGEST_TILE = "2**24"  # bytes of the largest value
DOC = "For inference: norms are folded into weights, and a call does what it can."


@dataclass(frozen=True, slots=True, eq=False)
class InferencePlan:
    """The printed file, and which step each of its modules with weights computes."""

    module: ModulePlan
    homes: Mapping[str, Step]


def inference_plan(network: Network, measured: Measured, folded: Folded) -> InferencePlan:
    """The plan of a folded network."""
    x = network.root.inputs[0]
    modules = _Modules(folded, x)
    units = [modules.unit(step) for step in folded.steps]
    name = unique(
        network.root.class_name or camel(network.name), {*support_classes(), *PRINTED_CLASSES}
    )
    own = replace(network, train_outputs=())
    tiles = [] if own.named_outputs or len(folded.outputs) > 1 else _tiles(folded, x)
    lines, variables = statements(units, (x,), folded.outputs, len(folded.outputs) > 1)
    lines += return_lines(own, (x,), [variables[each] for each in folded.outputs])
    init = [f"{MARGIN}super().__init__()"]
    for attribute, doc in modules.docs.items():
        init += layout.lay(doc, len(MARGIN), f"self.{attribute} = ")
    plan = ClassPlan(
        name, "nn.Module", DOC, (), ("    def __init__(self) -> None:",), tuple(init),
        (f"    def forward(self, {x}: Tensor) -> {return_type(own)}:",), (*tiles, *lines),
    )  # fmt: skip
    module = ModulePlan(
        header=tuple(header(network, measured)),
        name=network.name,
        digest=network.digest,
        root=name,
        uses_torch=modules.uses_torch or bool(tiles),
        uses_ordered_dict=False,
        support=tuple(sorted(modules.support)),
        axes=network.axes,
        classes=(plan,),
    )
    return InferencePlan(module, modules.homes)


def _tiles(folded: Folded, x: str) -> list[str]:
    """On a CPU a batch whose values are large is halved, and so are the halves.

    Values of a few MiB stay in the cache, and the C library keeps their memory: what it maps anew for
    each call costs more in page faults than arithmetic (`benchmarks/inference.py`).
    """
    largest = max(step.type.elements for step in folded.steps) / folded.input.elements
    return [
        f'{MARGIN}runs_here = {x}.device.type == "cpu" and not torch.compiler.is_compiling()',
        f"{MARGIN}if runs_here and {x}.shape[0] > 1 and {largest:.3g} * {x}.nbytes > {LARGEST_TILE}:",
        f"{MARGIN}    half = {x}.shape[0] // 2",
        f"{MARGIN}    return torch.cat([self.forward({x}[:half]), self.forward({x}[half:])])",
    ]


class _Modules:
    """The modules of the class, by the names of their attributes."""

    def __init__(self, folded: Folded, x: str) -> None:
        self.values = {INPUT: x}  # what they are called in `forward`, where otherwise
        self.axes = len(folded.input.size)
        self.types = {INPUT: folded.input} | {each.name: each.type for each in folded.steps}
        self.taken = set(MODULE_NAMES)
        self.docs: dict[str, Doc] = {}
        self.homes: dict[str, Step] = {}
        self.support: set[str] = set()
        self.uses_torch = False
        self._shared: dict[Doc, str] = {}  # modules without weights, which equal steps share

    def unit(self, step: Step) -> Unit:
        """The step as one of `forward`."""
        form = step.definition.in_inference or step.definition.torch
        if isinstance(form, TorchFunction):
            return self._function(step, form)
        if form.support:
            self.support.add(form.support)
        attribute = self._attribute(step, module_call(form, self._values(step, form), self.axes))
        unit = Unit(
            step.name,
            self._reads(step),
            attribute,
            name=_variable(step),
            access=f"self.{attribute}",
        )
        if form.call:
            pattern = form.call
            unit.apply = lambda module, inputs: pattern.format(module=module, x=inputs[0])
        return unit

    def _function(self, step: Step, form: TorchFunction) -> Unit:
        self.uses_torch |= form.uses_torch
        texts = {name: str(value) for name, value in step.node.attributes.items()}
        unit = Unit(
            step.name, self._reads(step), None, name=_variable(step), joins=form.names_operands
        )
        unit.write = lambda inputs: form.write(inputs, texts, self.axes)
        return unit

    def _reads(self, step: Step) -> tuple[str, ...]:
        return tuple(self.values.get(name, name) for name in step.reads)

    def _attribute(self, step: Step, doc: Doc) -> str:
        """The name of a module; those without weights are shared where they are equal."""
        if step.definition.weights is not NO_WEIGHTS:
            attribute = unique(_identifier(step.node.module), self.taken)
            self.homes[attribute] = step
        elif doc in self._shared:
            return self._shared[doc]
        else:
            path = step.node.module
            attribute = unique(_identifier(step.node.op if "." in path else path), self.taken)
            self._shared[doc] = attribute
        self.docs[attribute] = doc
        return attribute

    def _values(self, step: Step, form: TorchModule) -> dict[str | int, Expr]:
        """The arguments of the constructor, all of them numbers here."""
        node = step.node
        known = {
            **node.attributes,
            "in": self.types[step.inputs[0]].channels,
            "relu": step.rectifies,
            "overwrites": step.overwrites,
            "inplace": step.overwrites,
        }
        if step.norm is not None:
            known["bias"] = True
        return {
            name: Const(name if isinstance(name, int) else known[name])
            for name in (argument.attribute for argument in form.arguments)
        }


def _identifier(path: str) -> str:
    text = re.sub(r"\W", "_", path)
    return text if text[:1].isalpha() else f"module_{text}"


def _variable(step: Step) -> str:
    """What a value is called where it needs a name: what ends a block has that of the block."""
    ends = step.addend is not None or step.definition.makes_channels is False
    return (step.name.rpartition(".")[0] if ends else "") or step.node.module
