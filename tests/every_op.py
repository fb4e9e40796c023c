"""A network that contains every op, for tests of what other tools make of it."""

from __future__ import annotations

# Every op of the language on 1, 2 or 3 axes, at sizes that do not divide.
EVERY_OP = """
network: every_op
input: {{channels: 6, size: {size}}}
nodes:
  conv: {{op: conv, out: 16, kernel: 3, groups: 2}}
  norm: {{op: norm}}
  relu: {{op: relu}}
  grouped: {{op: group_norm, groups: 4}}
  relu6: {{op: relu6}}
  silu: {{op: silu}}
  gelu: {{op: gelu}}
  tanh: {{op: tanh}}
  total: {{op: add, inputs: [tanh, norm]}}
  maximum: {{op: max_pool, kernel: 3, stride: 2}}
  mean: {{op: avg_pool, kernel: 2, stride: 1}}
  same: {{op: avg_pool_same, kernel: 3}}
  nearest: {{op: resize, scale: 2}}
  linear: {{op: resize, scale: 3, mode: linear}}
  blur: {{op: blur, stride: 2}}
  biased: {{op: conv, out: 8, kernel: 1}}
  joined: {{op: concat, inputs: [biased, blur]}}
  sampled: {{op: subsample, stride: 2}}
  padded: {{op: pad_channels, front: 1, back: 3}}
  dropped: {{op: dropout, rate: 0.5}}
  pooled: {{op: global_avg_pool}}
  eca: {{op: channel_conv, kernel: 3, bias: true}}
  gate: {{op: sigmoid}}
  scaled: {{op: mul, inputs: [dropped, gate]}}
  path: {{op: drop_path, rate: 0.5}}
  adaptive: {{op: adaptive_avg_pool, size: 5}}
  flat: {{op: flatten}}
  unbiased: {{op: linear, out: 7, bias: false}}
  fc: {{op: linear, out: 10}}
"""
