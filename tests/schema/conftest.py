"""The schemas, as functions of a validator that knows nothing of resnetgen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jsonschema import Draft202012Validator

from resnetgen.compiler.diagnostics.model import Source
from resnetgen.compiler.editor.json_schema import block_schema, network_schema
from resnetgen.compiler.frontend.tree import python_value
from resnetgen.compiler.frontend.yaml_reader import parse

Errors = Callable[[str], list[str]]


def _errors(validator: Draft202012Validator) -> Errors:
    """`KEY.KEY: MESSAGE` of each error in the text of a spec."""

    def find(text: str) -> list[str]:
        errors = validator.iter_errors(python_value(parse(Source("spec.yaml", text))))
        return [f"{'.'.join(map(str, each.absolute_path))}: {each.message}" for each in errors]

    return find


@pytest.fixture(scope="session")
def network() -> Errors:
    """The errors of a network."""
    return _errors(Draft202012Validator(network_schema()))


@pytest.fixture(scope="session")
def block() -> Errors:
    """The errors of a block."""
    return _errors(Draft202012Validator(block_schema()))


@pytest.fixture(scope="session")
def validate() -> Callable[[object], Errors]:
    """The errors that another schema finds."""
    return lambda schema: _errors(Draft202012Validator(schema))
