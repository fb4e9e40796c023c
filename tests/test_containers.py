"""Containers within containers: the printed class has each of its inputs once."""

from __future__ import annotations

import ast

from resnetgen.pipeline import compile_text

SPEC = """
network: sample
input: {channels: 4, size: [32, 32]}
nodes:
  conv26: {op: convolution, out: 8, kernel: 5}
  part27.drop28: {op: drop_path, rate: 0.1}
  part27.add29: {op: add, inputs: [part27.drop28, conv26]}
  part27.sub30.sub31.act32: {op: gelu}
"""


def test_a_group_in_a_group_has_distinct_input_names() -> None:
    tree = ast.parse(compile_text(SPEC).source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        names = [argument.arg for argument in function.args.args]
        assert len(names) == len(set(names)), names


def test_torch_agrees_with_it() -> None:
    from resnetgen.runtime.verify import verify

    compiled = compile_text(SPEC)
    assert verify(compiled.checked_graph, compiled.source, compile=False).ok
