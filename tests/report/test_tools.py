"""The tools themselves, run on printed modules and on those of the peers: their figures to the digit.

Where a tool counts a peer's module differently from the printed one, the difference is explained: it
is written as a convention of its own, and must be met exactly too. Tools that work on meta tensors
get those, so that no arithmetic is done; fvcore and ptflops get zeros.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from every_op import EVERY_OP
from packaging.version import Version
from peers import import_timm, import_torchvision

from resnetgen import Compiled, compile_spec
from resnetgen.compiler.frontend import library
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode
from resnetgen.pipeline import compile_text
from resnetgen.reports.conventions import (
    conventions,
    network_operations,
    operations,
    read_conventions,
)
from resnetgen.reports.tables import read_table

SPECS = Path(__file__).resolve().parents[1] / "specs"


# --- the tools: a module and the size of an input -> a figure


def _input(size: tuple[int, ...], device: str, batch: int = 1) -> Any:
    import torch

    return torch.zeros(batch, *size, device=device)


def fvcore(module: Any, size: tuple[int, ...], device: str = "cpu") -> int:
    nn = pytest.importorskip("fvcore.nn")
    analysis = nn.FlopCountAnalysis(module, _input(size, device))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return int(analysis.tracer_warnings("none").total())


def _ptflops(module: Any, size: tuple[int, ...], **options: Any) -> int:
    import_torchvision()  # which it imports, too
    package = pytest.importorskip("ptflops")
    options = {"as_strings": False, "print_per_layer_stat": False, **options}
    figure, _ = package.get_model_complexity_info(module, tuple(size), **options)
    assert figure is not None, "ptflops caught an exception"
    return int(figure)


def ptflops(module: Any, size: tuple[int, ...], **options: Any) -> int:
    return _ptflops(module, size, backend="pytorch", **options)


def ptflops_modules(module: Any, size: tuple[int, ...]) -> int:
    return ptflops(module, size, backend_specific_config={"count_functional": False})


def ptflops_aten(module: Any, size: tuple[int, ...]) -> int:
    return _ptflops(module, size, backend="aten")


def thop(module: Any, size: tuple[int, ...], batch: int = 1) -> int:
    package = pytest.importorskip("thop")
    inputs = (_input(size, "meta", batch),)
    return int(package.profile(module, inputs=inputs, verbose=False)[0])


def torchinfo(module: Any, size: tuple[int, ...], batch: int = 1) -> int:
    package = pytest.importorskip("torchinfo")
    data = _input(size, "meta", batch)
    summary = package.summary(module, input_data=data, verbose=0, device="meta")
    return int(summary.total_mult_adds)


def torch(module: Any, size: tuple[int, ...], batch: int = 1) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        module(_input(size, "meta", batch))
    return int(counter.get_total_flops())


TOOLS: Mapping[str, Callable[[Any, tuple[int, ...]], int]] = {
    "fvcore": fvcore,
    "ptflops": ptflops,
    "ptflops-modules": ptflops_modules,
    "ptflops-aten": ptflops_aten,
    "thop": thop,
    "torchinfo": torchinfo,
    "torch": torch,
}
NEEDS_VALUES = {"fvcore", "ptflops", "ptflops-modules"}


def test_every_tool_is_run() -> None:
    others = {"macs", "flops", "torchvision"}  # ours, and what is published
    assert set(TOOLS) == set(conventions()) - others


@pytest.mark.parametrize("name", sorted(set(TOOLS) | {"torchvision"}))
def test_the_table_describes_the_version_that_is_run(name: str) -> None:
    convention = conventions()[name]
    try:
        installed = metadata.version(convention.tool)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{convention.tool} is not installed")
    assert Version(Version(installed).public) == Version(str(convention.version))


# --- modules


@contextlib.contextmanager
def _undrawn() -> Iterator[None]:
    """On meta tensors: shapes and no values, so that no weight is drawn."""
    import torch

    unread = patch.object(torch.nn.init, "trunc_normal_", lambda tensor, *_, **__: tensor)
    with torch.device("meta"), unread, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def built(make: Callable[[], Any], on_meta: bool) -> Any:
    """A module in evaluation mode, on meta tensors, or of zeros."""
    with _undrawn():
        module = make().eval()
    if on_meta:
        return module
    module = module.to_empty(device="cpu")
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data.zero_()
    return module


def printed(net: Compiled) -> Callable[[], Any]:
    from resnetgen.runtime.load import build

    return lambda: build(net.source, net.network.name)


def figure(tool: str, make: Callable[[], Any], net: Compiled) -> int:
    """What a tool counts on a module, at the input of a network."""
    module = built(make, on_meta=tool not in NEEDS_VALUES)
    with contextlib.redirect_stdout(io.StringIO()):
        return TOOLS[tool](module, net.network.input.shape)


# (what is compiled, the size of its input where it is not its own)
NETWORKS: Mapping[str, tuple[str | Path, list[int] | None]] = {
    "18": ("resnet18", None),
    "34": ("resnet34", None),
    "50": ("resnet50", None),
    "101": ("resnet101", None),
    "152": ("resnet152", None),
    "v1": ("resnet50_v1", [65, 97]),
    "option-a": ("resnet20", None),
    "average-shortcut": ("resnet50d", [64, 96]),
    "se": ("seresnet50", [64, 64]),
    "eca": ("ecaresnet50t", [64, 64]),
    "blur": ("resnetblur50", [67, 64]),
    "rs": ("resnetrs50", [64, 64]),
    "group-norm": ("resnet50_gn", [64, 64]),
    "grouped": ("resnext50_32x4d", [64, 64]),
    "preact": ("preact_resnet50", [64, 64]),
    "timm-preact": ("resnetv2_50", [64, 64]),
    "vgg": ("vgg11_bn", [64, 75]),
    "alexnet": ("alexnet", [101, 230]),
    "googlenet": ("googlenet", [97, 75]),
    "3d": ("r3d_18", [4, 48, 40]),
    "1d": ("resnet18_1d", [1000]),
    "unet": (SPECS / "unet_resnet34.yaml", [64, 96]),
    "outputs": (SPECS / "resnet50_features.yaml", [64, 64]),
    "drop-path": (SPECS / "resnet50_dp.yaml", [64, 64]),
    "dilated": (SPECS / "resnet50_os8.yaml", [64, 64]),
}


def network(spec: str | Path, size: list[int] | None) -> Compiled:
    return compile_spec(spec, **({"input.size": size} if size else {}))


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_tool_counts_the_printed_module_as_its_table_says(name: str, tool: str) -> None:
    net = network(*NETWORKS[name])
    assert figure(tool, printed(net), net) == network_operations(conventions()[tool], net.typed)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("size", [[33], [17, 23], [9, 11, 13]], ids=["1d", "2d", "3d"])
def test_a_tool_counts_every_op_as_its_table_says(size: list[int], tool: str) -> None:
    net = compile_text(EVERY_OP.format(size=size))
    assert figure(tool, printed(net), net) == network_operations(conventions()[tool], net.typed)


def test_an_average_that_keeps_the_size_is_counted() -> None:
    """`avg_projection` of a dilated network pools at stride 1, by a function on a padded value."""
    net = compile_spec("resnet50d", **{"input.size": [64, 48], "output_stride": 8})
    assert "AvgPoolSame2d" in net.source
    for tool in TOOLS:
        assert figure(tool, printed(net), net) == network_operations(conventions()[tool], net.typed)


# --- the peers' modules: the same figure, or a difference that is explained


def less(
    net: TypedInstance, counts: Mapping[str, Any], steps: list[tuple[TypedNode, int]] | None = None
) -> int:
    """What rules count on (some steps of) a network, as a difference; `counts` as in the table."""
    table = read_table("conventions")
    entry = {"doc": "", "tool": "", "unit": "", "counts": counts}
    [rules] = read_conventions({**table, "conventions": {"less": entry}}).values()
    return -operations(rules, steps if steps is not None else [(step, 1) for step in net.nodes])


def _same(net: TypedInstance) -> Mapping[str, int]:
    return {}


def _functions(net: TypedInstance) -> Mapping[str, int]:
    """Activations are functions and not modules: ptflops counts them once, or not at all."""
    once = less(net, {"activations": {"relu": "result"}})
    return {"ptflops": once, "ptflops-modules": once}


def _subclass_of_conv(net: TypedInstance) -> Mapping[str, int]:
    """The convolutions in the blocks are of a subclass, which tools that look up types do not know."""
    blocks = less(net, {"multiply-adds": {"convolution": "macs if kernel == 3 else 0"}})
    return dict.fromkeys(("ptflops", "ptflops-modules", "thop"), blocks)


def _squeeze_by_mean(net: TypedInstance) -> Mapping[str, int]:
    """The pool of SE or ECA in the blocks is a mean over the axes, which no tool counts."""
    blocks = [(step, 1) for step in net.nodes if step.blocks]
    pool = {
        name: {"pooling": {"global_avg_pool": conventions()[name].rules["global_avg_pool"][0].text}}
        for name in ("fvcore", "ptflops", "ptflops-modules", "thop")
    }
    return {name: less(net, counts, blocks) for name, counts in pool.items()}


def _norm_with_activation(net: TypedInstance) -> Mapping[str, int]:
    """Norms are a subclass with the activation inside, and call a function for themselves."""
    return {
        name: less(net, {"normalisation": {"batch_norm": coefficient}})
        for name, coefficient in (
            ("ptflops", "2 * source"),
            ("ptflops-modules", "2 * source"),
            ("thop", "4 * source"),
            ("torchinfo", "params"),
        )
    }


Differences = Callable[[TypedInstance], Mapping[str, int]]
TORCHVISION: Mapping[str, tuple[list[int] | None, Differences]] = {
    "resnet18": (None, _same),
    "resnet34": (None, _same),
    "resnet50": (None, _same),
    "resnet101": (None, _same),
    "resnet152": (None, _same),
    "resnext50_32x4d": ([64, 64], _same),
    "wide_resnet50_2": ([64, 64], _same),
    "vgg11_bn": ([64, 75], _same),
    "alexnet": ([101, 230], _same),
    "googlenet": ([97, 75], _functions),
    "r3d_18": ([4, 48, 40], _subclass_of_conv),
}
TIMM: Mapping[str, Differences] = {
    "resnet50d": _same,
    "resnetblur50": _same,
    "seresnet50": _squeeze_by_mean,
    "ecaresnet50t": _squeeze_by_mean,
    "resnetv2_50": _norm_with_activation,
}


def _expected(tool: str, net: Compiled, differences: Differences) -> int:
    explained = differences(net.typed).get(tool, 0)
    return network_operations(conventions()[tool], net.typed) + explained


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", TORCHVISION)
def test_a_tool_counts_the_module_of_torchvision(name: str, tool: str) -> None:
    models = import_torchvision().models
    size, differences = TORCHVISION[name]
    net = network(name, size)
    options = {"init_weights": False} if name == "googlenet" else {}
    make = models.get_model_builder(name)
    assert figure(tool, lambda: make(**options), net) == _expected(tool, net, differences)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", TIMM)
def test_a_tool_counts_the_module_of_timm(name: str, tool: str) -> None:
    create = import_timm().create_model
    net = network(name, [64, 64])
    assert figure(tool, lambda: create(name), net) == _expected(tool, net, TIMM[name])


def test_the_differences_are_there() -> None:
    """What is explained is more than nothing."""
    cases = [(name, size, each) for name, (size, each) in TORCHVISION.items()]
    cases += [(name, [64, 64], each) for name, each in TIMM.items()]
    for name, size, differences in cases:
        found = differences(network(name, size).typed)
        assert all(amount < 0 for amount in found.values())
        assert bool(found) == (differences is not _same)


def test_torchvision_publishes_what_its_table_says() -> None:
    models = import_torchvision().models
    published = set(models.list_models()) & {path.stem for path in library.network_files()}
    assert {"resnet50", "vgg19", "googlenet", "r3d_18"} <= published
    for name in sorted(published):
        weights = next(iter(models.get_model_weights(name)))
        count = network_operations(conventions()["torchvision"], compile_spec(name).typed)
        assert round(count / 1e9, 3) == weights.meta["_ops"], name


# --- what the notes say


@pytest.fixture(scope="module")
def small() -> Compiled:
    return compile_spec("resnet18", **{"input.size": [64, 64]})


@pytest.mark.parametrize("tool", [thop, torchinfo, torch])
def test_a_tool_counts_the_whole_batch(tool: Callable[..., int], small: Compiled) -> None:
    one, three = (built(printed(small), on_meta=True) for _ in range(2))
    size = small.network.input.shape
    assert tool(three, size, batch=3) == 3 * tool(one, size)


def test_ptflops_divides_modules_by_the_batch_but_not_functions(small: Compiled) -> None:
    def batch(size: tuple[int, ...]) -> Any:
        return _input(size, "cpu", batch=3)

    module = built(printed(small), on_meta=False)
    once = network_operations(conventions()["ptflops-modules"], small.typed)
    functions = network_operations(conventions()["ptflops"], small.typed) - once
    found = ptflops(module, small.network.input.shape, input_constructor=batch)
    assert found == once + 3 * functions


def test_ptflops_counts_linear_layers_twice_on_meta_tensors(small: Compiled) -> None:
    module = built(printed(small), on_meta=True)
    again = -less(small.typed, {"bias": {"linear": "macs"}})
    expected = network_operations(conventions()["ptflops"], small.typed) + again
    assert ptflops(module, small.network.input.shape) == expected


def test_fvcore_cannot_trace_meta_tensors(small: Compiled) -> None:
    module = built(printed(small), on_meta=True)
    with pytest.raises(TypeError):
        fvcore(module, small.network.input.shape, device="meta")


def test_fvcore_counts_five_for_each_value_that_training_normalises(small: Compiled) -> None:
    module = built(printed(small), on_meta=False).train()
    more = -less(small.typed, {"normalisation": {"batch_norm": "3 * source"}})
    expected = network_operations(conventions()["fvcore"], small.typed) + more
    assert fvcore(module, small.network.input.shape) == expected


def test_thop_leaves_buffers_behind(small: Compiled) -> None:
    module = built(printed(small), on_meta=True)
    before = set(module.state_dict())
    thop(module, small.network.input.shape)
    assert {name.rpartition(".")[2] for name in set(module.state_dict()) - before} == {
        "total_ops",
        "total_params",
    }
