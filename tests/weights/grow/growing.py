"""A network with random weights and norms, and what it grew into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.pipeline import Compiled, compile_spec, compile_text
from resnetgen.runtime.compare import randomize_norms, trial_input
from resnetgen.runtime.load import build
from resnetgen.weights.grow.pair import Pairing, pair_nodes
from resnetgen.weights.grow.transfer import Growth, transfer
from resnetgen.weights.grow.widen import channel_maps
from resnetgen.weights.load import build_seeded

Settings = Mapping[str, object]


@dataclass(frozen=True)
class Grown:
    """Both networks as modules, and how the larger got its weights."""

    small: nn.Module
    large: nn.Module
    pairing: Pairing
    growth: Growth
    image: TensorType

    def images(self, count: int = 2) -> torch.Tensor:
        """Random images of the smallest size."""
        seeded = torch.Generator().manual_seed(3)
        return torch.randn(count, *self.image.shape, generator=seeded)


def compiled(spec: str, settings: Settings) -> Compiled:
    """A network of the library, of a file, or of a text."""
    if "\n" in spec:
        return compile_text(spec, "mine.yaml", **settings)
    return compile_spec(spec, **settings)


def grown(
    small: str, large: str, of_large: Settings | None = None, of_small: Settings | None = None
) -> Grown:
    """The larger network, with the weights of the smaller."""
    one, other = compiled(small, of_small or {}), compiled(large, of_large or {})
    pairing = pair_nodes(one.checked_graph, other.checked_graph)
    maps = channel_maps(pairing)
    image = trial_input((one.checked_graph, other.checked_graph))
    torch.manual_seed(1)
    before = build(one.source, one.network.name)
    randomize_norms(before, torch.randn(2, *image.shape))
    after = build_seeded(partial(build, other.source, other.network.name)).eval()
    growth = transfer(after.state_dict(), before.state_dict(), pairing, maps)
    return Grown(before, after, pairing, growth, image)


def widened(*widths: int, stem: int | None = None) -> dict[str, object]:
    """Settings of the widths of the stages, and of a stem that is as wide as the first."""
    stages: dict[str, object] = {f"layer{n}.width": width for n, width in enumerate(widths, 1)}
    return stages | {"stem.width": stem or widths[0]}
