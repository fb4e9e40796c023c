"""The module for CUDA: the captured call computes what the module does, and other calls run the module.

No test here has run on a CUDA device. On a CPU the compiled module is called without a capture; the
capture runs against `Tape`, which does what torch documents of a CUDA graph: it repeats the captured
operations on the same memory.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import resnetgen
from resnetgen.pipeline import compile_spec
from resnetgen.runtime.compare import randomize_norms
from resnetgen.runtime.compile_check import relative_error
from resnetgen.runtime.cuda_graph import WARM_UP, CapturedCall, use_cuda_graph
from resnetgen.runtime.inference import inference_module
from resnetgen.runtime.load import build

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def folded() -> nn.Module:
    net = compile_spec("resnet20", **{f"layer{stage}.blocks": 1 for stage in (1, 2, 3)})
    torch.manual_seed(0)
    model = randomize_norms(build(net.source, "resnet20"), images(2, 3, 32, 32))
    return inference_module(net.inference_plan, net.inference_source, model.state_dict())


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The graphs that are compiled, which then run as they are: a compiler costs seconds."""
    graphs: list[Any] = []

    def backend(graph: Any, examples: object) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    return graphs


# --- on any device


def test_inputs_like_the_example_run_compiled(compiled: list[Any]) -> None:
    plain, x = folded(), images(2, 3, 32, 32, seed=1)
    module = use_cuda_graph(copy.deepcopy(plain), images(2, 3, 32, 32))
    assert not compiled
    with torch.no_grad():
        assert relative_error([plain(x)], [module(x)]) < 1e-5
        assert relative_error([plain(2 * x)], [module(2 * x)]) < 1e-5
    assert len(compiled) == 1
    convolutions = [each for each in module.modules() if isinstance(each, nn.Conv2d)]
    assert all(
        each.weight.is_contiguous(memory_format=torch.channels_last) for each in convolutions
    )


@pytest.mark.slow
def test_the_compiled_module_computes_the_same() -> None:
    plain, x = folded(), images(2, 3, 32, 32, seed=1)
    module = use_cuda_graph(copy.deepcopy(plain), x)
    with torch.no_grad():
        assert relative_error([plain(x)], [module(x)]) < 1e-5


def test_other_inputs_have_the_module_as_it_was(compiled: list[Any]) -> None:
    plain, x = folded(), images(2, 3, 32, 32)
    module = use_cuda_graph(copy.deepcopy(plain), x)
    for other in (x[:1], images(3, 3, 32, 32), images(2, 3, 40, 24)):
        assert relative_error([plain(other)], [module(other)]) < 1e-5
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    plain(one).square().sum().backward()
    module(other).square().sum().backward()
    assert one.grad is not None
    assert other.grad is not None
    assert relative_error([one.grad], [other.grad]) < 1e-5
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert module(x).dtype == plain(x).dtype == torch.bfloat16
    assert not compiled


def test_weights_may_change_in_place_and_be_replaced(compiled: list[Any]) -> None:
    plain, x = folded(), images(2, 3, 32, 32)
    module = use_cuda_graph(copy.deepcopy(plain), x)
    captures = []
    call = module._compiled_call_impl
    capture = call.capture
    call.capture = lambda x: captures.append(capture(x)) or captures[-1]  # type: ignore[func-returns-value]
    with torch.no_grad():
        module(x)
        for each in (plain, module):
            each.conv1.weight.mul_(2)
        assert relative_error([plain(x)], [module(x)]) < 1e-5
        assert len(captures) == 1
        for each in (plain, module):
            each.conv1.weight = nn.Parameter(3 * each.conv1.weight, requires_grad=False)
        assert relative_error([plain(x)], [module(x)]) < 1e-5
    assert len(captures) == 2


def test_copies_pickles_and_keys_are_of_the_plain_module(compiled: list[Any]) -> None:
    plain, x = folded(), images(2, 3, 32, 32)
    module = use_cuda_graph(copy.deepcopy(plain), x)
    with torch.no_grad():
        module(x)
        compiled.clear()
        for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert relative_error([plain(x)], [other(x)]) < 1e-5
    assert not compiled
    assert list(module.state_dict()) == list(plain.state_dict())


def test_it_may_be_compiled_and_exported_as_a_part(compiled: list[Any]) -> None:
    plain, x = folded(), images(2, 3, 32, 32)
    module = use_cuda_graph(copy.deepcopy(plain), x)
    with torch.no_grad():
        outer = torch.compile(nn.Sequential(module, nn.ReLU()), fullgraph=True)
        assert relative_error([plain(x).relu()], [outer(x)]) < 1e-5
        exported = torch.export.export(module, (x,)).module()
        assert relative_error([plain(x)], [exported(x)]) < 1e-5
    assert len(compiled) == 1


# --- the capture, against a stand-in


class Tape(TorchDispatchMode):
    """What torch documents of a CUDA graph: `replay` repeats the captured operations in place."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        for func, args, kwargs, result in self.calls:
            again = func(*args, **kwargs)
            if isinstance(again, Tensor) and again.data_ptr() != result.data_ptr():
                result.copy_(again)


class Stream:
    def __init__(self, device: object = None) -> None:
        self.waits: list[object] = []

    def wait_stream(self, other: object) -> None:
        self.waits.append(other)

    wait_event = wait_stream


class Event:
    def __init__(self) -> None:
        self.records: list[object] = []

    def record(self, stream: object) -> None:
        self.records.append(stream)


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """CUDA's graphs, streams and events for a CPU; the current stream."""
    current = Stream()

    @contextmanager
    def capture(graph: Tape, **options: object) -> Iterator[None]:
        with graph:
            yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Tape)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", contextmanager(lambda stream: iter([None])))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    return current


def test_results_of_a_captured_call_have_memory_of_their_own(tapes: Stream) -> None:
    calls: list[Tensor] = []

    def call(x: Tensor) -> Tensor:
        calls.append(x)
        return (x * 2).relu()

    x, other = images(2, 3, 4, 4), images(2, 3, 4, 4, seed=1)
    captured = CapturedCall(call, x)
    first, second = captured(x), captured(other)
    assert torch.equal(first, (x * 2).relu())
    assert torch.equal(second, (other * 2).relu())
    assert len(calls) == WARM_UP + 1  # nothing of Python runs in a replay
    assert captured.x.is_contiguous(memory_format=torch.channels_last)


def test_a_captured_call_returns_tuples_and_dicts(tapes: Stream) -> None:
    x, other = images(2, 3), images(2, 3, seed=1)
    pair = CapturedCall(lambda x: (x + 1, x), x)
    assert [each.tolist() for each in pair(other)] == [(other + 1).tolist(), other.tolist()]
    named = CapturedCall(lambda x: {"sum": x + 1}, x)(other)
    assert type(named) is dict
    assert torch.equal(named["sum"], other + 1)


def test_a_captured_call_may_be_replayed_when_its_results_are_copied(tapes: Stream) -> None:
    captured = CapturedCall(lambda x: x + 1, images(2, 3))
    copied: Any = captured.results_copied
    captured(images(2, 3))
    assert tapes.waits[-1] is copied
    assert copied.records == [tapes]


# --- on a device


@needs_cuda
def test_on_a_device_each_call_is_a_replay() -> None:
    plain = folded().cuda()
    x, other = (images(4, 3, 32, 32, seed=seed).cuda() for seed in (0, 1))
    module = use_cuda_graph(copy.deepcopy(plain), x)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            first, second = module(x), module(other)
            assert relative_error([plain(x)], [first]) < 1e-3  # TF32 may be on
            assert relative_error([plain(other)], [second]) < 1e-3
            assert relative_error([plain(x[:1])], [module(x[:1])]) < 1e-3
    plain.conv1.weight.mul_(2)
    module.conv1.weight.mul_(2)
    assert relative_error([plain(x)], [module(x)]) < 1e-3
    moved = module.cpu()
    assert relative_error([plain.cpu()(x.cpu())], [moved(x.cpu())]) < 1e-3


@needs_cuda
def test_on_a_device_streams_and_threads_take_turns() -> None:
    plain = folded().cuda()
    inputs = [images(4, 3, 32, 32, seed=seed).cuda() for seed in range(4)]
    expected = [plain(x) for x in inputs]
    module = use_cuda_graph(copy.deepcopy(plain), inputs[0])
    module(inputs[0])
    worst = [0.0] * len(inputs)

    def work(place: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            torch.cuda.current_stream().wait_stream(torch.cuda.default_stream())
            for _ in range(50):
                error = relative_error([expected[place]], [module(inputs[place])])
                worst[place] = max(worst[place], error)

    threads = [Thread(target=work, args=(place,)) for place in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(worst) < 1e-3


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_device_optimize_returns_it(dtype: torch.dtype) -> None:
    x = images(2, 3, 32, 32)
    model = randomize_norms(resnetgen.load("resnet20"), x).cuda()
    module = resnetgen.optimize("resnet20", model.state_dict(), x.cuda().to(dtype))
    with torch.no_grad():
        error = relative_error([model(x.cuda())], [module(x.cuda().to(dtype)).float()])
    assert error < (1e-3 if dtype == torch.float32 else 5e-2)
    assert module._compiled_call_impl is not None
