"""inference_plan(network, typed, folded) -> InferencePlan: the printed file of the inference target.

    layer1.0.bn2 = norm(conv2), plus the shortcut, then relu
        ->  self.layer1_0_conv2 = FusedConv(64, 64, 3, padding=1, relu=True, overwrites=True)
            x = self.layer1_0_conv2(y, x)

One class with a straight-line `forward`: a step of the folded graph is one call, and a module is named
after its path. A variable is one of `x`, `y` and `z` where possible, and is used again once its value
has been read for the last time, which frees the old value:

    y = self.layer1_0_conv1(x)
    x = self.layer1_0_conv2(y, x)
    up = self.decoder_up(x)             operands of joins, and several results, have names of their own
    x = torch.cat([up, layer1], dim=1)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from resnetgen.compiler.codegen import pretty
from resnetgen.compiler.codegen.calls import module_call
from resnetgen.compiler.codegen.class_plan import ClassPlan
from resnetgen.compiler.codegen.classes import unique
from resnetgen.compiler.codegen.forward import return_lines, return_type
from resnetgen.compiler.codegen.plan import ModulePlan, header, support_classes
from resnetgen.compiler.codegen.pretty import MARGIN, Doc
from resnetgen.compiler.frontend.expressions import Const
from resnetgen.compiler.frontend.identifiers import (
    MODULE_NAMES,
    PRINTED_NAMES,
    RESERVED_CLASSES,
    camel_case,
)
from resnetgen.compiler.ir.nodes import Network
from resnetgen.compiler.ir.op_def import TorchFunction
from resnetgen.compiler.ir.schedule import last_reads
from resnetgen.compiler.passes import forward_plan
from resnetgen.compiler.passes.fold import FoldedGraph, FusedStep
from resnetgen.compiler.passes.forward_plan import ForwardPlan, deletions
from resnetgen.compiler.passes.infer_types import INPUT, TypedInstance

# glibc keeps up to twice the largest mapped block that was freed, if that is below 32 MiB; larger
# blocks are mapped again each time (mallopt(3), M_MMAP_THRESHOLD).
KEEPS = (
    "# A block of nearly 32 MiB, given back untouched: glibc takes from it how much of",
    "# freed memory to keep, 64 MiB, which the next call does not fault in anew.",
    'torch.empty(2**25 - 2**12, dtype=torch.uint8, device="cpu")',
)
TILE = f"2**{forward_plan.TILE.bit_length() - 1}"
DOC = (
    "The network in evaluation mode; norms are folded into the weights before them.",
    "",
    "A new one has no weights: load what `build --target inference --weights` stores",
    "beside this file, or let `resnetgen.optimize` make both from a checkpoint. `x` has",
    "the dtype of the weights and any memory format. Best called under",
    "`torch.inference_mode()`: else each convolution looks whether a gradient is wanted.",
)


@dataclass(frozen=True, slots=True, eq=False)
class InferencePlan:
    """The printed file, and what its `forward` does."""

    module: ModulePlan
    forward: ForwardPlan


def inference_plan(network: Network, typed: TypedInstance, folded: FoldedGraph) -> InferencePlan:
    """The plan of a folded network."""
    x = network.root.inputs[0]
    evaluated = replace(network, train_outputs=())
    several = len(folded.outputs) > 1
    classes = {*support_classes(network.axes), *RESERVED_CLASSES}
    name = unique(network.root.class_name or camel_case(network.name), classes)
    names = assign_variables(folded, x, several, classes)
    modules = _Modules(folded)
    keys = tuple(output.name for output in network.outputs) if network.named_outputs else ()
    forward = ForwardPlan(folded, names, deletions(folded, names), modules.attributes, keys)
    lines = [*_halving(forward, x), *_statements(forward, modules)]
    lines += return_lines(evaluated, (x,), [names[each] for each in folded.outputs])
    init = [f"{MARGIN}{line}" for line in ("super().__init__()", *KEEPS)]
    for attribute, doc in modules.docs.items():
        init += pretty.lay(doc, len(MARGIN), f"self.{attribute} = ")
    class_plan = ClassPlan(
        name, "nn.Module", DOC, (), ("    def __init__(self) -> None:",), tuple(init),
        (f"    def forward(self, {x}: Tensor) -> {return_type(evaluated)}:",), tuple(lines),
    )  # fmt: skip
    module = ModulePlan(
        header=tuple(header(network, typed, " --target inference")),
        name=network.name,
        digest=network.digest,
        root=name,
        uses_torch=True,
        uses_ordered_dict=False,
        support=tuple(sorted(modules.support)),
        axes=network.axes,
        classes=(class_plan,),
    )
    return InferencePlan(module, forward)


def _statements(forward: ForwardPlan, modules: _Modules) -> list[str]:
    """A line for each step, and what is deleted after it."""
    names = forward.variables
    lines: list[str] = []
    for step in forward.folded.steps:
        text = modules.text(step, [names[each] for each in step.reads])
        lines += pretty.lay(pretty.parsed(text), len(MARGIN), f"{names[step.name]} = ")
        if step.name in forward.deleted:
            lines.append(f"{MARGIN}del {', '.join(forward.deleted[step.name])}")
    return lines


def _halving(forward: ForwardPlan, x: str) -> list[str]:
    """On a CPU, a batch whose values are large is halved, and so are the halves."""
    alive = forward.elements_alive
    if alive is None:
        return []
    image = " * ".join(map(str, forward.folded.input.shape))
    return [
        f"{MARGIN}if {x}.is_cpu and {x}.shape[0] > 1 and not torch.compiler.is_compiling():",
        f"{MARGIN}    memory = {x}.nbytes * {alive} // ({image})",
        f"{MARGIN}    if memory > {TILE}:  # bytes; so much is kept from call to call",
        f"{MARGIN}        half = {x}.shape[0] // 2",
        f"{MARGIN}        return torch.cat([self.forward({x}[:half]), self.forward({x}[half:])])",
    ]


class _Modules:
    """The modules of the class, by the names of their attributes."""

    def __init__(self, folded: FoldedGraph) -> None:
        self.axes = len(folded.input.size)
        self.taken = set(MODULE_NAMES)
        self.docs: dict[str, Doc] = {}
        self.attributes: dict[str, str] = {}  # of the module of each step
        self.support: set[str] = set()
        self._shared: dict[Doc, str] = {}  # modules without weights, which equal steps share

    def text(self, step: FusedStep, sources: Sequence[str]) -> str:
        """The expression that computes a step from the variables that it reads."""
        form = step.form
        if isinstance(form, TorchFunction):
            texts = {name: str(value) for name, value in step.node.attributes.items()}
            return form.write(sources, texts, self.axes)
        if form.support:
            self.support.add(form.callee.format(n=self.axes))
        values = {name: Const(value) for name, value in step.arguments(form).items()}
        doc = module_call(form, values, self.axes)
        self.attributes[step.name] = self._attribute(step, doc)
        module = f"self.{self.attributes[step.name]}"
        if form.call:
            return form.call.format(module=module, x=sources[0])
        return f"{module}({', '.join(sources)})"

    def _attribute(self, step: FusedStep, doc: Doc) -> str:
        """The name of a module; those without weights are shared where they are equal."""
        if step.definition.has_weights:
            attribute = unique(_identifier(step.node.module), self.taken)
        elif doc in self._shared:
            return self._shared[doc]
        else:
            path = step.node.module
            attribute = unique(_identifier(step.node.op if "." in path else path), self.taken)
            self._shared[doc] = attribute
        self.docs[attribute] = doc
        return attribute


def _identifier(path: str) -> str:
    text = re.sub(r"\W", "_", path)
    return text if text[:1].isalpha() else f"module_{text}"


# --- the variables of a straight-line `forward`

SHORT = ("y", "z")  # beside the input's
LONGEST = 24
RESERVED = PRINTED_NAMES | {"largest"}  # a name of `forward` itself; no node is called `half`


def assign_variables(
    folded: FoldedGraph, x: str, several: bool, classes: Collection[str] = ()
) -> dict[str, str]:
    """The variable of each value; `x` is that of the input, and `several` results have names.

    No variable has the name of one of the `classes` of the file.
    """
    short, names = (x, *SHORT), _names(folded, several)
    last = last_reads([step.reads for step in folded.steps])
    last |= dict.fromkeys(folded.outputs, len(folded.steps))
    variables, live = {INPUT: x}, {INPUT: x}
    for at, step in enumerate(folded.steps):
        live = {value: name for value, name in live.items() if last.get(value, at) > at}
        free = [name for name in short if name not in live.values()]
        if free and step.name not in names:
            live[step.name] = free[0]
        else:
            base = names.get(step.name) or identifier(_path(step))
            live[step.name] = unique(base, {*live.values(), *short, *RESERVED, *classes})
        variables[step.name] = live[step.name]
    return variables


def identifier(path: str) -> str:
    """A path as a Python name, without its first components where it would be long."""
    while len(path) > LONGEST and "." in path:
        path = path.partition(".")[2]
    text = re.sub(r"\W", "_", path)
    return text if text[:1].isalpha() and len(text) <= LONGEST else "value"


def _names(folded: FoldedGraph, several: bool) -> dict[str, str]:
    """The names of several results, and of operands of joins, as the block of the join calls them."""
    steps = {step.name: step for step in folded.steps}
    names = {
        name: identifier(_path(steps[name])) for name in folded.outputs if several and name in steps
    }
    for join in folded.steps:
        form = join.definition.torch
        if isinstance(form, TorchFunction) and form.names_operands:
            block = join.node.module.rpartition(".")[0]
            paths = {name: _path(steps[name]) for name in join.inputs if name in steps}
            for name, path in paths.items():
                names.setdefault(
                    name, identifier(path.removeprefix(f"{block}.") if block else path)
                )
    return names


def _path(step: FusedStep) -> str:
    """The path to name a step's value after: that of the block, for the step that ends one."""
    ends = step.addend is not None or step.definition.makes_channels is False
    return (step.name.rpartition(".")[0] if ends else "") or step.node.module
