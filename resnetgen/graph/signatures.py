"""Signatures: the arguments that a call of an op, a block or a slot may give.

{op: convolution, out: 64, kernl: 3}  ->  `convolution` has no attribute `kernl`; did you mean `kernel`?
"""

from __future__ import annotations

from collections.abc import Sequence

from resnetgen.graph.faults import Faults
from resnetgen.graph.ir import SHORTCUT, Block, Op, Slot, Target
from resnetgen.graph.ops import AMBIENT, OPS
from resnetgen.language.diagnostics import Span, did_you_mean
from resnetgen.language.spec import RESERVED


def parameters(target: Target) -> Sequence[str]:
    """The arguments that an op or a block declares."""
    if isinstance(target, Op):
        return list(OPS[target.name].attributes)
    return list(target.params) if isinstance(target, Block) else []


def offers(slot: str) -> list[str]:
    """What a call of an ambient slot may offer to whatever the network binds to it."""
    if slot == SHORTCUT.name:
        return ["out", "stride", "dilation", "first_dilation"]
    default = AMBIENT[slot]
    return list(OPS[default].attributes) if default else []


def check_argument(
    faults: Faults, target: Target, name: str, span: Span, implied: str | None
) -> None:
    """A direct call matches exactly; a slot takes what it knows, and one of the block's own all.

    `implied` is the key whose default is called: the person has not named what is called.
    """
    if isinstance(target, Op):
        known, what = parameters(target), f"`{target.name}` has no attribute"
    elif isinstance(target, Block):
        known = [*target.params, *target.slots]
        what = f"{f'`{implied}`' if implied else f'the block `{target.name}`'} has no parameter"
    elif isinstance(target, Slot) and target.name in AMBIENT:
        known, what = offers(target.name), f"a call of `{target.name}` has no"
        if not known:
            return
    else:
        return
    if name not in known:
        near = known if name in RESERVED else [*known, *RESERVED]
        hint = did_you_mean(name, near) or (f"it has {', '.join(known)}" if known else None)
        faults.record("unknown-argument", f"{what} `{name}`", span, hint)
