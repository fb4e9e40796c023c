"""`verify`: checks the printed module in torch against everything that the compiler predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnetgen.cli.console import torch_progress
from resnetgen.cli.errors import COMPILER_ERROR, Failed
from resnetgen.cli.options import DeviceName, Set, Spec, compile_spec, overrides
from resnetgen.compiler.diagnostics.model import Diagnostic

if TYPE_CHECKING:
    from resnetgen.compiler.ir.nodes import Graph
    from resnetgen.runtime.compile_check import CompileReport
    from resnetgen.runtime.verify import VerifyReport

_MAX_SHOWN = 20


def verify(spec: Spec, settings: Set = None) -> None:
    """Checks every prediction about a network against torch.

    Shapes of all nodes, number of parameters, keys of the state_dict in order, and one graph without
    breaks under torch.compile(fullgraph=True). Needs torch; no memory is allocated for weights.

    \b
    Examples:
      resnetgen verify resnet50
      resnetgen verify resnet50 --set shortcut=projection_all
    """
    compiled = compile_spec(spec, overrides(settings))
    report = verify_module(compiled.checked_graph, compiled.source)
    print(f"{compiled.network.name}: {verify_summary(report)}")


def verify_module(graph: Graph, source: str) -> VerifyReport:
    """Checks a module against its graph. Raises Failed with every prediction that was wrong."""
    with torch_progress() as progress:
        from resnetgen.runtime.verify import verify as verify_in_torch

        report = verify_in_torch(graph, source, compile=True, progress=progress)
    _refuse_mismatches(report)
    return report


def compile_on(graph: Graph, source: str, device: DeviceName) -> CompileReport:
    """Compiles and runs a module. Raises Failed if it disagrees with eager execution."""
    with torch_progress() as progress:
        from resnetgen.runtime.compile_check import compile_and_run

        report = compile_and_run(graph, source, device.value, progress)
    _refuse_mismatches(report)
    return report


def verify_summary(report: VerifyReport) -> str:
    """`every prediction holds (11,689,512 parameters, ...)`."""
    nodes = ", ".join(f"{count:,} nodes in {mode}" for mode, count in report.nodes.items())
    counts = f"{report.parameters:,} parameters, {report.keys:,} keys, {nodes}"
    return f"every prediction holds ({counts}; torch.compile captures one graph)"


def compile_summary(report: CompileReport) -> str:
    """`compiled for cpu and as in eager execution (eval in 1.2 s, relative error 2e-07)`."""
    modes = "; ".join(
        f"{each.mode} in {each.seconds:.1f} s, relative error {each.error:.0e}"
        for each in report.modes
    )
    return f"compiled for {report.device} and as in eager execution ({modes})"


def _refuse_mismatches(report: VerifyReport | CompileReport) -> None:
    """Raises Failed if a prediction was wrong."""
    if report.ok:
        return
    messages = list(report.mismatches[:_MAX_SHOWN])
    more = len(report.mismatches) - len(messages)
    if more:
        messages.append(f"{more:,} more predictions were wrong")
    raise Failed([Diagnostic("broken-prediction", each) for each in messages], COMPILER_ERROR)
