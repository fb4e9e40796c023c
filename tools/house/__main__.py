"""`python -m tools.house`: prints the numbers of the house, or draws its rooms again."""

from __future__ import annotations

import argparse

from tools.house import __doc__ as about
from tools.house.diagram import PAGE, regenerated
from tools.house.numbers import report


def main() -> None:
    """Prints, or rewrites the diagram in docs/architecture.md."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.house",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", choices=["numbers", "diagram"], default="numbers")
    if parser.parse_args().what == "numbers":
        print(report(), end="")
    else:
        PAGE.write_text(regenerated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
