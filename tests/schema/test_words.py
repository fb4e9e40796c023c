"""What an editor shows: every key is described, every name and its arguments are offered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from resnetgen.compiler.editor.json_schema import block_schema, network_schema
from resnetgen.compiler.frontend import library
from resnetgen.compiler.ir.ops import AMBIENT, OPS

SCHEMAS = [network_schema(), block_schema()]
both = pytest.mark.parametrize("schema", SCHEMAS, ids=["network", "block"])
FORMS = {"Node", "Inline", "Block", "Input", "Rules"}


def offered(schema: dict[str, Any]) -> dict[str, str]:
    """Names with the description of each."""
    known = schema["anyOf"][0]
    return dict(zip(known["enum"], known["enumDescriptions"], strict=True))


@both
def test_every_key_is_described(schema: dict[str, Any]) -> None:
    forms = [schema, *(each for name, each in schema["$defs"].items() if name in FORMS)]
    keys = [(key, each) for form in forms for key, each in form["properties"].items()]
    assert [key for key, each in keys if not each.get("description")] == []


@both
def test_every_argument_is_described(schema: dict[str, Any]) -> None:
    takes = {name: each for name, each in schema["$defs"].items() if name.startswith("takes_")}
    for name, each in takes.items():
        for key, argument in each["properties"].items():
            assert argument.get("description"), (name, key)


@both
def test_every_op_and_block_is_offered_with_its_arguments(schema: dict[str, Any]) -> None:
    names = offered(schema["$defs"]["Node"]["properties"]["op"])
    blocks = {path.stem for kind in library.BLOCK_KINDS for path in library.block_files(kind)}
    assert set(names) == {*OPS, *AMBIENT, *blocks, "identity", "none"}
    assert all(names.values())
    for name, op in OPS.items():
        assert schema["$defs"][f"takes_{name}"]["properties"].keys() == op.attributes.keys()
        assert names[name] == op.doc


def test_a_key_offers_the_names_that_fit() -> None:
    properties = SCHEMAS[0]["properties"]
    for key, kind in {"shortcut": "shortcuts", "stem": "stems", "head": "heads"}.items():
        fitting = {path.stem for path in library.block_files(kind)}
        assert set(offered(properties[key])) == {*fitting, "identity", "none"}
    assert "resnet50" in offered(properties["extends"])


def references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from ([schema["$ref"]] if isinstance(schema.get("$ref"), str) else [])
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from references(each)


@both
def test_every_definition_is_used_and_every_reference_has_one(schema: dict[str, Any]) -> None:
    wanted = {reference.removeprefix("#/$defs/") for reference in references(schema)}
    assert wanted == schema["$defs"].keys()
