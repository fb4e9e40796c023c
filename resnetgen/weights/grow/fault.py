"""cannot_grow(graphs, reason, node) -> SpecError: why one network does not grow into the other.

error[cannot-grow]: `resnet18` does not grow into `resnet50`: the kernel of `layer1.0.conv1` ...
"""

from __future__ import annotations

from dataclasses import dataclass

from resnetgen.graph.ir import Graph, Node
from resnetgen.language.diagnostics import Diagnostic, Note, SpecError


@dataclass(frozen=True, slots=True)
class Ends:
    """The two networks: flat graphs with types."""

    small: Graph
    large: Graph


def cannot_grow(
    ends: Ends, reason: str, node: Node | None = None, note: str = "", help: str | None = None
) -> SpecError:
    """The one fault that ends it, at the text of a node of either network."""
    message = f"`{ends.small.name}` does not grow into `{ends.large.name}`: {reason}"
    notes = (Note(note),) if note else ()
    return SpecError([Diagnostic("cannot-grow", message, node.span if node else None, notes, help)])
