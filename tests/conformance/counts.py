"""Keys, shapes, parameters and multiply-adds, on the meta device: no memory, no arithmetic."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from conformance.entries import PEERS, Entry


@dataclass(frozen=True)
class Counts:
    """What a network is on paper."""

    keys: tuple[tuple[str, tuple[int, ...]], ...]  # of the state_dict, in order, with shapes
    params: int
    macs: int

    @property
    def digest(self) -> str:
        """As in `peers.json`."""
        text = json.dumps([[key, list(shape)] for key, shape in self.keys])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def counts_of(module: Any, channels: int, size: list[int]) -> Counts:
    """Of a module on the meta device; its multiply-adds are counted by torch's own counter."""
    keys = tuple((key, tuple(each.shape)) for key, each in module.state_dict().items())
    params = sum(each.numel() for each in module.parameters())
    image = torch.empty(1, channels, *size, device="meta")
    with FlopCounterMode(display=False) as counter:
        module.eval()(image)
    return Counts(keys, params, counter.get_total_flops() // 2)


def predicted(entry: Entry) -> Counts:
    """What the compiler says of our network, and the keys that the printed module has."""
    compiled = entry.compiled()
    with torch.device("meta"):
        state = entry.ours().state_dict()
    keys = tuple((key, tuple(each.shape)) for key, each in state.items())
    return Counts(keys, compiled.cost.params, compiled.cost.macs)


def of_peer(entry: Entry) -> Counts:
    """What the peer, imported live, is."""
    with torch.device("meta"):
        module = entry.theirs()
    return counts_of(module, entry.compiled().network.input.channels, entry.size())


def recorded(entry: Entry) -> tuple[str, int, int]:
    """Digest of the keys, parameters and multiply-adds in `peers.json`."""
    row = PEERS[entry.peer]
    return row["keys_sha"], row["params"], row["macs"]
