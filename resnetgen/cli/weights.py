"""`weights`: identifies the network of a checkpoint, and converts it for another library."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnetgen.cli.console import OutputFile, torch_progress
from resnetgen.cli.errors import SPEC_ERROR, Command
from resnetgen.cli.options import (
    ForceEdited,
    Format,
    Set,
    complete_spec,
    format_option,
    output_option,
    overrides,
    safe_path,
)
from resnetgen.compiler.diagnostics.model import escape_invisible

if TYPE_CHECKING:
    from pathlib import Path

    from resnetgen.weights.convert import ConvertedCheckpoint
    from resnetgen.weights.dialects import Dialect
    from resnetgen.weights.identify import Identification
    from resnetgen.weights.library_index import NetworkIndex
    from resnetgen.weights.read import Checkpoint

weights = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Identifies checkpoints, and converts them for other libraries.",
)
_OWN_NAMES = "the network's own"
FORMATS = (Format.text, Format.json)


def complete_dialect(incomplete: str) -> list[str]:
    """Shell completion of DIALECT."""
    from resnetgen.weights.dialects import shipped_dialects

    return [each.name for each in shipped_dialects() if each.name.startswith(incomplete)]


File = Annotated[str, typer.Argument(metavar="FILE", help="safetensors, torch.save or Keras HDF5.")]
NetworkOption = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="SPEC",
        help="The network of the checkpoint. [default: identified by keys and shapes]",
        autocompletion=complete_spec,
    ),
]
_DIALECT: dict[str, Any] = {"metavar": "DIALECT", "autocompletion": complete_dialect}


@weights.command("inspect", cls=Command)
def inspect(
    file: File,
    network: NetworkOption = None,
    settings: Set = None,
    format: Annotated[Format, format_option(FORMATS, "How to print the result.")] = Format.text,
) -> None:
    """Identifies the network and the dialect of a checkpoint.

    Shows the file's format, wrappers and prefixes, the dialect of its names, every library network
    that it fits exactly, its classes and input channels. If none fits, it shows the nearest network
    and the differences, and exits with 1. Needs torch; nothing in the file is executed.

    \b
    Examples:
      resnetgen weights inspect resnet50.pth
      resnetgen weights inspect my.pth --network my/net.yaml --format json
    """
    from resnetgen.weights.identify import identify

    networks = _networks(network, settings)
    checkpoint = _read(file)
    found = identify(checkpoint.entries, checkpoint.name, networks)
    about = _about(checkpoint, found, networks)
    if format is Format.json:
        import json

        print(json.dumps(about, indent=2))
    else:
        for line in _lines(about):
            print(escape_invisible(line))
    if not found.matches:
        raise typer.Exit(SPEC_ERROR)


@weights.command("convert", cls=Command)
def convert(
    file: File,
    to: Annotated[
        str,
        typer.Option("--to", help="The dialect to write: a name, or a dialect file.", **_DIALECT),
    ],
    source: Annotated[
        str | None,
        typer.Option("--from", help="The dialect of FILE. [default: detected]", **_DIALECT),
    ] = None,
    network: NetworkOption = None,
    settings: Set = None,
    output: Annotated[
        str | None,
        output_option(
            "A file, or a folder. [default: ./NETWORK_DIALECT.safetensors, .h5 for Keras]"
        ),
    ] = None,
    force: ForceEdited = False,
) -> None:
    """Converts a checkpoint for another library: names and layout.

    Every key of the file is first checked against the network. A .pt, .pth or .bin file is written
    with torch.save. Changes and losses are reported on stderr. Needs torch; HDF5 needs h5py.

    \b
    Examples:
      resnetgen weights convert resnet50.pth --to detectron2
      resnetgen weights convert resnet50.h5 --to torchvision -o resnet50.pth
      resnetgen weights convert model.bin --to timm --network my/net.yaml
    """
    from resnetgen.weights.convert import convert_checkpoint, encode
    from resnetgen.weights.dialects import load_dialect
    from resnetgen.weights.safetensors_file import WEIGHTS

    target = load_dialect(safe_path(to))
    sources = [load_dialect(safe_path(source))] if source is not None else None
    networks = _networks(network, settings)
    if output is not None:
        _check_name(output, target)
    checkpoint = _read(file)
    converted = convert_checkpoint(checkpoint, target, networks, sources)
    path = _path(output, converted)
    out = OutputFile(path, WEIGHTS, force)
    print("".join(f"{line}\n" for line in converted.remarks), end="", file=sys.stderr)
    data = encode(converted, path.suffix)
    out.write(data)
    out.announce(_summary(converted, len(data)))


def _networks(network: str | None, settings: list[str] | None) -> NetworkIndex:
    from resnetgen.weights.library_index import NetworkIndex

    if settings and network is None:
        raise typer.BadParameter(
            "overrides a value of --network, which is missing", param_hint="--set"
        )
    return NetworkIndex(None if network is None else safe_path(network), overrides(settings))


def _read(file: str) -> Checkpoint:
    from resnetgen.compiler.frontend.input_file import note_input

    note_input(file)
    with torch_progress() as progress:
        from resnetgen.weights.read import read

        progress(f"reading {escape_invisible(file)}")
        return read(file)


# --- inspect


def _about(checkpoint: Checkpoint, found: Identification, networks: NetworkIndex) -> dict[str, Any]:
    """The result as plain data."""
    from resnetgen.weights.identify import dtype_counts, value_count

    entries = checkpoint.entries
    return {
        "file": checkpoint.name,
        "format": checkpoint.format,
        "tensors": len(entries),
        "numbers": value_count(entries),
        "types": dtype_counts(entries),
        "remarks": list(checkpoint.remarks),
        "wrappers": list(found.wrappers),
        "prefix": found.prefix,
        "beside": len(found.outside),
        "dialects": _dialects(found),
        "networks": list(found.specs),
        **_sizes(found, networks),
        "nearest": _nearest(found),
    }


def _dialects(found: Identification) -> list[str]:
    named = [match.dialect.name for match in found.matches if match.dialect]
    if found.nearest and found.nearest.dialect:
        named.append(found.nearest.dialect.name)
    return list(dict.fromkeys(named))


def _sizes(found: Identification, networks: NetworkIndex) -> dict[str, int | None]:
    if not found.matches:
        return {"classes": None, "channels": None}
    match = found.matches[0]
    classes = networks.classes(match.spec, match.settings)
    channels = networks.graph(match.spec, match.settings).input.channels
    return {"classes": classes, "channels": channels}


def _nearest(found: Identification) -> dict[str, Any] | None:
    from resnetgen.weights.mismatch import mismatch_lines

    nearest = found.nearest
    if nearest is None:
        return None
    return {
        "network": nearest.spec,
        "alike": round(nearest.similarity, 4),
        "differences": list(mismatch_lines(nearest.match)),
    }


def _lines(about: Mapping[str, Any]) -> Iterator[str]:
    types = ", ".join(f"{count:,} {name}" for name, count in about["types"].items())
    yield f"{about['file']}: {about['format']}, {about['tensors']:,} tensors ({types})"
    yield from _rows(
        {
            "numbers": f"{about['numbers']:,}",
            "unpacked": "; ".join(about["remarks"]),
            "wrappers": _keys(about["wrappers"]),
            "prefix": about["prefix"],
            "beside it": f"{about['beside']:,} tensors" if about["beside"] else "",
            "names": ", ".join(about["dialects"]) or (_OWN_NAMES if about["networks"] else ""),
            "network": ", ".join(about["networks"]) or "none fits exactly",
            "classes": str(about["classes"] or ""),
            "channels": str(about["channels"] or ""),
        }
    )
    if about["nearest"]:
        near = about["nearest"]
        yield f"  nearest    {near['network']}, {near['alike']:.0%} of all tensors alike"
        yield from (f"    {line}" for line in near["differences"])


def _rows(rows: Mapping[str, str]) -> Iterator[str]:
    """The rows that are not empty."""
    yield from (f"  {name:<10} {text}" for name, text in rows.items() if text)


def _keys(wrappers: Sequence[str]) -> str:
    return ", ".join(f"{each}." for each in wrappers)


# --- convert


def _check_name(output: str, target: Dialect) -> None:
    """Raises WriteError if a file of this name would be read as something else."""
    from resnetgen.compiler.codegen.files import output_path
    from resnetgen.weights.convert import check_suffix, suffixes

    check_suffix(str(output_path(output, f"{target.name}{suffixes(target)[0]}")), target)


def _path(output: str | None, converted: ConvertedCheckpoint) -> Path:
    """Where the file goes."""
    from resnetgen.compiler.codegen.files import file_name, output_path
    from resnetgen.weights.convert import suffixes

    dialect = converted.target.dialect
    assert dialect
    name = file_name(f"{converted.target.graph.name}_{dialect.name}", suffixes(dialect)[0])
    return output_path(output, name)


def _summary(converted: ConvertedCheckpoint, size: int) -> str:
    source, target = converted.source.dialect, converted.target.dialect
    names = f"from {source.name if source else _OWN_NAMES} to {target.name if target else ''}"
    return f"{converted.spec}, {names}: {len(converted.state)} tensors, {size:,} bytes"
