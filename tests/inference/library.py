"""The inference target against eager execution, for every network of the library.

    python -m tests.inference.library [NETWORK...] [--most GIGA] [--format json]

Each network gets random norms (`resnetgen.runtime.compare`) and runs on two other random images, eager
and through `resnetgen.optimize`, whose example is yet another one, in float32 and in bfloat16. Errors
are relative to eager in float32; how far eager is from itself in float64 and in bfloat16 shows what
rounding alone does. The exit status is 1 if a network misses a bound.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from resnetgen import optimize
from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend.library import network_files
from resnetgen.pipeline import Compiled, compile_spec
from resnetgen.runtime.compare import randomize_norms
from resnetgen.runtime.load import build
from resnetgen.runtime.trace import output_tensors

SPECS = Path(__file__).resolve().parents[1] / "specs"
BATCH = 2
NORM_IMAGES = 4  # from which norms get their statistics
SEED = 0
BOUNDS = {"float32": 1e-5, "bfloat16": 1e-2}
MOST = 50.0  # 10^9 multiply-adds an image; a network that needs more runs on a smaller image


@dataclass(frozen=True)
class Row:
    """One network: |ours - eager| / |eager|, Euclidean norms of an output, the worst of them.

    `largest_*` is the greatest difference over the greatest value of the output.
    """

    network: str
    input: tuple[int, ...]
    float32: float
    largest_float32: float
    eager_float32: float  # of eager from float64
    bfloat16: float
    largest_bfloat16: float
    eager_bfloat16: float  # of eager in bfloat16
    seconds: float

    @property
    def missed(self) -> list[str]:
        """The dtypes in which the error is over its bound; NaN is."""
        return [dtype for dtype, bound in BOUNDS.items() if not getattr(self, dtype) <= bound]


def row(name: str, most: float = MOST, **overrides: object) -> Row:
    """Measures one network, of the library or of tests/specs."""
    began = time.perf_counter()
    own = SPECS / f"{name}.yaml"
    spec = own if own.exists() else name
    net, overrides = _fitting(spec, most, overrides)
    torch.manual_seed(SEED)
    model = build(net.source, net.network.name)
    randomize_norms(model, torch.randn(NORM_IMAGES, *net.checked_graph.input.shape), SEED)
    images, example = torch.randn(BATCH + 1, *net.checked_graph.input.shape).split([BATCH, 1])
    found = {
        dtype: _run(
            optimize(spec, model.state_dict(), example.to(dtype), **overrides), images.to(dtype)
        )
        for dtype in _TYPES
    }
    eager = _run(model, images)
    exact = _run(model.double(), images.double())
    short = _run(model.bfloat16(), images.bfloat16())
    return Row(
        name,
        net.checked_graph.input.shape,
        distance(found[torch.float32], eager),
        largest(found[torch.float32], eager),
        distance(eager, exact),
        distance(found[torch.bfloat16], eager),
        largest(found[torch.bfloat16], eager),
        distance(short, eager),
        time.perf_counter() - began,
    )


_TYPES = (torch.float32, torch.bfloat16)


def _fitting(
    spec: str | Path, most: float, overrides: dict[str, object]
) -> tuple[Compiled, dict[str, object]]:
    """The network, with its input halved until it needs no more, and the overrides for that.

    An input that cannot be halved, because shapes would not match at a shortcut, stays as it is.
    """
    net = compile_spec(spec, **overrides)
    while net.cost.macs > most * 1e9:
        smaller = overrides | {"input.size": [axis // 2 for axis in net.flat_graph.input.size]}
        try:
            net, overrides = compile_spec(spec, **smaller), smaller
        except SpecError:
            break
    return net, overrides


def _run(module: nn.Module, images: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [each.double() for each in output_tensors(module.eval()(images))]


def distance(actual: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The worst output's |actual - expected| / |expected|, in Euclidean norms."""
    pairs = zip(actual, expected, strict=True)
    return max(((one - other).norm() / other.norm()).item() for one, other in pairs)


def largest(actual: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The same of greatest absolute values."""
    pairs = zip(actual, expected, strict=True)
    return max(((one - other).abs().max() / other.abs().max()).item() for one, other in pairs)


# --- the command

HEADS = ("network", "input", *BOUNDS, "eager float32", "eager bfloat16", "seconds")


def main(arguments: Sequence[str]) -> int:
    """Measures the networks that are named, or all, and prints a line each as it is known."""
    options = _options(arguments)
    names = options.networks or [path.stem for path in (*network_files(), *network_files(SPECS))]
    rows = []
    if options.format == "table":
        print(_line(HEADS), flush=True)
    for name in names:
        rows.append(row(name, options.most))
        line = json.dumps(asdict(rows[-1])) if options.format == "json" else _line(_cells(rows[-1]))
        print(line, flush=True)
    missed = [f"{each.network} ({', '.join(each.missed)})" for each in rows if each.missed]
    if missed:
        print(f"{len(missed)} of {len(rows)} miss a bound: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.inference.library")
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="all where none is named")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "--most",
        type=float,
        default=MOST,
        metavar="GIGA",
        help="10^9 multiply-adds an image; a network that needs more runs on smaller ones",
    )
    return parser.parse_args(arguments)


def _cells(found: Row) -> Iterator[str]:
    yield found.network
    yield "x".join(map(str, found.input))
    for dtype in BOUNDS:
        yield f"{getattr(found, dtype):.1e}{' !' if dtype in found.missed else ''}"
    yield f"{found.eager_float32:.1e}"
    yield f"{found.eager_bfloat16:.1e}"
    yield f"{found.seconds:.1f}"


def _line(cells: Iterator[str] | Sequence[str]) -> str:
    name, *rest = cells
    return f"{name:24}" + "".join(f"{cell:>16}" for cell in rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
