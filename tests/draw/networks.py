"""What is drawn: the library, tests/specs, and specs that are hard to draw."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from draw.drawing import Drawing

from resnetgen.compiler.frontend import library
from resnetgen.pipeline import Compiled, compile_spec, compile_text
from resnetgen.reports.draw.page import draw

PYRAMID = """
network: pyramid
extends: resnet18
doc: a feature pyramid with four outputs
head: none
nodes:
  lat4: {op: conv, out: 64, kernel: 1, inputs: layer4}
  lat3: {op: conv, out: 64, kernel: 1, inputs: layer3}
  lat2: {op: conv, out: 64, kernel: 1, inputs: layer2}
  lat1: {op: conv, out: 64, kernel: 1, inputs: layer1}
  up4: {op: resize, scale: 2, inputs: lat4}
  p3: {op: add, inputs: [lat3, up4]}
  up3: {op: resize, scale: 2, inputs: p3}
  p2: {op: add, inputs: [lat2, up3]}
  up2: {op: resize, scale: 2, inputs: p2}
  p1: {op: add, inputs: [lat1, up2]}
  out4: {op: conv, out: 64, kernel: 3, inputs: lat4}
  out3: {op: conv, out: 64, kernel: 3, inputs: p3}
  out2: {op: conv, out: 64, kernel: 3, inputs: p2}
  out1: {op: conv, out: 64, kernel: 3, inputs: p1}
outputs: [out1, out2, out3, out4]
"""

DENSE = """
network: dense
input: {channels: 3, size: [224, 224]}
stem: {op: imagenet, width: 64}
nodes:
  dense1: {op: dense_layer, blocks: 6}
  down1: {op: transition, out: 128}
  dense2: {op: dense_layer, blocks: 12}
head: {classes: 1000}
define:
  dense_layer:
    nodes:
      norm1: {op: norm}
      act1: {op: act}
      conv1: {op: conv, out: 128, kernel: 1}
      norm2: {op: norm}
      act2: {op: act}
      conv2: {op: conv, out: 32, kernel: 3}
      join: {op: concat, inputs: [x, conv2]}
  transition:
    params: {out: int}
    nodes:
      norm: {op: norm}
      act: {op: act}
      conv: {op: conv, out: out, kernel: 1}
      pool: {op: avg_pool, kernel: 2}
"""

NESTED = """
network: nested
input: {channels: 3, size: [64, 64]}
stem: {op: cifar, width: 32}
nodes:
  once: {op: outer, depth: 4}
  thrice: {op: outer, depth: 2, blocks: 3}
head: {classes: 10}
define:
  outer:
    params: {depth: int}
    nodes:
      a: {op: conv_norm_act, out: 32, kernel: 3}
      inner: {op: unit, blocks: depth}
      b: {op: conv_norm_act, out: 32, kernel: 1, inputs: x}
      c: {op: conv_norm_act, out: 32, kernel: 5, inputs: x}
      d: {op: max_pool, kernel: 3, stride: 1, inputs: x}
      e: {op: add, inputs: [d, b, x]}
      join: {op: concat, inputs: [inner, b, c, e, a]}
      shrink: {op: conv, out: 32, kernel: 1}
      add: {op: add, inputs: [shrink, x]}
  unit:
    nodes:
      conv: {op: conv, out: 32, kernel: 3, groups: 4, dilation: 2}
      bn: {op: norm}
      act: {op: act}
      add: {op: add, inputs: [act, x]}
"""

# Every node reads many of those before it, so that lines have to find their way.
TANGLE = """
network: tangle
input: {channels: 8, size: [32, 32]}
nodes:
  a: {op: conv, out: 8, kernel: 3}
  b: {op: conv, out: 8, kernel: 3, inputs: x}
  c: {op: add, inputs: [a, x]}
  d: {op: concat, inputs: [a, b, c]}
  e: {op: conv, out: 8, kernel: 1, inputs: d}
  f: {op: add, inputs: [e, a, b]}
  g: {op: both, inputs: [f, c]}
  h: {op: both, inputs: [b, g]}
  i: {op: mul, inputs: [h, e]}
  j: {op: concat, inputs: [i, h, x, a]}
outputs: [j, g, c]
define:
  both:
    inputs: [x, skip]
    nodes:
      one: {op: conv, out: 8, kernel: 3}
      two: {op: conv, out: 8, kernel: 3, inputs: skip}
      sum: {op: add, inputs: [two, one, x, skip]}
"""

WIDE = (
    """
network: wide
input: {channels: 4, size: [8, 8, 8]}
nodes:
  fan: {op: fan, blocks: 2}
define:
  fan:
    nodes:
"""
    + "".join(
        f"      n{i}: {{op: conv, out: 4, kernel: {2 * (i % 3) + 1}, inputs: x}}\n"
        for i in range(12)
    )
    + f"      join: {{op: add, inputs: [{', '.join(f'n{i}' for i in range(12))}]}}\n"
)

LONG = f"{'W' * 40}.{'m' * 38}.of"  # the longest that there may be is 100 characters
BLOCK = "a_block_of_" + "W" * 25  # of at most 40
OTHER = LONG.replace("W", "V")  # beside it, and not in the same container
HOSTILE = f"""
network: hostile--name.{LONG[:40]}
doc: '<script>alert("1")</script> & ]]> --> \\u202e {{x}} 深い ''quoted'' {"very " * 60}long'
input: {{channels: 3, size: [32, 32]}}
stem: cifar
block: basic
shortcut: projection
stages:
  {LONG}: {{blocks: 3, width: 16}}
  layer2: {{blocks: 2, op: {BLOCK}, width: 32}}
nodes:
  {OTHER}node: {{op: conv, out: 100000, kernel: 3}}
outputs: [{LONG}, {OTHER}node]
define:
  {BLOCK}:
    params: {{width: int}}
    nodes:
      {LONG}conv: {{op: conv, out: width, kernel: 3}}
      add: {{op: concat, inputs: [{LONG}conv, x]}}
"""

FREE = {
    "pyramid": PYRAMID,
    "dense": DENSE,
    "nested": NESTED,
    "tangle": TANGLE,
    "wide": WIDE,
    "hostile": HOSTILE,
}

SPECS = sorted(map(str, Path(__file__).parents[1].joinpath("specs").glob("*.yaml")))
LIBRARY = [path.stem for path in library.network_files()]


@cache
def compiled(name: str) -> Compiled:
    """A network of FREE, of the library, or of a file."""
    return compile_text(FREE[name]) if name in FREE else compile_spec(name)


@cache
def drawing(name: str) -> Drawing:
    """Its drawing."""
    return drawn(compiled(name))


def drawn(made: Compiled) -> Drawing:
    """The drawing of a network."""
    return Drawing(draw(made.network, made.typed))
