"""prepare(request): the weights and images that every side gets, and the outputs to compare with.

    folder/state.pt      the state_dict in float32
    folder/batch-16.pt   {"images": Tensor, "outputs": [Tensor] or None}

This runs in a process of its own, because it imports the compiler, whose import a cold start times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from resnetgen import load
from resnetgen.runtime.bench.process import Request, Workload
from resnetgen.runtime.compare import randomize_norms
from resnetgen.runtime.trace import output_tensors

SEED = 0
_NORM_IMAGES = 4  # from which norms get their statistics


def prepare(request: Request, progress: Callable[..., None]) -> dict[str, Any]:
    """Writes the state_dict and the images of one batch. Returns the number of threads of torch."""
    workload = request.workload
    if workload.threads:
        torch.set_num_threads(workload.threads)
    torch.manual_seed(SEED)
    module = _network(workload)
    torch.save(module.state_dict(), workload.state_path)
    images = torch.randn(request.batch, *workload.shape)
    outputs = _outputs(module.train(workload.training), images)
    torch.save({"images": images, "outputs": outputs}, workload.batch_path(request.batch))
    return {"threads": torch.get_num_threads()}


def _network(workload: Workload) -> nn.Module:
    """The network with the weights of the checkpoint, or with random ones whose outputs are informative."""
    if workload.weights is not None:
        return load(workload.spec, weights=workload.weights, **workload.overrides)
    module = load(workload.spec, **workload.overrides)
    return randomize_norms(module, torch.randn(_NORM_IMAGES, *workload.shape))


def _outputs(module: nn.Module, images: Tensor) -> list[Tensor] | None:
    """The outputs of the network; None if they are random, so nothing can be compared with them."""
    state = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.no_grad():
        first = output_tensors(module(images))
        module.load_state_dict(state)
        again = output_tensors(module(images))
    return first if all(map(torch.equal, first, again)) else None
