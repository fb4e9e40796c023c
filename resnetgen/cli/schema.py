"""`schema`: a JSON Schema of specs, for editors."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from resnetgen.cli.console import OutputFile
from resnetgen.cli.options import ForceEdited, output_option


class SchemaKind(StrEnum):
    """What a file declares."""

    network = "network"
    block = "block"


def schema(
    kind: Annotated[
        SchemaKind,
        typer.Argument(
            metavar="KIND", help="For networks, or for blocks, shortcuts, stems and heads."
        ),
    ] = SchemaKind.network,
    output: Annotated[str | None, output_option("Write to a file.")] = None,
    force: ForceEdited = False,
) -> None:
    """Prints a JSON Schema of specs, for editors.

    With it, editors complete and check specs. The schema knows the library, and the specs and
    blocks in the current folder. A file is replaced only if it is an older schema that nobody edited,
    or with --force.

    \b
    Examples:
      resnetgen schema -o network.schema.json
      resnetgen schema block -o block.schema.json

    \b
    The first line of a spec then names the schema, relative to the spec:
      # yaml-language-server: $schema=network.schema.json
    """
    from resnetgen.compiler.editor.json_schema import (
        block_schema,
        network_schema,
        schema_stamp,
        schema_text,
    )

    make = network_schema if kind is SchemaKind.network else block_schema
    made = make((Path.cwd(),))
    path = None if output is None or output == "-" else Path(output)
    OutputFile(path, schema_stamp(made), force).write(schema_text(made))
