"""`verify`: the printed module in torch, held against what the compiler predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnetgen.cli.console import torch_at_work
from resnetgen.cli.errors import BROKEN, Failed
from resnetgen.cli.options import DeviceName, Set, Spec, compile_spec, overrides
from resnetgen.compiler.diagnostics.model import Diagnostic

if TYPE_CHECKING:
    from resnetgen.compiler.ir.nodes import Graph
    from resnetgen.runtime.compile_check import CompileReport
    from resnetgen.runtime.verify import VerifyReport

_MOST_SHOWN = 20


def verify(spec: Spec, settings: Set = None) -> None:
    """Holds every prediction about a network against torch.

    Shapes of all nodes, parameters, keys of the state_dict and their order, and one graph without
    breaks under torch.compile(fullgraph=True). Needs torch; no memory is spent on weights.

    \b
    Examples:
      resnetgen verify resnet50
      resnetgen verify resnet50 --set shortcut=projection_all
    """
    compiled = compile_spec(spec, overrides(settings))
    report = verify_module(compiled.graph, compiled.source)
    print(f"{compiled.network.name}: {held(report)}")


def verify_module(graph: Graph, source: str) -> VerifyReport:
    """Holds a module against its graph. Raises Failed with every prediction that did not hold."""
    with torch_at_work() as progress:
        from resnetgen.runtime.verify import verify as hold_in_torch

        report = hold_in_torch(graph, source, compile=True, progress=progress)
    _refuse_broken(report)
    return report


def compile_on(graph: Graph, source: str, device: DeviceName) -> CompileReport:
    """Compiles and runs a module there. Raises Failed where it disagrees with eager execution."""
    with torch_at_work() as progress:
        from resnetgen.runtime.compile_check import compile_and_run

        report = compile_and_run(graph, source, device.value, progress)
    _refuse_broken(report)
    return report


def held(report: VerifyReport) -> str:
    """What was found to hold, in a line."""
    nodes = ", ".join(f"{count:,} nodes in {mode}" for mode, count in report.nodes.items())
    counts = f"{report.parameters:,} parameters, {report.keys:,} keys, {nodes}"
    return f"every prediction holds ({counts}; torch.compile captures one graph)"


def agreed(report: CompileReport) -> str:
    """How well compiled code agreed with eager execution, in a line."""
    modes = "; ".join(
        f"{each.mode} in {each.seconds:.1f} s, relative error {each.error:.0e}"
        for each in report.modes
    )
    return f"compiled for {report.device} and as in eager execution ({modes})"


def _refuse_broken(report: VerifyReport | CompileReport) -> None:
    """Raises Failed where a prediction did not hold."""
    if report.ok:
        return
    told = list(report.mismatches[:_MOST_SHOWN])
    more = len(report.mismatches) - len(told)
    if more:
        told.append(f"and {more:,} more predictions did not hold")
    raise Failed([Diagnostic("broken-prediction", each) for each in told], BROKEN)
