"""What the GPU measurements need of a network, in a folder: on the machine that measures, torch is enough.

prepare("resnet50", folder)     writes network.json, plain.py, folded.py and steps.pickle
Prepared(folder)                reads them, without pydantic and PyYAML
"""

from __future__ import annotations

import json
import pickle
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resnetgen.compiler.ir.shape_rules import TensorType
    from resnetgen.compiler.passes.fold import FusedStep


@dataclass(frozen=True)
class Problem:
    """A convolution of the folded network, for one image, and how often the network calls it."""

    channels: int
    out: int
    size: tuple[int, int]  # of its input
    kernel: int
    stride: int
    padding: int
    dilation: int
    groups: int
    adds: bool
    rectifies: bool
    calls: int = 1

    @property
    def is_product(self) -> bool:
        """Whether it is a matrix product over positions."""
        return self.kernel == 1 and self.groups == 1 and self.padding == 0


def prepare(network: str, folder: Path) -> None:
    """Compiles a library network of two axes and writes what the measurements read."""
    from resnetgen.compiler.passes.fold import fold
    from resnetgen.compiler.passes.infer_types import INPUT
    from resnetgen.pipeline import compile_spec

    start = time.perf_counter()
    net = compile_spec(network)
    texts = {"plain.py": net.source, "folded.py": net.inference_source}
    seconds = time.perf_counter() - start
    steps = fold(net.flat_graph).steps
    types = {INPUT: net.flat_graph.input} | {each.name: each.type for each in steps}
    description = {
        "network": network,
        "name": net.inference_plan.module.name,
        "input": net.flat_graph.input.shape,
        "compiled": seconds,  # seconds of compiling the spec, which the other machine does not do
        "problems": [asdict(each) for each in problems(steps, types)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    (folder / "steps.pickle").write_bytes(pickle.dumps(net.inference_plan.forward.module_steps))
    (folder / "network.json").write_text(json.dumps(description, indent=1), encoding="utf-8")


def problems(steps: tuple[FusedStep, ...], types: dict[str, TensorType]) -> list[Problem]:
    """The distinct convolutions among the steps, in order."""
    counts: Counter[Problem] = Counter()
    for step in steps:
        if step.node.op != "convolution":
            continue
        numbers = step.node.attributes
        named = {
            key: numbers[key]
            for key in ("out", "kernel", "stride", "padding", "dilation", "groups")
        }
        source = types[step.inputs[0]]
        rest = {"adds": step.addend is not None, "rectifies": step.relu}
        counts[Problem(source.channels, size=source.size, **named, **rest)] += 1  # type: ignore[arg-type]
    return [Problem(**{**asdict(each), "calls": calls}) for each, calls in counts.items()]


@dataclass(frozen=True)
class Prepared:
    """A prepared network."""

    folder: Path

    @cached_property
    def description(self) -> dict[str, Any]:
        """The content of network.json."""
        description: dict[str, Any] = json.loads((self.folder / "network.json").read_text("utf-8"))
        return description

    @property
    def problems(self) -> list[Problem]:
        """The distinct convolutions."""
        return [
            Problem(**{**each, "size": tuple(each["size"])})
            for each in self.description["problems"]
        ]

    def images(self, batch: int, device: str, seed: int) -> Tensor:
        """Random images in channels_last, float32."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, *self.description["input"], generator=generator)
        return x.to(device, memory_format=torch.channels_last)

    def plain(self, device: str) -> nn.Module:
        """The network with random norms that suit its weights, in float32."""
        import torch

        from resnetgen.runtime.compare import randomize_norms
        from resnetgen.runtime.load import build

        torch.manual_seed(0)
        model = build(
            (self.folder / "plain.py").read_text(encoding="utf-8"), self.description["name"]
        )
        randomize_norms(model, self.images(4, "cpu", seed=0))
        model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model.requires_grad_(False)

    def folded(self, model: nn.Module, dtype: Any) -> nn.Module:
        """The module of the inference target with the weights of the network."""
        from resnetgen.runtime.inference import inference_module

        steps = pickle.loads((self.folder / "steps.pickle").read_bytes())
        printed = SimpleNamespace(name=self.description["name"], axes=2)
        plan: Any = SimpleNamespace(module=printed, forward=SimpleNamespace(module_steps=steps))
        source = (self.folder / "folded.py").read_text(encoding="utf-8")
        example = self.images(1, "cpu", seed=3)  # not the images that are measured
        module = inference_module(plan, source, model.state_dict(), dtype, example)
        return module.to(next(model.parameters()).device)
