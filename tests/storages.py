"""The storages that are alive while torch runs: `with Live(own(module)) as live: module(x)`.

A dispatch mode sees every tensor that an op makes, and a weak reference tells when its storage goes.
"""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Every kind of join, values that are held for long, activations that overwrite and that do not.
FREE = """
network: n
input: {channels: 4, size: [16, 16]}
nodes:
  pool: {op: max_pool, kernel: 3, stride: 1}
  a: {op: conv, out: 8, kernel: 3, stride: 2}
  b: {op: norm}
  c: {op: relu6}
  d: {op: conv, out: 8, kernel: 1}
  e: {op: tanh}
  f: {op: conv, inputs: c, out: 8, kernel: 3}
  g: {op: gelu}
  sum: {op: add, inputs: [e, g, c]}
  h: {op: sigmoid}
  product: {op: mul, inputs: [h, sum, g]}
  up: {op: resize, scale: 2, mode: linear}
  join: {op: concat, inputs: [up, pool]}
  mean: {op: avg_pool_same, kernel: 2}
  low: {op: subsample, stride: 2}
  last: {op: conv, out: 6, kernel: 1}
  pad: {op: pad_channels, back: 2}
outputs: {last: pad, up: up}
"""


def own(module: nn.Module) -> set[int]:
    return {each.untyped_storage()._cdata for each in (*module.parameters(), *module.buffers())}


class Live(TorchDispatchMode):
    """The bytes of the storages that are alive, and the most that ever were."""

    def __init__(self, left_out: set[int]) -> None:
        super().__init__()
        self.left_out = left_out
        self.sizes: dict[int, int] = {}
        self.watched: dict[int, weakref.ref[Any]] = {}
        self.peak = 0

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.sizes and key not in self.left_out:
            self.sizes[key] = storage.nbytes()
            self.watched[key] = weakref.ref(storage, lambda _: self.sizes.pop(key))
            self.peak = max(self.peak, sum(self.sizes.values()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.add(tensor)
        return result
