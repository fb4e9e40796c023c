"""with_depths(design, held, trials) -> Design: each stage with as many blocks as the file has of it.

    layer3.0 ... layer3.10 hold tensors, layer3.11 does not   ->   layer3: {blocks: 11}

The network is compiled with more blocks than there can be, and its paths are followed as far as the
file has them. A stage of which the file has nothing is deleted.
"""

from __future__ import annotations

from contextlib import suppress

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.ir.nodes import Instance
from resnetgen.compiler.ir.op_def import NO_WEIGHTS
from resnetgen.compiler.passes.module_paths import numbered_paths
from resnetgen.weights.infer.checkpoint import CheckpointShapes
from resnetgen.weights.infer.design import Design, Trials


def with_depths(design: Design, held: CheckpointShapes, trials: Trials) -> Design | None:
    """The design with the file's depths; None where it does not compile so."""
    with suppress(SpecError):
        for stage in design.blocks:  # from the first on: paths may count the blocks before
            most = held.most_blocks
            _, root = trials.body(design.repeating({stage: most}))
            paths = stage_paths(root, stage)
            if not paths:
                return None
            there = next((at for at, p in enumerate(paths) if p not in held.modules), len(paths))
            design = design.repeating({stage: there * most // len(paths)})
        return design
    return None


def stage_paths(root: Instance, stage: str) -> list[str]:
    """The module paths of a stage: of its blocks, or of what has weights in them (`as: .`)."""
    found: list[str] = []
    for placed, paths in zip(root.nodes, numbered_paths(root.nodes), strict=True):
        if stage not in (placed.block_node.key, placed.group):
            continue
        if not placed.op or placed.op.definition.weights is not NO_WEIGHTS:
            found += paths
    return found
