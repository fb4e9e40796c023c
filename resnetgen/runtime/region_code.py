"""compiled(module, tensors, inputs) -> (Code, returned): one function for all equal modules.

Dynamo captures the module as one graph whose inputs are weights, statistics and operands alike;
Inductor compiles it, and what that gives is called directly afterwards. No guard is evaluated in
such a call: `regions.py` and `region_split.py` know by structures and types which code fits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from resnetgen.runtime.trace import own_frame, returned_tensors


@dataclass(frozen=True, slots=True)
class Code:
    """A compiled function: which of the tensors it takes, which of its results are wanted."""

    function: Callable[..., Sequence[Tensor]]
    takes: tuple[int, ...]
    gives: tuple[int, ...]

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        results = self.function(*[tensors[place] for place in self.takes])
        return [results[place] for place in self.gives]


def compiled(
    module: nn.Module, tensors: Sequence[Tensor], inputs: Sequence[Tensor]
) -> tuple[Code | None, list[Tensor]]:
    """Compiles a module in the modes of now, and gives what it returned for the inputs, in a list.

    The code takes `tensors`: the module's own, and then the inputs. There is none where it would
    need anything else. Raises what torch raises where the module is not one graph.
    """
    backend = _Backend()
    call = torch.compile(own_frame(module), backend=backend, fullgraph=True, dynamic=False)
    returned = returned_tensors(call(*inputs))
    return backend.code(tensors, returned), returned


class _Backend:
    """Inductor, but what it made is kept, with the arguments and results of its first call."""

    def __init__(self) -> None:
        self.function: Callable[..., Sequence[Tensor]] | None = None
        self.arguments: Sequence[Tensor] = ()
        self.results: Sequence[Tensor] = ()

    def __call__(self, graph: fx.GraphModule, examples: list[Any]) -> Callable[..., Any]:
        function = self.function = torch._inductor.compile(graph, examples)

        def first(*arguments: Tensor) -> Sequence[Tensor]:
            self.arguments, self.results = arguments, function(*arguments)
            return self.results

        return first

    def code(self, tensors: Sequence[Tensor], returned: Sequence[Tensor]) -> Code | None:
        """The code, after the first call; arguments and results are known by identity."""
        takes = _places(self.arguments, tensors)
        gives = _places(returned, self.results)
        if self.function is None or takes is None or gives is None:
            return None
        return Code(self.function, takes, gives)


def _places(wanted: Sequence[Tensor], among: Sequence[Tensor]) -> tuple[int, ...] | None:
    places = {id(each): place for place, each in enumerate(among)}
    if any(id(each) not in places for each in wanted):
        return None
    return tuple(places[id(each)] for each in wanted)
