"""Of each kind of network one, small: the inference target computes what the network computes.

`python -m tests.inference.library` does it for the whole library, at full size.
"""

from __future__ import annotations

import pytest
from inference import library

# A stage has two blocks at most: one that changes the shape, and one that keeps it.
SHORT = {f"layer{stage}.blocks": 2 for stage in range(1, 5)}
SMALL: dict[str, object] = {"input.size": [64, 64]}
NETWORKS: dict[str, dict[str, object]] = {
    "resnet20": {}, "preact_resnet18": SMALL, "resnetv2_50": SMALL | SHORT,
    "resnext50_32x4d": SMALL | SHORT, "seresnet18": SMALL, "ecaresnet26t": SMALL,
    "resnet50d": SMALL | SHORT, "resnetblur18": SMALL, "resnetaa34d": SMALL | SHORT,
    "resnet50_gn": SMALL | SHORT, "googlenet": SMALL, "alexnet": {}, "r3d_18": {"input.size": [4, 32, 32]},
    "resnet18_1d": {}, "resnet50_os8": SMALL, "resnet50_dp": SMALL, "resnet50_features": SMALL,
    "unet_resnet34": SMALL,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_it_computes_what_the_network_computes(name: str) -> None:
    found = library.row(name, **NETWORKS[name])
    assert found.float32 < library.BOUNDS["float32"]
    # Eight bits: eager itself is over the bound in some networks.
    assert found.bfloat16 < max(library.BOUNDS["bfloat16"], found.eager_bfloat16)
