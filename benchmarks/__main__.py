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
    """Measures, stores in the folder, writes the page; 1 if a measurement failed."""
    options = _parser().parse_args(arguments)
    chosen = [] if options.page else _chosen(options.names)
    if options.list:
        print(*(f"{each.name:26} {each.about}" for each in chosen), sep="\n")
        return 0
    if options.page:
        write_page(page, folder)
    failed = False
    for each in chosen:
        failed |= not _measure(each, options.rounds, folder)
        write_page(page, folder)
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a section or a measurement")
    parser.add_argument("--list", action="store_true", help="list what would be measured")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument(
        "--rounds", type=_count, help="of each measurement, instead of its own number"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of rounds")
    return int(text)


def _chosen(names: Sequence[str]) -> list[Measurement]:
    """The measurements of these names, or all. Exits if there is none of a name."""
    known = [each for section in SECTIONS.values() for each in section.measurements]
    named = {each.name for each in known} | set(SECTIONS)
    if wrong := [each for each in names if each not in named]:
        sys.exit(f"no measurement is named {', '.join(wrong)}; --list names them all")
    return [each for each in known if not names or {each.name, each.name.split("-")[0]} & {*names}]


def _measure(measurement: Measurement, rounds: int | None, folder: Path) -> bool:
    """Runs and stores one; prints whether that succeeded, and returns it."""
    try:
        with Progress() as progress:
            result = run(measurement, rounds, progress)
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-5:]
        print(f"{measurement.name} failed: {error}", *last, sep="\n  ", file=sys.stderr)
        return False
    write(result, folder)
    summary = f"{measurement.name}: {duration(result.took)}, load {result.machine['load']}"
    print(summary, file=sys.stderr, flush=True)
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the measurements before this one are stored
        sys.exit(130)
