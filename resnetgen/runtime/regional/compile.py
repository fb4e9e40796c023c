"""compile_by_regions(model): torch.compile, but equal blocks are compiled once.

    model = compile_by_regions(load("resnet152"))
    model(x)    # compiles 4 functions for 46 blocks, and 5 for the rest

Equal blocks are found in the modules as they are (`fingerprint.py`). Each distinct block is one
compiled function of weights and operands, whatever module it runs for (`kernels.py`); what lies
between them is compiled too (`partition.py`), and all kernels are built in parallel before anything
runs. No code object is compiled twice, so the limit of recompilations is never reached, and shapes
are static.

`resnetgen.compile_module` is this function.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from logging import getLogger
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from resnetgen.runtime.errors import error_summary
from resnetgen.runtime.regional.fingerprint import (
    Fingerprint,
    count_layers,
    fingerprint,
    has_hooks,
    repeated_modules,
    tensor_type,
)
from resnetgen.runtime.regional.kernels import parallel_kernel_builds
from resnetgen.runtime.regional.partition import (
    FunctionCache,
    PartitionedModel,
    partition,
    torch_modes,
)
from resnetgen.runtime.trace import with_own_code

# Layers for each one that is compiled, from which on regions are used. ResNet-50 has 1.9, where the
# first result comes 1.1 times sooner, ResNet-101 has 3.7, where it comes 2.1 times sooner; steady speed
# is 0.93 to 0.98 of the whole graph's. By interpolation 1.4 times sooner is at 2.4. See
# docs/performance.md.
MIN_REUSE = 2.5

_log = getLogger("resnetgen")

Model = TypeVar("Model", bound=nn.Module)


def compile_by_regions(model: Model, *, whole: bool | None = None) -> Model:
    """The same model, whose next call compiles it, in regions or whole; see `resnetgen.compile_module`.

    Regions are used on a CPU if the network has at least MIN_REUSE layers for each distinct one. It
    is compiled whole otherwise, and where it cannot be partitioned. `whole` overrides this choice.
    """
    model._compiled_call_impl = _CompiledCall(model, whole)
    return model


class _CompiledCall:
    """The compiled call of a model, with a plan for each set of conditions that it has met."""

    def __init__(self, model: nn.Module, whole: bool | None) -> None:
        self.model = model
        self.whole = whole
        self.functions: FunctionCache = {}
        self.inspect_modules()

    def inspect_modules(self) -> None:
        """Looks up the modules that the model has now; forgets all plans."""
        self.plans: dict[Hashable, Callable[[Tensor], Any]] = {}
        self.fingerprint = fingerprint(self.model)
        self.modules = list(self.model.modules())
        self.slots = [(each._modules, name) for each in self.modules for name in each._modules]
        self.children = [modules[name] for modules, name in self.slots]

    def __call__(self, x: Tensor) -> Any:
        if [modules.get(name) for modules, name in self.slots] != self.children:
            self.inspect_modules()
        conditions = self.conditions(x)
        plan = self.plans.get(conditions)
        if plan is None:
            return self.first_call(conditions, x)
        return plan(x)

    def conditions(self, x: Tensor) -> Hashable:
        """What a plan assumes, and what may change between two calls."""
        tensors = self.fingerprint.tensors()
        return (
            tensor_type(x),
            torch_modes(x),
            tuple([each.training for each in self.modules]),
            tuple([each.dtype for each in tensors]),
            tuple([each.requires_grad for each in tensors]),
        )

    def first_call(self, conditions: Hashable, x: Tensor) -> Any:
        """The first call under these conditions, which compiles."""
        plan = self.in_regions(x)
        if plan is None:
            call = with_own_code(self.model._call_impl)
            self.plans[conditions] = whole = torch.compile(call, fullgraph=True, dynamic=False)
            return whole(x)
        returned = plan(x)
        self.plans[conditions] = plan
        functions = len({id(region.function) for region in plan.regions})
        _log.info("compiled in regions: %d functions, %d calls", functions, len(plan.regions))
        return returned

    def in_regions(self, x: Tensor) -> PartitionedModel | None:
        """The model in regions; None, and the reason in the log, if it is to be compiled whole."""
        blocks = repeated_modules(self.model)
        reason = self.reason_for_whole(blocks, x)
        if reason is None:
            try:
                return self.compile_regions(blocks, x)
            except Exception as error:  # torch's, or the model's own about tracing
                reason = error_summary(error)
        _log.info("compiled whole: %s", reason)
        return None

    def compile_regions(self, blocks: Mapping[str, Fingerprint], x: Tensor) -> PartitionedModel:
        """The regions with all their functions, which later plans reuse once they are built."""
        functions = dict(self.functions)
        plan = partition(self.model, blocks, x, functions)
        with parallel_kernel_builds(backward=self.model.training):
            plan.compile(x)
        self.functions = functions
        return plan

    def reason_for_whole(self, blocks: Mapping[str, Fingerprint], x: Tensor) -> str | None:
        """Why the model is compiled whole; None if it is not."""
        if self.whole:
            return "as requested"
        if self.whole is None and x.device.type != "cpu":
            return "regions were measured on CPUs only"
        if has_hooks(self.model):
            return "it has hooks"
        reuse = self.reuse(blocks)
        if not blocks or (self.whole is None and reuse < MIN_REUSE):
            return f"{reuse:.1f} layers for each distinct one, and regions win from {MIN_REUSE}"
        return None

    def reuse(self, blocks: Mapping[str, Fingerprint]) -> float:
        """Layers of the model for each one that is compiled in regions."""
        sizes = {path: count_layers(self.model.get_submodule(path)) for path in blocks}
        distinct = {each.key: sizes[path] for path, each in blocks.items()}
        total = count_layers(self.model)
        return total / (total - sum(sizes.values()) + sum(distinct.values()))
