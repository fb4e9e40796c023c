"""Verdicts on specs: whether each is sound, else what is wrong with it.

verdicts(["resnet50", "my/"], {})  ->  ("resnet50: sound, ...\n", [], 0), ("", [diagnostic], 1), ...
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resnetgen.cli.errors import diagnose
from resnetgen.cli.options import as_path
from resnetgen.compiler.diagnostics.model import Diagnostic

if TYPE_CHECKING:
    from resnetgen.compiler.frontend.yaml_reader import MapTree

# A line if the spec is sound, diagnostics, exit status.
Verdict = tuple[str, Sequence[Diagnostic], int]
MANY, SHARE = 24, 4  # specs from which on it pays to part the work, and in how large shares


def verdicts(specs: Sequence[str], changes: Mapping[str, object]) -> Iterator[Verdict]:
    """Those on all the specs that some words name, in order; of many specs, on all cores."""
    work = [each for spec in dict.fromkeys(specs) for each in _work(spec)]
    judge = partial(_verdict, changes=changes)
    if len(work) < MANY or not hasattr(os, "fork"):
        yield from map(judge, work)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    import resnetgen.compiler.analysis.lint.rules  # noqa: F401  once, before the processes part

    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
        yield from pool.map(judge, work, chunksize=SHARE)


def _work(spec: str) -> Sequence[str | Exception]:
    """The specs that a word names, or why it names none."""
    try:
        return files_of(spec)
    except Exception as error:
        return [error]


def files_of(spec: str) -> Sequence[str]:
    """The specs that a word names: those in a folder, or itself. Raises OSError."""
    return list(_below(spec)) if os.path.isdir(spec) else [as_path(spec)]


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


def _verdict(work: str | Exception, changes: Mapping[str, object]) -> Verdict:
    try:
        if isinstance(work, Exception):
            raise work
        line, warnings = _sound(work, changes)
    except Exception as error:
        return "", *diagnose(error)
    return f"{line}{_counted(len(warnings))}\n", warnings, 0


def _sound(spec: str, changes: Mapping[str, object]) -> tuple[str, Sequence[Diagnostic]]:
    """What is said of a sound spec, and its warnings. Raises SpecError or OSError."""
    from resnetgen.compiler.frontend import library

    path = library.locate_network(spec)
    return judged(library.read_spec(path), path, changes)


def judged(
    tree: MapTree, path: Path, changes: Mapping[str, object] | None = None
) -> tuple[str, Sequence[Diagnostic]]:
    """The same of a tree that stands, or is to stand, in a file. Raises SpecError or OSError."""
    from resnetgen.compiler.analysis.lint.rules import lint_block
    from resnetgen.compiler.frontend import library
    from resnetgen.compiler.passes.elaborate import check_block
    from resnetgen.pipeline import compile_document
    from resnetgen.reports.numbers import summary

    if library.is_dialect(tree):
        from resnetgen.weights.dialects import of_tree

        dialect = of_tree(tree)
        return f"{dialect.name}: a sound dialect of {len(dialect.names)} names", []
    if library.is_block(tree):
        document = library.Document(tree, _searched(path), (tree.span.source,))
        block = check_block(document)
        return f"{block.name}: a sound block of {len(block.nodes)} nodes", lint_block(document)
    compiled = compile_document(library.complete(tree, (path.parent,), changes or {}))
    _ = compiled.plan  # the flat graph is held together by `build`: a fault there is not the spec's
    return f"{compiled.network.name}: sound, {summary(compiled.cost)}", compiled.warnings


def _searched(path: Path) -> tuple[Path, ...]:
    """Where the names in a block's file are looked for: as of a network beside its folder."""
    from resnetgen.compiler.frontend import library

    return (path.parent.parent if path.parent.name in library.BLOCK_KINDS else path.parent,)


def _counted(warnings: int) -> str:
    return f"; {warnings} warning{'s' * (warnings > 1)}" if warnings else ""
