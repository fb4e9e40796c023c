"""The names that a spec can use, as they are found from some folders and in the library.

    vocabulary(()).bound["resnet50"]["block"]  ->  "bottleneck"

What a network binds is what its heirs refine: the stages of one that extends resnet50 take the
arguments of its block.

What a spec can name, with what each takes: ops, blocks, and the slots that every network fills.

    ops()["blur"]  ->  Callee("binomial 3-tap blur ...", {"stride": {"type": [...], ...}}, ("stride",))

An argument is described by a JSON Schema: what an editor shows, completes and checks.

JSON Schema in the words of specs: `has("op")`, `calls("relu")`, `where(test, then)`.

    where(calls("relu"), has("inputs"))  ->  {"if": {"properties": {"op": {"const": "relu"}}, ...},
                                              "then": {"required": ["inputs"]}}

`doNotSuggest`, `enumDescriptions` and `patternErrorMessage` are words of editors (VS Code and
yaml-language-server); validators pass them over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.expressions import Const, to_text
from resnetgen.compiler.frontend.tree import MapTree, Scalar, Tree, entries, text_at
from resnetgen.compiler.ir.nodes import Binding, Block, Param, PassThrough
from resnetgen.compiler.ir.op_def import Attribute, format_value
from resnetgen.compiler.ir.ops import AMBIENT, OPS
from resnetgen.compiler.passes.elaborate import DEFAULT_HEAD
from resnetgen.compiler.passes.elaborate_blocks import BlockElaborator
from resnetgen.compiler.passes.elaborate_checks import offered_arguments

# The keys of a network that name what is called, and the folder whose names fit.
_FOLDERS = {"block": "blocks", "shortcut": "shortcuts", "stem": "stems", "head": "heads"}
BINDING_KEYS = (*AMBIENT, *_FOLDERS)
DEFAULT_BINDINGS = {**AMBIENT, "head": DEFAULT_HEAD}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that a spec can use, and what the networks that it can extend bind."""

    ops: Mapping[str, Callee]
    ambient: Mapping[str, Callee]
    blocks_by_kind: Mapping[str, Mapping[str, Callee]]  # the blocks of each kind
    networks: Mapping[str, Callee]
    bindings: Mapping[str, Mapping[str, str]]  # of each network that changes no name: key -> name

    @property
    def blocks(self) -> Mapping[str, Callee]:
        """The blocks of all kinds."""
        return {name: each for kind in self.blocks_by_kind.values() for name, each in kind.items()}

    @property
    def callees(self) -> dict[str, Callee]:
        """What has arguments of its own."""
        return {**self.ops, **self.blocks}

    @property
    def op_names(self) -> Mapping[str, Callee]:
        """What `op` of a node can name."""
        return {**self.ambient, **self.callees, **PASS_THROUGHS}

    def names_for(self, key: str) -> Mapping[str, Callee]:
        """The names that are meant for a key of a network."""
        if key in _FOLDERS:
            return {**self.blocks_by_kind[_FOLDERS[key]], **PASS_THROUGHS}
        return {**self.ops, **self.blocks_by_kind["blocks"], **PASS_THROUGHS}


def vocabulary(folders: tuple[Path, ...]) -> Vocabulary:
    """The names of some folders, then of the library."""
    known_ops = op_callees()
    kinds = {kind: block_callees(kind, folders) for kind in library.BLOCK_KINDS}
    known = {*known_ops, *PASS_THROUGHS, *(name for kind in kinds.values() for name in kind)}
    documents = _documents(folders)
    return Vocabulary(
        known_ops,
        ambient_callees(),
        kinds,
        {name: Callee(text_at(tree, "doc") or "", {}) for name, tree in documents.items()},
        {name: _bound(tree) for name, tree in documents.items() if _is_plain(tree, known)},
    )


def _documents(folders: tuple[Path, ...]) -> dict[str, MapTree]:
    """The networks that can be extended, after inheritance; those at fault are left out."""
    found: dict[str, MapTree] = {}
    for folder in (*folders, library.LIBRARY):
        for path in library.network_files(folder):
            with suppress(SpecError, OSError):
                found.setdefault(path.stem, library.load(path).tree)
    return {name: tree for name, tree in sorted(found.items()) if "network" in tree.entries}


def _bound(tree: MapTree) -> dict[str, str]:
    """What a network binds to each key; a map that names nothing refines the default."""
    names: dict[str, str | None] = {}
    for key in BINDING_KEYS:
        value = tree.entries.get(key)
        written = isinstance(value, MapTree) and "nodes" in value.entries
        names[key] = None if written else _called_name(value) or DEFAULT_BINDINGS.get(key)
    return {key: name for key, name in names.items() if name}


def _called_name(tree: Tree | None) -> str | None:
    called = tree.entries.get("op") if isinstance(tree, MapTree) else tree
    return called.text if isinstance(called, Scalar) and called.value is not None else None


def _is_plain(tree: MapTree, known: set[str]) -> bool:
    """Whether known names mean to its heirs what they mean here, and stages say `block:`."""
    bound = _bound(tree)
    stages = [each for each in entries(tree, "stages").values() if isinstance(each, MapTree)]
    return (
        not known & entries(tree, "define").keys()
        and all(bound.get(slot) in known for slot in AMBIENT if slot in tree.entries)
        and not any({"op", "nodes"} & each.entries.keys() for each in stages)
    )


# `null` deletes what was inherited.
_TYPES = {
    "int": ["integer", "string", "null"],
    "float": ["number", "string", "null"],
    "bool": ["boolean", "string", "null"],
    "axes": ["integer", "string", "array", "null"],
}
_ANY = ["string", "number", "boolean", "array", "null"]
_WORDS = {"int": "an integer", "float": "a number", "bool": "true or false"}


@dataclass(frozen=True, slots=True)
class Callee:
    """A name that `op:` takes: its arguments, which of them a caller must give, and its slots."""

    doc: str
    arguments: Mapping[str, Schema]
    required: tuple[str, ...] = ()
    slots: Mapping[str, str] = field(default_factory=dict)  # what stands in each by default


PASS_THROUGHS = {"identity": Callee("the value passes", {}), "none": Callee("there is no value", {})}


def op_callees() -> dict[str, Callee]:
    """The ops by name."""
    return {
        name: Callee(
            op.doc,
            {key: _attribute(each) for key, each in op.attributes.items()},
            tuple(key for key, each in op.attributes.items() if each.required),
        )
        for name, op in OPS.items()
    }


def ambient_callees() -> dict[str, Callee]:
    """The slots that every network fills, with what a call may offer to any of their contents."""
    return {slot: _ambient(slot, default) for slot, default in AMBIENT.items()}


def _ambient(slot: str, default: str | None) -> Callee:
    """Nothing is required: the content of the slot may do without."""
    doc = f"what the network calls `{slot}`"
    if default is None:
        offer = {"description": f"offered to what the network calls `{slot}`", "type": _ANY}
        return Callee(f"{doc}; there is no default", dict.fromkeys(offered_arguments(slot), offer))
    op = op_callees()[default]
    return Callee(f"{doc}, by default `{default}`: {op.doc}", op.arguments)


def block_callees(kind: str, folders: tuple[Path, ...] = ()) -> dict[str, Callee]:
    """The blocks of one kind, as `known_blocks` has them."""
    return {name: _block(name, block) for name, block in known_blocks(kind, folders).items()}


def known_blocks(kind: str, folders: tuple[Path, ...] = ()) -> dict[str, Block]:
    """The blocks of one kind by name, the nearest of each; those at fault are left out."""
    names = BlockElaborator(replace(library.load_text("{}"), folders=folders))
    paths = (
        path for each in (*folders, library.LIBRARY) for path in library.block_files(kind, each)
    )
    found = {}
    for name in sorted({path.stem for path in paths} - {*OPS, *AMBIENT}):
        with suppress(SpecError, OSError):
            if block := names.find(name):
                found[name] = block
    return found


def default_text(param: Param) -> str | None:
    """What a parameter is by default, as a spec says it; None where a caller must give it."""
    if param.default is None:
        return None
    expression = param.default.expr
    return format_value(expression.value) if isinstance(expression, Const) else to_text(expression)


def _block(name: str, block: Block) -> Callee:
    arguments = {key: _param(name, param) for key, param in block.params.items()}
    required = tuple(key for key, param in block.params.items() if param.default is None)
    slots = {key: _binding_text(binding) for key, binding in block.slots.items()}
    return Callee(block.doc or f"the block `{name}`", arguments, required, slots)


def _binding_text(binding: Binding) -> str:
    target = binding.target
    name = getattr(target, "name", "identity" if isinstance(target, PassThrough) else "none")
    given = [f"{key}: {to_text(term.expr)}" for key, term in binding.arguments.items()]
    return f"{{{', '.join([f'op: {name}', *given])}}}" if given else name


def _param(block: str, param: Param) -> Schema:
    """A parameter: of the kind that it declares, else whatever a value can be."""
    what = f"parameter of `{block}`"
    if param.default is None:
        kind = param.kind or ""
        return {"description": f"{what}: {_WORDS[kind]}, required", "type": _TYPES[kind]}
    expression = param.default.expr
    schema = {"description": f"{what}, by default `{default_text(param)}`", "type": _ANY}
    return schema | ({"default": expression.value} if isinstance(expression, Const) else {})


def _attribute(attribute: Attribute) -> Schema:
    schema: Schema = {"description": attribute.doc + ", required" * attribute.required}
    bounds = {"minimum": attribute.minimum, "maximum": attribute.maximum}
    limits = {key: bound for key, bound in bounds.items() if bound is not None}
    if attribute.kind == "word":
        schema["enum"] = [*attribute.choices, None]
    else:
        schema |= {"type": _TYPES[attribute.kind], **limits}
    if attribute.kind == "axes":
        each = {"type": ["integer", "string"], **limits}
        schema["allOf"] = [{"items": each, "minItems": 1, "maxItems": 3}]
    computed = callable(attribute.default) or attribute.default is None
    return schema if attribute.required or computed else schema | {"default": attribute.default}


Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """What a definition says."""
    return {"$ref": f"#/$defs/{name}"}


def if_then(test: Schema, then: Schema) -> Schema:
    """What is so of a value that passes a test."""
    return {"if": test, "then": then}


def map_or_null(each: Schema) -> Schema:
    """A map, or `null`, which deletes one."""
    return {"type": ["object", "null"], "additionalProperties": each}


def restrict(keys: Iterable[str], value: Schema) -> Schema:
    """What a layer says or asks of keys that the form has: they are offered there, not again."""
    return {key: {"doNotSuggest": True, "allOf": [value]} for key in keys}


def restrict_values(keys: Iterable[str], value: Schema) -> Schema:
    """As `stated`, of maps: what each of their values is."""
    return restrict(keys, {"additionalProperties": value})


def has_keys(*keys: str) -> Schema:
    """A map with these keys."""
    return {"required": list(keys)}


def op_is(name: str) -> Schema:
    """A map whose `op` is this name."""
    return {"properties": {"op": {"const": name}}, "required": ["op"]}


NO_EXTENDS: Schema = {"not": has_keys("extends")}
NOT_NULL: Schema = {"type": ["boolean", "number", "string", "array", "object"]}
NO_CALLEE: Schema = {"type": "object", "not": {"anyOf": [has_keys("op"), has_keys("nodes")]}}
