"""describe_candidates(result, ...) -> each candidate with its evidence, and how it differs.

    resnet50_v1    head.classes: 10     fc.weight is 10 x 2048
                   compared with resnet50:
                   stride 2, not 1: conv1 in layer2.0, layer3.0, layer4.0
                   ...

A candidate is named after the network that it extends and the components that it has from others.

Evidence: a change is reverted, and what the network then predicts shows where it matters.

    head.classes: 10          fc.weight is 10 x 512
    stages.layer3.blocks: 11  the file has layer3.0 to layer3.10
    stem: deep                the file has conv1.0.weight

Distinguishing features: how two networks with the same tensors differ. Nodes are matched by name,
and everything in them is compared except sizes: no tensor shows that of the input.

    resnet50, resnet50_v1    ->  stride 2, not 1: conv1 in layer2.0, layer3.0, layer4.0
                                 stride 1, not 2: conv2 in layer2.0, layer3.0, layer4.0
    resnet50, resnetblur50   ->  with blur: maxpool.1; aa.0 in layer2.0, layer3.0, layer4.0; ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.op_def import format_value
from resnetgen.weights.infer.design import DELETED, Design, DesignCompiler, SpecPath
from resnetgen.weights.infer.search import SearchResult
from resnetgen.weights.mismatch import shape_text
from resnetgen.weights.tensor_layout import attribute_differences


@dataclass(frozen=True, slots=True)
class Evidence:
    """An override, and what in the file it follows from."""

    path: SpecPath
    value: str
    shown_by: str

    @property
    def setting(self) -> str:
        """`stages.layer3.blocks: 11`, `without stages.layer4`."""
        path = ".".join(self.path)
        return f"without {path}" if self.value == DELETED else f"{path}: {self.value}"


@dataclass(frozen=True)
class Candidate:
    """A network that the tensors of a file may belong to."""

    name: str
    design: Design
    evidence: tuple[Evidence, ...]
    compared_with: str | None  # the most similar of the candidates before; None for the first
    differences: tuple[str, ...]  # from that one

    @property
    def changes(self) -> str:
        """How it differs from the network that it extends."""
        return ", ".join(each.setting for each in self.evidence) or "unchanged"


def describe_candidates(result: SearchResult, compiler: DesignCompiler) -> tuple[Candidate, ...]:
    """The candidates under distinct names, each compared with the most similar one before it."""
    graphs = [compiler.graph(design) for design in result.candidates]
    names = _distinct(map(_name, result.candidates))
    candidates = []
    for index, design in enumerate(result.candidates):
        differences = {
            names[earlier]: distinguishing_features(graphs[earlier], graphs[index])
            for earlier in range(index)
        }
        similar = min(differences, key=lambda name: len("".join(differences[name])), default=None)
        candidates.append(
            Candidate(
                names[index],
                design,
                tuple(gather_evidence(design, compiler)),
                similar,
                tuple(differences[similar]) if similar else (),
            )
        )
    return tuple(candidates)


def _name(design: Design) -> str:
    """`resnet34_c+bottleneck+eca`: the base, and the blocks or ops that its components call."""
    components = (design.overrides[path] for path in design.replaced)
    calls = (re.search(r"op: (\w+)", each) or re.search(r"(\w+)", each) for each in components)
    return "+".join([design.base, *(call[1] for call in calls if call)])


def _distinct(names: Iterable[str]) -> list[str]:
    """Repeated names get a number: `resnet50+zero_pad`, `resnet50+zero_pad-2`."""
    distinct: list[str] = []
    for name in names:
        same = sum(each == name or each.rpartition("-")[0] == name for each in distinct)
        distinct.append(f"{name}-{same + 1}" if same else name)
    return distinct


# --- evidence


def gather_evidence(design: Design, compiler: DesignCompiler) -> Iterator[Evidence]:
    """Each override of a design, and what in the file it follows from."""
    for path, value in design.overrides.items():
        paths = _paths_shown(design, path, value, compiler)
        yield Evidence(path, value, paths or _tensor_shown(design, path, compiler))


def _paths_shown(design: Design, path: SpecPath, value: str, compiler: DesignCompiler) -> str:
    """The paths that show the depth of a stage; empty for other overrides."""
    if path[0] != "stages" or (len(path) > 2 and path[2] != "blocks"):
        return ""
    if value == DELETED:
        return f"the file has nothing in {path[1]}"
    paths = compiler.stage_paths(design, path[1])
    return (
        f"the file has {paths[0]} to {paths[-1]}" if paths[1:] else f"the file has only {paths[0]}"
    )


def _tensor_shown(design: Design, path: SpecPath, compiler: DesignCompiler) -> str:
    """The first tensor that an override adds, reshapes or removes."""
    others = {each: value for each, value in design.overrides.items() if each != path}
    with suppress(SpecError):
        shapes = compiler.shapes(compiler.shorten(design)) or {}
        reverted = compiler.shapes(compiler.shorten(Design(design.base, others))) or {}
        for key, shape in shapes.items():
            if reverted and key not in reverted:
                return f"the file has {key}"
            if reverted and reverted[key] != shape:
                return f"{key} is {shape_text(shape)}"
        return next((f"the file has no {key}" for key in reverted if key not in shapes), "")
    return ""


# --- distinguishing features

_MAX_BLOCKS = 4  # that a line names


def distinguishing_features(one: Graph, other: Graph) -> list[str]:
    """What distinguishes the second from the first, with the nodes where it shows."""
    before = {node.name: node for node in one.nodes}
    after = {node.name: node for node in other.nodes}
    added = (node for name, node in after.items() if _is_new(node, before.get(name)))
    removed = (node for name, node in before.items() if _is_new(node, after.get(name)))
    pairs = [(before[name], node) for name, node in after.items() if name in before]
    lines = [
        *_by_feature(([f"with {node.op}"], node.name) for node in added),
        *_by_feature(([f"without {node.op}"], node.name) for node in removed),
        *_by_feature((_changed_attributes(*pair), pair[1].name) for pair in pairs),
    ]
    return lines or [*_by_feature((_changed_inputs(*pair), pair[1].name) for pair in pairs)]


def _is_new(node: Node, counterpart: Node | None) -> bool:
    return counterpart is None or counterpart.op != node.op


def _changed_attributes(one: Node, other: Node) -> list[str]:
    if one.op != other.op:
        return []
    before, after = one.attributes, other.attributes
    return [
        f"{name} {format_value(after[name])}, not {format_value(before[name])}"
        for name, *_ in attribute_differences(one, other)
    ]


def _changed_inputs(one: Node, other: Node) -> list[str]:
    return [] if one.inputs == other.inputs else [f"reads {', '.join(other.inputs)}"]


def _by_feature(nodes: Iterable[tuple[list[str], str]]) -> Iterator[str]:
    """Features and the name of a node, for each node -> one line for each feature."""
    names: dict[str, list[str]] = {}
    for features, name in nodes:
        for feature in features:
            names.setdefault(feature, []).append(name)
    for feature, where in names.items():
        yield f"{feature}: {_by_block(where)}"


def _by_block(names: Iterable[str]) -> str:
    """`conv1 in layer2.0, layer3.0, layer4.0; maxpool`: each node and the blocks that have it."""
    blocks: dict[str, list[str]] = {}
    for name in names:
        block, node = _split(name)
        blocks.setdefault(node, []).append(block)
    return "; ".join(f"{node}{_in_blocks(each)}" for node, each in blocks.items())


def _split(name: str) -> tuple[str, str]:
    """`layer2.0.aa.0` -> `layer2.0`, `aa.0`: a number alone does not name a node."""
    *block, node = name.split(".")
    while node[0].isdigit() and block:
        node = f"{block.pop()}.{node}"
    return ".".join(block), node


def _in_blocks(blocks: list[str]) -> str:
    if not any(blocks):
        return ""
    more = len(blocks) - _MAX_BLOCKS
    return f" in {', '.join(blocks[:_MAX_BLOCKS])}" + (f" and {more} more" if more > 0 else "")
