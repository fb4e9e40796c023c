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
    by_name,
    network_definitions,
    network_form,
    required,
    requirements,
    shared_definitions,
)
from resnetgen.compiler.editor.vocabulary import (
    BINDINGS,
    DEFAULTS,
    HAS_VALUE,
    INHERITS_NOTHING,
    NAMES_NOTHING,
    PASSES,
    Schema,
    Vocabulary,
    calls,
    each_stated,
    has,
    ref,
    stated,
    vocabulary,
    where,
)
from resnetgen.compiler.frontend.schema import RESERVED, BlockForm, Input, NetworkForm
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
        where(INHERITS_NOTHING, _whole_network()),
        where(ref("PlainFile"), _library_network(words)),
        where(known, _ambient_network()),
    ]


def block_layers() -> list[Schema]:
    """The layers of a block."""
    return [ref("WholeBlock"), ref("LibraryBlock"), ref("AmbientBlock")]


def layer_definitions(words: Vocabulary) -> dict[str, Schema]:
    """What layers say of nodes, calls and blocks, wherever they stand."""
    return {
        "WholeNode": _whole_node(),
        "WholeBlock": _whole_block(),
        "LibraryCall": {"allOf": [*by_name(words.blocks), ref("LibraryBlock")]},
        "LibraryNode": {"allOf": [ref("LibraryCall"), *requirements(words.blocks)]},
        "LibraryBlock": _library_block(words),
        "AmbientCall": _ambient_call(words),
        "AmbientBlock": {"properties": each_stated(("nodes", "slots"), ref("AmbientCall"))},
    }


# --- whole: nothing is inherited, so nothing can be missing, and nothing deleted


def _whole_network() -> Schema:
    return {
        **required(NetworkForm),
        "properties": {
            "input": {"type": "object", **required(Input)},
            **each_stated(("let", "params", "init", "stages"), HAS_VALUE),
            **each_stated(("nodes",), ref("WholeNode")),
            **each_stated(("define",), ref("WholeBlock")),
            **stated(BINDINGS, where(has("nodes"), ref("WholeBlock"))),
        },
    }


def _whole_node() -> Schema:
    named = {"anyOf": [has("op"), has("nodes")]}
    written = where(has("nodes"), ref("WholeBlock"))
    return {"type": "object", "additionalProperties": HAS_VALUE, "allOf": [named, written]}


def _whole_block() -> Schema:
    parts = {
        **each_stated(("let", "params", "slots"), HAS_VALUE),
        **each_stated(("nodes",), ref("WholeNode")),
    }
    return where(INHERITS_NOTHING, {"type": "object", **required(BlockForm), "properties": parts})


# --- library: what known names take


def _own_names(words: Vocabulary) -> Schema:
    """Names of its own that hide none of the library's."""
    return {"propertyNames": {"not": {"enum": list(words.blocks)}}}


def plain_file(words: Vocabulary) -> Schema:
    """Gives no name of the library to a block of its own, as far as a schema can see."""
    own = stated(("define",), _own_names(words))
    return {"properties": {**own, **stated(("extends",), {"enum": list(words.bound)})}}


def _library_block(words: Vocabulary) -> Schema:
    parts = {
        **each_stated(("nodes",), ref("LibraryNode")),
        **each_stated(("slots",), ref("LibraryCall")),
    }
    own = {"properties": stated(("slots",), _own_names(words))}
    return where(own, {"properties": parts})


def _library_network(words: Vocabulary) -> Schema:
    bindings = [key for key in BINDINGS if key != "block"]
    return {
        "properties": {
            **each_stated(("stages", "nodes"), ref("LibraryNode")),
            **each_stated(("define",), ref("LibraryBlock")),
            **stated(bindings, ref("LibraryCall")),
            **stated(("block",), ref("LibraryBlock")),
        },
        "allOf": [
            *(_repeats(words, name) for name in words.blocks),
            *(rule for key in bindings for rule in _refines(words, key)),
        ],
    }


def _repeats(words: Vocabulary, name: str) -> Schema:
    """What `block:` and the stages that name no `op` take, where `block:` is a name."""
    named = stated(("block",), {"anyOf": [{"const": name}, {"type": "object", **calls(name)}]})
    test = {"anyOf": [{"properties": named, **has("block")}, *_left(words, "block", name)]}
    takes = ref(f"takes_{name}")
    stages = each_stated(("stages",), where(NAMES_NOTHING, takes))
    return where(test, {"properties": {**stages, **stated(("block",), takes)}})


def _refines(words: Vocabulary, key: str) -> Iterator[Schema]:
    """What a map without `op` takes: the arguments of what is bound already."""
    for name in words.callees:
        cases = _left(words, key, name)
        if cases:
            yield where({"anyOf": cases}, {"properties": stated((key,), ref(f"takes_{name}"))})


def _left(words: Vocabulary, key: str, name: str) -> list[Schema]:
    """The cases in which a name is bound to a key that the file itself leaves at it."""
    left = stated((key,), NAMES_NOTHING)
    bases = [network for network, bound in words.bound.items() if bound.get(key) == name]
    cases = []
    if DEFAULTS.get(key) == name:
        cases.append({"properties": left, **INHERITS_NOTHING})
    if bases:
        base = stated(("extends",), {"enum": bases})
        cases.append({"properties": {**left, **base}, **has("extends")})
    return cases


# --- ambient: what `conv` and its like take, where only known names are bound to them


def _known_bindings(words: Vocabulary) -> Schema:
    known = [*words.callees, *PASSES]
    call = {"type": "object", "properties": {"op": {"enum": known}}, "not": has("nodes")}
    return {"properties": stated(AMBIENT, {"anyOf": [{"enum": [*known, None]}, call]})}


def _ambient_network() -> Schema:
    inside = {
        **each_stated(("stages", "nodes"), ref("AmbientCall")),
        **each_stated(("define",), ref("AmbientBlock")),
    }
    return {"properties": inside | stated(("stem", "head", "block"), ref("AmbientBlock"))}


def _ambient_call(words: Vocabulary) -> Schema:
    """Any argument of anything that is known: what is bound takes what it declares."""
    known = {name for each in words.all.values() for name in (*each.arguments, *each.slots)}
    called = {"properties": {"op": {"enum": list(words.ambient)}}, **has("op")}
    return {
        **where(called, {"propertyNames": {"enum": [*RESERVED, *sorted(known)]}}),
        "allOf": [ref("AmbientBlock")],
    }
