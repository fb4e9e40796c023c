"""key(network, state, x) -> Key: what an optimized module is made of and for.

    Key("0.1.0", "2.13.0", "cpu AVX512", "float32", "resnet50", "0123456789abcdef", "27ae41...")

Versions and device are held too, because operators of oneDNN are private to a version of torch, and
which of them exist depends on the processor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor

from resnetgen import __version__
from resnetgen.graph.ir import Network
from resnetgen.runtime.formats import dtype_name
from resnetgen.weights.plan_file import Key


def key(network: Network, state: Mapping[str, Tensor], like: Tensor) -> Key:
    """The key of a network with the weights of a state_dict, for the dtype and device of a tensor."""
    return Key(
        **environment(like.device.type),
        dtype=dtype_name(like.dtype),
        network=network.name,
        spec=network.digest,
        weights=digest(state),
    )


def environment(device: str) -> dict[str, str]:
    """The versions at work, and a kind of device with what it is capable of."""
    versions = {"resnetgen": __version__, "torch": str(torch.__version__)}
    return {**versions, "device": f"{device} {_capability(device)}"}


def digest(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of names, types, shapes and numbers of a state_dict, in any order.

    A tensor without plain numbers (meta, sparse) counts by its type: nothing is made of it, since
    no network takes it.
    """
    entries = {name: [dtype_name(each.dtype), *each.shape] for name, each in state.items()}
    found = hashlib.sha256(json.dumps(entries, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name].detach()
        if tensor.layout == torch.strided and not tensor.is_meta:
            found.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _capability(device: str) -> str:
    if device == "cpu":
        return torch.backends.cpu.get_cpu_capability()
    if device == "cuda" and torch.cuda.is_available():
        return ".".join(map(str, torch.cuda.get_device_capability()))
    return "unknown"
