"""`show`: the elaborated network, or with --expanded the spec with its inheritance resolved."""

from __future__ import annotations

from pathlib import Path


def test_the_network(call) -> None:
    done = call("show", "resnet50", "--set", "layer3.blocks=11")
    assert done.exit_code == 0
    assert done.stdout.startswith("resnet50: 3 x 224 x 224 -> 1000; 31,142,952 parameters")


def test_expanded_is_a_self_contained_spec(call, folder: Path) -> None:
    (folder / "blocks").mkdir()
    Path("blocks/own.yaml").write_text("block: own\nextends: basic\nnodes: {conv1: {kernel: 5}}\n")
    Path("grey.yaml").write_text("network: grey\ninput: {channels: 1}\n", encoding="utf-8")
    Path("net.yaml").write_text("network: net\nextends: [resnet18, grey]\nblock: own\n")
    done = call("show", "net.yaml", "--set", "layer4.blocks=3", "--expanded")
    assert done.exit_code == 0
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "net.yaml").write_text(done.stdout, encoding="utf-8")
    wanted = call("build", "net.yaml", "--set", "layer4.blocks=3", "-o", "-").stdout
    found = call("build", "elsewhere/net.yaml", "-o", "-").stdout
    assert found.split('"""', 2)[2] == wanted.split('"""', 2)[2]
    assert call("diff", "net.yaml", "elsewhere/net.yaml", "--set", "layer4.blocks=3").exit_code == 1
    assert call("check", "elsewhere/net.yaml", "--strict").exit_code == 0


def test_a_wrong_spec_prints_nothing(call, folder: Path) -> None:
    Path("net.yaml").write_text("network: net\nextends: [resnet18, gray]\n", encoding="utf-8")
    done = call("show", "net.yaml", "--expanded")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "there is no spec `gray`" in done.stderr
