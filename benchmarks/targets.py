"""What the project wants to reach, and whether the stored results do: the table at the page's top.

Target("`build resnet152`, ...", 7.0, found=..., part="The front end")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks import cold, front_end, inference, library, regions, sweep
from benchmarks.bench import OURS, cases
from benchmarks.results import Result
from benchmarks.tables import ratio, table

Stored = Mapping[str, Sequence[Result]]  # the results of each section
Found = tuple[str, float]  # where, and what was measured there


@dataclass(frozen=True)
class Target:
    """A bound on each of some figures, `most` of them or `least` of them, and a goal beyond it.

    `part` is the heading of the page under which the figures stand, and why some are missed.
    """

    what: str
    bound: float
    figures: Callable[[Stored], Iterator[Found]]
    part: str
    goal: float | None = None
    at_most: bool = False

    def reached(self, figure: float, bound: float) -> bool:
        """Whether a figure is on the right side of a bound."""
        return figure <= bound if self.at_most else figure >= bound


def target_table(stored: Stored) -> list[str]:
    """The table: a row a target."""
    rows = [_row(each, list(each.figures(stored))) for each in TARGETS]
    return table(["target", "bound", "reached", "", "part"], rows, texts=5)


def _row(target: Target, found: Sequence[Found]) -> list[str]:
    sign = "at most" if target.at_most else "at least"
    goal = f", goal {target.goal:g}" if target.goal is not None else ""
    cells = [target.what, f"{sign} {_figure(target.bound, target.bound)}{goal}"]
    return [*cells, _worst(target, found), _verdict(target, found), _link(target.part)]


def _worst(target: Target, found: Sequence[Found]) -> str:
    """The figure furthest on the wrong side, and where, if there are several."""
    if not found:
        return "not measured"
    where, figure = (max if target.at_most else min)(found, key=lambda each: each[1])
    return _figure(figure, target.bound) + (f" ({where})" if len(found) > 1 else "")


def _verdict(target: Target, found: Sequence[Found]) -> str:
    if not found:
        return ""
    missed = [figure for _, figure in found if not target.reached(figure, target.bound)]
    if missed:
        return f"**missed** in {len(missed)} of {len(found)}" if len(found) > 1 else "**missed**"
    if target.goal is not None and all(target.reached(each, target.goal) for _, each in found):
        return "reached, and the goal"
    return "reached"


def _figure(figure: float, bound: float) -> str:
    """Rounded to three digits, or to as many more as keep it on its side of the bound."""
    if figure >= 1000:
        return f"{figure:,.0f}"
    shown = (f"{figure:.{digits}g}" for digits in range(3, 17))
    return next(each for each in shown if (float(each) < bound) == (figure < bound))


def _link(heading: str) -> str:
    """A link to a heading of the page, as GitHub names its anchors."""
    return f"[{heading}](#{re.sub(r'[^a-z0-9 _-]', '', heading.lower()).replace(' ', '-')})"


# --- where the figures are


def _pair(name: str, stored: Stored) -> Iterator[Found]:
    """Pairs of the front end whose names begin so."""
    for result in stored["front_end"]:
        for pair in result.figures["pairs"]:
            if pair.startswith(name):
                yield pair.rpartition("/")[2], front_end.compared(result, pair)


def _sweeps(stored: Stored) -> Iterator[Found]:
    for result in stored["sweep"]:
        for name, found in result.figures.items():
            yield name, sweep.rate(found["all"])


def _first(network: str, stored: Stored) -> Iterator[Found]:
    for result in stored["cold"]:
        sooner = cold.sooner(result)
        if result.name == f"cold-{network}" and sooner is not None:
            yield network, sooner


def _steady(side: str, fits: Callable[[int, str], bool], stored: Stored) -> Iterator[Found]:
    for network, case in cases(inference.timed(stored["inference"])):
        slower = inference.slower(case, side)
        if fits(case.batch, case.dtype) and slower is not None:
            yield f"{network}, {case.batch}, {case.dtype}", slower


def _regions(network: str, clocks: Mapping[str, bool], stored: Stored) -> Iterator[Found]:
    """The first step, on each of some clocks."""
    for result in stored["regions"]:
        name = result.name.removeprefix("regions-")
        if name.removesuffix("-training") == network:
            for clock, toolchain in clocks.items():
                yield f"{name}, {clock}", regions.faster(result, toolchain)


def _loaded(stored: Stored) -> Iterator[Found]:
    for result in stored["plans"]:
        yield result.name.removeprefix("plans-"), median(result.figures["load"])


def _kept(stored: Stored) -> Iterator[Found]:
    for result in stored["regions"]:
        speed = regions.kept(result)
        if speed is not None:
            yield result.name.removeprefix("regions-"), speed


def _errors(dtype: str, stored: Stored) -> Iterator[Found]:
    for result in stored["library"]:
        yield from library.errors(result, dtype)


def _on_gpu(base: str, stored: Stored) -> Iterator[Found]:
    """ResNet-50 at the batch of the target."""
    for result in stored["gpu"]:
        if result.name == "gpu-steady-resnet50":
            sides = result.figures.get("256", {})
            yield from _gained({name: each.get("seconds") for name, each in sides.items()}, base)


def _first_on_gpu(stored: Stored) -> Iterator[Found]:
    for result in stored["gpu"]:
        if result.name == "gpu-cold-resnet152":
            sides = result.figures["sides"].items()
            runs = {
                side: [each["seconds"] for each in found if "seconds" in each]
                for side, found in sides
            }
            yield from _gained(runs, "B0")


def _gained(runs: Mapping[str, Sequence[float] | None], base: str) -> Iterator[Found]:
    """How many times longer a side took than `resnetgen.optimize`, where both gave something."""
    ours, other = runs.get(OURS), runs.get(base)
    if ours and other:
        yield base, ratio(other, ours)


def _is_large_float32(batch: int, dtype: str) -> bool:
    return batch == 16 and dtype == "float32"


START_UP = {"the toolchain's start-up included": True}
AFTER_IT = {"after the toolchain's start-up": False}
FRONT, STEADY, COLD = "The front end", "Inference on a CPU, steady", "Inference on a CPU, cold"
REGIONS, ERRORS, GPU = "Regional torch.compile", "Errors over the whole library", "GPU"

TARGETS = (
    Target(
        "`report` of ResNet-152, a whole process: times faster than the fastest of five counters",
        10,
        partial(_pair, "report/"),
        FRONT,
    ),
    Target(
        "`build` of ResNet-152, a whole process: times faster than importing torchvision and constructing it",
        7,
        partial(_pair, "build"),
        FRONT,
    ),
    Target(
        "`check`, `report` and `build` of ResNet-1202: times the time of ResNet-20",
        1.5,
        partial(_pair, "depth"),
        FRONT,
        at_most=True,
    ),
    Target("variants of a sweep, a second on one core", 5000, _sweeps, "Sweeps"),
    Target(
        "ResNet-152, cold: times sooner than torch.compile of torchvision's",
        50,
        partial(_first, "resnet152"),
        COLD,
    ),
    Target(
        "ResNet-50, cold: times sooner than torch.compile of torchvision's",
        30,
        partial(_first, "resnet50"),
        COLD,
    ),
    Target(
        "ResNet-18, -50 and -152, steady: times faster than torch.compile's default in the same type",
        1.3,
        partial(_steady, "compile", lambda *case: not _is_large_float32(*case)),
        STEADY,
    ),
    Target(
        "the same, 16 images in float32",
        1.2,
        partial(_steady, "compile", _is_large_float32),
        STEADY,
    ),
    Target(
        "the same: of the speed of torch.compile with freezing",
        0.95,
        partial(_steady, "freezing", lambda *_: True),
        STEADY,
        goal=1,
    ),
    Target(
        "the same, float32: of the speed of ONNX Runtime",
        0.88,
        partial(_steady, "onnxruntime", lambda _, dtype: dtype == "float32"),
        STEADY,
        goal=1,
    ),
    Target(
        "a saved plan of ResNet-50 and -152, cold: seconds to the first result",
        1,
        _loaded,
        "Saved plans",
        at_most=True,
    ),
    Target(
        "ResNet-152 by regions, cold, inference and training: times sooner than the whole graph",
        1.4,
        partial(_regions, "resnet152", START_UP | AFTER_IT),
        REGIONS,
        goal=2,
    ),
    Target(
        "ResNet-1202 (CIFAR) by regions, cold: times sooner than the whole graph",
        15,
        partial(_regions, "resnet1202", AFTER_IT),
        REGIONS,
    ),
    Target("regions, steady: of the whole graph's speed", 0.85, _kept, REGIONS, goal=0.95),
    Target(
        "error against float32 eager, every network, float32",
        library.BOUNDS["float32"],
        partial(_errors, "float32"),
        ERRORS,
        at_most=True,
    ),
    Target(
        "error against float32 eager, every network, bfloat16",
        library.BOUNDS["bfloat16"],
        partial(_errors, "bfloat16"),
        ERRORS,
        at_most=True,
    ),
    Target(
        "ResNet-50 on a GPU, 256 images, bfloat16: times faster than torch.compile",
        1.35,
        partial(_on_gpu, "B0"),
        GPU,
    ),
    Target(
        "the same: times faster than with max-autotune, freezing and CUDA graphs",
        1.1,
        partial(_on_gpu, "B1"),
        GPU,
    ),
    Target("ResNet-152 on a GPU, cold: times sooner than torch.compile", 25, _first_on_gpu, GPU),
)
