"""From a spec to everything that is known about it: the passes, in order.

    pass                        result                           reads
    ----------------------------------------------------------------------------------------
    library.load                document: Document               a path, or a name of the library
    elaborate                   network: Network                 document
    instantiate                 root: Instance                   network
    infer_types                 typed: TypedInstance             network, root

    lint                        warnings: list[Diagnostic]       document, network, typed
    flatten, infer_flat_types   flat_graph: Graph                network, root
    check_graph                 checked_graph: Graph             flat_graph
    plan                        plan: ModulePlan                 network, root, typed
    render                      source: str                      plan
    fold, inference_plan        inference_plan: InferencePlan    network, typed, flat_graph
    render                      inference_source: str            inference_plan

The first four run at once, in `compile_document`, and find the errors of the spec; after them only
`plan` and `render` can still reject a network: one that they cannot print, that is, write as Python. The others run when their result
is first read, and import what they need only then: a report imports neither Jinja nor networkx.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.ir.nodes import Graph, Instance, Network, called_blocks
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.compiler.passes.flatten import check_graph, flatten, infer_flat_types
from resnetgen.compiler.passes.infer_types import Cost, TypedInstance, infer_types
from resnetgen.compiler.passes.instantiate import instantiate

if TYPE_CHECKING:
    from resnetgen.compiler.codegen.inference import InferencePlan
    from resnetgen.compiler.codegen.plan import ModulePlan
    from resnetgen.compiler.diagnostics.model import Diagnostic


def compile_spec(spec: str | Path, **overrides: object) -> Compiled:
    """Compiles a spec: the path of a YAML file, or the name of a library network.

    Overrides are paths into the spec with their values, as for `--set`:

        compile_spec("resnet50")
        compile_spec("resnet50", **{"layer3.blocks": 11, "head.classes": 10})

    Raises SpecError with every diagnostic if the spec is wrong, OSError if it cannot be read.
    """
    return compile_document(library.load(spec, overrides))


def compile_text(text: str, name: str = "<string>", **overrides: object) -> Compiled:
    """Compiles the YAML text of a spec; diagnostics show `name` as its path.

    Raises SpecError if the spec is wrong.
    """
    return compile_document(library.load_text(text, name, overrides))


def compile_document(document: Document) -> Compiled:
    """Runs the passes that find errors. Raises SpecError with every error of the first that fails."""
    network = elaborate(document)
    root = instantiate(network)
    typed = infer_types(network, root)
    compiled = Compiled(document, network, root, typed)
    if _has_own_containers(network):
        assert compiled.plan  # raises SpecError for a container that cannot be printed
    return compiled


def _has_own_containers(network: Network) -> bool:
    """Whether a block that is not the library's groups its modules: only such a group may be refused.

    The plan of a printed file takes a tenth of a report; the blocks of the library are known to have one.
    """
    blocks = [network.root, *called_blocks(network)]
    nodes = (node for block in blocks if not block.span.source.shipped for node in block.nodes)
    paths = (node.path.removesuffix(".<index>") for node in nodes if node.path != ".")
    return any("." in path or path.isdigit() for path in paths)


@dataclass(frozen=True)
class Compiled:
    """A valid network, and the results of the passes; the module docstring lists them in order.

    `document` is the spec after inheritance; `network` has names resolved and expressions parsed;
    `root` is the instance of the whole network, in which every parameter has a value; `typed` has a
    shape and a cost for every node.
    """

    document: Document
    network: Network
    root: Instance
    typed: TypedInstance

    @property
    def cost(self) -> Cost:
        """Parameters; multiply-adds, FLOPs and activations (elements) for one image."""
        return self.typed.cost

    @property
    def num_classes(self) -> object:
        """The value of `head.classes`, a parameter of the network under this name; None if the network has no such parameter."""
        return self.root.values.get("num_classes")

    @cached_property
    def warnings(self) -> list[Diagnostic]:
        """What is valid, and probably not what was meant."""
        from resnetgen.compiler.analysis.lint.context import LintContext
        from resnetgen.compiler.analysis.lint.rules import lint

        return lint(LintContext(self.document, self.network, self.typed))

    @cached_property
    def flat_graph(self) -> Graph:
        """Every op of the network as a node of its own, with its type."""
        return infer_flat_types(flatten(self.network, self.root))

    @cached_property
    def checked_graph(self) -> Graph:
        """`flat_graph`, checked with networkx, which takes 0.1 s to import."""
        check_graph(self.flat_graph)
        return self.flat_graph

    @cached_property
    def plan(self) -> ModulePlan:
        """The classes of the printed module. Raises SpecError if they cannot be printed."""
        from resnetgen.compiler.codegen.plan import plan

        return plan(self.network, self.root, self.typed)

    @cached_property
    def source(self) -> str:
        """The PyTorch module, as text."""
        from resnetgen.compiler.codegen.render import render

        return render(self.plan)

    @cached_property
    def inference_plan(self) -> InferencePlan:
        """The one class of the inference target: norms folded into weights, calls fused."""
        from resnetgen.compiler.codegen.inference import inference_plan
        from resnetgen.compiler.passes.fold import fold

        return inference_plan(self.network, self.typed, fold(self.flat_graph))

    @cached_property
    def inference_source(self) -> str:
        """The PyTorch module of the inference target, as text."""
        from resnetgen.compiler.codegen.render import render

        return render(self.inference_plan.module)
