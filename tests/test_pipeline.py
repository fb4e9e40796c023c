"""The table of passes at the head of the pipeline names every result of `Compiled`, in order."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from resnetgen import SpecError, pipeline
from resnetgen.pipeline import Compiled, compile_text

ROW = re.compile(r"^    \S.*?\s{2,}(\w+): (\S+)\s{2,}\S", re.MULTILINE)
DERIVED = {"cost", "num_classes"}  # read from a result, by no pass of their own


def results() -> list[tuple[str, str]]:
    """Fields and properties of `Compiled` with their types, as they are written."""
    source = ast.parse(Path(pipeline.__file__).read_text(encoding="utf-8"))
    (compiled,) = (
        node
        for node in source.body
        if isinstance(node, ast.ClassDef) and node.name == Compiled.__name__
    )
    written: list[tuple[str, str]] = []
    for node in compiled.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            written.append((node.target.id, ast.unparse(node.annotation)))
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            written.append((node.name, ast.unparse(node.returns)))
    return [each for each in written if each[0] not in DERIVED]


def test_the_table_of_passes_is_complete() -> None:
    assert ROW.findall(pipeline.__doc__ or "") == results()


CONTAINER = """\
network: sample
input: {channels: 4, size: [8, 8]}
nodes:
  part.one: {op: conv, out: 4, kernel: 3}
  part.two.a: {op: conv, out: 4, kernel: 3}
  part.two.b: {op: add, inputs: [part.one, part.two.a]}
  part.two.c: {op: conv, out: 4, kernel: 3}
  part.last: {op: add, inputs: [part.two.b, part.two.c]}
  both: {op: add, inputs: [part.two.a, part.last]}
"""


NUMBERED_STAGE = """\
network: sample
input: {channels: 4, size: [8, 8]}
stages: {1: {op: leaf, blocks: 2}}
head: {classes: 3}
define: {leaf: {nodes: {conv: {op: conv, out: 4, kernel: 3}}}}
"""


@pytest.mark.parametrize("text", [CONTAINER, NUMBERED_STAGE])
def test_what_cannot_be_printed_is_refused_before_anything_is_reported(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        compile_text(text)
    assert [each.code for each in caught.value.diagnostics] == ["container"]
