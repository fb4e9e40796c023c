"""`check`: diagnostics only, of networks and of blocks, in four forms of the same content."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.faults import WRONG_SPEC, diagnose, point_to_explain, show
from resnetgen.cli.options import complete_spec
from resnetgen.language.diagnostics import Diagnostic, Source, SpecError, visible

if TYPE_CHECKING:
    from resnetgen.language.reader import MapTree


Result = tuple[str, Sequence[Diagnostic], int]
MANY, SHARE = 24, 4  # specs from which on it pays to part the work, and in how large shares


class Format(StrEnum):
    """How diagnostics are printed."""

    text = "text"
    json = "json"
    github = "github"
    sarif = "sarif"


def check(
    specs: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC",
            help="A spec file, a folder of them, or the name of a library network.",
            autocompletion=complete_spec,
        ),
    ],
    format: Annotated[
        Format,
        typer.Option(
            help="text, for people; json, a list; github, annotations of GitHub Actions; sarif, a"
            " log of SARIF 2.1.0.",
        ),
    ] = Format.text,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are failures too.")] = False,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="First make the mends that leave no choice, in the files that are named, and show"
            " what they change.",
        ),
    ] = False,
) -> None:
    """Says what is wrong with specs, and on which line.

    All files are checked, whatever is wrong with the first; of a folder every *.yaml below it. A
    file that declares a block is checked as far as that goes without a network. In the other forms
    than text the diagnostics go to standard output.

    With --fix, words that are misspelt beyond doubt are corrected, expressions with a comma quoted,
    and what has no effect is taken out: a bias before a norm, an override that changes nothing. A
    mend that does not lessen what is found is not made. Specs of the library stay as they are.

    \b
    Examples:
      resnetgen check resnet50
      resnetgen check my/ --strict
      resnetgen check my/net.yaml --fix
      resnetgen check my/*.yaml --format github
    """
    if fix:
        _fix(specs, format)
    told: dict[object, Diagnostic] = {}  # a fault of a block is told once, whoever calls it
    worst = 0
    for line, found, status in _each(
        [each for spec in dict.fromkeys(specs) for each in _work(spec)]
    ):
        fresh = [each for each in found if _identity(each) not in told]
        told |= {_identity(each): each for each in fresh}
        worst = max(worst, status, WRONG_SPEC if strict and found else 0)
        if format is Format.text:
            show(fresh)
            print(line, end="")
    if format is Format.text:
        point_to_explain(told.values())
    else:
        _print(list(told.values()), format)
    if worst:
        raise typer.Exit(worst)


def _identity(fault: Diagnostic) -> object:
    return fault.code, fault.message, str(fault.span)


def _fix(specs: Sequence[str], format: Format) -> None:
    """Mends the files that are named and shows the difference. Raises WriteError, or BadParameter."""
    if format is not Format.text:
        raise typer.BadParameter("shows a difference, so the format is text", param_hint="--fix")
    changed = 0
    for spec in dict.fromkeys(specs):
        for file in _files(spec):
            with suppress(OSError, SpecError):  # the check that follows tells why it cannot be read
                changed += _fixed(file)
    if not changed:
        print("nothing to fix")


def _fixed(spec: str) -> bool:
    """Whether the file of a spec was mended; its difference is printed."""
    from resnetgen.codegen.write import write_atomically
    from resnetgen.language import library
    from resnetgen.language.fixes import fixed
    from resnetgen.language.reader import parse
    from resnetgen.language.yaml_text import decode, first_bytes

    path = library.locate_network(spec)
    if library.inside(path, library.LIBRARY):
        return False
    name = library.shown(path)

    def find(text: str) -> Sequence[Diagnostic]:
        try:
            return _judged(parse(Source(name, text)), path)[1]
        except SpecError as error:
            return error.diagnostics

    before = decode(first_bytes(path), name).text
    after = fixed(before, name, find)
    if after == before:
        return False
    write_atomically(path.resolve(), after.encode())  # a link stays a link
    print(_difference(before, after, name), end="")
    return True


def _difference(before: str, after: str, name: str) -> str:
    from difflib import unified_diff

    old, new = before.splitlines(), after.splitlines()
    lines = unified_diff(old, new, f"{name} (before)", f"{name} (after)", lineterm="")
    return "".join(f"{visible(line)}\n" for line in lines)


def _files(spec: str) -> Sequence[str]:
    """The specs that a word names: those in a folder, or itself. Raises OSError."""
    return list(_below(spec)) if os.path.isdir(spec) else [spec.replace("\0", "\\0")]


def _work(spec: str) -> Sequence[str | Exception]:
    """The specs that a word names, or why it names none."""
    try:
        return _files(spec)
    except Exception as error:
        return [error]


def _each(work: Sequence[str | Exception]) -> Iterator[Result]:
    """The results in order; of many specs, on all cores."""
    if len(work) < MANY or not hasattr(os, "fork"):
        yield from map(_result, work)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    import resnetgen.codegen.plan
    import resnetgen.compiler
    import resnetgen.graph.lint  # noqa: F401  once, before the processes part

    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
        yield from pool.map(_result, work, chunksize=SHARE)


def _result(work: str | Exception) -> Result:
    """What is found in a file: a line if the spec is sound, diagnostics, exit status."""
    try:
        if isinstance(work, Exception):
            raise work
        line, warnings = _sound(work)
    except Exception as error:
        return "", *diagnose(error)
    return f"{line}{_counted(len(warnings))}\n", warnings, 0


def _below(folder: str) -> Iterator[str]:
    """The specs in a folder and its folders, hidden ones apart, by path."""

    def refuse(error: OSError) -> None:
        raise error

    found = False
    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for file in sorted(files):
            if file.endswith(".yaml"):
                found = True
                yield os.path.join(here, file)
    if not found:
        raise FileNotFoundError(f"there is no spec (*.yaml) in the folder `{folder}`")


def _sound(spec: str) -> tuple[str, Sequence[Diagnostic]]:
    """What is said of a sound spec, and its warnings. Raises SpecError or OSError."""
    from resnetgen.language import library

    path = library.locate_network(spec)
    return _judged(library.read_shipped(path), path)


def _judged(tree: MapTree, path: Path) -> tuple[str, Sequence[Diagnostic]]:
    """The same of a tree that stands, or is to stand, in a file. Raises SpecError or OSError."""
    from resnetgen.compiler import compile_document
    from resnetgen.graph.alone import check_block
    from resnetgen.graph.lint import lint_block
    from resnetgen.language import library
    from resnetgen.report.cost import summary

    if library.is_block(tree):
        document = library.Document(tree, _searched(path), (tree.span.source,))
        block = check_block(document)
        return f"{block.name}: a sound block of {len(block.nodes)} nodes", lint_block(document)
    compiled = compile_document(library.complete(tree, (path.parent,), {}))
    _ = compiled.plan  # the flat graph is held together by `build`: a fault there is not the spec's
    return f"{compiled.network.name}: sound, {summary(compiled.cost)}", compiled.warnings


def _searched(path: Path) -> tuple[Path, ...]:
    """Where the names in a block's file are looked for: as of a network beside its folder."""
    from resnetgen.language import library

    return (path.parent.parent if path.parent.name in library.KINDS else path.parent,)


def _counted(warnings: int) -> str:
    return f"; {warnings} warning{'s' * (warnings > 1)}" if warnings else ""


def _print(found: Sequence[Diagnostic], format: Format) -> None:
    from resnetgen.language.diagnostics import as_github, as_json

    if format is Format.github:
        print(as_github(found), end="\n" if found else "")
        return
    import json

    if format is Format.json:
        print(json.dumps(as_json(found), indent=2))
    else:
        from resnetgen.language.sarif import as_sarif

        print(json.dumps(as_sarif(found), indent=2))
