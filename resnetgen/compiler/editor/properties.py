"""The form of specs: keys and values from the pydantic models, attributes from the op table.

    block: {op: bottleneck, groups: 32}    a name, a call, or a block written in place

A name may be any: of a slot, of `define`, of a file beside the spec. Known names are offered.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from resnetgen.compiler.editor.vocabulary import (
    BINDING_KEYS,
    PASS_THROUGHS,
    Callee,
    Schema,
    Vocabulary,
    op_is,
    has_keys,
    map_or_null,
    ref,
    if_then,
)
from resnetgen.compiler.frontend.identifiers import MODULE_NAMES, PRINTED_NAMES
from resnetgen.compiler.frontend.schema import (
    NODE_KEYS,
    BlockForm,
    InitForm,
    InlineForm,
    InputForm,
    NetworkForm,
    NodeForm,
)
from resnetgen.compiler.passes.elaborate import INIT_RULES, INIT_RULES_OF_A_NUMBER


def model_schema(model: type[BaseModel]) -> Schema:
    """What pydantic says of a form, without what an editor has no use for."""
    schema = model.model_json_schema()
    schema["properties"] = {key: _simple(each) for key, each in schema["properties"].items()}
    return {key: each for key, each in schema.items() if key not in ("$defs", "title", "required")}


def required_keys(model: type[BaseModel]) -> Schema:
    """A map with the keys that a form needs."""
    return has_keys(
        *(field.alias or name for name, field in model.model_fields.items() if field.is_required())
    )


def _simple(schema: Schema) -> Schema:
    """A union of types as one schema: an editor tells its faults better than those of `anyOf`."""
    kept = {key: each for key, each in schema.items() if key not in ("title", "anyOf", "oneOf")}
    if kept.get("default", ...) is None:
        del kept["default"]
    if "items" in kept:
        kept["items"] = _simple(kept["items"])
    if isinstance(kept.get("additionalProperties"), dict):
        null = {"type": "null"}  # it deletes what was inherited
        kept["additionalProperties"] = _simple({"anyOf": [kept["additionalProperties"], null]})
    types: list[str] = []
    for member in map(_simple, schema.get("anyOf", ())):
        own = member.pop("type", [])
        types += [own] if isinstance(own, str) else own
        kept = {**member, **kept}
    if types:
        kept["type"] = list(dict.fromkeys(types))
    if "string" in types and "items" in kept:  # beside `items`, an editor offers a list first
        kept["allOf"] = [{"items": kept.pop("items")}]
    return kept


def _put(form: Schema, keys: Iterable[str], value: Schema) -> None:
    """Says what keys hold where pydantic knows less; what it says about them stays."""
    for key in keys:
        form["properties"][key] = {"description": form["properties"][key]["description"], **value}


def network_form(words: Vocabulary) -> Schema:
    """A network: the keys of a file."""
    form = model_schema(NetworkForm)
    rules = {name: {**ref("Rules"), "description": op.doc} for name, op in words.ops.items()}
    for key in BINDING_KEYS:
        _put(form, [key], _slot(words.names_for(key)))
    _put(form, ["stages", "nodes"], _NODES)
    _put(form, ["define"], _named(words, ref("Block")))
    listed = {"items": _names(words.networks), "minItems": 1, "uniqueItems": True}
    _put(form, ["extends"], {**_names(words.networks, "array"), "allOf": [listed]})
    _put(form, ["init"], {**map_or_null(ref("Rules")), "properties": rules})
    return form


def network_definitions(words: Vocabulary) -> dict[str, Schema]:
    """What stands in networks only."""
    return {"Block": block_form(words), "Input": model_schema(InputForm), "Rules": _rules()}


def block_form(words: Vocabulary) -> Schema:
    """A block: the keys of a file, or of a block of `define`."""
    return _block(BlockForm, words)


def shared_definitions(words: Vocabulary) -> dict[str, Schema]:
    """What stands in networks and blocks alike."""
    return {
        "Nodes": _nodes(),
        "Node": _node(words),
        "Call": {"properties": {"op": _names(words.op_names)}, "allOf": [ref("OpCall")]},
        "OpCall": {"allOf": arguments_by_name([*words.ops, *words.ambient])},
        "SlotValue": _slot(words.op_names),
        "Inline": _block(InlineForm, words),
        **{f"takes_{name}": {"properties": each.arguments} for name, each in words.ambient.items()},
        **{f"takes_{name}": _takes(each) for name, each in words.callees.items()},
    }


def _names(words: Mapping[str, Callee], *types: str) -> Schema:
    """One of these names, or any other: of a slot, of `define`, of a file beside the spec."""
    known = {"enum": list(words), "enumDescriptions": [each.doc for each in words.values()]}
    return {"anyOf": [known, {"type": ["string", "null", *types]}]}


def _slot(words: Mapping[str, Callee]) -> Schema:
    """A name, a call, or a block written in place."""
    written = {**if_then(has_keys("nodes"), ref("Inline")), "else": ref("Call")}
    return {
        "type": ["string", "object", "null"],
        **_names(words, "object"),
        **if_then({"type": "object"}, written),
    }


def _nodes() -> Schema:
    """Nodes by their names, which become names of modules."""
    taken = MODULE_NAMES | PRINTED_NAMES | {*keyword.kwlist, *keyword.softkwlist}
    told = "a name is letters, digits and `_`; dots nest: `conv1.0`"
    return {
        **map_or_null(ref("Node")),
        "properties": dict.fromkeys(sorted(taken), False),
        "propertyNames": {"pattern": r"^[A-Za-z0-9_.]*$", "patternErrorMessage": told},
    }


# Not a bare `$ref`, of which an editor does not see that it is a map.
_NODES: Schema = {"type": ["object", "null"], "allOf": [ref("Nodes")]}


def _named(words: Vocabulary, each: Schema) -> Schema:
    """Blocks or slots by name; those of ops and ambient slots are taken."""
    taken = [*words.ops, *words.ambient, *PASS_THROUGHS]
    return {**map_or_null(each), "properties": dict.fromkeys(taken, False)}


def _node(words: Vocabulary) -> Schema:
    form = model_schema(NodeForm)
    _put(form, ["op"], _names(words.op_names))
    written = _block(InlineForm, words)["properties"]
    del written["inputs"]  # of a node they say what it reads
    return {
        **form,
        "type": ["object", "null"],
        "allOf": [
            ref("OpCall"),
            if_then(has_keys("nodes"), {"properties": written}),
            *required_arguments(words.ops),
        ],
    }


def _block(model: type[BaseModel], words: Vocabulary) -> Schema:
    form = model_schema(model)
    _put(form, ["nodes"], _NODES)
    _put(form, ["slots"], _named(words, ref("SlotValue")))
    _put(form, ["extends"], _names(words.blocks))
    return {**form, "type": ["object", "null"]}


def _rules() -> Schema:
    """How weights start; the rules are those that `elaborate` knows."""
    numbers = {"properties": {rule: {"type": "number"} for rule in INIT_RULES_OF_A_NUMBER}}
    one = {"type": "object", **numbers, "additionalProperties": False, "maxProperties": 1}
    rule = {"anyOf": [{"enum": list(INIT_RULES)}, {"type": ["number", "null"]}, one]}
    form = model_schema(InitForm)
    _put(form, form["properties"], rule)
    return {**form, "type": ["object", "null"]}


def _takes(callee: Callee) -> Schema:
    """The keys of a call: arguments and the words of the language, nothing else."""
    arguments = dict(callee.arguments)
    for name, default in callee.slots.items():
        both = {"allOf": [ref("SlotValue"), ref("LibraryCall")]}
        arguments[name] = {"description": f"a slot, by default `{default}`", **both}
    return {"properties": arguments, "propertyNames": {"enum": [*NODE_KEYS, *arguments]}}


def arguments_by_name(names: Iterable[str]) -> list[Schema]:
    """What a call takes, by the name that its `op` says."""
    return [if_then(op_is(name), ref(f"takes_{name}")) for name in names]


def required_arguments(words: Mapping[str, Callee]) -> list[Schema]:
    """What a node has to give; a slot may leave it to its callers."""
    return [
        if_then(op_is(name), has_keys(*each.required)) for name, each in words.items() if each.required
    ]
