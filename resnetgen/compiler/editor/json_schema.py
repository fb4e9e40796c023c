"""The schemas of whole files, by kind: networks and blocks.

    network_schema((Path("nets"),))  ->  {"$schema": ..., "properties": {"network": ..., ...}, ...}

A schema is the form of all files (`properties.py`) and three layers, each for the files in which
more is known:

    form      keys and values, and the attributes of ops
    whole     required keys: in a file that extends nothing
    library   arguments of known blocks: in a file that gives their names to no block of its own
    ambient   misspelt arguments of `conv`, `norm`, ...: if what they are bound to is known

Which layers apply to a file depends on what it extends, defines and binds.

    extends: resnet50
    stages: {layer2: {strides: 2}}    library: the block of resnet50 has no `strides`
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from resnetgen.compiler.codegen.files import Stamp, text_digest
from resnetgen.compiler.editor.properties import (
    NO_CALLEE,
    NO_EXTENDS,
    NOT_NULL,
    arguments_by_name,
    block_form,
    has_keys,
    if_then,
    network_definitions,
    network_form,
    op_is,
    ref,
    required_arguments,
    required_keys,
    restrict,
    restrict_values,
    shared_definitions,
)
from resnetgen.compiler.editor.vocabulary import (
    BINDING_KEYS,
    DEFAULT_BINDINGS,
    SPECIAL_CALLEES,
    Schema,
    Vocabulary,
    vocabulary,
)
from resnetgen.compiler.frontend.schema import NODE_KEYS, BlockForm, InputForm, NetworkForm
from resnetgen.compiler.ir.ops import AMBIENT

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def network_schema(folders: tuple[Path, ...] = ()) -> Schema:
    """The schema of networks, with the names of some folders, then of the library."""
    names = vocabulary(folders)
    definitions = {
        **network_definitions(names),
        **shared_definitions(names),
        **_layer_definitions(names),
        "PlainFile": _plain_file(names),
    }
    return {
        "$schema": DIALECT,
        "title": "a network of resnetgen",
        **network_form(names),
        "required": ["network"],
        "allOf": _network_layers(names),
        "$defs": definitions,
    }


def block_schema(folders: tuple[Path, ...] = ()) -> Schema:
    """The schema of files of blocks, shortcuts, stems and heads; names as in `network_schema`."""
    names = vocabulary(folders)
    return {
        "$schema": DIALECT,
        "title": "a block of resnetgen",
        **block_form(names),
        "type": "object",
        "allOf": [ref("WholeBlock"), ref("LibraryBlock"), ref("AmbientBlock")],
        "$defs": {**shared_definitions(names), **_layer_definitions(names)},
    }


def schema_text(schema: Schema) -> str:
    """A schema as text: the same bytes for the same names, with a mark that `schema_stamp` reads."""
    head, body = _head_and_body(schema)
    return f'{head} "$comment": "Written by resnetgen (schema {text_digest(body)}).",\n{body}'


def schema_stamp(schema: Schema) -> Stamp:
    """The stamp of schemas of the same kind, whatever names they know."""
    head, _ = _head_and_body(schema)
    mark = r' "\$comment": "Written by resnetgen \(schema ([0-9a-f]{16})\)\.",\n'
    return Stamp.at_the_top(re.escape(head) + mark)


def _head_and_body(schema: Schema) -> tuple[str, str]:
    """The lines with the dialect and the title, and those below."""
    lines = (json.dumps(schema, indent=1) + "\n").splitlines(keepends=True)
    return "".join(lines[:3]), "".join(lines[3:])


def _network_layers(names: Vocabulary) -> list[Schema]:
    """The layers of a network, each with its condition."""
    is_known = {"allOf": [ref("PlainFile"), _known_bindings(names)]}
    return [
        if_then(NO_EXTENDS, _whole_network()),
        if_then(ref("PlainFile"), _library_network(names)),
        if_then(is_known, _ambient_network()),
    ]


def _layer_definitions(names: Vocabulary) -> dict[str, Schema]:
    """What the layers require of nodes, calls and blocks, in networks and blocks alike."""
    ambient_calls = restrict_values(("nodes", "slots"), ref("AmbientCall"))
    return {
        "WholeNode": _whole_node(),
        "WholeBlock": _whole_block(),
        "LibraryCall": {"allOf": [*arguments_by_name(names.blocks), ref("LibraryBlock")]},
        "LibraryNode": {"allOf": [ref("LibraryCall"), *required_arguments(names.blocks)]},
        "LibraryBlock": _library_block(names),
        "AmbientCall": _ambient_call(names),
        "AmbientBlock": {"properties": ambient_calls},
    }


# --- whole: nothing is inherited, so required keys are here, and there is nothing to delete


def _whole_network() -> Schema:
    return {
        **required_keys(NetworkForm),
        "properties": {
            "input": {"type": "object", **required_keys(InputForm)},
            **restrict_values(("let", "params", "init", "stages"), NOT_NULL),
            **restrict_values(("nodes",), ref("WholeNode")),
            **restrict_values(("define",), ref("WholeBlock")),
            **restrict(BINDING_KEYS, if_then(has_keys("nodes"), ref("WholeBlock"))),
        },
    }


def _whole_node() -> Schema:
    is_named = {"anyOf": [has_keys("op"), has_keys("nodes")]}
    inline = if_then(has_keys("nodes"), ref("WholeBlock"))
    return {"type": "object", "additionalProperties": NOT_NULL, "allOf": [is_named, inline]}


def _whole_block() -> Schema:
    parts = {
        **restrict_values(("let", "params", "slots"), NOT_NULL),
        **restrict_values(("nodes",), ref("WholeNode")),
    }
    block = {"type": "object", **required_keys(BlockForm), "properties": parts}
    return if_then(NO_EXTENDS, block)


# --- library: the arguments of known names


def _hides_nothing(names: Vocabulary) -> Schema:
    """A map whose keys hide no block of the library."""
    return {"propertyNames": {"not": {"enum": list(names.blocks)}}}


def _plain_file(names: Vocabulary) -> Schema:
    """A file whose own blocks hide none of the library, as far as a schema can see."""
    own_blocks = restrict(("define",), _hides_nothing(names))
    return {
        "properties": {**own_blocks, **restrict(("extends",), {"enum": list(names.bound_names)})}
    }


def _library_block(names: Vocabulary) -> Schema:
    parts = {
        **restrict_values(("nodes",), ref("LibraryNode")),
        **restrict_values(("slots",), ref("LibraryCall")),
    }
    own_slots = {"properties": restrict(("slots",), _hides_nothing(names))}
    return if_then(own_slots, {"properties": parts})


def _library_network(names: Vocabulary) -> Schema:
    keys = [key for key in BINDING_KEYS if key != "block"]
    return {
        "properties": {
            **restrict_values(("stages", "nodes"), ref("LibraryNode")),
            **restrict_values(("define",), ref("LibraryBlock")),
            **restrict(keys, ref("LibraryCall")),
            **restrict(("block",), ref("LibraryBlock")),
        },
        "allOf": [
            *(_repeated_block(names, name) for name in names.blocks),
            *(rule for key in keys for rule in _refined_bindings(names, key)),
        ],
    }


def _repeated_block(names: Vocabulary, name: str) -> Schema:
    """The arguments of `block:`, and of stages without an `op`, if `block` is this name."""
    is_named = restrict(("block",), {"anyOf": [{"const": name}, {"type": "object", **op_is(name)}]})
    test = {
        "anyOf": [
            {"properties": is_named, **has_keys("block")},
            *_cases_bound_to(names, "block", name),
        ]
    }
    arguments = ref(f"takes_{name}")
    stages = restrict_values(("stages",), if_then(NO_CALLEE, arguments))
    return if_then(test, {"properties": {**stages, **restrict(("block",), arguments)}})


def _refined_bindings(names: Vocabulary, key: str) -> Iterator[Schema]:
    """The arguments of a map without `op`: those of what the key is already bound to."""
    for name in names.callees:
        cases = _cases_bound_to(names, key, name)
        if cases:
            arguments = restrict((key,), ref(f"takes_{name}"))
            yield if_then({"anyOf": cases}, {"properties": arguments})


def _cases_bound_to(names: Vocabulary, key: str, name: str) -> list[Schema]:
    """The cases in which a file does not rebind a key, and it is bound to this name."""
    not_rebound = restrict((key,), NO_CALLEE)
    bases = [network for network, bound in names.bound_names.items() if bound.get(key) == name]
    cases = []
    if DEFAULT_BINDINGS.get(key) == name:
        cases.append({"properties": not_rebound, **NO_EXTENDS})
    if bases:
        base = restrict(("extends",), {"enum": bases})
        cases.append({"properties": {**not_rebound, **base}, **has_keys("extends")})
    return cases


# --- ambient: the arguments of `conv`, `norm`, ..., if they are bound to known names


def _known_bindings(names: Vocabulary) -> Schema:
    known = [*names.callees, *SPECIAL_CALLEES]
    call = {"type": "object", "properties": {"op": {"enum": known}}, "not": has_keys("nodes")}
    return {"properties": restrict(AMBIENT, {"anyOf": [{"enum": [*known, None]}, call]})}


def _ambient_network() -> Schema:
    parts = {
        **restrict_values(("stages", "nodes"), ref("AmbientCall")),
        **restrict_values(("define",), ref("AmbientBlock")),
    }
    return {"properties": parts | restrict(("stem", "head", "block"), ref("AmbientBlock"))}


def _ambient_call(names: Vocabulary) -> Schema:
    """Any argument of any known name: the slot may be bound to each of them."""
    known = {
        name for each in names.callable_names.values() for name in (*each.arguments, *each.slots)
    }
    is_ambient = {"properties": {"op": {"enum": list(names.ambient_slots)}}, **has_keys("op")}
    return {
        **if_then(is_ambient, {"propertyNames": {"enum": [*NODE_KEYS, *sorted(known)]}}),
        "allOf": [ref("AmbientBlock")],
    }
