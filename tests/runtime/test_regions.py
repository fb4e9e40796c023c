"""Equal blocks share one compiled function, and only the time changes."""

from __future__ import annotations

import copy
import pickle
import shutil
import threading
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._inductor.async_compile import AsyncCompile

import resnetgen
from resnetgen.pipeline import Compiled, compile_text
from resnetgen.runtime.compare import randomize_norms
from resnetgen.runtime.compile_check import TOLERANCE, relative_error
from resnetgen.runtime.load import build
from resnetgen.runtime.regional.fingerprint import fingerprint, repeated_modules
from resnetgen.runtime.regional.kernels import CompiledFunction, TensorSpec, parallel_kernel_builds
from resnetgen.runtime.trace import output_tensors

SPEC = """\
network: small
input: {channels: 3, size: [16, 16]}
stem: {nodes: {conv1: {op: conv, out: 8, kernel: 3}, bn1: {op: norm}, relu: {op: act}}}
block: {op: BLOCK}
shortcut: projection
stages: {layer1: {blocks: 4, width: 8}, layer2: {blocks: 4, width: 16, stride: 2}}
head: {classes: 10}
"""
X = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def network(block: str = "basic") -> Compiled:
    return compile_text(SPEC.replace("BLOCK", block))


def module(compiled: Compiled) -> nn.Module:
    torch.manual_seed(0)
    images = torch.randn(2, *compiled.checked_graph.input.shape)
    return randomize_norms(build(compiled.source, compiled.network.name), images).train()


@pytest.fixture
def compiled_graphs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The graphs that are compiled, which then run as they are: a compiler costs seconds."""
    graphs: list[Any] = []

    def uncompiled(graph: Any, examples: object, options: object) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch._inductor, "compile", uncompiled)
    return graphs


def results(model: nn.Module, x: Tensor) -> list[list[Tensor]]:
    """Outputs, gradients and statistics after a step."""
    outputs = output_tensors(model(x))
    if torch.is_grad_enabled():
        sum(each.square().mean() for each in outputs).backward()  # type: ignore[union-attr]
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    statistics = [each for each in model.buffers() if each.is_floating_point()]
    return [[each.detach() for each in outputs], gradients, statistics]


def assert_agree(model: nn.Module, *, training: bool, tolerance: float = TOLERANCE) -> None:
    """Two steps of the model in regions are those of its copy in eager execution."""
    eager = copy.deepcopy(model).double().train(training)
    model = resnetgen.compile_module(model.double().train(training), whole=False)
    for scale in (1.0, 0.5):
        with torch.set_grad_enabled(training):
            expected, actual = (results(each, scale * X.double()) for each in (eager, model))
        for one, other in zip(expected, actual, strict=True):
            assert relative_error(one, other) <= tolerance
            assert [each.stride() for each in one] == [each.stride() for each in other]


# --- what is one region


def test_equal_blocks_are_equal_whatever_their_weights_hold() -> None:
    model = module(network())
    layer1, layer2 = model.layer1, model.layer2
    assert fingerprint(layer1[0]).key == fingerprint(layer1[3]).key
    assert fingerprint(layer1[1]).key != fingerprint(layer2[1]).key
    assert fingerprint(layer2[0]).key != fingerprint(layer2[1]).key
    assert len(repeated_modules(model)) == 4 + 3


@pytest.mark.parametrize("change", ["mode", "frozen", "number", "type", "shared"])
def test_blocks_that_differ_in_anything_are_not_equal(change: str) -> None:
    one, other = list(module(network()).layer1)[:2]
    if change == "mode":
        other.bn1.eval()
    elif change == "frozen":
        other.conv1.weight.requires_grad_(False)
    elif change == "number":
        other.bn1.eps = 1e-3
    elif change == "type":
        other.double()
    else:
        other.bn2.weight = other.bn1.weight
    assert fingerprint(one).key != fingerprint(other).key


def test_a_shortcut_without_weights_is_part_of_the_structure() -> None:
    """Option A has no weights: only what its modules are tells a block that strides from others."""
    model = resnetgen.load("resnet20")
    paths = repeated_modules(model)
    assert "layer2.0" not in paths
    assert "layer2.1" in paths


# --- it is as in eager execution


@pytest.mark.parametrize("block", ["basic", "preact_basic", "basic, drop_path: 0.0"])
@pytest.mark.parametrize("training", [False, True])
def test_regions_agree_with_eager(block: str, training: bool, compiled_graphs: list[Any]) -> None:
    assert_agree(module(network(block)), training=training, tolerance=1e-9)
    assert len(compiled_graphs) == 5  # stem, layer1, layer2.0, layer2, head


@pytest.mark.parametrize("training", [False, True])
def test_several_outputs_keep_their_names(training: bool, compiled_graphs: list[Any]) -> None:
    text = SPEC.replace("BLOCK", "basic").replace("head: {classes: 10}", "head: none")
    compiled = compile_text(text + "outputs: {deep: layer2, wide: layer1}\n")
    assert_agree(module(compiled), training=training, tolerance=1e-9)
    model = resnetgen.compile_module(module(compiled), whole=False)
    assert list(model(X)) == ["deep", "wide"]


def test_random_numbers_differ_from_call_to_call(compiled_graphs: list[Any]) -> None:
    model = module(network("basic, drop_path: 0.5")).train()
    resnetgen.compile_module(model, whole=False)
    with torch.no_grad():
        first, second = model(X), model(X)
    assert compiled_graphs
    assert not torch.equal(first, second)


class _Odd(nn.Module):
    """Two equal blocks, and between them what a subclass says."""

    def __init__(self) -> None:
        super().__init__()
        blocks = compile_text(SPEC.replace("BLOCK", "basic"))
        self.one, self.two = list(build(blocks.source, blocks.network.name).layer1)[1:3]
        self.conv = nn.Conv2d(3, 8, 3)
        self.nothing = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.nothing(self.one(self.conv(x))))


class _Sized(_Odd):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        size = x.shape[-1]
        return nn.functional.interpolate(self.two(self.one(x)), 2 * size)


@pytest.mark.parametrize("training", [False, True])
def test_what_lies_between_blocks_may_compute_nothing(
    training: bool, compiled_graphs: list[Any]
) -> None:
    assert_agree(_Odd(), training=training, tolerance=1e-9)
    assert len(compiled_graphs) == 3  # the convolution, the block, the way back from channels_last


def test_types_are_known_before_anything_is_computed(compiled_graphs: list[Any]) -> None:
    """All pieces are compiled first; then the first call is like any other."""
    model = module(network("basic, drop_path: 0.5")).train()
    ran: list[int] = []

    def note(*_: object) -> None:
        ran.append(len(compiled_graphs))

    resnetgen.compile_module(model, whole=False)
    original = CompiledFunction.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CompiledFunction, "__call__", lambda *given: (note(), original(*given))[1])
        model(X)
    assert set(ran) == {len(compiled_graphs)}
    assert int(model.bn1.num_batches_tracked) == 1


def test_a_wrong_guess_of_a_type_costs_time_alone(
    compiled_graphs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_rows(tensor: Tensor) -> TensorSpec:
        return replace(known(tensor), stride=torch.empty(tensor.shape, device="meta").stride())

    known = TensorSpec.of
    monkeypatch.setattr(TensorSpec, "of", in_rows)
    assert_agree(module(network()), training=True, tolerance=1e-9)
    assert len(compiled_graphs) > 5


def test_graphs_wait_for_their_kernels_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[Any] = []
    monkeypatch.setattr(AsyncCompile, "wait", lambda compiler, scope: waited.append(scope))
    elsewhere = threading.Thread(target=lambda: AsyncCompile().wait({"thread": "another"}))
    with parallel_kernel_builds(backward=True):
        AsyncCompile().wait({"graph": 1})
        AsyncCompile().wait({"graph": 2})
        assert waited == []
        elsewhere.start()
        elsewhere.join()
        assert waited == [{"thread": "another"}]
    assert waited[1:] == [{"graph": 1}, {"graph": 2}]
    AsyncCompile().wait({"graph": 3})
    assert len(waited) == 4


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
def test_compiled_regions_agree_with_eager() -> None:
    shallow = SPEC.replace("BLOCK", "basic").replace(
        ", layer2: {blocks: 4, width: 16, stride: 2}", ""
    )
    assert "layer2" not in shallow
    compiled = compile_text(shallow)
    assert_agree(module(compiled), training=True)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
@pytest.mark.parametrize("training", [False, True])
def test_in_training_the_backward_pass_is_compiled_with_the_forward_pass(
    training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In evaluation it is compiled if it is ever wanted."""
    waited: list[Any] = []
    wait = AsyncCompile.wait
    note = lambda compiler, scope: (waited.append(1), wait(compiler, scope))[1]  # noqa: E731
    monkeypatch.setattr(AsyncCompile, "wait", note)
    model = resnetgen.compile_module(_Odd().train(training), whole=False)
    with torch.compiler.config.patch(force_disable_caches=True):
        returned = model(X)
        forward = len(waited)
        assert forward > 0
        returned.square().mean().backward()
    assert (len(waited) == forward) is training


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
def test_the_mask_of_a_relu_is_not_kept() -> None:
    """The block behind keeps its value anyway, and masks of bytes are slow to write and to read."""
    model = resnetgen.compile_module(_Odd().train(), whole=False)
    kept: list[torch.dtype] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.dtype)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(X)
    assert set(kept) == {torch.float32}


# --- it stays the same model


def test_modes_and_batches_and_weights_can_change(compiled_graphs: list[Any]) -> None:
    model = module(network())
    eager = copy.deepcopy(model)
    resnetgen.compile_module(model, whole=False)
    with torch.no_grad():
        for x, training in ((X, True), (X, False), (X[:2], False), (X, True)):
            expected, actual = (each.train(training)(x) for each in (eager, model))
            assert relative_error([expected], [actual]) <= TOLERANCE
        assert len(compiled_graphs) == 3 * 5  # the last met known conditions
        for each in (eager, model):
            torch.manual_seed(1)
            each.layer1[1].conv1.weight = nn.Parameter(torch.randn(8, 8, 3, 3))
            each.layer2[3] = copy.deepcopy(each.layer2[2])
        assert relative_error([eager(X)], [model(X)]) <= TOLERANCE


def test_keys_copies_and_pickles_are_the_plain_models(compiled_graphs: list[Any]) -> None:
    model = module(network())
    keys = list(model.state_dict())
    assert resnetgen.compile_module(model, whole=False) is model
    expected = model.eval()(X)
    assert list(model.state_dict()) == keys
    compiled = len(compiled_graphs)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert relative_error([expected], [twin(X)]) <= TOLERANCE
    assert len(compiled_graphs) == compiled


# --- where it is not worth it


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[Any]:
    """The options of each compilation of a whole network, which runs uncompiled; INFO is logged."""
    seen: list[Any] = []
    plain = torch.compile

    def recorded(call: Any, **options: Any) -> Any:
        seen.append(options)
        return plain(call, **{"backend": "eager", **options})

    monkeypatch.setattr(torch, "compile", recorded)
    caplog.set_level("INFO", "resnetgen")
    return seen


STATIC = {"fullgraph": True, "dynamic": False}


def test_a_network_of_few_equal_blocks_is_compiled_whole(
    whole: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    model = module(network()).eval()
    expected = model(X)
    assert relative_error([expected], [resnetgen.compile_module(model)(X)]) <= TOLERANCE
    assert whole == [STATIC]
    assert "regions win from" in caplog.text


def test_a_deep_network_is_compiled_in_regions(compiled_graphs: list[Any]) -> None:
    compiled = compile_text(SPEC.replace("BLOCK", "basic").replace("blocks: 4", "blocks: 20"))
    resnetgen.compile_module(build(compiled.source, "deep"))(X)
    assert len(compiled_graphs) == 5


def test_a_network_with_hooks_is_compiled_whole(
    whole: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    model = module(network()).eval()
    model.layer1.register_forward_hook(lambda module, inputs, output: output * 0)
    expected = model(X)
    assert relative_error([expected], [resnetgen.compile_module(model, whole=False)(X)]) == 0
    assert whole == [STATIC]
    assert "it has hooks" in caplog.text


def test_a_network_that_hands_a_size_to_a_later_part_is_compiled_whole(
    whole: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    model = _Sized().eval()
    expected = model(X)
    assert relative_error([expected], [resnetgen.compile_module(model, whole=False)(X)]) == 0
    assert whole[-1] == STATIC
    assert "other than a tensor of its modules" in caplog.text


def test_a_network_that_cannot_be_traced_is_compiled_whole(
    whole: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    compiled = network()
    assert "x = self.layer1(x)" in compiled.source
    text = compiled.source.replace(
        "x = self.layer1(x)", "x = self.layer1(x) if max(x.shape) > 1 else x"
    )
    model = build(text, "odd").eval()
    expected = model(X)
    assert relative_error([expected], [resnetgen.compile_module(model, whole=False)(X)]) == 0
    assert whole == [STATIC]
