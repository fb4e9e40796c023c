"""The pipeline, one line a pass. Everything that a command or a caller wants of a spec is here.

text -> document -> Network -> Instance -> Measured            cost, reports
                                  |-----> Graph                checked, predictions
                                  |          `-> Folded -> source   the inference target
                                  `-----> Plan -> source       the printed module
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.ir.nodes import Graph, Instance, Network
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.compiler.passes.flatten import check, flatten, infer_shapes
from resnetgen.compiler.passes.infer_types import Cost, TypedInstance, measure
from resnetgen.compiler.passes.instantiate import instantiate

if TYPE_CHECKING:
    from resnetgen.compiler.codegen.inference import InferencePlan
    from resnetgen.compiler.codegen.plan import ModulePlan
    from resnetgen.compiler.diagnostics.model import Diagnostic


@dataclass(frozen=True)
class Compiled:
    """A sound network and what follows from it; graph and source are computed when asked for."""

    document: Document
    network: Network
    root: Instance
    measured: TypedInstance

    @property
    def cost(self) -> Cost:
        """Parameters, multiply-adds, FLOPs and activations of one image."""
        return self.measured.cost

    @property
    def classes(self) -> object:
        """What `head.classes` says; None where the network has none."""
        return self.root.values.get("num_classes")

    @cached_property
    def warnings(self) -> list[Diagnostic]:
        """What is sound and yet hardly meant."""
        from resnetgen.compiler.analysis.lint.context import LintContext
        from resnetgen.compiler.analysis.lint.rules import lint

        return lint(LintContext(self.document, self.network, self.measured))

    @cached_property
    def flat(self) -> Graph:
        """Every op with its type."""
        return infer_shapes(flatten(self.network, self.root))

    @cached_property
    def graph(self) -> Graph:
        """The flat graph, checked with networkx, which takes 0.1 s to import."""
        check(self.flat)
        return self.flat

    @cached_property
    def plan(self) -> ModulePlan:
        """What the printed module looks like. Raises SpecError where no class can be printed."""
        from resnetgen.compiler.codegen.plan import plan

        return plan(self.network, self.root, self.measured)

    @cached_property
    def source(self) -> str:
        """The PyTorch module, as text."""
        from resnetgen.compiler.codegen.render import render

        return render(self.plan)

    @cached_property
    def inference(self) -> InferencePlan:
        """What the module of the inference target looks like."""
        from resnetgen.compiler.codegen.inference import inference_plan
        from resnetgen.compiler.passes.fold import fold

        return inference_plan(self.network, self.measured, fold(self.flat))

    @cached_property
    def inference_source(self) -> str:
        """The PyTorch module of the inference target, as text."""
        from resnetgen.compiler.codegen.render import render

        return render(self.inference.module)


def compile_spec(spec: str | Path, **overrides: object) -> Compiled:
    """Compiles a spec: a path, or the name of a library network.

    Overrides are paths into the spec, as for `--set`: `compile_spec("resnet50", **{"layer3.blocks": 11})`.
    Raises SpecError with every diagnostic if the spec is wrong, OSError if it cannot be read.
    """
    return compile_document(library.load(spec, overrides))


def compile_text(text: str, name: str = "<string>", **overrides: object) -> Compiled:
    """Compiles a spec that is in memory."""
    return compile_document(library.load_text(text, name, overrides))


def compile_document(document: Document) -> Compiled:
    """Runs the passes that every use of a spec needs."""
    network = elaborate(document)
    root = instantiate(network)
    return Compiled(document, network, root, measure(network, root))
