"""JSON Schema in the words of specs: `has("op")`, `calls("relu")`, `where(test, then)`.

    where(calls("relu"), has("inputs"))  ->  {"if": {"properties": {"op": {"const": "relu"}}, ...},
                                              "then": {"required": ["inputs"]}}

`doNotSuggest`, `enumDescriptions` and `patternErrorMessage` are words of editors (VS Code and
yaml-language-server); validators pass them over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """What a definition says."""
    return {"$ref": f"#/$defs/{name}"}


def where(test: Schema, then: Schema) -> Schema:
    """What is so of a value that passes a test."""
    return {"if": test, "then": then}


def map_of(each: Schema) -> Schema:
    """A map, or `null`, which deletes one."""
    return {"type": ["object", "null"], "additionalProperties": each}


def stated(keys: Iterable[str], value: Schema) -> Schema:
    """What a layer says or asks of keys that the form has: they are offered there, not again."""
    return {key: {"doNotSuggest": True, "allOf": [value]} for key in keys}


def each_stated(keys: Iterable[str], value: Schema) -> Schema:
    """As `stated`, of maps: what each of their values is."""
    return stated(keys, {"additionalProperties": value})


def has(*keys: str) -> Schema:
    """A map with these keys."""
    return {"required": list(keys)}


def calls(name: str) -> Schema:
    """A map whose `op` is this name."""
    return {"properties": {"op": {"const": name}}, "required": ["op"]}


INHERITS_NOTHING: Schema = {"not": has("extends")}
HAS_VALUE: Schema = {"type": ["boolean", "number", "string", "array", "object"]}
NAMES_NOTHING: Schema = {"type": "object", "not": {"anyOf": [has("op"), has("nodes")]}}
