"""Runs the commands of `outputs.py` on one tree, in two processes, and writes what they print."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from fnmatch import fnmatch
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.freeze.outputs import INPUTS, TESTS, Output, outputs

WORKERS = 2
WORDS = ("message", "text", "help")  # the keys of a diagnostic that hold prose
_HEADER = re.compile(r"^(?:\S.*:\d+:\d+: )?(?:error|warning)\[[a-z-]+\]", re.MULTILINE)


def write(tree: Path, target: Path, only: str = "*") -> None:
    """Writes the outputs of a tree whose files match a pattern."""
    with (
        TemporaryDirectory() as scratch,
        ProcessPoolExecutor(WORKERS, get_context("spawn"), _enter, (tree, scratch)) as pool,
    ):
        listed = pool.submit(_printed, Output("", "list networks")).result()
        networks = [line.split()[0] for line in listed.splitlines()[1:]]
        chosen = [each for each in outputs(networks) if fnmatch(each.file, only)]
        done = pool.map(partial(_freeze, target), chosen, chunksize=7)
        for count, _ in enumerate(done, 1):
            if count % 100 == 0 or count == len(chosen):
                print(f"{tree.name}: {count} of {len(chosen)}", file=sys.stderr)


def _enter(tree: Path, scratch: str) -> None:
    """Prepares a worker: resnetgen is that of the tree, the folder holds the inputs only."""
    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1"}
    for name in ("RESNETGEN_DEBUG", "FORCE_COLOR", "TERMINAL_WIDTH"):
        os.environ.pop(name, None)
    folder = Path(scratch, str(os.getpid()))
    for name in INPUTS:
        shutil.copytree(TESTS / name, folder / name)
    os.chdir(folder)
    sys.path.insert(0, str(tree))
    import resnetgen

    if not Path(resnetgen.__file__).is_relative_to(tree):
        raise ImportError(f"resnetgen is {resnetgen.__file__}, not that of {tree}")


def _freeze(target: Path, output: Output) -> None:
    place = target / output.file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(_printed(output).encode(errors="surrogateescape"))


def _printed(output: Output) -> str:
    """What a command prints, how it ends unless well and silently, and the files that it writes."""
    status, text, errors = _run(shlex.split(output.command))
    if output.wordless:
        text, errors = _without_words(text), "\n".join(_HEADER.findall(errors))
    if status or errors:
        text += f"exit status: {status}\n{errors}\n"
    for path in sorted(path for path in Path().iterdir() if path.is_file()):
        text += f"\n--- {path}\n{path.read_text(encoding='utf-8')}"
        path.unlink()
    return text


def _run(arguments: list[str]) -> tuple[object, str, str]:
    """Exit status, standard output and standard error; of an exception that escapes, its name."""
    from resnetgen.cli import main

    sys.argv = ["resnetgen", *arguments]
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    status: object = 0
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        try:
            main()
        except SystemExit as stop:
            status = stop.code
        except Exception as error:
            status = f"{type(error).__name__}: {error}"
    text, errors = (each.buffer.getvalue().decode(errors="surrogateescape") for each in streams)
    return status, text, errors


def _without_words(text: str) -> str:
    """Diagnostics as JSON without their prose; any other text as it is."""
    try:
        found = json.loads(text, object_hook=_places)
    except ValueError:
        return text
    return json.dumps(found, indent=1) + "\n"


def _places(diagnostic: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in diagnostic.items() if key not in WORDS}
