"""hybrids(designs, checkpoint, ...): library networks with components of other library networks.

    resnet50 with the stem of resnet50d and the attention of seresnet50

A component is what a spec names in one place: stem, block, shortcut, head, norm, convolution, what
is in a slot of the stem or of the block; and the number of spatial axes. Which ones bring a design
nearer to the file is judged by the signatures of its preview. Designs with the fewest foreign
components come first; a component without tensors is never replaced.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend.expressions import Const
from resnetgen.compiler.frontend.tree import ListTree, MapTree, Scalar, Tree, entries_at
from resnetgen.compiler.frontend.yaml_writer import to_flow
from resnetgen.compiler.ir.nodes import Block, Network
from resnetgen.compiler.passes.elaborate import DEFAULT_HEAD
from resnetgen.weights.infer.checkpoint import CheckpointShapes, Signature
from resnetgen.weights.infer.design import DELETED, Design, DesignCompiler, SpecPath
from resnetgen.weights.infer.hyperparameters import hyperparameters_of
from resnetgen.weights.infer.prune import block_paths, design_signatures, preview
from resnetgen.weights.keys import mask_numbers

_AMBIENT = ("conv", "norm", "shortcut")
_MAX_FOREIGN = 3  # components in one design
_MAX_GROUPS = 8  # of designs that go on to the next round

Swap = tuple[SpecPath, str]  # a place in a spec, and the component to put there


# --- the components of the library


@dataclass(frozen=True)
class Components:
    """The components that the library has for each place; an empty text: the spec names none."""

    choices: Mapping[SpecPath, Sequence[str]]
    blocks: Mapping[SpecPath, Mapping[str, Block]]  # the library blocks called by stems and stages

    def alternatives(self, design: Design, sections: Container[str]) -> Iterator[Swap]:
        """What could replace a component of the design's base in some sections of its spec."""
        for path, choices in self.choices.items():
            own = _component(path, _at(design.tree, path))
            if path not in design.replaced and path[0] in sections:
                yield from ((path, text) for text in choices if text != own)

    def swap(self, design: Design, swap: Swap, compiler: DesignCompiler) -> Design | None:
        """The design with another component; None if there is nothing to change. Raises SpecError."""
        path, text = swap
        if text in self.blocks.get(path, ()):
            text = _call_with_same_arguments(text, self.blocks[path][text], path, design, compiler)
        if _at(design.tree, path) is None and not text:
            return None
        swapped = design.with_overrides({path: text or DELETED})
        return replace(swapped, replaced=(*design.replaced, path))


def _call_with_same_arguments(
    op: str, block: Block, place: SpecPath, design: Design, compiler: DesignCompiler
) -> str:
    """A call of another block, with those arguments and defaults of the replaced one that it has."""
    replaced = _at(design.tree, place)
    given = replaced.entries.items() if isinstance(replaced, MapTree) else ()
    arguments = {key: to_flow(each) for key, each in given if key in {*block.params, *block.slots}}
    network, _ = compiler.body(design)
    for path, number in hyperparameters_of(design.tree, network).items():
        param = block.params.get(path[-1]) if path[:-1] == place else None
        default = param.default.expr if param and param.default else None
        if isinstance(default, Const) and default.value != number.value:
            arguments.setdefault(path[-1], number.as_yaml(number.count))
    return f"{{{_pairs({'op': op, **arguments})}}}" if arguments else op


def library_components(designs: Iterable[Design], compiler: DesignCompiler) -> Components:
    """Every component that some network has in each place."""
    choices: dict[SpecPath, dict[str, None]] = {}
    blocks: dict[SpecPath, dict[str, Block]] = {}
    for design in designs:
        with suppress(SpecError):
            tree, (network, _) = design.tree, compiler.body(design)
            for path in _places(network):
                choices.setdefault(path, {})[_component(path, _at(tree, path))] = None
            for path, op, block in _library_calls(tree, network):
                blocks.setdefault(path, {})[op] = block
    choices["block",] = dict.fromkeys(blocks["block",])
    choices["input", "size"] = _one_of_each_rank(choices["input", "size"])
    return Components({path: [*texts] for path, texts in choices.items()}, blocks)


def _places(network: Network) -> Iterator[SpecPath]:
    """The places of a network's components."""
    yield "input", "size"
    yield from ((name,) for name in ("stem", "head", *_AMBIENT))
    for node in network.root.nodes:
        section = "block" if node.stage else node.key
        if section in ("stem", "block") and isinstance(node.target, Block):
            yield from ((section, slot) for slot in node.target.slots)


def _library_calls(tree: MapTree, network: Network) -> Iterator[tuple[SpecPath, str, Block]]:
    """The blocks of the library that the stem and the stages call by name."""
    for node in network.root.nodes:
        section = "block" if node.stage else node.key
        op = _callee(tree.entries.get(section)) if section in ("stem", "block") else ""
        if op and op not in entries_at(tree, "define") and isinstance(node.target, Block):
            yield (section,), op, node.target


def _one_of_each_rank(sizes: Mapping[str, None]) -> dict[str, None]:
    """`[224, 224]`, `[32, 32]`, `[1000]` -> the first of two axes and the first of one."""
    first = {size.count(","): size for size in reversed([*sizes])}
    return dict.fromkeys(first.values())


def _at(tree: Tree | None, path: SpecPath) -> Tree | None:
    for key in path:
        tree = tree.entries.get(key) if isinstance(tree, MapTree) else None
    return tree


def _callee(tree: Tree | None) -> str:
    """The block or op that a value names; empty where it is absent or written out."""
    if isinstance(tree, MapTree):
        tree = tree.entries.get("op")
    return tree.text if isinstance(tree, Scalar) and isinstance(tree.value, str) else ""


def _component(path: SpecPath, tree: Tree | None) -> str:
    """The component in a place of a spec as text, without its numbers."""
    if tree is None or isinstance(tree, ListTree):
        return to_flow(tree) if tree else ""
    if isinstance(tree, MapTree) and "nodes" in tree.entries:
        return to_flow(tree)
    if path == ("head",):
        return _callee(tree) or DEFAULT_HEAD
    words = {key: to_flow(each) for key, each in _words(tree).items()}
    if len(words) < 2 or path in (("stem",), ("block",)):
        return _callee(tree)
    return f"{{{_pairs(words)}}}"


def _words(tree: Tree) -> dict[str, Tree]:
    """The texts and booleans of a call."""
    given = tree.entries.items() if isinstance(tree, MapTree) else ()
    words = {key: each for key, each in given if isinstance(each, Scalar)}
    return {key: each for key, each in words.items() if type(each.value) in (str, bool)}


def _pairs(words: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {text}" for key, text in words.items())


# --- the search


def hybrids(
    designs: Sequence[Design], checkpoint: CheckpointShapes, compiler: DesignCompiler
) -> Iterator[list[Design]]:
    """The most similar designs with one foreign component, then those with two, then with three.

    Designs with the same signatures are tried together.
    """
    components = library_components(designs, compiler)
    groups = _by_signatures(designs, compiler)
    for _ in range(_MAX_FOREIGN):
        nearest = sorted(groups, key=lambda own: len(own ^ checkpoint.signatures))[:_MAX_GROUPS]
        improved = [
            design
            for signatures in nearest
            for design in _improved(groups[signatures], components, checkpoint, compiler)
        ]
        groups = _by_signatures(improved, compiler)
        yield improved


def _by_signatures(
    designs: Iterable[Design], compiler: DesignCompiler
) -> dict[frozenset[Signature], list[Design]]:
    groups: dict[frozenset[Signature], list[Design]] = {}
    for design in designs:
        if signatures := design_signatures(design, compiler):
            groups.setdefault(signatures, []).append(design)
    return groups


def _improved(
    group: Sequence[Design],
    components: Components,
    checkpoint: CheckpointShapes,
    compiler: DesignCompiler,
) -> Iterator[Design]:
    """The designs of a group with the one other component that brings them nearest to the file.

    Several where tensors do not tell components apart; none where no component brings them nearer.
    """
    first = group[0]
    distances: dict[Swap, int] = {}
    for swap in components.alternatives(first, _mismatched_sections(first, checkpoint, compiler)):
        swapped = components.swap(first, swap, compiler)
        if swapped and (signatures := design_signatures(swapped, compiler)):
            distances[swap] = len(signatures ^ checkpoint.signatures)
    least = min(distances.values(), default=0)
    if least < len(design_signatures(first, compiler) ^ checkpoint.signatures):
        best = [swap for swap, distance in distances.items() if distance == least]
        swapped_designs = (components.swap(each, swap, compiler) for each in group for swap in best)
        yield from filter(None, swapped_designs)


def _mismatched_sections(
    design: Design, checkpoint: CheckpointShapes, compiler: DesignCompiler
) -> set[str]:
    """The sections of a spec that may explain the signatures which only one side has."""
    paths = block_paths(preview(design, compiler), compiler)
    stages = tuple({f"{mask_numbers(path)}." for path in paths})
    mismatches = design_signatures(design, compiler) ^ checkpoint.signatures
    inside = {name.startswith(stages) for name, *_ in mismatches}
    sections = {True: ("block", "shortcut"), False: ("stem", "head")}
    return {"input", "conv", "norm"}.union(*(sections[each] for each in inside))
