"""The form of specs: keys and values from the pydantic models, attributes from the op table.

    block: {op: bottleneck, groups: 32}    a name, a call, or an inline block

Any name is accepted: it may be that of a slot, of `define`, or of a file beside the spec. Known
names are offered. The first section has JSON Schema in the terms of specs, for all layers:

    if_then(op_is("relu"), has_keys("inputs"))  ->  {"if": {"properties": {"op": {"const": "relu"}}, ...},
                                                     "then": {"required": ["inputs"]}}

`doNotSuggest`, `enumDescriptions` and `patternErrorMessage` are keywords of editors (VS Code and
yaml-language-server), which validators ignore.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from resnetgen.compiler.editor.vocabulary import (
    BINDING_KEYS,
    SPECIAL_CALLEES,
    NameInfo,
    Schema,
    Vocabulary,
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
from resnetgen.compiler.ir.init_rules import INIT_RULES
from resnetgen.compiler.ir.op_def import Attribute

# --- JSON Schema in the terms of specs


def ref(name: str) -> Schema:
    """A reference to a definition."""
    return {"$ref": f"#/$defs/{name}"}


def if_then(test: Schema, then: Schema) -> Schema:
    """A schema for the values that pass a test."""
    return {"if": test, "then": then}


def has_keys(*keys: str) -> Schema:
    """A map with these keys."""
    return {"required": list(keys)}


def op_is(name: str) -> Schema:
    """A map whose `op` is this name."""
    return {"properties": {"op": {"const": name}}, "required": ["op"]}


def map_or_null(each: Schema) -> Schema:
    """A map with a schema for its values, or `null`, which deletes an inherited one."""
    return {"type": ["object", "null"], "additionalProperties": each}


def restrict(keys: Iterable[str], value: Schema) -> Schema:
    """Properties that a layer adds to keys of the form, which already offers these keys."""
    return {key: {"doNotSuggest": True, "allOf": [value]} for key in keys}


def restrict_values(keys: Iterable[str], value: Schema) -> Schema:
    """As `restrict`, for each value of the maps at these keys."""
    return restrict(keys, {"additionalProperties": value})


NO_EXTENDS: Schema = {"not": has_keys("extends")}
NO_CALLEE: Schema = {"type": "object", "not": {"anyOf": [has_keys("op"), has_keys("nodes")]}}
NOT_NULL: Schema = {"type": ["boolean", "number", "string", "array", "object"]}

# --- from pydantic


def model_schema(model: type[BaseModel]) -> Schema:
    """The schema of a form, without the parts that an editor does not use."""
    schema = model.model_json_schema()
    schema["properties"] = {key: _simple(each) for key, each in schema["properties"].items()}
    return {key: each for key, each in schema.items() if key not in ("$defs", "title", "required")}


def required_keys(model: type[BaseModel]) -> Schema:
    """A map with the keys that a form requires."""
    fields = model.model_fields.items()
    return has_keys(*(field.alias or name for name, field in fields if field.is_required()))


def _simple(schema: Schema) -> Schema:
    """A union of types as one schema: an editor reports its errors better than those of `anyOf`."""
    simple = {key: each for key, each in schema.items() if key not in ("title", "anyOf", "oneOf")}
    if simple.get("default", ...) is None:
        del simple["default"]
    if "items" in simple:
        simple["items"] = _simple(simple["items"])
    if isinstance(simple.get("additionalProperties"), dict):
        null = {"type": "null"}  # deletes an inherited value
        simple["additionalProperties"] = _simple({"anyOf": [simple["additionalProperties"], null]})
    types: list[str] = []
    for member in map(_simple, schema.get("anyOf", ())):
        own = member.pop("type", [])
        types += [own] if isinstance(own, str) else own
        simple = {**member, **simple}
    if types:
        simple["type"] = list(dict.fromkeys(types))
    if "string" in types and "items" in simple:  # beside `items`, an editor offers a list first
        simple["allOf"] = [{"items": simple.pop("items")}]
    return simple


def _replace(form: Schema, keys: Iterable[str], value: Schema) -> None:
    """Replaces the schemas of keys that pydantic knows less about; descriptions stay."""
    for key in keys:
        form["properties"][key] = {"description": form["properties"][key]["description"], **value}


# --- the form of files


def network_form(names: Vocabulary) -> Schema:
    """A network: the keys of a file."""
    form = model_schema(NetworkForm)
    rules = {name: {**ref("Rules"), "description": op.doc} for name, op in names.ops.items()}
    for key in BINDING_KEYS:
        _replace(form, [key], _slot_value(names.names_for(key)))
    _replace(form, ["input"], ref("Input"))
    _replace(form, ["stages", "nodes"], _NODES)
    _replace(form, ["define"], _named(names, ref("Block")))
    listed = {"items": _name_of(names.networks), "minItems": 1, "uniqueItems": True}
    _replace(form, ["extends"], {**_name_of(names.networks, "array"), "allOf": [listed]})
    _replace(form, ["init"], {**map_or_null(ref("Rules")), "properties": rules})
    return form


def network_definitions(names: Vocabulary) -> dict[str, Schema]:
    """Definitions for networks only."""
    return {"Block": block_form(names), "Input": model_schema(InputForm), "Rules": _init_rules()}


def block_form(names: Vocabulary) -> Schema:
    """A block: the keys of a file, or of an entry of `define`."""
    return _block(BlockForm, names)


def shared_definitions(names: Vocabulary) -> dict[str, Schema]:
    """Definitions for both networks and blocks."""
    ambient, callees = names.ambient_slots.items(), names.callees.items()
    return {
        "Nodes": _nodes(),
        "Node": _node(names),
        "Call": {"properties": {"op": _name_of(names.callable_names)}, "allOf": [ref("OpCall")]},
        "OpCall": {"allOf": arguments_by_name([*names.ops, *names.ambient_slots])},
        "SlotValue": _slot_value(names.callable_names),
        "Inline": _block(InlineForm, names),
        **{f"takes_{name}": {"properties": each.arguments} for name, each in ambient},
        **{f"takes_{name}": _arguments(each) for name, each in callees},
    }


def _block(model: type[BaseModel], names: Vocabulary) -> Schema:
    form = model_schema(model)
    _replace(form, ["nodes"], _NODES)
    _replace(form, ["slots"], _named(names, ref("SlotValue")))
    _replace(form, ["extends"], _name_of(names.blocks))
    return {**form, "type": ["object", "null"]}


def _nodes() -> Schema:
    """Nodes by name; the names become those of modules."""
    reserved = MODULE_NAMES | PRINTED_NAMES | {*keyword.kwlist, *keyword.softkwlist}
    message = "a name is letters, digits and `_`; dots nest: `conv1.0`"
    return {
        **map_or_null(ref("Node")),
        "properties": dict.fromkeys(sorted(reserved), False),
        "propertyNames": {"pattern": r"^[A-Za-z0-9_.]*$", "patternErrorMessage": message},
    }


# With its type, because an editor does not see that a bare `$ref` is a map.
_NODES: Schema = {"type": ["object", "null"], "allOf": [ref("Nodes")]}


def _node(names: Vocabulary) -> Schema:
    form = model_schema(NodeForm)
    _replace(form, ["op"], _name_of(names.callable_names))
    inline = _block(InlineForm, names)["properties"]
    del inline["inputs"]  # for a node, `inputs` is what it reads
    return {
        **form,
        "type": ["object", "null"],
        "allOf": [
            ref("OpCall"),
            if_then(has_keys("nodes"), {"properties": inline}),
            *required_arguments(names.ops),
        ],
    }


def _named(names: Vocabulary, each: Schema) -> Schema:
    """Blocks or slots by name, except the names of ops and ambient slots."""
    reserved = [*names.ops, *names.ambient_slots, *SPECIAL_CALLEES]
    return {**map_or_null(each), "properties": dict.fromkeys(reserved, False)}


def _name_of(known: Mapping[str, NameInfo], *types: str) -> Schema:
    """One of these names, or any other: of a slot, of `define`, of a file beside the spec."""
    offered = {"enum": list(known), "enumDescriptions": [each.doc for each in known.values()]}
    return {"anyOf": [offered, {"type": ["string", "null", *types]}]}


def _slot_value(known: Mapping[str, NameInfo]) -> Schema:
    """A name, a call, or an inline block."""
    inline_or_call = {**if_then(has_keys("nodes"), ref("Inline")), "else": ref("Call")}
    return {
        "type": ["string", "object", "null"],
        **_name_of(known, "object"),
        **if_then({"type": "object"}, inline_or_call),
    }


def _init_rules() -> Schema:
    """The initial weights of an op or a role, by the rules that elaboration knows."""
    rules = {name: _options_of(options) for name, options in INIT_RULES.items()}
    one = {"type": "object", "properties": rules, "additionalProperties": False, "maxProperties": 1}
    alone = [name for name, options in INIT_RULES.items() if not _first_required(options)]
    rule = {"anyOf": [{"enum": alone}, {"type": ["number", "string", "null"]}, one]}
    form = model_schema(InitForm)
    _replace(form, form["properties"], rule)
    return {**form, "type": ["object", "null"]}


def _options_of(options: Mapping[str, Attribute]) -> Schema:
    """The options of a rule: a map of them, or the one number that it needs."""
    kinds = {"float": {"type": ["number", "string"]}, "bool": {"type": "boolean"}}
    known = {
        name: {"enum": list(each.choices)} if each.kind == "word" else kinds[each.kind]
        for name, each in options.items()
    }
    a_map = {"type": "object", "properties": known, "additionalProperties": False}
    return {"anyOf": [kinds["float"], a_map]} if _first_required(options) else a_map


def _first_required(options: Mapping[str, Attribute]) -> bool:
    return any(each.required for each in options.values())


# --- arguments


def arguments_by_name(names: Iterable[str]) -> list[Schema]:
    """The arguments of a call, depending on its `op`."""
    return [if_then(op_is(name), ref(f"takes_{name}")) for name in names]


def required_arguments(callees: Mapping[str, NameInfo]) -> list[Schema]:
    """The arguments that a node has to have; a slot may leave them to the calls of it."""
    return [
        if_then(op_is(name), has_keys(*each.required))
        for name, each in callees.items()
        if each.required
    ]


def _arguments(callee: NameInfo) -> Schema:
    """The keys of a call: arguments, slots and the keys of nodes, nothing else."""
    arguments = dict(callee.arguments)
    for name, default in callee.slots.items():
        both = {"allOf": [ref("SlotValue"), ref("LibraryCall")]}
        arguments[name] = {"description": f"a slot, by default `{default}`", **both}
    return {"properties": arguments, "propertyNames": {"enum": [*NODE_KEYS, *arguments]}}
