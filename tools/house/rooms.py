"""The rooms of the package, bottom up, and the rules for what a module may import.

violations("resnetgen.compiler.ir.ops", imports)  ->  "...: imports resnetgen.cli; compiler.ir comes before cli"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

PACKAGE = "resnetgen"

# A room imports from the rooms above it in this table. The empty name is `resnetgen` itself.
ROOMS = {
    "_version": "the version",
    "compiler.diagnostics": "errors and warnings: model, formats, catalog",
    "compiler.frontend": "YAML text to a checked document",
    "compiler.ir": "the nodes of the IR, the table of ops",
    "compiler.passes": "one form of a network to the next",
    "compiler.analysis": "rows, receptive fields, memory, warnings",
    "compiler.codegen": "a network to the text of a module",
    "compiler.editor": "JSON Schema for editors",
    "compiler": "the compiler as a whole",
    "pipeline": "the passes, in order",
    "reports": "costs, tables, pages, drawings, sweeps",
    "weights": "checkpoints: read, match, convert, infer, grow",
    "variants": "other depths, differences",
    "runtime": "load, verify, compile, optimize",
    "api": "load, optimize, load_plan",
    "": "the public names",
    "runtime.bench": "timing, as a user of the public API",
    "cli": "the commands",
    "__main__": "python -m resnetgen",
}
ORDER = list(ROOMS)


@dataclass(frozen=True)
class Import:
    """One imported module, and where it is imported."""

    target: str
    line: int
    top_level: bool
    only_typing: bool


@dataclass(frozen=True)
class Home:
    """The modules in which an outside library may be imported."""

    allows: Callable[[str, Import], bool]
    words: str


HOMES = {
    "torch": Home(
        lambda module, each: (
            within(module, "runtime") or (within(module, "weights") and not each.top_level)
        ),
        "only in runtime/, and inside functions of weights/",
    ),
    "jinja2": Home(
        lambda module, _: within(module, "compiler.codegen.render"),
        "only in compiler/codegen/render.py",
    ),
    "yaml": Home(
        lambda module, _: within(module, "compiler.frontend.yaml_reader"),
        "only in compiler/frontend/yaml_reader.py",
    ),
    "typer": Home(lambda module, _: within(module, "cli"), "only in cli/"),
}


def within(module: str, part: str) -> bool:
    """Whether a module is `part` of the package, or below it."""
    name = f"{PACKAGE}.{part}"
    return module == name or module.startswith(name + ".")


def room_of(module: str) -> str | None:
    """The room of a module: `compiler.ir` for `resnetgen.compiler.ir.ops`; None outside of all."""
    if module == PACKAGE:
        return ""
    return max((room for room in ROOMS if room and within(module, room)), key=len, default=None)


def violations(module: str, imports: Iterable[Import]) -> Iterator[str]:
    """What a module imports and should not."""
    room = room_of(module)
    if room is None:
        yield f"{module}: is in no room; the rooms are {', '.join(filter(None, ROOMS))}"
        return
    for each in imports:
        head = each.target.partition(".")[0]
        where = f"{module}, line {each.line}: imports {each.target}"
        if head == PACKAGE:
            other = room_of(each.target) or ""  # a name of the package itself
            if ORDER.index(other) > ORDER.index(room):
                yield f"{where}; {room or PACKAGE} comes before {other or PACKAGE}"
        elif head in HOMES and not each.only_typing and not HOMES[head].allows(module, each):
            yield f"{where}; {HOMES[head].words}"
