"""`check`: the errors and warnings of specs, in four formats.

    check_specs(["resnet50", "my/"], {})  ->  ("resnet50: sound, ...", [], 0), ("", [error], 1), ...

`check --fix` first applies the fixes that leave no choice to the named files, and shows them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.errors import (
    SPEC_ERROR,
    dedup_key,
    diagnose,
    show_diagnostics,
    suggest_explain,
)
from resnetgen.cli.options import (
    Format,
    Set,
    complete_spec,
    format_option,
    overrides,
    safe_path,
)
from resnetgen.compiler.diagnostics.model import Diagnostic, Source, SpecError, escape_invisible

if TYPE_CHECKING:
    from resnetgen.compiler.frontend.tree import MapTree

FORMATS = (Format.text, Format.json, Format.github, Format.sarif)
# From how many specs on to check in parallel, and how many at a time in each process.
MIN_PARALLEL, CHUNK_SIZE = 24, 4

# A line if the spec is sound, diagnostics, exit status.
CheckResult = tuple[str, Sequence[Diagnostic], int]

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
    format_option(
        FORMATS,
        "text for people, json for a list, github for annotations in GitHub Actions, sarif for a"
        " SARIF 2.1.0 log.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")]
Fix = Annotated[
    bool,
    typer.Option(
        "--fix",
        help="First apply the fixes that leave no choice to the named files, and show the changes.",
    ),
]


def check(
    specs: Specs,
    format: InFormat = Format.text,
    strict: Strict = False,
    fix: Fix = False,
    settings: Set = None,
) -> None:
    """Checks specs; errors point at the line that caused them.

    All specs are checked, even if the first has errors; in a folder, every *.yaml file at any depth.
    A file that declares a block is checked as far as possible without a network. With --set, each
    network is checked with that value, and blocks as they are. In formats other than text, the
    diagnostics go to standard output.

    With --fix, obvious misspellings are corrected, expressions that contain a comma are quoted, and
    settings without effect are removed: a bias before a norm, an override that changes nothing. A
    fix that does not reduce the number of diagnostics is not applied. Specs of the library are never
    changed.

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
        _check_fix_options(format, changes)
        fix_specs(specs)
    reported: dict[object, Diagnostic] = {}  # an error in a block is reported once for all callers
    worst = 0
    for line, diagnostics, status in check_specs(specs, changes):
        new = [each for each in diagnostics if dedup_key(each) not in reported]
        reported |= {dedup_key(each): each for each in new}
        worst = max(worst, status, SPEC_ERROR if strict and diagnostics else 0)
        if format is Format.text:
            show_diagnostics(new)
            print(line, end="")
    _report_all(list(reported.values()), format)
    if worst:
        raise typer.Exit(worst)


def _report_all(diagnostics: Sequence[Diagnostic], format: Format) -> None:
    """Prints all diagnostics, in a format other than text."""
    if format is Format.text:
        suggest_explain(diagnostics)
        return
    import json

    from resnetgen.compiler.diagnostics.formats import as_github, as_json, as_sarif

    if format is Format.github:
        print(as_github(diagnostics), end="\n" if diagnostics else "")
    else:
        data = as_json(diagnostics) if format is Format.json else as_sarif(diagnostics)
        print(json.dumps(data, indent=2))


# --- which specs


def spec_files(spec: str) -> Sequence[str]:
    """The specs below a folder, or the one spec. Raises OSError."""
    return list(_specs_below(spec)) if os.path.isdir(spec) else [safe_path(spec)]


def _specs_below(folder: str) -> Iterator[str]:
    """The specs in a folder and its folders, without hidden ones, by path."""

    def refuse(error: OSError) -> None:
        raise error

    is_empty = True
    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for file in sorted(files):
            if file.endswith(".yaml"):
                is_empty = False
                yield os.path.join(here, file)
    if is_empty:
        raise FileNotFoundError(f"there is no spec (*.yaml) in the folder `{folder}`")


# --- checks


def check_specs(specs: Sequence[str], changes: Mapping[str, object]) -> Iterator[CheckResult]:
    """The results for all specs, in order; many specs are checked on all cores."""
    tasks = [task for spec in dict.fromkeys(specs) for task in _tasks(spec)]
    check = partial(_check_task, changes=changes)
    if len(tasks) < MIN_PARALLEL or not hasattr(os, "fork"):
        yield from map(check, tasks)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    import resnetgen.compiler.analysis.lint.rules  # noqa: F401  once, before the processes fork

    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
        yield from pool.map(check, tasks, chunksize=CHUNK_SIZE)


def _tasks(spec: str) -> Sequence[str | Exception]:
    """The specs that an argument names, or the reason why there are none."""
    try:
        return spec_files(spec)
    except Exception as error:
        return [error]


def _check_task(task: str | Exception, changes: Mapping[str, object]) -> CheckResult:
    from resnetgen.compiler.frontend import library

    try:
        if isinstance(task, Exception):
            raise task
        path = library.locate_network(task)
        line, warnings = check_tree(library.read_spec(path), path, changes)
    except Exception as error:
        return "", *diagnose(error)
    count = len(warnings)
    counted = f"; {count} warning{'s' * (count > 1)}" if count else ""
    return f"{line}{counted}\n", warnings, 0


def check_tree(
    tree: MapTree, path: Path, changes: Mapping[str, object] | None = None
) -> tuple[str, Sequence[Diagnostic]]:
    """`resnet50: sound, ...`, and warnings; the file may differ from the tree. Raises SpecError."""
    from resnetgen.compiler.analysis.lint.rules import lint_block
    from resnetgen.compiler.frontend import library
    from resnetgen.compiler.passes.elaborate import check_block
    from resnetgen.pipeline import compile_document
    from resnetgen.reports.numbers import cost_summary

    if library.is_dialect(tree):
        from resnetgen.weights.dialects import from_tree

        dialect = from_tree(tree)
        return f"{dialect.name}: a sound dialect of {len(dialect.renamings)} names", []
    if library.is_block(tree):
        document = library.Document(tree, _search_path(path), (tree.span.source,))
        block = check_block(document)
        return f"{block.name}: a sound block of {len(block.nodes)} nodes", lint_block(document)
    compiled = compile_document(library.complete(tree, (path.parent,), changes or {}))
    _ = compiled.plan  # not the flat graph: what `build` finds wrong there is a bug of the compiler
    return f"{compiled.network.name}: sound, {cost_summary(compiled.cost)}", compiled.warnings


def _search_path(path: Path) -> tuple[Path, ...]:
    """Where a block's file looks up names: as a network beside the folder of blocks does."""
    from resnetgen.compiler.frontend import library

    return (path.parent.parent if path.parent.name in library.BLOCK_KINDS else path.parent,)


# --- fixes


def _check_fix_options(format: Format, changes: Mapping[str, object]) -> None:
    if format is not Format.text:
        raise typer.BadParameter("prints a diff, so it needs --format text", param_hint="--fix")
    if changes:
        raise typer.BadParameter(
            "fixes the file as it is, so it does not work with --set", param_hint="--fix"
        )


def fix_specs(specs: Sequence[str]) -> None:
    """Fixes files and prints the differences. Raises WriteError, or OSError for a folder."""
    changed = 0
    for spec in dict.fromkeys(specs):
        for file in spec_files(spec):
            with suppress(OSError, SpecError):  # why it cannot be read is reported by the check
                changed += _fix(file)
    if not changed:
        print("nothing to fix")


def _fix(spec: str) -> bool:
    """Whether the file was changed; the difference is printed."""
    from resnetgen.compiler.codegen.files import write_atomically
    from resnetgen.compiler.frontend import library
    from resnetgen.compiler.frontend.autofix import apply_fixes
    from resnetgen.compiler.frontend.yaml_reader import parse
    from resnetgen.compiler.frontend.yaml_scalars import read_source

    path = library.locate_network(spec)
    if library.is_inside(path, library.LIBRARY):
        return False
    name = library.display_path(path)

    def check(text: str) -> Sequence[Diagnostic]:
        try:
            return check_tree(parse(Source(name, text)), path)[1]
        except SpecError as error:
            return error.diagnostics

    before = read_source(path, name).text
    after = apply_fixes(before, name, check)
    if after == before:
        return False
    write_atomically(path.resolve(), after.encode())  # a link stays a link
    print(_difference(before, after, name), end="")
    return True


def _difference(before: str, after: str, name: str) -> str:
    from difflib import unified_diff

    old, new = before.splitlines(), after.splitlines()
    lines = unified_diff(old, new, f"{name} (before)", f"{name} (after)", lineterm="")
    return "".join(f"{escape_invisible(line)}\n" for line in lines)
