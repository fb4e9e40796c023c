"""split(model, blocks, x, codes) -> Pieces: a network as calls of compiled pieces, one by one.

    stem and layer1.0 | layer1.1 | layer1.2 | layer2.0 | layer2.1 | ... | layer4.2 | head

Each of the equal blocks is a piece, and so is what stands between two of them. Pieces hold the
modules of the model themselves and read their tensors anew in every call.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, fx, nn

from resnetgen.runtime.dtypes import CHANNELS_LAST
from resnetgen.runtime.regional.fingerprint import Fingerprint, structure, type_of
from resnetgen.runtime.regional.kernels import Code, compiled
from resnetgen.runtime.trace import Leaves

Codes = dict[Hashable, Code]


def split(model: nn.Module, blocks: Mapping[str, Fingerprint], x: Tensor, codes: Codes) -> Pieces:
    """The model in pieces: the blocks at the given paths, and what is between them.

    The pieces are for inputs of the type of `x` and for the modes of now. Nothing is compiled
    before the first call; code is looked up in `codes`, and put there. Raises what torch.fx raises.
    """
    graph = Leaves(blocks).trace(model)
    if x.device.type == "cpu" and x.ndim in CHANNELS_LAST:
        _in_channels_last(graph, CHANNELS_LAST[x.ndim])
    placeholder, *calls, output = graph.nodes
    numbers = _numbered(calls, blocks)
    pieces = []
    for _, group in groupby(calls, numbers.__getitem__):
        nodes = list(group)
        if _is_block(nodes[0], blocks):
            path = str(nodes[0].target)
            pieces.append(_block(nodes[0], model.get_submodule(path), blocks[path], codes))
        else:
            pieces.append(_between(nodes, model, codes))
    return Pieces(placeholder, tuple(pieces), _last_reads(pieces, output), output.args[0])


def _in_channels_last(graph: fx.Graph, layout: torch.memory_format) -> None:
    """The input turned to channels_last, the outputs back.

    Inductor convolves so on a CPU, but keeps the layout of what a piece takes and gives: without
    this, each piece would turn its values there and back.
    """
    placeholder, *_, output = graph.nodes
    with graph.inserting_after(placeholder):
        turned = graph.call_method("contiguous", (placeholder,), {"memory_format": layout})
    placeholder.replace_all_uses_with(turned, lambda user: user is not turned)
    with graph.inserting_before(output):
        back = partial(graph.call_method, "contiguous")
        output.args = fx.node.map_arg(output.args, lambda value: back((value,)))


def _numbered(nodes: Sequence[fx.Node], blocks: Container[str]) -> dict[fx.Node, int]:
    """The number of each node's piece, in order of execution."""
    numbers: dict[fx.Node, int] = {}
    number = 0
    for node in nodes:
        alone = _is_block(node, blocks)
        number += alone
        numbers[node] = number
        number += alone
    return numbers


def _is_block(node: fx.Node, blocks: Container[str]) -> bool:
    plain = not node.kwargs and all(isinstance(each, fx.Node) for each in node.args)
    return node.op == "call_module" and node.target in blocks and plain


class Piece:
    """A part of a network: which values it reads and gives, and its code from the first call on."""

    def __init__(
        self,
        module: nn.Module,
        known: Fingerprint,
        reads: Sequence[fx.Node],
        gives: Sequence[fx.Node],
        codes: Codes,
    ) -> None:
        self.module, self.known, self.codes = module, known, codes
        self.reads, self.gives = tuple(reads), tuple(gives)
        self.code: Code | None = None

    def __call__(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        tensors = self.known.tensors() + list(inputs)
        if self.code is None:
            self.code = self.fitting(tensors, inputs)
        return self.code(tensors)

    def blanks(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """What a call would give, in type alone; its code is made if there is none."""
        tensors = self.known.tensors() + list(inputs)
        return self.fitting(tensors, inputs).blanks(tensors)

    def fitting(self, tensors: list[Tensor], inputs: Sequence[Tensor]) -> Code:
        """The code for inputs of these types; equal pieces have that of the first of them."""
        same = tuple(tuple(each is other for other in inputs) for each in inputs)
        key = self.known.key, tuple(map(type_of, inputs)), same, modes(inputs[0])
        if key not in self.codes:
            self.codes[key] = compiled(self.module, tensors, inputs)
        return self.codes[key]


def modes(x: Tensor) -> Hashable:
    """What torch's own switches make of the same code."""
    device = x.device.type
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device),
    )


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of a network in order; calling it calls them."""

    input: fx.Node
    pieces: tuple[Piece, ...]
    dead: tuple[tuple[fx.Node, ...], ...]  # after each piece: what nothing reads any more
    returned: Any  # nodes, in the structure that the network returns

    def __call__(self, x: Tensor) -> Any:
        return self.walk(Piece.__call__, x)

    def prepare(self, x: Tensor) -> None:
        """Makes the code of all pieces; nothing is computed, and no statistic is updated.

        Types are guessed as torch tells them before compilation. Where a call finds another one,
        it makes code for that.
        """
        self.walk(Piece.blanks, x)

    def walk(self, run: Callable[[Piece, Sequence[Tensor]], Sequence[Tensor]], x: Tensor) -> Any:
        """What the network returns where `run` gives the results of a piece."""
        values: dict[fx.Node, Any] = {self.input: x}
        for piece, dead in zip(self.pieces, self.dead, strict=True):
            results = run(piece, [values[node] for node in piece.reads])
            values.update(zip(piece.gives, results, strict=True))
            for node in dead:
                del values[node]
        return fx.node.map_arg(self.returned, values.__getitem__)


def _block(node: fx.Node, module: nn.Module, known: Fingerprint, codes: Codes) -> Piece:
    return Piece(
        module, known, [each for each in node.args if isinstance(each, fx.Node)], [node], codes
    )


def _between(nodes: Sequence[fx.Node], model: nn.Module, codes: Codes) -> Piece:
    """A piece of several nodes, as a module of its own that gives a tuple."""
    inside = set(nodes)
    reads = dict.fromkeys(
        each for node in nodes for each in node.all_input_nodes if each not in inside
    )
    gives = [node for node in nodes if any(user not in inside for user in node.users)]
    graph = fx.Graph()
    copies = {node: graph.placeholder(node.name) for node in reads}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in gives))
    module = fx.GraphModule(model, graph)
    known = Fingerprint(object(), structure(module).slots)  # equal to no other
    return Piece(module, known, list(reads), gives, codes)


def _last_reads(pieces: Sequence[Piece], output: fx.Node) -> tuple[tuple[fx.Node, ...], ...]:
    """After each piece, the values that it was the last to read."""
    alive = set(output.all_input_nodes)
    dead = []
    for piece in reversed(pieces):
        dead.append(tuple(dict.fromkeys(n for n in (*piece.reads, *piece.gives) if n not in alive)))
        alive.update(piece.reads)
    return tuple(reversed(dead))
