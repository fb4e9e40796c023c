"""What `forward` returns, and its type."""

from __future__ import annotations

from collections.abc import Sequence

from resnetgen.codegen import layout
from resnetgen.codegen.layout import MARGIN, Brackets
from resnetgen.graph.ir import Network


def return_lines(network: Network | None, inputs: Sequence[str], names: Sequence[str]) -> list[str]:
    """The `return` statements; `network` is None for a block, which has one result."""
    if network is None:
        return _single(names[0], inputs)
    count = len(network.outputs)
    keys = [output.name for output in (*network.outputs, *network.train_outputs)]
    lines: list[str] = []
    if count == 1 and not network.named_outputs:
        lines = _single(names[0], inputs)[:-1]
        names = [inputs[0] if lines else names[0], *names[1:]]
    if count < len(names):
        lines += [f"{MARGIN}if self.training:", *_returned(network, keys, names, 12)]
    return [*lines, *_returned(network, keys[:count], names[:count], 8)]


def return_type(network: Network | None) -> str:
    """The annotation of the result."""
    if network is None:
        return "Tensor"
    if network.named_outputs:
        return "dict[str, Tensor]"
    plain = "Tensor" if len(network.outputs) == 1 else "tuple[Tensor, ...]"
    more = network.train_outputs and len(network.outputs) == 1
    return f"{plain} | tuple[Tensor, ...]" if more else plain


def _single(name: str, inputs: Sequence[str]) -> list[str]:
    """`return x`: a parameter, because its type is declared."""
    if name in inputs:
        return [f"{MARGIN}return {name}"]
    return [f"{MARGIN}{inputs[0]} = {name}", f"{MARGIN}return {inputs[0]}"]


def _returned(
    network: Network, keys: Sequence[str], names: Sequence[str], indent: int
) -> list[str]:
    if network.named_outputs:
        pairs = tuple(f'"{key}": {name}' for key, name in zip(keys, names, strict=True))
        return layout.lay(Brackets("{", pairs, "}"), indent, "return ")
    text = f"{' ' * indent}return {', '.join(names)}"
    if len(names) == 1 or len(text) <= layout.WIDTH:
        return [text]
    return layout.lay(Brackets("(", tuple(names), ")"), indent, "return ")
