"""compile_and_run(graph, source, device) -> CompileReport: torch.compile against eager execution.

The printed module is compiled for the device (inductor, default mode; where many blocks are equal,
in regions, see `regions.py`) and run on random inputs, once in evaluation and once in training mode
with a backward pass. Compared with the same weights run eagerly: outputs, gradients, and the
statistics that the norms update.

Evaluation runs in float32, training in float64: a rounding error that moves one value across the
zero of a ReLU changes gradients by far more than itself (eager float32 gradients of a ResNet-50 are
13 % from those of float64 at worst), so that float32 could not tell a wrong gradient from a right
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
from resnetgen.runtime.errors import RuntimeFault, quiet, reason
from resnetgen.runtime.load import build
from resnetgen.runtime.regional.compile import compile_module
from resnetgen.runtime.trace import returned_tensors

BATCH = 2
SEED = 0
TOLERANCE = 1e-4
_NOTHING = 1e-2  # a tensor whose values stay below this part of the largest holds mostly rounding
_RANDOM = ("dropout", "drop_path")


@dataclass(frozen=True)
class ModeResult:
    """One mode: seconds until the first result, and the greatest relative errors."""

    mode: str  # "eval" or "training"
    seconds: float  # compilation and the first call; in training with the backward pass
    outputs: float
    gradients: float | None = None
    statistics: float | None = None

    @property
    def error(self) -> float:
        """The greatest of the errors."""
        return max(self.outputs, self.gradients or 0.0, self.statistics or 0.0)


@dataclass(frozen=True)
class CompileReport:
    """What was run on which device, and each disagreement with eager execution as a sentence."""

    device: str
    modes: tuple[ModeResult, ...]
    tolerance: float
    mismatches: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether torch.compile took the network whole and agreed with eager execution."""
        return not self.mismatches


def compile_and_run(
    graph: Graph,
    source: str,
    device: str,
    progress: Callable[[str], None] | None = None,
) -> CompileReport:
    """Compiles the printed module for `cpu` or `cuda` and compares it with eager execution.

    Raises RuntimeFault `no-device` or `no-compiler` before anything is built.
    """
    require(device)
    say = progress or (lambda text: None)
    modes: list[ModeResult] = []
    faults: list[str] = []
    with _float32(), quiet(), torch.random.fork_rng():
        torch.manual_seed(SEED)
        module = build(source, graph.name)
        x = torch.randn(BATCH, *graph.input.shape)
        module, x = randomize_norms(module, x).to(device), x.to(device)
        for training in (False, True):
            mode = "training" if training else "eval"
            say(f"{mode}: compiling {graph.name} for {device}")
            try:
                result = _run(module, graph, x, training=training)
            except Exception as error:  # the compiler's own failures come in many classes
                _raise_if_no_compiler(error)
                faults.append(f"{mode}: torch.compile failed: {reason(error)}")
                continue
            say(f"{mode}: {result.seconds:.1f} s, relative error {result.error:.1e}")
            modes.append(result)
            faults += _faults(result)
    return CompileReport(device, tuple(modes), TOLERANCE, tuple(faults))


# --- what must be there


def require(device: str) -> None:
    """Raises RuntimeFault unless torch.compile can make code for the device here."""
    if device == "cpu":
        _require_cpp()
    elif device == "cuda":
        _require_cuda()
    else:
        raise RuntimeFault(
            "no-device", f"`{device}` is no device to compile for", "use cpu or cuda"
        )


def _require_cpp() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:  # InvalidCxxCompiler, or what a broken CXX makes of it
        raise _no_compiler() from error


def _require_cuda() -> None:
    from torch.utils._triton import has_triton

    if not torch.cuda.is_available():
        raise RuntimeFault(
            "no-device", "torch finds no CUDA device here", "compile for the CPU: `--compile cpu`"
        )
    if not has_triton():
        raise RuntimeFault(
            "no-compiler",
            "torch.compile needs Triton for CUDA, and it is missing or does not support this GPU",
            "install it with `pip install triton`",
        )


def _no_compiler() -> RuntimeFault:
    return RuntimeFault(
        "no-compiler",
        "torch.compile needs a working C++ compiler for the CPU, and found none",
        "install g++ (on Debian or Ubuntu: `apt install g++`), or name one in CXX",
    )


def _raise_if_no_compiler(error: BaseException) -> None:
    """A compiler that is there and cannot run: no headers, no linker."""
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CppCompileError | InvalidCxxCompiler):
            raise _no_compiler() from error
        cause = getattr(cause, "inner_exception", None) or cause.__cause__


# --- one mode


def _set_mode(module: nn.Module, graph: Graph, *, training: bool) -> None:
    module.train(training)
    for node in graph.nodes:
        if node.op in _RANDOM and node.module in dict(module.named_modules()):
            module.get_submodule(node.module).eval()


@dataclass(frozen=True)
class _Results:
    outputs: list[Tensor]
    gradients: list[Tensor]
    statistics: list[Tensor]
    seconds: float


def _run(module: nn.Module, graph: Graph, x: Tensor, *, training: bool) -> ModeResult:
    if training:
        module, x = copy.deepcopy(module).double(), x.double()
    eager = _called(copy.deepcopy(module), graph, x, training, compiled=False)
    actual = _called(copy.deepcopy(module), graph, x, training, compiled=True)
    _must_spread(eager.outputs)
    return ModeResult(
        "training" if training else "eval",
        actual.seconds,
        relative_error(eager.outputs, actual.outputs),
        relative_error(eager.gradients, actual.gradients) if training else None,
        relative_error(eager.statistics, actual.statistics) if training else None,
    )


def _called(
    module: nn.Module, graph: Graph, x: Tensor, training: bool, *, compiled: bool
) -> _Results:
    _set_mode(module, graph, training=training)
    call = compile_module(module) if compiled else module
    began = time.perf_counter()
    with torch.set_grad_enabled(training):
        outputs = returned_tensors(call(x))
    if training:
        torch.autograd.backward(_loss(outputs))
    if x.is_cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    gradients = [each.grad for each in module.parameters() if each.grad is not None]
    statistics = [each for each in module.buffers() if each.is_floating_point()]
    return _Results([each.detach() for each in outputs], gradients, statistics, seconds)


def _loss(outputs: Sequence[Tensor]) -> Tensor:
    """A fixed random direction in each output."""
    seeded = torch.Generator().manual_seed(SEED)
    directions = (torch.randn(each.shape, generator=seeded).to(each) for each in outputs)
    return torch.stack([(a * b).mean() for a, b in zip(outputs, directions, strict=True)]).sum()


def relative_error(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> float:
    """The greatest |actual - expected|, relative to the largest value of its tensor.

    Tensors of values that are all but zero beside the others are held to 1 % of the largest of all.
    Infinite where the tensors do not correspond or a value is not finite.
    """
    if [each.shape for each in expected] != [each.shape for each in actual]:
        return float("inf")
    if not expected:
        return 0.0
    sizes = [each.abs().max().item() for each in expected]
    least = _NOTHING * max(sizes)
    errors = [(b - a).abs().max().item() for a, b in zip(expected, actual, strict=True)]
    scaled = [
        error / max(size, least) if error else 0.0
        for error, size in zip(errors, sizes, strict=True)
    ]
    return max(each if each == each else float("inf") for each in scaled)


def _must_spread(outputs: Sequence[Tensor]) -> None:
    """Equal values would agree whatever the network computed."""
    for place, output in enumerate(outputs):
        if not output.isfinite().all():
            raise FloatingPointError(f"output {place} is not finite")
        if output.numel() > 1 and not output.std().item() > 0:
            raise FloatingPointError(f"all values of output {place} are equal")


def _faults(result: ModeResult) -> Iterator[str]:
    errors: Mapping[str, float | None] = {
        "outputs": result.outputs,
        "gradients": result.gradients,
        "statistics of the norms": result.statistics,
    }
    for what, error in errors.items():
        if error is not None and not error <= TOLERANCE:
            more = f"{error:.1e}, more than {TOLERANCE:.0e}"
            yield f"{result.mode}: {what} differ from eager by {more}"


@contextmanager
def _float32() -> Iterator[None]:
    """Full precision: TF32 keeps ten bits of the mantissa."""
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cuda.matmul.allow_tf32 = products
