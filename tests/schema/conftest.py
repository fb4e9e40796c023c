"""The schemas, held by a validator that knows nothing of resnetgen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jsonschema import Draft202012Validator

from resnetgen.compiler.diagnostics.model import Source
from resnetgen.compiler.editor.json_schema import block_schema, network_schema
from resnetgen.compiler.frontend.tree import python_value
from resnetgen.compiler.frontend.yaml_reader import parse

Faults = Callable[[str], list[str]]


def _faults(validator: Draft202012Validator) -> Faults:
    """`KEY.KEY: MESSAGE` of each fault in the text of a spec."""

    def find(text: str) -> list[str]:
        found = validator.iter_errors(python_value(parse(Source("spec.yaml", text))))
        return [f"{'.'.join(map(str, each.absolute_path))}: {each.message}" for each in found]

    return find


@pytest.fixture(scope="session")
def network() -> Faults:
    """The faults of a network."""
    return _faults(Draft202012Validator(network_schema()))


@pytest.fixture(scope="session")
def block() -> Faults:
    """The faults of a block."""
    return _faults(Draft202012Validator(block_schema()))


@pytest.fixture(scope="session")
def validate() -> Callable[[object], Faults]:
    """The faults that another schema finds."""
    return lambda schema: _faults(Draft202012Validator(schema))
