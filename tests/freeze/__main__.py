"""`python -m tests.freeze`: writes what is frozen, or compares it with a revision."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.freeze import __doc__ as about
from tests.freeze.compare import TREE, compare
from tests.freeze.writer import write


def main() -> int:
    """The exit status: 0 unless something differs."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.freeze",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write", help="write every output into a folder")
    writing.add_argument("folder", type=Path, metavar="DIR", help="a folder, new or empty")
    writing.add_argument("--tree", type=Path, default=TREE, help="another checkout (this one)")
    comparing = commands.add_parser("compare", help="compare this tree with a revision")
    comparing.add_argument("revision", metavar="REVISION", help="or a folder that `write` made")
    for each in (writing, comparing):
        each.add_argument("--only", metavar="PATTERN", default="*", help="files, as 'resnet50*'")
    said = parser.parse_args()
    if said.command == "compare":
        return compare(said.revision, said.only)
    if said.folder.is_dir() and any(said.folder.iterdir()):
        writing.error(f"{said.folder} is not empty")
    write(said.tree.resolve(), said.folder.resolve(), said.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
