"""PlannedModule(forward): the module of a saved plan, a loop over the steps of its `ForwardPlan`.

    x = self.layer1_0_conv2(y, x); del y      of the printed file is the step
    PlannedStep("layer1_0_conv2", None, (1, 0), 0, (1,))       where x is slot 0, and y slot 1

It computes what the printed file does, bit for bit and with the same values alive, and contains no
code of any plan. The modules have the attributes of the printed class, so the same weights fit both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from resnetgen.compiler.frontend.identifiers import camel_case
from resnetgen.compiler.ir.op_def import TorchModule
from resnetgen.compiler.passes.fold import FusedStep
from resnetgen.compiler.passes.forward_plan import TILE, ForwardPlan
from resnetgen.compiler.passes.infer_types import INPUT
from resnetgen.runtime import callables, support

# Of the modules that compute a buffer, which no file contains, such as the filter of a blur:
MAX_CHANNELS = 1 << 18
MAX_COMPUTED = 1 << 22  # elements of all buffers
Outputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]


class PlannedStep(NamedTuple):
    """What runs a step, and the slots of the values that it reads, assigns and frees."""

    module: str  # its attribute; empty: `function` runs it
    function: Callable[..., Tensor] | None
    sources: tuple[int, ...]
    slot: int
    freed: tuple[int, ...]


class PlannedModule(nn.Module):
    """A network in evaluation mode, for a batch (N, channels, *size) of any size.

    Returns what the printed file returns: a tensor, a tuple of tensors or a dict of tensors.
    """

    def __init__(self, forward: ForwardPlan) -> None:
        """The steps; weights are assigned later. Raises what torch raises for wrong arguments."""
        super().__init__()
        # A block of nearly 32 MiB, given back untouched: glibc takes from it how much of freed
        # memory to keep, 64 MiB, which the next call does not fault in again.
        torch.empty(2**25 - 2**12, dtype=torch.uint8, device="cpu")
        # First: a module of a plan must not take the place of one of these.
        self._names = forward.output_names
        self._alive, self._image = forward.elements_alive, forward.folded.input.elements
        variables = dict.fromkeys(forward.variables.values())
        slots = {name: slot for slot, name in enumerate(variables)}
        builder = _Builder(self, forward, slots)
        self._steps = [builder.step(step) for step in forward.folded.steps]
        self._slots = len(slots)
        self._input = slots[forward.variables[INPUT]]
        self._outputs = [slots[forward.variables[name]] for name in forward.folded.outputs]

    def assign(self, state: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        """Takes the tensors themselves. Raises ValueError or RuntimeError if they do not fit."""
        if any(tensor.dtype != dtype for tensor in state.values()):
            raise ValueError(f"its weights are not all of type {dtype}")
        self.load_state_dict(state, assign=True)
        self.to(dtype).requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Outputs:
        if self._alive and x.is_cpu and x.shape[0] > 1 and not torch.compiler.is_compiling():
            memory = x.nbytes * self._alive // self._image
            if memory > TILE:
                half = x.shape[0] // 2
                return torch.cat([self.forward(x[:half]), self.forward(x[half:])])  # type: ignore[list-item]
        values: list[Any] = [None] * self._slots
        values[self._input] = x
        modules = self._modules
        for name, function, sources, slot, freed in self._steps:
            run: Any = modules[name] if name else function
            values[slot] = run(*[values[source] for source in sources])
            for each in freed:
                values[each] = None
        outputs = tuple(values[slot] for slot in self._outputs)
        if self._names:
            return dict(zip(self._names, outputs, strict=True))
        return outputs[0] if len(outputs) == 1 else outputs


class _Builder:
    """Makes the steps of a module, and registers the modules that run them."""

    def __init__(self, module: nn.Module, forward: ForwardPlan, slots: Mapping[str, int]) -> None:
        self.module, self.forward, self.slots = module, forward, slots
        self.axes = len(forward.folded.input.size)
        self.made: dict[str, object] = {}  # what each attribute is, to be shared
        self.computed = 0  # elements of buffers that are in no file

    def step(self, step: FusedStep) -> PlannedStep:
        """A step, whose module is registered."""
        attribute, function = "", None
        if isinstance(step.form, TorchModule):
            attribute = self.forward.modules[step.name]
            self.register(attribute, step, step.form)
        else:
            function = partial(getattr(callables, step.node.op), **step.node.attributes)
        variables = self.forward.variables
        sources = tuple(self.slots[variables[name]] for name in step.reads)
        freed = tuple(self.slots[name] for name in self.forward.deleted.get(step.name, ()))
        return PlannedStep(attribute, function, sources, self.slots[variables[step.name]], freed)

    def register(self, attribute: str, step: FusedStep, form: TorchModule) -> None:
        """Registers the module of a step. Equal ones without weights may share one."""
        arguments = step.arguments(form)
        kind = (form.callee, arguments)
        if attribute in self.made:
            if step.definition.has_weights or self.made[attribute] != kind:
                raise ValueError(f"two steps have different modules `{attribute}`")
            return
        positional = [arguments[each.attribute] for each in form.arguments if not each.keyword]
        named = {each.keyword: arguments[each.attribute] for each in form.arguments if each.keyword}
        make = partial(self.module_class(step, form), *positional, **named)
        if step.definition.has_weights:
            with torch.device("meta"):
                module = make()
        else:  # on the meta device, the arithmetic of a buffer would import torch._dynamo
            if arguments.get("in", 0) > MAX_CHANNELS:
                raise ValueError(f"`{step.node.op}` of more than {MAX_CHANNELS:,} channels")
            module = make()
            self.computed += sum(buffer.numel() for buffer in module.buffers())
            if self.computed > MAX_COMPUTED:
                raise ValueError(f"its filters have more than {MAX_COMPUTED:,} elements")
        self.module.add_module(attribute, module)
        self.made[attribute] = kind

    def module_class(self, step: FusedStep, form: TorchModule) -> type[nn.Module]:
        """The class of `form.callee`; for a printed call that is more than `module(x)`, that of the op."""
        name = form.callee.removeprefix("nn.").format(n=self.axes)
        if form.call:
            home, name = callables, camel_case(step.node.op)
        else:
            home = support if form.support else nn
        found: type[nn.Module] = getattr(home, name)
        return found
