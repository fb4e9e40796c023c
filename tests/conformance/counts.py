"""Keys, shapes, parameters and multiply-adds, on the meta device: no memory, no arithmetic."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from conformance.entries import PEERS, Entry

Keys = tuple[tuple[str, tuple[int, ...]], ...]  # of a state_dict, in order, with shapes


@dataclass(frozen=True)
class Counts:
    """What a network is on paper."""

    keys: Keys
    params: int
    macs: int

    @property
    def digest(self) -> str:
        """As in `peers.json`."""
        text = json.dumps([[key, list(shape)] for key, shape in self.keys])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def held_by(module: Any) -> tuple[Keys, int]:
    """Keys and shapes of a module, and how many parameters it has."""
    keys = tuple((key, tuple(each.shape)) for key, each in module.state_dict().items())
    return keys, sum(each.numel() for each in module.parameters())


def counts_of(module: Any, channels: int, size: list[int]) -> Counts:
    """Of a module on the meta device; its multiply-adds are counted by torch's own counter."""
    keys, params = held_by(module)
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


def held_by_peer(entry: Entry) -> tuple[Keys, int]:
    """What of the peer, imported live, needs no run of it."""
    return held_by(_on_meta(entry))


def _on_meta(entry: Entry) -> Any:
    with torch.device("meta"):
        return entry.theirs()


def of_peer(entry: Entry) -> Counts:
    """What the peer, imported live, is."""
    return counts_of(_on_meta(entry), entry.compiled().network.input.channels, entry.size())


def recorded(entry: Entry) -> tuple[str, int, int]:
    """Digest of the keys, parameters and multiply-adds in `peers.json`."""
    row = PEERS[entry.peer]
    return row["keys_sha"], row["params"], row["macs"]
