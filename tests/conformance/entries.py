"""What is compared with what: the networks of `peers.json`, and variations of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from peers import import_timm, import_torchvision

from resnetgen import Compiled, compile_spec
from resnetgen.runtime.load import build

PEERS: Mapping[str, Mapping[str, Any]] = json.loads(
    Path(__file__).parents[1].joinpath("peers.json").read_text(encoding="utf-8")
)

# The last norm of each branch starts at 0 in timm, at 1 in torchvision, whose rule ours follows.
TIMM_INIT = {"init.last_norm.weight": 0}


@dataclass(frozen=True)
class Entry:
    """A library network, with overrides, and the peer that it has to equal, with its arguments."""

    peer: str  # torchvision/NAME or timm/NAME
    overrides: Mapping[str, object] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    initial: Mapping[str, object] = field(default_factory=dict)  # what the peer's start asks for
    small: tuple[int, ...] = (72, 88)  # the input of `numerics`: odd sizes on the way down
    why: str = ""  # a known difference, explained
    clip: tuple[int, ...] = ()  # the input of `counts` where `peers.json` does not say it

    @property
    def name(self) -> str:
        """The spec, which has the peer's name."""
        return self.peer.rpartition("/")[2]

    def size(self) -> list[int]:
        """The input size at which the peer is counted."""
        return list(self.clip) or [PEERS[self.peer]["size"]] * 2

    def compiled(self) -> Compiled:
        """Our network at that size."""
        overrides = {"input.size": self.size(), **self.overrides, **self.initial}
        return _compiled(self.name, json.dumps(overrides))

    def ours(self) -> Any:
        """Our module."""
        compiled = self.compiled()
        return build(compiled.source, compiled.network.name)

    def theirs(self) -> Any:
        """The peer, without pretrained weights."""
        if self.peer.startswith("timm/"):
            return import_timm().create_model(self.name, **self.arguments)
        models = import_torchvision().models
        if self.name == "r3d_18":
            return models.video.r3d_18(**self.arguments)
        known = {"init_weights": True} if self.name == "googlenet" else {}
        return models.get_model(self.name, **known, **self.arguments)


@cache
def _compiled(name: str, overrides: str) -> Compiled:
    return compile_spec(name, **json.loads(overrides))


def _entry(peer: str) -> Entry:
    package, _, name = peer.partition("/")
    shared = package == "timm" and f"torchvision/{name}" in PEERS
    # Averages that stride round down, average-pool shortcuts up: the peer takes no odd sizes.
    small = (64, 96) if "aa" in name else (72, 88)
    return Entry(peer, initial=TIMM_INIT if shared else {}, small=small)


ENTRIES = [_entry(peer) for peer in PEERS]
VIDEO = Entry("torchvision/r3d_18", small=(4, 24, 40), clip=(16, 112, 112))

_DROP_PATH = "0.2 * position / (total - 1)"
VARIATIONS = {
    "stochastic depth": Entry(
        "timm/resnet50", {"block.drop_path": _DROP_PATH}, {"drop_path_rate": 0.2}, TIMM_INIT
    ),
    "output stride 16": Entry(
        "timm/resnet50", {"output_stride": 16}, {"output_stride": 16}, TIMM_INIT
    ),
    "output stride 8": Entry(
        "timm/resnet34", {"output_stride": 8}, {"output_stride": 8}, TIMM_INIT
    ),
    "output stride 8, average-pool shortcuts": Entry(
        "timm/seresnext26t_32x4d", {"output_stride": 8}, {"output_stride": 8}
    ),
    "output stride 16, blur": Entry(
        "timm/resnetblur18", {"output_stride": 16}, {"output_stride": 16}
    ),
    "output stride 16, averages": Entry(
        "timm/resnetaa50d", {"output_stride": 16}, {"output_stride": 16}, small=(64, 96)
    ),
    "output stride 16, 3x3 shortcuts": Entry(
        "timm/senet154",
        {"output_stride": 16, "stages.layer2.blocks": 1, "stages.layer3.blocks": 1},
        {"output_stride": 16, "layers": (3, 1, 1, 3)},
    ),
    "10 classes, 1 channel": Entry(
        "timm/seresnet18",
        {"head.classes": 10, "input.channels": 1},
        {"num_classes": 10, "in_chans": 1},
    ),
}
