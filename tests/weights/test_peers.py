"""Checkpoints of the peers load as they are: their own models, saved as they save them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from peers import import_timm, import_torchvision
from randomised import randomise

from resnetgen import load

if TYPE_CHECKING:
    import torch

pytestmark = pytest.mark.slow


def of_torchvision(name: str, **arguments: Any) -> torch.nn.Module:
    return import_torchvision().models.get_model(name, **arguments)


def of_timm(name: str) -> torch.nn.Module:
    return import_timm().create_model(name)


PEERS: dict[str, Callable[[], Any]] = {
    "resnet50": lambda: of_torchvision("resnet50"),
    "resnext50_32x4d": lambda: of_torchvision("resnext50_32x4d"),
    "googlenet": lambda: of_torchvision(
        "googlenet", aux_logits=True, transform_input=False, init_weights=False
    ),
    "vgg19": lambda: of_torchvision("vgg19"),
    "resnet50d": lambda: of_timm("resnet50d"),
    "seresnext50_32x4d": lambda: of_timm("seresnext50_32x4d"),
    "resnetv2_50": lambda: of_timm("resnetv2_50"),
}


def files(peer: torch.nn.Module, folder: Path) -> Iterator[Path]:
    """The same state_dict as it is published: safetensors, and both ways of torch.save."""
    import torch
    from safetensors.torch import save_file

    state = peer.state_dict()
    save_file(state, folder / "model.safetensors")
    yield folder / "model.safetensors"
    torch.save(state, folder / "model.pth")
    yield folder / "model.pth"
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    yield folder / "old.pth"


@pytest.mark.parametrize("name", PEERS)
def test_a_checkpoint_of_the_peer_gives_its_outputs(name: str, tmp_path: Path, caplog) -> None:
    import torch

    torch.manual_seed(0)
    peer = PEERS[name]()
    randomise(peer.state_dict())
    peer.eval()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = peer(x)
    assert expected.std() > 1e-3
    assert not torch.allclose(expected[0], expected[1], rtol=1e-3)
    for path in files(peer, tmp_path):
        ours = load(name, weights=path).eval()
        path.unlink()
        with torch.no_grad():
            assert torch.equal(ours(x), expected), path.name
    assert not caplog.records
