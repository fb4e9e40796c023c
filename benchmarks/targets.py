"""The targets of the project, and whether the stored results reach them: the table at the page's top.

Target("`build resnet152`, ...", 7.0, figures=..., part="The front end")
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
Figure = tuple[str, float]  # where it was measured, and the value


@dataclass(frozen=True)
class Target:
    """A bound on each of some figures, and perhaps a goal beyond it.

    The bound is a lower one, or with `at_most` an upper one. `part` is the heading of the page under
    which the figures are, and why some miss the bound.
    """

    what: str
    bound: float
    figures: Callable[[Stored], Iterator[Figure]]
    part: str
    goal: float | None = None
    at_most: bool = False

    def reached(self, figure: float, bound: float) -> bool:
        """Whether a figure is on the right side of a bound."""
        return figure <= bound if self.at_most else figure >= bound


def target_table(stored: Stored) -> list[str]:
    """The table: a row for each target."""
    rows = [_row(each, list(each.figures(stored))) for each in TARGETS]
    return table(["target", "bound", "reached", "", "part"], rows, texts=5)


def _row(target: Target, figures: Sequence[Figure]) -> list[str]:
    sign = "at most" if target.at_most else "at least"
    goal = f", goal {target.goal:g}" if target.goal is not None else ""
    cells = [target.what, f"{sign} {_figure(target.bound, target.bound)}{goal}"]
    return [*cells, _worst(target, figures), _verdict(target, figures), _link(target.part)]


def _worst(target: Target, figures: Sequence[Figure]) -> str:
    """The worst figure, and where it was measured if there are several."""
    if not figures:
        return "not measured"
    where, figure = (max if target.at_most else min)(figures, key=lambda each: each[1])
    return _figure(figure, target.bound) + (f" ({where})" if len(figures) > 1 else "")


def _verdict(target: Target, figures: Sequence[Figure]) -> str:
    if not figures:
        return ""
    missed = [figure for _, figure in figures if not target.reached(figure, target.bound)]
    if missed:
        return (
            f"**missed** in {len(missed)} of {len(figures)}" if len(figures) > 1 else "**missed**"
        )
    if target.goal is not None and all(target.reached(each, target.goal) for _, each in figures):
        return "reached, and the goal"
    return "reached"


def _figure(figure: float, bound: float) -> str:
    """Rounded to three digits, or to as many as keep it on its side of the bound."""
    if figure >= 1000:
        return f"{figure:,.0f}"
    shown = (f"{figure:.{digits}g}" for digits in range(3, 17))
    return next(each for each in shown if (float(each) < bound) == (figure < bound))


def _link(heading: str) -> str:
    """A link to a heading of the page, with GitHub's name of its anchor."""
    return f"[{heading}](#{re.sub(r'[^a-z0-9 _-]', '', heading.lower()).replace(' ', '-')})"


# --- where the figures are


def _front_end(name: str, stored: Stored) -> Iterator[Figure]:
    """Pairs of the front end whose names begin with this."""
    for result in stored["front_end"]:
        for pair in result.figures["pairs"]:
            if pair.startswith(name):
                yield pair.rpartition("/")[2], front_end.relative_time(result, pair)


def _sweep_rates(stored: Stored) -> Iterator[Figure]:
    for result in stored["sweep"]:
        for name, runs in result.figures.items():
            yield name, sweep.rate(runs["all"])


def _first_output(network: str, stored: Stored) -> Iterator[Figure]:
    for result in stored["cold"]:
        speedup = cold.speedup(result)
        if result.name == f"cold-{network}" and speedup is not None:
            yield network, speedup


def _steady(side: str, fits: Callable[[int, str], bool], stored: Stored) -> Iterator[Figure]:
    for network, case in cases(inference.bench_results(stored["inference"])):
        times = inference.relative_time(case, side)
        if fits(case.batch, case.dtype) and times is not None:
            yield f"{network}, {case.batch}, {case.dtype}", times


def _regions(network: str, clocks: Mapping[str, bool], stored: Stored) -> Iterator[Figure]:
    """The first step, with or without the toolchain's start-up, by the name of the clock."""
    for result in stored["regions"]:
        name = result.name.removeprefix("regions-")
        if name.removesuffix("-training") == network:
            for clock, toolchain in clocks.items():
                yield f"{name}, {clock}", regions.cold_speedup(result, toolchain)


def _load_times(stored: Stored) -> Iterator[Figure]:
    for result in stored["plans"]:
        yield result.name.removeprefix("plans-"), median(result.figures["load"])


def _steady_speeds(stored: Stored) -> Iterator[Figure]:
    for result in stored["regions"]:
        speed = regions.steady_speed(result)
        if speed is not None:
            yield result.name.removeprefix("regions-"), speed


def _errors(dtype: str, stored: Stored) -> Iterator[Figure]:
    for result in stored["library"]:
        yield from library.errors(result, dtype)


def _on_gpu(base: str, stored: Stored) -> Iterator[Figure]:
    """ResNet-50 at the batch of the target."""
    for result in stored["gpu"]:
        if result.name == "gpu-steady-resnet50":
            sides = result.figures.get("256", {})
            yield from _speedup({name: each.get("seconds") for name, each in sides.items()}, base)


def _first_output_on_gpu(stored: Stored) -> Iterator[Figure]:
    for result in stored["gpu"]:
        if result.name == "gpu-cold-resnet152":
            sides = result.figures["sides"].items()
            runs = {
                side: [run["seconds"] for run in each if "seconds" in run] for side, each in sides
            }
            yield from _speedup(runs, "B0")


def _speedup(runs: Mapping[str, Sequence[float] | None], base: str) -> Iterator[Figure]:
    """How many times longer a side took than `resnetgen.optimize`, if both have figures."""
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
        partial(_front_end, "report/"),
        FRONT,
    ),
    Target(
        "`build` of ResNet-152, a whole process: times faster than importing torchvision and constructing it",
        7,
        partial(_front_end, "build"),
        FRONT,
    ),
    Target(
        "`check`, `report` and `build` of ResNet-1202: times the time of ResNet-20",
        1.5,
        partial(_front_end, "depth"),
        FRONT,
        at_most=True,
    ),
    Target("variants of a sweep, a second on one core", 5000, _sweep_rates, "Sweeps"),
    Target(
        "ResNet-152, cold: times sooner than torch.compile of torchvision's",
        50,
        partial(_first_output, "resnet152"),
        COLD,
    ),
    Target(
        "ResNet-50, cold: times sooner than torch.compile of torchvision's",
        30,
        partial(_first_output, "resnet50"),
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
        _load_times,
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
    Target("regions, steady: of the whole graph's speed", 0.85, _steady_speeds, REGIONS, goal=0.95),
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
    Target(
        "ResNet-152 on a GPU, cold: times sooner than torch.compile", 25, _first_output_on_gpu, GPU
    ),
)
