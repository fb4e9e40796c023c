"""`schema`: what an editor needs to know of specs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class SchemaKind(StrEnum):
    """What a file declares."""

    network = "network"
    block = "block"


def schema(
    kind: Annotated[
        SchemaKind,
        typer.Argument(metavar="KIND", help="Of networks, or of blocks, stems and heads."),
    ] = SchemaKind.network,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="A file. [default: standard output]"),
    ] = None,
) -> None:
    """Prints a JSON Schema, by which editors complete and check specs.

    KIND is network or block. The schema knows the library, and the specs and the blocks of the
    folder in which it is made.

    \b
    Examples:
      resnetgen schema -o network.schema.json
      resnetgen schema block -o block.schema.json

    \b
    The first line of a spec then says where its schema is, from the spec:
      # yaml-language-server: $schema=network.schema.json
    """
    from resnetgen.compiler.editor.json_schema import schema_text, block_schema, network_schema

    make = network_schema if kind is SchemaKind.network else block_schema
    text = schema_text(make((Path.cwd(),)))
    if output in (None, "-"):
        print(text, end="")
    else:
        _write(Path(output), text)


def _write(path: Path, text: str) -> None:
    """Places a schema, over an older one only. Raises WriteError."""
    from resnetgen.compiler.codegen.files import WriteError, refuse_to_overwrite, write_atomically
    from resnetgen.compiler.diagnostics.model import Diagnostic

    refuse_to_overwrite(path, force=True)
    head = "".join(text.splitlines(keepends=True)[:3])
    if path.is_symlink() or not _is_free(path, head):
        help = "name another file, or take this one away"
        message = f"`{path}` is no schema that this command wrote"
        raise WriteError(Diagnostic("file-exists", message, help=help))
    write_atomically(path, text.encode())


def _is_free(path: Path, head: str) -> bool:
    """Whether there is no file, or one that starts as a schema of the same kind does."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(len(head)) == head
    except FileNotFoundError:
        return True
    except (OSError, UnicodeError):
        return False
