"""variables(folded, "x", several) -> what each value of a straight-line `forward` is called.

    y = self.layer1_0_conv1(x)          the first of `x`, `y` and `z` whose value nothing reads any more
    x = self.layer1_0_conv2(y, x)
    up = self.decoder_up(x)             what is joined, and several results, have names of their own
    x = torch.cat([up, layer1], dim=1)

A name is given again when its value has been read for the last time: what is held then goes.
"""

from __future__ import annotations

import re

from resnetgen.codegen.structure import unique
from resnetgen.graph.fold import Folded, Step
from resnetgen.graph.measure import INPUT
from resnetgen.graph.opdef import TorchFunction
from resnetgen.graph.order import last_reads
from resnetgen.language.names import PRINTED_NAMES

SHORT = ("y", "z")  # beside the input's
LONGEST = 24
RESERVED = PRINTED_NAMES | {"largest"}  # a name of `forward` itself; no node is called `half`


def variables(folded: Folded, x: str, several: bool) -> dict[str, str]:
    """The variable of each value; `x` is that of the input, and `several` results have names."""
    short, own = (x, *SHORT), _own_names(folded, several)
    last = last_reads([step.reads for step in folded.steps])
    last |= dict.fromkeys(folded.outputs, len(folded.steps))
    found, live = {INPUT: x}, {INPUT: x}
    for at, step in enumerate(folded.steps):
        live = {value: name for value, name in live.items() if last.get(value, at) > at}
        free = [name for name in short if name not in live.values()]
        if free and step.name not in own:
            live[step.name] = free[0]
        else:
            base = own.get(step.name) or identifier(_path(step))
            live[step.name] = unique(base, {*live.values(), *short, *RESERVED})
        found[step.name] = live[step.name]
    return found


def identifier(path: str) -> str:
    """A path as a name of Python: without its first components where it would be long."""
    while len(path) > LONGEST and "." in path:
        path = path.partition(".")[2]
    text = re.sub(r"\W", "_", path)
    return text if text[:1].isalpha() and len(text) <= LONGEST else "value"


def _own_names(folded: Folded, several: bool) -> dict[str, str]:
    """Names of several results, and of operands of joins: those as the block of the join calls them."""
    steps = {step.name: step for step in folded.steps}
    found = {
        name: identifier(_path(steps[name])) for name in folded.outputs if several and name in steps
    }
    for join in folded.steps:
        form = join.definition.torch
        if isinstance(form, TorchFunction) and form.names_operands:
            block = join.node.module.rpartition(".")[0]
            paths = {name: _path(steps[name]) for name in join.inputs if name in steps}
            for name, path in paths.items():
                found.setdefault(
                    name, identifier(path.removeprefix(f"{block}.") if block else path)
                )
    return found


def _path(step: Step) -> str:
    """What ends a block has the name of the block."""
    ends = step.addend is not None or step.definition.makes_channels is False
    return (step.name.rpartition(".")[0] if ends else "") or step.node.module
