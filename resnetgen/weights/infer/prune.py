"""could_match(design, checkpoint, ...): a cheap necessary test that rules out most designs.

    {conv1.weight: 64 x 3 x 7 x 7, layer1.0.conv1.weight: 64 x 64 x 3 x 3, ...}
        ->  {(conv#.weight, 4, 7 x 7), (layer#.#.conv#.weight, 4, 3 x 3), ...}

Hyperparameters change neither the names of modules nor their kernels, so the signatures of a few
blocks of the first two stages have to be those of the file. Tensors that only some blocks have,
such as those of a projection, may be missing from it.
"""

from __future__ import annotations

from contextlib import suppress

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.weights.infer.checkpoint import CheckpointShapes, Signature, signatures_of
from resnetgen.weights.infer.design import Design, DesignCompiler
from resnetgen.weights.keys import is_under

_PREVIEWED = 2  # stages: the first, and one that strides


def could_match(design: Design, checkpoint: CheckpointShapes, compiler: DesignCompiler) -> bool:
    """Whether some hyperparameters might give a design the tensors of a file."""
    predicted = design_signatures(design, compiler)
    if not predicted or not predicted >= checkpoint.signatures:
        return False
    surplus = predicted - checkpoint.signatures
    return not surplus or surplus <= optional_signatures(design, compiler)


def preview(design: Design, compiler: DesignCompiler) -> Design:
    """The design cut down to few stages of few blocks. Raises SpecError."""
    short = design.shortened()
    later = dict.fromkeys([*short.blocks][_PREVIEWED:], 0)
    return short.with_blocks(later) if compiler.shapes(short.with_blocks(later)) else short


def design_signatures(design: Design, compiler: DesignCompiler) -> frozenset[Signature]:
    """The signatures of a design's preview; none if it does not compile."""
    with suppress(SpecError):
        return frozenset(signatures_of(compiler.shapes(preview(design, compiler)) or {}))
    return frozenset()


def optional_signatures(design: Design, compiler: DesignCompiler) -> frozenset[Signature]:
    """The signatures that some blocks of the preview have and others do not."""
    short = preview(design, compiler)
    shapes = compiler.shapes(short) or {}
    by_block = [
        frozenset(signatures_of({key: shapes[key] for key in shapes if is_under(key, path)}))
        for path in block_paths(short, compiler)
    ]
    if not by_block:
        return frozenset()
    return by_block[0].union(*by_block) - by_block[0].intersection(*by_block)


def block_paths(design: Design, compiler: DesignCompiler) -> list[str]:
    """The module paths of the blocks of all stages. Raises SpecError."""
    return [path for stage in design.blocks for path in compiler.stage_paths(design, stage)]
