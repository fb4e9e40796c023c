"""Facts: what the rules of `lint` look at, gathered once a network."""

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
    """A sound network, as its passes left it."""

    document: Document
    network: Network
    typed: TypedInstance

    @cached_property
    def instances(self) -> list[Instance]:
        """The distinct instances of its blocks."""
        return instances_below(self.typed.instance)

    @cached_property
    def blocks(self) -> list[tuple[str, TypedInstance]]:
        """The distinct blocks at their sizes, callers first, each with the name of its first place.

        The name is a prefix, `layer2.0.`; that of the network itself is empty.
        """
        found: dict[int, tuple[str, TypedInstance]] = {}
        self._gather("", self.typed, found)
        return list(found.values())

    def _gather(
        self, prefix: str, measured: TypedInstance, found: dict[int, tuple[str, TypedInstance]]
    ) -> None:
        if id(measured) in found:
            return
        found[id(measured)] = prefix, measured
        for step in measured.nodes:
            at = 0
            for block, times in step.blocks:
                self._gather(f"{prefix}{block_name(step.node, at)}.", block, found)
                at += times

    def is_own(self, span: Span) -> bool:
        """Whether a place is in the very file that the person named, not in one that it uses."""
        return span.file == self.document.sources[0].name

    def nearest(self, spans: Sequence[Span]) -> Span:
        """The first place in the person's own file; the first of all where none is."""
        return next((span for span in spans if self.is_own(span)), spans[0])


def block_name(placed: InstanceNode, at: int) -> str:
    """What block number `at` of a placed node is called: `layer2.0`; `neck` where there is one."""
    return f"{placed.key}.{at}" if placed.block_node.repeat else placed.key
