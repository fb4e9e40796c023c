"""`verify`: the printed module in torch, held against what the compiler predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnetgen.cli.faults import BROKEN, Failed
from resnetgen.cli.options import Device, Set, Spec, compile_spec, overrides
from resnetgen.language.diagnostics import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resnetgen.graph.ir import Graph
    from resnetgen.runtime.verify import Report

_MOST_SHOWN = 20


def verify(spec: Spec, settings: Set = []) -> None:
    """Builds the network in torch and holds every prediction of the compiler against it.

    Shapes of all nodes, parameters, keys of the state_dict, and one graph without breaks under
    torch.compile(fullgraph=True). Needs torch; no weights are allocated.

    \b
    Examples:
      resnetgen verify resnet50
      resnetgen verify resnet50 --set shortcut=projection_all
    """
    compiled = compile_spec(spec, overrides(settings))
    report = hold(compiled.graph, compiled.source)
    print(f"{compiled.network.name}: {said(report)}")


def hold(graph: Graph, source: str) -> Report:
    """Holds a module against its graph. Raises Failed with every prediction that did not hold."""
    from resnetgen.cli.progress import Progress
    from resnetgen.runtime import require_torch

    with Progress() as progress:
        progress("importing torch")
        require_torch()
        from resnetgen.runtime.verify import verify as hold_in_torch

        report = hold_in_torch(graph, source, compile=True, progress=progress)
    if not report.ok:
        raise Failed(_broken(report.mismatches), BROKEN)
    return report


def said(report: Report) -> str:
    """What held, in a few words."""
    nodes = ", ".join(f"{count:,} nodes in {mode}" for mode, count in report.nodes.items())
    return (
        f"every prediction held: {report.parameters:,} parameters, {report.keys:,} keys, {nodes},"
        " one graph under torch.compile"
    )


def _broken(mismatches: Sequence[str]) -> list[Diagnostic]:
    shown = [Diagnostic("broken-prediction", mismatch) for mismatch in mismatches[:_MOST_SHOWN]]
    more = len(mismatches) - len(shown)
    if more:
        shown.append(Diagnostic("broken-prediction", f"and {more:,} more predictions did not hold"))
    return shown


def compile_on(graph: Graph, source: str, device: Device) -> None:
    """Compiles and runs a module. Raises RuntimeFault where that cannot be, Failed where it goes wrong."""
    from resnetgen.cli.progress import Progress
    from resnetgen.runtime import require_torch

    with Progress() as progress:
        progress("importing torch")
        require_torch()
        from resnetgen.runtime.compile import compile_and_run

        compile_and_run(graph, source, device.value, progress)
