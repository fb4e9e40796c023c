"""`schema`: a JSON Schema of specs, for editors."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.console import OutputFile
from resnetgen.cli.options import output_option

if TYPE_CHECKING:
    from resnetgen.compiler.codegen.files import Stamp


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
) -> None:
    """Prints a JSON Schema of specs, for editors.

    With it, editors complete and check specs. The schema knows the library, and the specs and
    blocks in the current folder. A file is replaced only if it is an older schema of the same kind.

    \b
    Examples:
      resnetgen schema -o network.schema.json
      resnetgen schema block -o block.schema.json

    \b
    The first line of a spec then names the schema, relative to the spec:
      # yaml-language-server: $schema=network.schema.json
    """
    from resnetgen.compiler.editor.json_schema import block_schema, network_schema, schema_text

    make = network_schema if kind is SchemaKind.network else block_schema
    text = schema_text(make((Path.cwd(),)))
    OutputFile(None if output in (None, "-") else Path(output), _stamp(text)).write(text)


def _stamp(text: str) -> Stamp:
    """The stamp of schemas of the same kind: their first lines, whatever names they know."""
    from resnetgen.compiler.codegen.files import Stamp

    head = "".join(text.splitlines(keepends=True)[:3]).encode()
    return Stamp(
        lambda file: file.read(len(head)) == head,
        "is not a schema that this command wrote",
        "choose another file, or delete this one",
    )
