"""What the rules of `lint` look at, collected once for each network.

context.blocks  ->  [("", the network), ("layer1.0.", bottleneck at 64 x 56 x 56), ...]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from resnetgen.compiler.diagnostics.model import Span
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.ir.nodes import Instance, InstanceNode, Network
from resnetgen.compiler.passes.infer_types import TypedInstance
from resnetgen.compiler.passes.instantiate import instances_below


@dataclass(frozen=True)
class LintContext:
    """A network without errors: its document, and the results of the passes."""

    document: Document
    network: Network
    typed: TypedInstance

    @cached_property
    def instances(self) -> list[Instance]:
        """The distinct instances of its blocks."""
        return instances_below(self.typed.instance)

    @cached_property
    def blocks(self) -> list[tuple[str, TypedInstance]]:
        """The distinct typed blocks, callers first, each with the name of its first use.

        The name is a prefix, `layer2.0.`; that of the network itself is empty.
        """
        blocks: dict[int, tuple[str, TypedInstance]] = {}
        self._collect("", self.typed, blocks)
        return list(blocks.values())

    def _collect(
        self, prefix: str, typed: TypedInstance, blocks: dict[int, tuple[str, TypedInstance]]
    ) -> None:
        if id(typed) in blocks:
            return
        blocks[id(typed)] = prefix, typed
        for node in typed.nodes:
            at = 0
            for block, times in node.blocks:
                self._collect(f"{prefix}{block_name(node.node, at)}.", block, blocks)
                at += times

    def is_own(self, span: Span) -> bool:
        """Whether a position is in the file that was checked, not in one that it uses."""
        return span.file == self.document.sources[0].name

    def nearest(self, spans: Sequence[Span]) -> Span:
        """The first position in the file that was checked; else the first of all."""
        return next((span for span in spans if self.is_own(span)), spans[0])


def block_name(node: InstanceNode, at: int) -> str:
    """The name of block number `at` of a node: `layer2.0`, or `neck` where there is only one."""
    return f"{node.key}.{at}" if node.block_node.repeat else node.key
