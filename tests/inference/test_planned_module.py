"""The loop that a saved plan becomes, compared with the printed file of the same steps."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from pathlib import Path

import pytest
import torch
from fuzz.plans import EVERYTHING
from randomised import randomise
from storages import FREE, Live, own
from torch import Tensor, nn

from resnetgen.compiler.ir.op_def import TorchFunction, TorchModule
from resnetgen.compiler.ir.ops import OPS
from resnetgen.pipeline import Compiled, compile_spec, compile_text
from resnetgen.runtime import callables, support
from resnetgen.runtime.inference import inference_module
from resnetgen.runtime.load import build
from resnetgen.runtime.planned_module import PlannedModule
from resnetgen.runtime.trace import output_tensors
from resnetgen.weights.plan_steps import forward_entries, read_forward

SPECS = Path(__file__).resolve().parents[1] / "specs"
SMALL = {"input.size": [64, 64]}
NETWORKS: dict[str | Path, dict[str, object]] = {
    "resnet18": SMALL, "resnet50": SMALL, "preact_resnet18": SMALL, "seresnet18": SMALL,
    "ecaresnet50t": SMALL, "resnext50_32x4d": SMALL, "resnetblur18": SMALL, "resnet50_gn": SMALL,
    "googlenet": SMALL, "resnet20": {}, "resnet18_1d": {}, "r3d_18": {"input.size": [4, 32, 32]},
    SPECS / "unet_resnet34.yaml": SMALL, SPECS / "resnet50_features.yaml": SMALL,
}  # fmt: skip
TEXTS = {"everything": EVERYTHING, "free": FREE}


def compiled(name: str) -> Compiled:
    if name in TEXTS:
        return compile_text(TEXTS[name])
    path = next(each for each in NETWORKS if Path(each).stem == name)
    return compile_spec(path, **NETWORKS[path])


def both(net: Compiled, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, PlannedModule]:
    """The printed module, and the loop over the steps as they are read from a plan."""
    state = build(net.source, net.network.name).state_dict()
    randomise(state, 1)
    printed = inference_module(net.inference_plan, net.inference_source, state, dtype)
    entries = json.loads(json.dumps(forward_entries(net.inference_plan.forward)))
    loop = PlannedModule(read_forward(entries))
    loop.assign(printed.state_dict(), dtype)
    return printed, loop


def images(net: Compiled, count: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    drawn = torch.randn(count, *net.network.input.shape, generator=torch.Generator().manual_seed(5))
    return drawn.to(dtype)


@pytest.fixture(scope="module")
def resnet20() -> tuple[nn.Module, PlannedModule, Tensor]:
    net = compiled("resnet20")
    return *both(net), images(net)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", [*TEXTS, *(Path(each).stem for each in NETWORKS)])
def test_the_loop_is_the_printed_file_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    net = compiled(name)
    printed, loop = both(net, dtype)
    x = images(net, dtype=dtype)
    with torch.inference_mode():
        expected, results = printed(x), loop(x)
    assert type(results) is type(expected)
    if isinstance(results, dict):
        assert results.keys() == expected.keys()
    for one, other in zip(output_tensors(results), output_tensors(expected), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["resnet50", "free", "unet_resnet34"])
def test_the_same_values_are_alive(name: str) -> None:
    """To the byte, in the second call: the first lays weights out."""
    net = compiled(name)
    x, peaks = images(net), []
    for module in both(net):
        with torch.no_grad():
            module(x)
            with Live(own(module)) as live:
                live.add(x)
                module(x)
        peaks.append(live.peak)
    assert peaks[0] == peaks[1]


def test_a_large_batch_is_halved(resnet20: tuple[nn.Module, PlannedModule, Tensor]) -> None:
    printed, loop, x = resnet20
    batch = x.repeat(400, 1, 1, 1)  # 166 MB are alive at once, if it is not
    calls: list[int] = []
    hook = loop.conv1.register_forward_hook(
        lambda module, inputs, result: calls.append(len(result))
    )
    with torch.inference_mode():
        assert torch.equal(loop(batch), printed(batch))
    hook.remove()
    assert sum(calls) == len(batch)
    assert len(calls) > 1


TWO_SIZES = """
network: two_sizes
input: {channels: 3, size: [8, 8]}
nodes:
  a: {op: conv, inputs: x, out: 4, kernel: 3, stride: 2}
  p: {op: max_pool, inputs: x, kernel: 2}
  b: {op: conv, inputs: p, out: 4, kernel: 1}
  s: {op: add, inputs: [a, b]}
outputs: [s, b]
"""


def test_a_size_at_which_values_do_not_fit_is_an_error_as_in_the_network() -> None:
    """oneDNN adds a value of another size without a word: of 9 x 9, one path leaves 5 and one 4."""
    net = compile_text(TWO_SIZES)
    x = torch.randn(1, 3, 9, 9)
    for module in both(net):
        with torch.inference_mode(), pytest.raises(RuntimeError, match="add"):
            module(x)


# --- what people do with modules


def test_copies_and_pickles_compute_the_same(
    resnet20: tuple[nn.Module, PlannedModule, Tensor],
) -> None:
    _, loop, x = resnet20
    expected = loop(x)
    for other in (copy.deepcopy(loop), pickle.loads(pickle.dumps(loop))):
        assert torch.equal(other(x), expected)
        other.conv1.weight.zero_()  # the steps of a copy run its own modules
        assert not torch.equal(other(x), expected)
    assert torch.equal(loop(x), expected)


def test_a_module_may_be_replaced(resnet20: tuple[nn.Module, PlannedModule, Tensor]) -> None:
    loop, x = copy.deepcopy(resnet20[1]), resnet20[2]
    loop.fc = nn.Identity()
    assert loop(x).shape == (2, 64)


def test_it_is_exported(resnet20: tuple[nn.Module, PlannedModule, Tensor]) -> None:
    _, loop, x = resnet20
    exported = torch.export.export(loop, (x,)).module()
    torch.testing.assert_close(exported(x), loop(x))


@pytest.mark.slow
def test_it_is_compiled_whole(resnet20: tuple[nn.Module, PlannedModule, Tensor]) -> None:
    _, loop, x = resnet20
    compiled = torch.compile(loop, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), loop(x))


# --- an entry of the table, and its callable


def test_every_op_that_is_printed_as_an_expression_has_a_callable() -> None:
    functions = {name for name, op in OPS.items() if isinstance(op.torch, TorchFunction)}
    modules = [
        form for op in OPS.values() if isinstance(form := op.torch, TorchModule) and form.call
    ]
    found = {
        name for name, each in vars(callables).items() if inspect.isfunction(each) and not name.startswith("_")
        and each.__module__ == callables.__name__
    }  # fmt: skip
    assert found == functions
    assert len(modules) == 1
    assert issubclass(callables.ChannelConv, nn.Conv1d)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    ("op", "attributes", "count"),
    [
        ("flatten", {}, 1),
        ("add", {}, 2),
        ("add", {}, 3),
        ("mul", {}, 2),
        ("concat", {}, 3),
        ("subsample", {"stride": 2}, 1),
        ("pad_channels", {"front": 1, "back": 2}, 1),
        ("resize", {"scale": 2, "mode": "nearest"}, 1),
        ("resize", {"scale": 3, "mode": "linear"}, 1),
    ],
)
def test_a_callable_computes_what_its_op_prints(
    op: str, attributes: dict[str, object], count: int, axes: int
) -> None:
    inputs = [torch.randn(2, 3, *[5] * axes) for _ in range(count)]
    form = OPS[op].torch
    assert isinstance(form, TorchFunction)
    names = [f"x{index}" for index in range(count)]
    text = form.write(names, {name: str(value) for name, value in attributes.items()}, axes)
    expected = eval(text, {"torch": torch, "nn": nn, **dict(zip(names, inputs, strict=True))})
    assert torch.equal(getattr(callables, op)(*inputs, **attributes), expected)


def test_printed_files_contain_the_classes_that_are_imported() -> None:
    for name in ("resnetblur50", "resnet18"):
        net = compile_spec(name)
        for source in (net.source, net.inference_source):
            for support_class in ("BlurPool2d", "FusedConv2d"):
                if f"class {support_class}" in source:
                    assert inspect.getsource(getattr(support, support_class)).strip() in source
