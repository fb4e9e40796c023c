"""`python -m benchmarks`: see the package."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import benchmarks
from benchmarks.page import PAGE, SECTIONS
from benchmarks.page import write as write_page
from benchmarks.results import FOLDER, Measurement, run, write
from benchmarks.tables import duration
from resnetgen.cli.console import Progress


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER, page: Path = PAGE) -> int:
    """Measures, stores in the folder, writes the page; 1 where a measurement failed."""
    given = _parser().parse_args(arguments)
    chosen = [] if given.page else _chosen(given.names)
    if given.list:
        print(*(f"{each.name:26} {each.about}" for each in chosen), sep="\n")
        return 0
    if given.page:
        write_page(page, folder)
    failed = False
    for each in chosen:
        failed |= not _measured(each, given.rounds, folder)
        write_page(page, folder)
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a section or a measurement")
    parser.add_argument("--list", action="store_true", help="say what would be measured")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    parser.add_argument(
        "--rounds", type=_count, help="of each measurement, in place of its own number"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of rounds")
    return int(text)


def _chosen(names: Sequence[str]) -> list[Measurement]:
    """The measurements of these names, or all. Exits where a name is none."""
    known = [each for section in SECTIONS.values() for each in section.measurements]
    named = {each.name for each in known} | set(SECTIONS)
    if wrong := [each for each in names if each not in named]:
        sys.exit(f"no measurement is named {', '.join(wrong)}; --list names them all")
    return [each for each in known if not names or {each.name, each.name.split("-")[0]} & {*names}]


def _measured(measurement: Measurement, rounds: int | None, folder: Path) -> bool:
    """Runs and stores one; whether that went well, which is said."""
    try:
        with Progress() as progress:
            result = run(measurement, rounds, progress)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()[-5:]
        print(f"{measurement.name} failed: {error}", *said, sep="\n  ", file=sys.stderr)
        return False
    write(result, folder)
    said = f"{measurement.name}: {duration(result.took)}, load {result.machine['load']}"
    print(said, file=sys.stderr, flush=True)
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # what was measured before is stored
        sys.exit(130)
