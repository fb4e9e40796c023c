"""prepare(request): the weights, the images and the outputs that every side is given or held against.

    folder/state.pt      the state_dict in float32
    folder/batch-16.pt   {"images": Tensor, "outputs": [Tensor] or None}

This is work of its own process: the compiler, which a cold start imports anew, runs here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from resnetgen import load
from resnetgen.bench.request import Request, Subject
from resnetgen.runtime.settle import settle
from resnetgen.runtime.trace import returned_tensors

SEED = 0
_SETTLING = 4  # images whose statistics the norms take


def prepare(request: Request, say: Callable[..., None]) -> dict[str, Any]:
    """Writes state and images for one batch; torch's version and the threads that it takes."""
    subject = request.subject
    if subject.threads:
        torch.set_num_threads(subject.threads)
    torch.manual_seed(SEED)
    module = _network(subject)
    torch.save(module.state_dict(), subject.state)
    images = torch.randn(request.batch, *subject.shape)
    outputs = _outputs(module.train(subject.training), images)
    torch.save({"images": images, "outputs": outputs}, subject.images(request.batch))
    return {"threads": torch.get_num_threads()}


def _network(subject: Subject) -> nn.Module:
    """With the weights of the checkpoint, else with random ones under which it computes something."""
    if subject.weights is not None:
        return load(subject.spec, weights=subject.weights, **subject.overrides)
    module = load(subject.spec, **subject.overrides)
    return settle(module, torch.randn(_SETTLING, *subject.shape))


def _outputs(module: nn.Module, images: Tensor) -> list[Tensor] | None:
    """What it returns; None where that is random, so that nothing can be held against it."""
    state = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.no_grad():
        first = returned_tensors(module(images))
        module.load_state_dict(state)
        again = returned_tensors(module(images))
    return first if all(map(torch.equal, first, again)) else None
