"""Compiled networks are run and compared with eager execution; missing requirements are reported."""

from __future__ import annotations

import shutil

import pytest

from resnetgen.pipeline import compile_text
from resnetgen.runtime.errors import MissingRequirement

SPEC = """\
network: small
input: {channels: 3, size: [8, 8]}
stem: {nodes: {conv1: {op: conv, out: 8, kernel: 3}, bn1: {op: norm}, relu: {op: act}}}
block: {op: basic, drop_path: 0.1}
shortcut: projection
stages: {layer1: {blocks: 1, width: 8}, layer2: {blocks: 1, width: 16, stride: 2}}
head: {classes: 10}
"""


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
def test_a_compiled_network_agrees_with_eager_execution() -> None:
    from resnetgen.runtime.compile_check import compile_and_run

    network = compile_text(SPEC)
    shown: list[str] = []
    report = compile_and_run(network.checked_graph, network.source, "cpu", shown.append)
    assert report.mismatches == ()
    assert [result.mode for result in report.modes] == ["eval", "training"]
    assert all(0 <= result.error <= report.tolerance for result in report.modes)
    assert all(result.seconds > 0 for result in report.modes)
    assert report.modes[1].gradients is not None
    assert shown


def test_a_graph_break_is_a_mismatch() -> None:
    from resnetgen.runtime.compile_check import compile_and_run

    network = compile_text(SPEC)
    broken = network.source.replace("= self.bn1(x)", "= self.bn1(x) if x.sum() > 0 else x", 1)
    assert broken != network.source
    report = compile_and_run(network.checked_graph, broken, "cpu")
    assert not report.ok
    assert all("torch.compile failed" in text for text in report.mismatches)


def test_an_error_is_relative_to_the_largest_value() -> None:
    import torch

    from resnetgen.runtime.compile_check import relative_error

    one, other = torch.tensor([1.0, 100.0]), torch.tensor([2.0, 100.0])
    assert relative_error([one], [other]) == pytest.approx(0.01)
    assert relative_error([one], [one[:1]]) == float("inf")
    assert relative_error([one], [torch.tensor([float("nan"), 100.0])]) == float("inf")
    assert relative_error([], []) == 0.0


def test_a_missing_device_is_reported() -> None:
    import torch

    from resnetgen.runtime.compile_check import require_compiler

    with pytest.raises(MissingRequirement) as caught:
        require_compiler("tpu")
    assert caught.value.code == "no-device"
    if not torch.cuda.is_available():
        with pytest.raises(MissingRequirement) as caught:
            require_compiler("cuda")
        assert caught.value.code == "no-device"


def test_a_missing_compiler_is_reported_before_anything_is_built() -> None:
    from torch._inductor import config

    from resnetgen.runtime.compile_check import compile_and_run

    network = compile_text(SPEC)
    with (
        config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(MissingRequirement) as caught,
    ):
        compile_and_run(network.checked_graph, "raise AssertionError", "cpu")
    assert caught.value.code == "no-compiler"
    assert caught.value.help
