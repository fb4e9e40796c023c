"""compile_module(model): torch.compile, but equal blocks are compiled once.

    model = compile_module(load("resnet152"))
    model(x)    # compiles 4 blocks for 46, and the rest in 5 functions

What repeats is found in the modules as they are (`region_structure.py`). Each distinct block is one
compiled function of weights and operands, whatever module it runs for (`region_code.py`); what
stands between is compiled too (`region_split.py`), and all of it is built side by side before
anything runs (`region_kernels.py`). No code object is compiled twice, so there is no
limit of recompilations to meet, and shapes are static.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from logging import getLogger
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from resnetgen.runtime.errors import reason
from resnetgen.runtime.regional.fingerprint import (
    Fingerprint,
    hooked,
    layers,
    repeated,
    structure,
    type_of,
)
from resnetgen.runtime.regional.kernels import Code, side_by_side
from resnetgen.runtime.regional.partition import Pieces, modes, split
from resnetgen.runtime.trace import own_frame

# Layers for each that is compiled, from which on regions are used. ResNet-50 has 1.9, where the first
# result comes 1.1 times sooner, ResNet-101 3.7, where it is 2.1 times; steady speed is 0.93 to 0.98 of
# the whole graph's. Between the two, 1.4 times sooner lies at 2.4. See docs/performance.md.
WORTH = 2.5

_log = getLogger("resnetgen")

Model = TypeVar("Model", bound=nn.Module)


def compile_module(model: Model, *, whole: bool | None = None) -> Model:
    """The same model, whose calls are compiled from the next on; as `Module.compile`, in regions.

    Regions are used on a CPU where the network has at least `WORTH` layers for each distinct one;
    otherwise, and where a network cannot be taken apart, it is compiled whole. `whole` decides it
    by hand. Which it was, and why, is logged by `resnetgen` at level INFO.

    Keys of the `state_dict`, modes, gradients, updates of statistics and devices are the model's
    own; copies and pickles are of the plain model. Code is made for each type of input, mode and
    choice of frozen weights when it is first met. Weights and modules may be replaced; hooks that
    are registered later, and numbers such as an `eps` that are changed later, are not seen.
    The model takes one tensor. Errors of torch.compile are raised by the call.
    """
    model._compiled_call_impl = _Compiled(model, whole)
    return model


class _Compiled:
    """The compiled call of a model, with a plan for each of the conditions that it met."""

    def __init__(self, model: nn.Module, whole: bool | None) -> None:
        self.model = model
        self.whole = whole
        self.codes: dict[Hashable, Code] = {}
        self.read()

    def read(self) -> None:
        """Looks at which modules the model has."""
        self.plans: dict[Hashable, Callable[[Tensor], Any]] = {}
        self.known = structure(self.model)
        self.modules = list(self.model.modules())
        self.places = [(each._modules, name) for each in self.modules for name in each._modules]
        self.children = [held[name] for held, name in self.places]

    def __call__(self, x: Tensor) -> Any:
        if [held.get(name) for held, name in self.places] != self.children:
            self.read()
        conditions = self.conditions(x)
        plan = self.plans.get(conditions)
        if plan is None:
            return self.first(conditions, x)
        return plan(x)

    def conditions(self, x: Tensor) -> Hashable:
        """What a plan takes for granted, and what may change between two calls."""
        tensors = self.known.tensors()
        return (
            type_of(x),
            modes(x),
            tuple([each.training for each in self.modules]),
            tuple([each.dtype for each in tensors]),
            tuple([each.requires_grad for each in tensors]),
        )

    def first(self, conditions: Hashable, x: Tensor) -> Any:
        """The first call under some conditions: it compiles."""
        plan = self.in_regions(x)
        if plan is None:
            call = own_frame(self.model._call_impl)
            self.plans[conditions] = whole = torch.compile(call, fullgraph=True, dynamic=False)
            return whole(x)
        returned = plan(x)
        self.plans[conditions] = plan
        compiled = len({id(piece.code) for piece in plan.pieces})
        _log.info("compiled in regions: %d functions, %d calls", compiled, len(plan.pieces))
        return returned

    def in_regions(self, x: Tensor) -> Pieces | None:
        """The model in pieces; None, and the reason in the log, where it is better left whole."""
        blocks = repeated(self.model)
        against = self.against_regions(blocks, x)
        if against is None:
            try:
                return self.prepared(blocks, x)
            except Exception as error:  # torch's, or the model's own on what is no tensor
                against = reason(error)
        _log.info("compiled whole: %s", against)
        return None

    def prepared(self, blocks: Mapping[str, Fingerprint], x: Tensor) -> Pieces:
        """The pieces with all their code, which is known to later plans once it is built."""
        codes = dict(self.codes)
        pieces = split(self.model, blocks, x, codes)
        with side_by_side(backward=self.model.training):
            pieces.prepare(x)
        self.codes = codes
        return pieces

    def against_regions(self, blocks: Mapping[str, Fingerprint], x: Tensor) -> str | None:
        """Why the model is compiled whole."""
        if self.whole:
            return "so it was asked for"
        if self.whole is None and x.device.type != "cpu":
            return "regions were measured on CPUs only"
        if hooked(self.model):
            return "it has hooks"
        ratio = self.reuse(blocks)
        if not blocks or (self.whole is None and ratio < WORTH):
            return f"{ratio:.1f} layers for each distinct one, and regions win from {WORTH}"
        return None

    def reuse(self, blocks: Mapping[str, Fingerprint]) -> float:
        """Layers of the model for each that is compiled in regions."""
        sizes = {path: layers(self.model.get_submodule(path)) for path in blocks}
        distinct = {each.key: sizes[path] for path, each in blocks.items()}
        total = layers(self.model)
        return total / (total - sum(sizes.values()) + sum(distinct.values()))
