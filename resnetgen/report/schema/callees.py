"""What a spec can name, with what each takes: ops, blocks, and the slots that every network fills.

    ops()["blur"]  ->  Callee("binomial 3-tap blur ...", {"stride": {"type": [...], ...}}, ("stride",))

An argument is described by a JSON Schema: what an editor shows, completes and checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from resnetgen.graph.blocks import Blocks
from resnetgen.graph.ir import Binding, Block, Param, Passes
from resnetgen.graph.opdef import Attribute, shown
from resnetgen.graph.ops import AMBIENT, OPS
from resnetgen.graph.signatures import offers
from resnetgen.language import library
from resnetgen.language.diagnostics import SpecError
from resnetgen.language.expressions import Const, source
from resnetgen.report.schema.keywords import Schema

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


def ops() -> dict[str, Callee]:
    """The ops by name."""
    return {
        name: Callee(
            op.doc,
            {key: _attribute(each) for key, each in op.attributes.items()},
            tuple(key for key, each in op.attributes.items() if each.required),
        )
        for name, op in OPS.items()
    }


def ambient() -> dict[str, Callee]:
    """The slots that every network fills, with what a call may offer to any of their contents."""
    return {slot: _ambient(slot, default) for slot, default in AMBIENT.items()}


def _ambient(slot: str, default: str | None) -> Callee:
    """Nothing is required: the content of the slot may do without."""
    doc = f"what the network calls `{slot}`"
    if default is None:
        offer = {"description": f"offered to what the network calls `{slot}`", "type": _ANY}
        return Callee(f"{doc}; there is no default", dict.fromkeys(offers(slot), offer))
    op = ops()[default]
    return Callee(f"{doc}, by default `{default}`: {op.doc}", op.arguments)


def blocks(kind: str, folders: tuple[Path, ...] = ()) -> dict[str, Callee]:
    """The blocks of one kind, as `known_blocks` has them."""
    return {name: _block(name, block) for name, block in known_blocks(kind, folders).items()}


def known_blocks(kind: str, folders: tuple[Path, ...] = ()) -> dict[str, Block]:
    """The blocks of one kind by name, the nearest of each; those at fault are left out."""
    names = Blocks(replace(library.load_text("{}"), folders=folders))
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
    return shown(expression.value) if isinstance(expression, Const) else source(expression)


def _block(name: str, block: Block) -> Callee:
    arguments = {key: _param(name, param) for key, param in block.params.items()}
    required = tuple(key for key, param in block.params.items() if param.default is None)
    slots = {key: _bound(binding) for key, binding in block.slots.items()}
    return Callee(block.doc or f"the block `{name}`", arguments, required, slots)


def _bound(binding: Binding) -> str:
    target = binding.target
    name = getattr(target, "name", "identity" if isinstance(target, Passes) else "none")
    given = [f"{key}: {source(term.expr)}" for key, term in binding.arguments.items()]
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
    bounds = {"minimum": attribute.least, "maximum": attribute.most}
    limits = {key: bound for key, bound in bounds.items() if bound is not None}
    if attribute.kind == "word":
        schema["enum"] = [*attribute.words, None]
    else:
        schema |= {"type": _TYPES[attribute.kind], **limits}
    if attribute.kind == "axes":
        each = {"type": ["integer", "string"], **limits}
        schema["allOf"] = [{"items": each, "minItems": 1, "maxItems": 3}]
    computed = callable(attribute.default) or attribute.default is None
    return schema if attribute.required or computed else schema | {"default": attribute.default}
