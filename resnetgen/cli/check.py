"""`check`: diagnostics only, of networks and of blocks, in four forms of the same content.

`check --fix`: the mends that leave no choice, made in the files that are named, and shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Annotated

import typer

from resnetgen.cli.errors import WRONG_SPEC, identity, point_to_explain, show
from resnetgen.cli.options import Set, complete_spec, overrides
from resnetgen.cli.verdicts import files_of, judged, verdicts
from resnetgen.compiler.diagnostics.model import Diagnostic, Source, SpecError, visible


class Format(StrEnum):
    """How diagnostics are printed."""

    text = "text"
    json = "json"
    github = "github"
    sarif = "sarif"


Specs = Annotated[
    list[str],
    typer.Argument(
        metavar="SPEC",
        help="A spec file, a folder of them, or the name of a library network.",
        autocompletion=complete_spec,
    ),
]
InFormat = Annotated[
    Format,
    typer.Option(
        "--format",
        help="text, for people; json, a list; github, annotations of GitHub Actions; sarif, a"
        " log of SARIF 2.1.0.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Warnings are failures too.")]
Fix = Annotated[
    bool,
    typer.Option(
        "--fix",
        help="First make the mends that leave no choice, in the files that are named, and show"
        " what they change.",
    ),
]


def check(
    specs: Specs,
    format: InFormat = Format.text,
    strict: Strict = False,
    fix: Fix = False,
    settings: Set = None,
) -> None:
    """Says what is wrong with specs, and on which line.

    All files are checked, whatever is wrong with the first; of a folder every *.yaml below it. A
    file that declares a block is checked as far as that goes without a network. In the other forms
    than text the diagnostics go to standard output. With --set, each network is checked as it is
    with that value; blocks are checked as they stand.

    With --fix, words that are misspelt beyond doubt are corrected, expressions with a comma quoted,
    and what has no effect is taken out: a bias before a norm, an override that changes nothing. A
    mend that does not lessen what is found is not made. Specs of the library stay as they are.

    \b
    Examples:
      resnetgen check resnet50
      resnetgen check my/ --strict
      resnetgen check my/net.yaml --set layer3.blocks=11
      resnetgen check my/net.yaml --fix
      resnetgen check my/*.yaml --format github
    """
    changes = overrides(settings)
    if fix:
        _fix(specs, format, changes)
    told: dict[object, Diagnostic] = {}  # a fault of a block is told once, whoever calls it
    worst = 0
    for line, found, status in verdicts(specs, changes):
        fresh = [each for each in found if identity(each) not in told]
        told |= {identity(each): each for each in fresh}
        worst = max(worst, status, WRONG_SPEC if strict and found else 0)
        if format is Format.text:
            show(fresh)
            print(line, end="")
    _conclude(list(told.values()), format)
    if worst:
        raise typer.Exit(worst)


def _fix(specs: Sequence[str], format: Format, changes: dict[str, object]) -> None:
    """Mends the files that are named. Raises BadParameter where that makes no sense."""

    if format is not Format.text:
        raise typer.BadParameter("shows a difference, so the format is text", param_hint="--fix")
    if changes:
        raise typer.BadParameter("mends files as they stand, without --set", param_hint="--fix")
    fix(specs)


def _conclude(found: Sequence[Diagnostic], format: Format) -> None:
    """What is said after all specs: in the other forms than text, everything."""
    if format is Format.text:
        point_to_explain(found)
    elif format is Format.github:
        from resnetgen.compiler.diagnostics.model import as_github

        print(as_github(found), end="\n" if found else "")
    else:
        import json

        print(json.dumps(_as_data(found, format), indent=2))


def _as_data(found: Sequence[Diagnostic], format: Format) -> object:
    if format is Format.json:
        from resnetgen.compiler.diagnostics.model import as_json

        return as_json(found)
    from resnetgen.compiler.diagnostics.formats import as_sarif

    return as_sarif(found)


def fix(specs: Sequence[str]) -> None:
    """Mends files and prints the differences. Raises WriteError, or OSError of a folder."""
    changed = 0
    for spec in dict.fromkeys(specs):
        for file in files_of(spec):
            with suppress(OSError, SpecError):  # the check that follows tells why it cannot be read
                changed += _fixed(file)
    if not changed:
        print("nothing to fix")


def _fixed(spec: str) -> bool:
    """Whether the file of a spec was mended; its difference is printed."""
    from resnetgen.compiler.codegen.files import write_atomically
    from resnetgen.compiler.frontend import library
    from resnetgen.compiler.frontend.autofix import apply_fixes
    from resnetgen.compiler.frontend.yaml_reader import parse
    from resnetgen.compiler.frontend.yaml_scalars import decode_utf8, read_bytes

    path = library.locate_network(spec)
    if library.is_inside(path, library.LIBRARY):
        return False
    name = library.display_path(path)

    def find(text: str) -> Sequence[Diagnostic]:
        try:
            return judged(parse(Source(name, text)), path)[1]
        except SpecError as error:
            return error.diagnostics

    before = decode_utf8(read_bytes(path), name).text
    after = apply_fixes(before, name, find)
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
