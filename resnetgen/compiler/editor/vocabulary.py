"""The names that a spec can use, with the arguments of each: ops, blocks, slots and networks.

    vocabulary(()).ops["blur"]                  ->  NameInfo("binomial 3-tap blur ...", {"stride": ...}, ...)
    vocabulary(()).bound_names["resnet50"]["block"]  ->  "bottleneck"

An ambient slot (`conv`, `norm`, `act`, `shortcut`) is a slot that the network binds for all blocks.

Names come from some folders first, then from the library, as for a spec in those folders. An
argument is described by a JSON Schema, which an editor shows, completes and checks. What a network
binds decides which arguments fit in the networks that extend it: the stages of one that extends
resnet50 have those of `bottleneck`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.expressions import Const, to_text
from resnetgen.compiler.frontend.tree import MapTree, Scalar, Tree, entries_at, text_at
from resnetgen.compiler.ir.nodes import Binding, Block, Param, PassThrough
from resnetgen.compiler.ir.op_def import Attribute, format_value
from resnetgen.compiler.ir.ops import AMBIENT, OPS
from resnetgen.compiler.passes.elaborate import DEFAULT_HEAD
from resnetgen.compiler.passes.elaborate_blocks import BlockElaborator
from resnetgen.compiler.passes.elaborate_checks import offered_arguments

Schema = dict[str, Any]

# The keys of a network whose value is called, and the kind of block that is meant for each.
_KIND_OF_KEY = {"block": "blocks", "shortcut": "shortcuts", "stem": "stems", "head": "heads"}
BINDING_KEYS = (*AMBIENT, *_KIND_OF_KEY)
DEFAULT_BINDINGS = {**AMBIENT, "head": DEFAULT_HEAD}


@dataclass(frozen=True, slots=True)
class NameInfo:
    """What an editor shows of a name; the arguments and slots are of one that can follow `op:`."""

    doc: str
    arguments: Mapping[str, Schema]
    required: tuple[str, ...] = ()  # arguments without a default
    slots: Mapping[str, str] = field(default_factory=dict)  # with the default of each


SPECIAL_CALLEES = {
    "identity": NameInfo("passes its input through", {}),
    "none": NameInfo("has no value", {}),
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that a spec can use."""

    ops: Mapping[str, NameInfo]
    ambient_slots: Mapping[str, NameInfo]
    blocks_by_kind: Mapping[str, Mapping[str, NameInfo]]
    networks: Mapping[str, NameInfo]
    bound_names: Mapping[
        str, Mapping[str, str]
    ]  # of each network that redefines no name: key -> name

    @property
    def blocks(self) -> Mapping[str, NameInfo]:
        """The blocks of all kinds."""
        return {name: each for kind in self.blocks_by_kind.values() for name, each in kind.items()}

    @property
    def callees(self) -> dict[str, NameInfo]:
        """Ops and blocks: the names that have arguments of their own."""
        return {**self.ops, **self.blocks}

    @property
    def callable_names(self) -> Mapping[str, NameInfo]:
        """What the `op` of a node can name."""
        return {**self.ambient_slots, **self.callees, **SPECIAL_CALLEES}

    def names_for(self, key: str) -> Mapping[str, NameInfo]:
        """The names that are meant for a key of a network."""
        if key in _KIND_OF_KEY:
            return {**self.blocks_by_kind[_KIND_OF_KEY[key]], **SPECIAL_CALLEES}
        return {**self.ops, **self.blocks_by_kind["blocks"], **SPECIAL_CALLEES}


def vocabulary(folders: tuple[Path, ...]) -> Vocabulary:
    """The names of some folders, then of the library."""
    ops = op_callees()
    kinds = {kind: block_callees(kind, folders) for kind in library.BLOCK_KINDS}
    known = {*ops, *SPECIAL_CALLEES, *(name for kind in kinds.values() for name in kind)}
    networks = _networks(folders)
    return Vocabulary(
        ops,
        ambient_callees(),
        kinds,
        {name: NameInfo(text_at(tree, "doc") or "", {}) for name, tree in networks.items()},
        {name: _bound_names(tree) for name, tree in networks.items() if _keeps_names(tree, known)},
    )


# --- networks


def _networks(folders: tuple[Path, ...]) -> dict[str, MapTree]:
    """The networks that can be extended, after inheritance; those with errors are left out."""
    trees: dict[str, MapTree] = {}
    for folder in (*folders, library.LIBRARY):
        for path in library.network_files(folder):
            with suppress(SpecError, OSError):
                trees.setdefault(path.stem, library.load(path).tree)
    return {name: tree for name, tree in sorted(trees.items()) if "network" in tree.entries}


def _bound_names(tree: MapTree) -> dict[str, str]:
    """The name that a network binds to each key; a map without `op` refines the default, which it calls."""
    names: dict[str, str | None] = {}
    for key in BINDING_KEYS:
        value = tree.entries.get(key)
        is_inline = isinstance(value, MapTree) and "nodes" in value.entries
        names[key] = None if is_inline else _called_name(value) or DEFAULT_BINDINGS.get(key)
    return {key: name for key, name in names.items() if name}


def _called_name(tree: Tree | None) -> str | None:
    called = tree.entries.get("op") if isinstance(tree, MapTree) else tree
    return called.text if isinstance(called, Scalar) and called.value is not None else None


def _keeps_names(tree: MapTree, known: set[str]) -> bool:
    """Whether known names have the same meaning in the networks that extend this one.

    It defines no block of its own under such a name, binds only known names to ambient slots, and its
    stages use `block:`.
    """
    bindings = _bound_names(tree)
    stages = [each for each in entries_at(tree, "stages").values() if isinstance(each, MapTree)]
    return (
        not known & entries_at(tree, "define").keys()
        and all(bindings.get(slot) in known for slot in AMBIENT if slot in tree.entries)
        and not any({"op", "nodes"} & each.entries.keys() for each in stages)
    )


# --- ops and ambient slots

# `null` deletes what was inherited.
_TYPES = {
    "int": ["integer", "string", "null"],
    "float": ["number", "string", "null"],
    "bool": ["boolean", "string", "null"],
    "axes": ["integer", "string", "array", "null"],
}
_ANY_TYPE = ["string", "number", "boolean", "array", "null"]
_KIND_WORDS = {"int": "an integer", "float": "a number", "bool": "true or false"}


def op_callees() -> dict[str, NameInfo]:
    """The ops by name."""
    return {
        name: NameInfo(
            op.doc,
            {key: _attribute_schema(each) for key, each in op.attributes.items()},
            tuple(key for key, each in op.attributes.items() if each.required),
        )
        for name, op in OPS.items()
    }


def ambient_callees() -> dict[str, NameInfo]:
    """The slots that every network fills, with the arguments of anything they can be bound to."""
    return {slot: _ambient_callee(slot, default) for slot, default in AMBIENT.items()}


def _ambient_callee(slot: str, default: str | None) -> NameInfo:
    """Nothing is required: what the slot is bound to may not need it."""
    doc = f"what the network calls `{slot}`"
    if default is None:
        argument = {"description": f"an argument of {doc}", "type": _ANY_TYPE}
        arguments = dict.fromkeys(offered_arguments(slot), argument)
        return NameInfo(f"{doc}; there is no default", arguments)
    op = op_callees()[default]
    return NameInfo(f"{doc}, by default `{default}`: {op.doc}", op.arguments)


def _attribute_schema(attribute: Attribute) -> Schema:
    schema: Schema = {"description": attribute.doc + ", required" * attribute.required}
    bounds = {
        "minimum": attribute.minimum,
        "exclusiveMinimum": attribute.above,
        "maximum": attribute.maximum,
    }
    limits = {key: bound for key, bound in bounds.items() if bound is not None}
    if attribute.kind == "word":
        schema["enum"] = [*attribute.choices, None]
    else:
        schema |= {"type": _TYPES[attribute.kind], **limits}
    if attribute.kind == "axes":
        each = {"type": ["integer", "string"], **limits}
        schema["allOf"] = [{"items": each, "minItems": 1, "maxItems": 3}]
    is_computed = callable(attribute.default) or attribute.default is None
    return schema if attribute.required or is_computed else schema | {"default": attribute.default}


# --- blocks


def block_callees(kind: str, folders: tuple[Path, ...] = ()) -> dict[str, NameInfo]:
    """The blocks of one kind by name."""
    return {name: _block_callee(name, block) for name, block in known_blocks(kind, folders).items()}


def known_blocks(kind: str, folders: tuple[Path, ...] = ()) -> dict[str, Block]:
    """The blocks of one kind by name, the nearest of each; those with errors are left out."""
    elaborator = BlockElaborator(replace(library.load_text("{}"), folders=folders))
    paths = (
        path for each in (*folders, library.LIBRARY) for path in library.block_files(kind, each)
    )
    blocks = {}
    for name in sorted({path.stem for path in paths} - {*OPS, *AMBIENT}):
        with suppress(SpecError, OSError):
            if block := elaborator.find(name):
                blocks[name] = block
    return blocks


def _block_callee(name: str, block: Block) -> NameInfo:
    arguments = {key: _param_schema(name, param) for key, param in block.params.items()}
    required = tuple(key for key, param in block.params.items() if param.default is None)
    slots = {key: _binding_text(binding) for key, binding in block.slots.items()}
    return NameInfo(block.doc or f"the block `{name}`", arguments, required, slots)


def _param_schema(block: str, param: Param) -> Schema:
    """A parameter: of the kind that it declares, or anything a value can be."""
    what = f"parameter of `{block}`"
    if param.default is None:
        kind = param.kind or ""
        return {"description": f"{what}: {_KIND_WORDS[kind]}, required", "type": _TYPES[kind]}
    expression = param.default.expr
    schema = {"description": f"{what}, by default `{default_text(param)}`", "type": _ANY_TYPE}
    return schema | ({"default": expression.value} if isinstance(expression, Const) else {})


def default_text(param: Param) -> str | None:
    """The default of a parameter as a spec spells it; None if it is required."""
    if param.default is None:
        return None
    expression = param.default.expr
    return format_value(expression.value) if isinstance(expression, Const) else to_text(expression)


def _binding_text(binding: Binding) -> str:
    target = binding.target
    name = getattr(target, "name", "identity" if isinstance(target, PassThrough) else "none")
    given = [f"{key}: {to_text(term.expr)}" for key, term in binding.arguments.items()]
    return f"{{{', '.join([f'op: {name}', *given])}}}" if given else name
