"""The printed module in use: exported, traced, copied, cast, compiled.

Each network is written to a file and imported from there, as a user would.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import inspect
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from resnetgen import compile_spec

SPECS = Path(__file__).resolve().parent / "specs"


SHALLOW = {"layer1.blocks": "2", "layer2.blocks": "1", "layer3.blocks": "1", "layer4.blocks": "1"}


@dataclass(frozen=True)
class Case:
    """A network, of few blocks where it has many, and the size of an image that keeps it cheap."""

    spec: str | Path
    overrides: dict[str, Any]
    size: tuple[int, ...]
    other_size: tuple[int, ...]
    out: tuple[int, ...] | None = (1000,)  # None: as large as the image


CASES = {
    "resnet18": Case("resnet18", {}, (64, 64), (96, 65)),
    "resnet34_a": Case("resnet34_a", SHALLOW, (64, 64), (96, 65)),
    "preact": Case("preact_resnet50", SHALLOW, (64, 64), (96, 65)),
    "se": Case("seresnext50_32x4d", SHALLOW, (64, 64), (96, 65)),
    "eca": Case("ecaresnet50t", SHALLOW, (64, 64), (96, 65)),
    "blur": Case("resnetblur50d", SHALLOW, (64, 64), (96, 65)),
    "drop_path": Case(SPECS / "resnet50_dp.yaml", SHALLOW, (64, 64), (96, 65)),
    "video": Case("r3d_18", SHALLOW, (4, 32, 32), (5, 48, 33), (400,)),
    "googlenet": Case("googlenet", {}, (64, 64), (96, 65)),
    "unet": Case(SPECS / "unet_resnet34.yaml", SHALLOW, (64, 64), (96, 32), None),
}
CLASSIFIERS = ("resnet18", "resnet34_a", "preact", "se", "eca", "blur", "drop_path", "video")
SOME = ("preact", "se", "unet")  # where a test takes seconds


@functools.cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="resnetgen_in_use_"))


@pytest.fixture(scope="session", autouse=True)
def _folder_goes() -> Iterator[None]:
    yield
    shutil.rmtree(folder())


@functools.cache
def module_of(name: str) -> ModuleType:
    """The module of a built file, known to `pickle` by its name."""
    case = CASES[name]
    path = folder() / f"in_use_{name}.py"
    path.write_text(compile_spec(case.spec, **case.overrides).source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def network_class(name: str) -> Any:
    module = module_of(name)
    (exported,) = module.__all__
    return getattr(module, exported)


@functools.cache
def trained(name: str) -> Any:
    """A network whose norms neither cut a branch off nor pass it unchanged."""
    import torch

    torch.manual_seed(0)
    model = network_class(name)()
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith(("running_mean", "bias")):
                value.uniform_(-0.2, 0.2)
            elif value.dim() == 1 and value.is_floating_point():
                value.uniform_(0.5, 1.0)
            elif value.dim() > 1:
                torch.nn.init.kaiming_normal_(value)
    return model.eval()


def fresh(name: str) -> Any:
    """A copy of it, to change."""
    return copy.deepcopy(trained(name))


def images(name: str, batch: int = 2, *, other: bool = False, channels: int = 3) -> Any:
    import torch

    size = CASES[name].other_size if other else CASES[name].size
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, channels, *size, generator=generator)


def expected_shape(name: str, images: Any) -> tuple[int, ...]:
    out = CASES[name].out
    return (len(images), *(out if out else (21, *images.shape[2:])))


def run(model: Any, x: Any) -> Any:
    """The output; a network that gives the same for every image would prove nothing."""
    import torch

    with torch.no_grad():
        y = model(x)
    if len(y) > 1:
        assert not torch.allclose(y[0].float(), y[1].float(), rtol=1e-3)
    return y


def close(mine: Any, other: Any, tolerance: float) -> bool:
    """Whether two outputs differ by less than a part of their spread."""
    return bool((mine.float() - other.float()).abs().max() <= tolerance * other.float().std())


# --- what it takes and gives


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("batch", "other"), [(1, False), (3, False), (2, True)])
def test_any_batch_and_any_size_that_the_graph_allows(name: str, batch: int, other: bool) -> None:
    x = images(name, batch, other=other)
    assert run(trained(name), x).shape == expected_shape(name, x)


@pytest.mark.parametrize("name", CASES)
def test_images_of_a_batch_do_not_see_each_other_in_evaluation(name: str) -> None:
    x = images(name, 3)
    assert close(run(trained(name), x[1:2]), run(trained(name), x)[1:2], 1e-4)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classes_and_channels_are_arguments(name: str) -> None:
    model = network_class(name)(num_classes=7, in_channels=4).eval()
    x = images(name, channels=4)
    assert run(model, x).shape == (2, 7)


@pytest.mark.parametrize("name", ["unet"])
def test_channels_are_an_argument_where_classes_are_not(name: str) -> None:
    assert list(inspect.signature(network_class(name)).parameters) == ["in_channels"]
    x = images(name, channels=1)
    assert run(network_class(name)(in_channels=1).eval(), x).shape == expected_shape(name, x)


@pytest.mark.parametrize("name", CASES)
def test_a_training_step_reaches_every_weight(name: str) -> None:
    import torch

    model = fresh(name).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2 if name == "drop_path" else 1):  # a dropped path has no gradient
        given = model(images(name, 4))
        outputs = given if isinstance(given, tuple) else (given,)
        assert len(outputs) == (3 if name == "googlenet" else 1)
        torch.stack([output.square().mean() for output in outputs]).sum().backward()
    optimizer.step()
    unmoved = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
    assert not unmoved


# --- copies


@pytest.mark.parametrize("name", CASES)
def test_a_deep_copy_is_equal_and_independent(name: str) -> None:
    import torch

    model, x = fresh(name), images(name)
    copied = copy.deepcopy(model)
    expected = run(model, x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(run(copied, x), expected)


@pytest.mark.parametrize("name", CASES)
def test_a_pickle_is_equal(name: str) -> None:
    import torch

    x = images(name)
    loaded = pickle.loads(pickle.dumps(trained(name)))
    assert type(loaded) is network_class(name)
    assert torch.equal(run(loaded, x), run(trained(name), x))


LOAD = """
import sys, torch
model, x, y = torch.load(sys.argv[1], weights_only=False)
assert torch.equal(model(x), y)
assert not any(name.startswith("resnetgen") for name in sys.modules)
"""


def test_a_saved_network_loads_without_resnetgen(tmp_path: Path) -> None:
    """The built file and torch are all that another machine needs."""
    import torch

    x = images("resnet18")
    saved = tmp_path / "model.pt"
    torch.save((trained("resnet18"), x, run(trained("resnet18"), x)), saved)
    subprocess.run(
        [sys.executable, "-c", LOAD, str(saved)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(folder())},
        check=True,
    )


@pytest.mark.parametrize("name", CASES)
def test_a_state_dict_round_trips(name: str, tmp_path: Path) -> None:
    import torch

    torch.save(trained(name).state_dict(), tmp_path / "weights.pt")
    model = network_class(name)()
    state = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert list(state) == list(model.state_dict())
    model.load_state_dict(state, strict=True)
    assert torch.equal(run(model.eval(), images(name)), run(trained(name), images(name)))


# --- number formats and memory layouts


@pytest.mark.parametrize("name", CASES)
def test_autocast_computes_in_bfloat16(name: str) -> None:
    import torch

    x = images(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = run(trained(name), x)
    assert y.dtype is torch.bfloat16
    assert close(y, run(trained(name), x), 0.2)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, "bfloat16") for name in CASES), ("resnet18", "float16"), ("preact", "float16")],
)
def test_a_cast_network_accepts_cast_images(name: str, dtype: str) -> None:
    import torch

    dtype = getattr(torch, dtype)
    x = images(name)
    y = run(fresh(name).to(dtype), x.to(dtype))
    assert y.dtype is dtype
    assert close(y, run(trained(name), x), 0.2)


@pytest.mark.parametrize("name", CASES)
def test_channels_last_computes_the_same(name: str) -> None:
    import torch

    x = images(name)
    layout = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    y = run(fresh(name).to(memory_format=layout), x.to(memory_format=layout))
    assert close(y, run(trained(name), x), 1e-4)


# --- captured graphs


@pytest.mark.parametrize("name", CASES)
def test_fx_traces_it(name: str) -> None:
    import torch

    traced = torch.fx.symbolic_trace(trained(name))
    x = images(name, 3, other=True)
    assert torch.equal(run(traced, x), run(trained(name), x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", SOME)
def test_jit_traces_it(name: str) -> None:
    import torch

    traced = torch.jit.trace(trained(name), images(name))
    x = images(name, 3)
    assert close(run(traced, x), run(trained(name), x), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_export_with_a_dynamic_batch(name: str) -> None:
    import torch

    shapes = {"x": {0: torch.export.Dim("batch", min=1, max=64)}}
    program = torch.export.export(trained(name), (images(name),), dynamic_shapes=shapes)
    x = images(name, 5)
    assert close(run(program.module(), x), run(trained(name), x), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", *SOME, "video"])
def test_a_compiled_network_computes_the_same(name: str) -> None:
    import torch

    compiled = torch.compile(trained(name), fullgraph=True, backend="eager")
    x = images(name)
    assert torch.equal(run(compiled, x), run(trained(name), x))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["drop_path", "googlenet"])
def test_a_compiled_network_trains_the_same(name: str) -> None:
    """Training mode takes another path through `forward` in these."""
    import torch

    gradients, model = [], fresh(name).train()
    for compiled in (torch.compile(copy.deepcopy(model), fullgraph=True, backend="eager"), model):
        torch.manual_seed(1)
        given = compiled(images(name))
        outputs = given if isinstance(given, tuple) else (given,)
        torch.stack([output.square().mean() for output in outputs]).sum().backward()
        gradients.append([parameter.grad for parameter in compiled.parameters()])
    for mine, expected in zip(*gradients, strict=True):
        assert mine is expected is None or torch.equal(mine, expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SOME)
def test_onnx_computes_the_same_at_another_batch(name: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    import torch
    from onnx.reference import ReferenceEvaluator

    path = tmp_path / "model.onnx"
    shapes = {"x": {0: torch.export.Dim("batch", min=1, max=64)}}
    arguments = {"dynamo": True, "dynamic_shapes": shapes, "external_data": False}
    torch.onnx.export(trained(name), (images(name),), path, verbose=False, **arguments)
    onnx.checker.check_model(path, full_check=True)
    x = images(name, 3)
    (y,) = ReferenceEvaluator(onnx.load(path)).run(None, {"x": x.numpy()})
    assert close(torch.from_numpy(y), run(trained(name), x), 1e-3)
