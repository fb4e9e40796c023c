"""The schemas of whole files, by their kind: networks, and blocks.

    network_schema((Path("nets"),))  ->  {"$schema": ..., "properties": {"network": ..., ...}, ...}

Folders come before the library, as for a spec that lies in them.
"""

from __future__ import annotations

import json
from pathlib import Path

from resnetgen.report.schema.form import (
    block_form,
    network_definitions,
    network_form,
    shared_definitions,
)
from resnetgen.report.schema.keywords import Schema
from resnetgen.report.schema.layers import (
    block_layers,
    layer_definitions,
    network_layers,
    plain_file,
)
from resnetgen.report.schema.vocabulary import vocabulary

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


def as_json(schema: Schema) -> str:
    """A schema as text, the same bytes for the same names."""
    return json.dumps(schema, indent=1) + "\n"
