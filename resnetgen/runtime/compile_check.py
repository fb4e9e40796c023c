"""compile_and_run(graph, source, device) -> CompileReport: torch.compile against eager execution.

The printed module is compiled for `cpu` or `cuda` (Inductor, default mode; by regions where many
blocks are equal, see `regional/`) and run on random images, once in evaluation and once in training
mode with a backward pass. Outputs, gradients and the statistics that the norms update are compared
with those of the same weights in eager execution.

Evaluation runs in float32, training in float64. A rounding error that moves one value across the
zero of a ReLU changes gradients by far more than itself: eager float32 gradients of a ResNet-50 are
up to 13 % from those of float64, so float32 could not distinguish a wrong gradient from a right
one. Dropout and drop path stay in evaluation in both modes: compiled code draws other numbers.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnetgen.compiler.ir.nodes import Graph
from resnetgen.runtime.compare import randomize_norms
from resnetgen.runtime.errors import MissingRequirement, error_summary, mute_fake_tensor_log
from resnetgen.runtime.load import build
from resnetgen.runtime.regional.compile import compile_by_regions
from resnetgen.runtime.trace import output_tensors

BATCH = 2
SEED = 0
TOLERANCE = 1e-4
_NEGLIGIBLE = 1e-2  # of the largest value of all tensors: below it, values are mostly rounding
_RANDOM_OPS = ("dropout", "drop_path")


@dataclass(frozen=True)
class ModeResult:
    """One mode: the time to the first result, and the greatest relative errors."""

    mode: str  # "eval" or "training"
    seconds: float  # of compilation and the first call; in training with the backward pass
    outputs: float
    gradients: float | None = None
    statistics: float | None = None

    @property
    def error(self) -> float:
        """The greatest of the errors."""
        return max(self.outputs, self.gradients or 0.0, self.statistics or 0.0)


@dataclass(frozen=True)
class CompileReport:
    """What was run on which device, and each difference from eager execution as a sentence."""

    device: str
    modes: tuple[ModeResult, ...]
    tolerance: float
    mismatches: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether torch.compile accepted the whole network and agreed with eager execution."""
        return not self.mismatches


def compile_and_run(
    graph: Graph,
    source: str,
    device: str,
    progress: Callable[[str], None] | None = None,
) -> CompileReport:
    """Compiles the printed module for `cpu` or `cuda` and compares it with eager execution.

    Raises MissingRequirement `no-device` or `no-compiler` before anything is built.
    """
    require_compiler(device)
    show = progress or (lambda text: None)
    modes: list[ModeResult] = []
    mismatches: list[str] = []
    with _without_tf32(), mute_fake_tensor_log(), torch.random.fork_rng():
        torch.manual_seed(SEED)
        module = build(source, graph.name)
        x = torch.randn(BATCH, *graph.input.shape)
        module, x = randomize_norms(module, x).to(device), x.to(device)
        for training in (False, True):
            mode = "training" if training else "eval"
            show(f"{mode}: compiling {graph.name} for {device}")
            try:
                result = _run_mode(module, graph, x, training=training)
            except Exception as error:  # failures of the compiler come in many classes
                _raise_if_no_compiler(error)
                mismatches.append(f"{mode}: torch.compile failed: {error_summary(error)}")
                continue
            show(f"{mode}: {result.seconds:.1f} s, relative error {result.error:.1e}")
            modes.append(result)
            mismatches += _mismatches(result)
    return CompileReport(device, tuple(modes), TOLERANCE, tuple(mismatches))


# --- what is needed


def require_compiler(device: str) -> None:
    """Raises MissingRequirement unless torch.compile can make code for the device here."""
    if device == "cpu":
        _require_cpp()
    elif device == "cuda":
        _require_cuda()
    else:
        raise MissingRequirement(
            "no-device", f"`{device}` is not a device to compile for", "use cpu or cuda"
        )


def _require_cpp() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:  # InvalidCxxCompiler; another class if CXX names something broken
        raise _no_compiler() from error


def _require_cuda() -> None:
    from torch.utils._triton import has_triton

    if not torch.cuda.is_available():
        raise MissingRequirement(
            "no-device", "torch finds no CUDA device here", "compile for the CPU: `--compile cpu`"
        )
    if not has_triton():
        raise MissingRequirement(
            "no-compiler",
            "torch.compile needs Triton for CUDA, and it is missing or does not support this GPU",
            "install it with `pip install triton`",
        )


def _no_compiler() -> MissingRequirement:
    return MissingRequirement(
        "no-compiler",
        "torch.compile needs a working C++ compiler for the CPU, and found none",
        "install g++ (on Debian or Ubuntu: `apt install g++`), or name one in CXX",
    )


def _raise_if_no_compiler(error: BaseException) -> None:
    """Raises MissingRequirement if the compiler exists but does not work: no headers, no linker."""
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CppCompileError | InvalidCxxCompiler):
            raise _no_compiler() from error
        cause = getattr(cause, "inner_exception", None) or cause.__cause__


# --- one mode


def _run_mode(module: nn.Module, graph: Graph, x: Tensor, *, training: bool) -> ModeResult:
    if training:
        module, x = copy.deepcopy(module).double(), x.double()
    eager = _run_once(copy.deepcopy(module), graph, x, training, compiled=False)
    actual = _run_once(copy.deepcopy(module), graph, x, training, compiled=True)
    _check_informative(eager.outputs)
    return ModeResult(
        "training" if training else "eval",
        actual.seconds,
        relative_error(eager.outputs, actual.outputs),
        relative_error(eager.gradients, actual.gradients) if training else None,
        relative_error(eager.statistics, actual.statistics) if training else None,
    )


@dataclass(frozen=True)
class _RunResults:
    outputs: list[Tensor]
    gradients: list[Tensor]
    statistics: list[Tensor]
    seconds: float


def _run_once(
    module: nn.Module, graph: Graph, x: Tensor, training: bool, *, compiled: bool
) -> _RunResults:
    _set_mode(module, graph, training=training)
    call = compile_by_regions(module) if compiled else module
    start = time.perf_counter()
    with torch.set_grad_enabled(training):
        outputs = output_tensors(call(x))
    if training:
        torch.autograd.backward(_loss(outputs))
    if x.is_cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    gradients = [each.grad for each in module.parameters() if each.grad is not None]
    statistics = [each for each in module.buffers() if each.is_floating_point()]
    return _RunResults([each.detach() for each in outputs], gradients, statistics, seconds)


def _set_mode(module: nn.Module, graph: Graph, *, training: bool) -> None:
    module.train(training)
    for node in graph.nodes:
        if node.op in _RANDOM_OPS and node.module in dict(module.named_modules()):
            module.get_submodule(node.module).eval()


def _loss(outputs: Sequence[Tensor]) -> Tensor:
    """The outputs along fixed random directions."""
    seeded = torch.Generator().manual_seed(SEED)
    directions = (torch.randn(each.shape, generator=seeded).to(each) for each in outputs)
    return torch.stack([(a * b).mean() for a, b in zip(outputs, directions, strict=True)]).sum()


def relative_error(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> float:
    """The greatest |actual - expected|, relative to the largest value of its tensor.

    For a tensor whose values are all below 1 % of the largest value of all tensors, relative to that
    1 %. Infinite if shapes differ or a value is not finite; 0 if there are no tensors.
    """
    if [each.shape for each in expected] != [each.shape for each in actual]:
        return float("inf")
    if not expected:
        return 0.0
    sizes = [each.abs().max().item() for each in expected]
    least = _NEGLIGIBLE * max(sizes)
    errors = [(b - a).abs().max().item() for a, b in zip(expected, actual, strict=True)]
    scaled = [
        error / max(size, least) if error else 0.0
        for error, size in zip(errors, sizes, strict=True)
    ]
    return max(each if each == each else float("inf") for each in scaled)


def _check_informative(outputs: Sequence[Tensor]) -> None:
    """Raises FloatingPointError if a wrong result could agree with these outputs."""
    for number, output in enumerate(outputs):
        if not output.isfinite().all():
            raise FloatingPointError(f"output {number} is not finite")
        if output.numel() > 1 and not output.std().item() > 0:
            raise FloatingPointError(f"all values of output {number} are equal")


def _mismatches(result: ModeResult) -> Iterator[str]:
    errors: Mapping[str, float | None] = {
        "outputs": result.outputs,
        "gradients": result.gradients,
        "statistics of the norms": result.statistics,
    }
    for name, error in errors.items():
        if error is not None and not error <= TOLERANCE:
            excess = f"{error:.1e}, more than {TOLERANCE:.0e}"
            yield f"{result.mode}: {name} differ from eager by {excess}"


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Full float32 on CUDA: TF32 keeps ten bits of the mantissa."""
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cuda.matmul.allow_tf32 = products
