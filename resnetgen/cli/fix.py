"""`check --fix`: the mends that leave no choice, made in the files that are named, and shown."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from resnetgen.cli.verdicts import files_of, judged
from resnetgen.language.diagnostics import Diagnostic, Source, SpecError, visible


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
            return judged(parse(Source(name, text)), path)[1]
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
