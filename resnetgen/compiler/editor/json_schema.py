"""The schemas of whole files, by their kind: networks, and blocks.

    network_schema((Path("nets"),))  ->  {"$schema": ..., "properties": {"network": ..., ...}, ...}

Folders come before the library, as for a spec that lies in them.

What holds of some files only: `whole`, `library` and `ambient`, over the form of all.

    extends: resnet50
    stages: {layer2: {strides: 2}}    library: the block of resnet50 takes no `strides`

A file decides by what it extends, defines and binds whether a layer holds of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from resnetgen.compiler.editor.properties import (
    block_form,
    arguments_by_name,
    network_definitions,
    network_form,
    required_keys,
    required_arguments,
    shared_definitions,
)
from resnetgen.compiler.editor.vocabulary import (
    BINDING_KEYS,
    DEFAULT_BINDINGS,
    NOT_NULL,
    NO_EXTENDS,
    NO_CALLEE,
    PASS_THROUGHS,
    Schema,
    Vocabulary,
    op_is,
    restrict_values,
    has_keys,
    ref,
    restrict,
    vocabulary,
    if_then,
)
from resnetgen.compiler.frontend.schema import NODE_KEYS, BlockForm, InputForm, NetworkForm
from resnetgen.compiler.ir.ops import AMBIENT

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def network_schema(folders: tuple[Path, ...] = ()) -> Schema:
    """The schema of networks: with the names of folders beside the specs, then of the library."""
    words = vocabulary(folders)
    definitions = {
        **network_definitions(words),
        **shared_definitions(words),
        **layer_definitions(words),
        "PlainFile": plain_file(words),
    }
    return {
        "$schema": DIALECT,
        "title": "a network of resnetgen",
        **network_form(words),
        "required": ["network"],
        "allOf": network_layers(words),
        "$defs": definitions,
    }


def block_schema(folders: tuple[Path, ...] = ()) -> Schema:
    """The schema of files of blocks, shortcuts, stems and heads; names as in `network_schema`."""
    words = vocabulary(folders)
    return {
        "$schema": DIALECT,
        "title": "a block of resnetgen",
        **block_form(words),
        "type": "object",
        "allOf": block_layers(),
        "$defs": {**shared_definitions(words), **layer_definitions(words)},
    }


def schema_text(schema: Schema) -> str:
    """A schema as text, the same bytes for the same names."""
    return json.dumps(schema, indent=1) + "\n"


def network_layers(words: Vocabulary) -> list[Schema]:
    """The layers of a network, each where it holds."""
    known = {"allOf": [ref("PlainFile"), _known_bindings(words)]}
    return [
        if_then(NO_EXTENDS, _whole_network()),
        if_then(ref("PlainFile"), _library_network(words)),
        if_then(known, _ambient_network()),
    ]


def block_layers() -> list[Schema]:
    """The layers of a block."""
    return [ref("WholeBlock"), ref("LibraryBlock"), ref("AmbientBlock")]


def layer_definitions(words: Vocabulary) -> dict[str, Schema]:
    """What layers say of nodes, calls and blocks, wherever they stand."""
    return {
        "WholeNode": _whole_node(),
        "WholeBlock": _whole_block(),
        "LibraryCall": {"allOf": [*arguments_by_name(words.blocks), ref("LibraryBlock")]},
        "LibraryNode": {"allOf": [ref("LibraryCall"), *required_arguments(words.blocks)]},
        "LibraryBlock": _library_block(words),
        "AmbientCall": _ambient_call(words),
        "AmbientBlock": {"properties": restrict_values(("nodes", "slots"), ref("AmbientCall"))},
    }


# --- whole: nothing is inherited, so nothing can be missing, and nothing deleted


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
    named = {"anyOf": [has_keys("op"), has_keys("nodes")]}
    written = if_then(has_keys("nodes"), ref("WholeBlock"))
    return {"type": "object", "additionalProperties": NOT_NULL, "allOf": [named, written]}


def _whole_block() -> Schema:
    parts = {
        **restrict_values(("let", "params", "slots"), NOT_NULL),
        **restrict_values(("nodes",), ref("WholeNode")),
    }
    return if_then(NO_EXTENDS, {"type": "object", **required_keys(BlockForm), "properties": parts})


# --- library: what known names take


def _own_names(words: Vocabulary) -> Schema:
    """Names of its own that hide none of the library's."""
    return {"propertyNames": {"not": {"enum": list(words.blocks)}}}


def plain_file(words: Vocabulary) -> Schema:
    """Gives no name of the library to a block of its own, as far as a schema can see."""
    own = restrict(("define",), _own_names(words))
    return {"properties": {**own, **restrict(("extends",), {"enum": list(words.bindings)})}}


def _library_block(words: Vocabulary) -> Schema:
    parts = {
        **restrict_values(("nodes",), ref("LibraryNode")),
        **restrict_values(("slots",), ref("LibraryCall")),
    }
    own = {"properties": restrict(("slots",), _own_names(words))}
    return if_then(own, {"properties": parts})


def _library_network(words: Vocabulary) -> Schema:
    bindings = [key for key in BINDING_KEYS if key != "block"]
    return {
        "properties": {
            **restrict_values(("stages", "nodes"), ref("LibraryNode")),
            **restrict_values(("define",), ref("LibraryBlock")),
            **restrict(bindings, ref("LibraryCall")),
            **restrict(("block",), ref("LibraryBlock")),
        },
        "allOf": [
            *(_repeats(words, name) for name in words.blocks),
            *(rule for key in bindings for rule in _refines(words, key)),
        ],
    }


def _repeats(words: Vocabulary, name: str) -> Schema:
    """What `block:` and the stages that name no `op` take, where `block:` is a name."""
    named = restrict(("block",), {"anyOf": [{"const": name}, {"type": "object", **op_is(name)}]})
    test = {"anyOf": [{"properties": named, **has_keys("block")}, *_left(words, "block", name)]}
    takes = ref(f"takes_{name}")
    stages = restrict_values(("stages",), if_then(NO_CALLEE, takes))
    return if_then(test, {"properties": {**stages, **restrict(("block",), takes)}})


def _refines(words: Vocabulary, key: str) -> Iterator[Schema]:
    """What a map without `op` takes: the arguments of what is bound already."""
    for name in words.callees:
        cases = _left(words, key, name)
        if cases:
            yield if_then({"anyOf": cases}, {"properties": restrict((key,), ref(f"takes_{name}"))})


def _left(words: Vocabulary, key: str, name: str) -> list[Schema]:
    """The cases in which a name is bound to a key that the file itself leaves at it."""
    left = restrict((key,), NO_CALLEE)
    bases = [network for network, bound in words.bindings.items() if bound.get(key) == name]
    cases = []
    if DEFAULT_BINDINGS.get(key) == name:
        cases.append({"properties": left, **NO_EXTENDS})
    if bases:
        base = restrict(("extends",), {"enum": bases})
        cases.append({"properties": {**left, **base}, **has_keys("extends")})
    return cases


# --- ambient: what `conv` and its like take, where only known names are bound to them


def _known_bindings(words: Vocabulary) -> Schema:
    known = [*words.callees, *PASS_THROUGHS]
    call = {"type": "object", "properties": {"op": {"enum": known}}, "not": has_keys("nodes")}
    return {"properties": restrict(AMBIENT, {"anyOf": [{"enum": [*known, None]}, call]})}


def _ambient_network() -> Schema:
    inside = {
        **restrict_values(("stages", "nodes"), ref("AmbientCall")),
        **restrict_values(("define",), ref("AmbientBlock")),
    }
    return {"properties": inside | restrict(("stem", "head", "block"), ref("AmbientBlock"))}


def _ambient_call(words: Vocabulary) -> Schema:
    """Any argument of anything that is known: what is bound takes what it declares."""
    known = {name for each in words.op_names.values() for name in (*each.arguments, *each.slots)}
    called = {"properties": {"op": {"enum": list(words.ambient)}}, **has_keys("op")}
    return {
        **if_then(called, {"propertyNames": {"enum": [*NODE_KEYS, *sorted(known)]}}),
        "allOf": [ref("AmbientBlock")],
    }
