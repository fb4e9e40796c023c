"""`new`: a spec of another depth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli import errors
from resnetgen.cli.console import print_exactly, refuse_existing
from resnetgen.cli.options import (
    Set,
    as_path,
    complete_spec,
    force_option,
    overrides,
    placed_option,
)
from resnetgen.compiler.diagnostics.model import visible
from resnetgen.variants.repeats_rule import DEEPEST

if TYPE_CHECKING:
    from resnetgen.variants.new_spec import Draft
    from resnetgen.variants.repeats import Budget, Choice, DepthFamily

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the new network is called.")]
Base = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="SPEC",
        help="The network to start from: a spec file, or the name of a library network.",
        autocompletion=complete_spec,
    ),
]
Depth = Annotated[
    int | None,
    typer.Option("--depth", metavar="N", min=1, max=DEEPEST, help="Have this many layers."),
]
Macs = Annotated[
    str | None,
    typer.Option(
        "--macs", metavar="X", help="Be the deepest with at most X multiply-adds, such as 6G."
    ),
]
Params = Annotated[
    str | None,
    typer.Option(
        "--params", metavar="X", help="Be the deepest with at most X parameters, such as 40M."
    ),
]
Output = Annotated[str | None, placed_option(".yaml")]
Force = Annotated[bool, force_option("Replace the file that is there.")]


def new(
    name: Name,
    base: Base,
    depth: Depth = None,
    macs: Macs = None,
    params: Params = None,
    output: Output = None,
    settings: Set = None,
    force: Force = False,
) -> None:
    """Writes a spec of another depth: a network whose stages repeat more or less often.

    Layers are counted as in names of networks: the stem is one; of a block those of its main path
    count, not those of its shortcut or its attention unit; then the classifier.

    If the library has the same blocks in that depth, its repeats are taken. Else blocks are added
    to the stage that has most, or taken from it; where all stages have equally many, they keep that
    as far as they can. The file says what it changes, with --set too, and extends SPEC for the rest.

    \b
    Examples:
      resnetgen new my101 --from resnet50 --depth 101
      resnetgen new tiny --from resnet50 --depth 26 --set head.classes=10
      resnetgen new phone --from resnet18 --macs 1.2G -o nets/
      resnetgen new deep --from my/net.yaml --params 40M -o my/
    """
    from resnetgen.compiler.frontend import library
    from resnetgen.pipeline import compile_document
    from resnetgen.variants.new_spec import draft, reasons
    from resnetgen.variants.repeats import family_of, of_depth, within

    budget = _budget(depth, macs, params)
    path = library.locate_network(as_path(base))
    compiled = compile_document(library.load(path, overrides(settings)))
    _check_name(name, path.stem, compiled.network.name)
    place = _place(name, path, output)
    if output != "-":
        refuse_existing(place, force)
    family = family_of(compiled)
    choice = within(family, budget) if budget else of_depth(family, depth or 0)
    said = reasons(family, choice, budget)
    made = draft(name, path, family, choice, said, place)
    errors.show(made.compiled.warnings)
    if output == "-":
        print_exactly(made.text)
        return
    print("\n".join([*_table(name, family, choice, bool(settings)), *said]))
    _write(place, made, choice.depth)


def _write(place: Path, made: Draft, depth: int) -> None:
    from resnetgen.compiler.codegen.files import write_atomically
    from resnetgen.reports.numbers import summary

    write_atomically(place, made.text.encode())
    print(f"wrote {visible(str(place))} ({depth} layers; {summary(made.compiled.cost)})")


def _budget(depth: int | None, macs: str | None, params: str | None) -> Budget | None:
    """The budget, or none where a depth is given: one of the three options."""
    from resnetgen.variants.repeats import Budget

    if [depth, macs, params].count(None) != 2:
        raise typer.BadParameter("give one of --depth, --macs and --params")
    if macs is not None:
        return Budget("macs", _number(macs, "--macs"))
    return Budget("params", _number(params, "--params")) if params is not None else None


def _number(text: str, option: str) -> float:
    """`6e9` or `6G`, as in `report --budget`."""
    from resnetgen.compiler.frontend.expressions import ExpressionError, evaluate, parse
    from resnetgen.reports.numbers import with_factors

    try:
        value = evaluate(parse(with_factors(text)), {})
    except ExpressionError:
        value = False
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e18:
        raise typer.BadParameter(f"{text!r} is not a number such as 6e9 or 6G", param_hint=option)
    return value


def _place(name: str, base: Path, output: str | None) -> Path:
    """Where the spec goes, or would go; it has to find the one that it extends."""
    from resnetgen.compiler.codegen.files import located
    from resnetgen.compiler.frontend.identifiers import file_name_error
    from resnetgen.compiler.frontend.library import LIBRARY, display_path

    file, folder = f"{name}.yaml", base.parent
    if base.suffix != ".yaml" or file_name_error(base.stem):
        said = f"`extends` finds NAME.yaml only, not `{base.name}`"
        raise typer.BadParameter(visible(said), param_hint="--from")
    if output == "-":
        return Path(file) if folder == LIBRARY else folder / file
    place = located(output, file)
    if folder != LIBRARY and place.absolute().parent.resolve() != folder.resolve():
        said = f"`extends` finds `{base.stem}` beside the new file only; say `-o {display_path(folder)}/`"
        raise typer.BadParameter(visible(said), param_hint="--output")
    return place


def _check_name(name: str, *bases: str) -> None:
    """A name is free: a library network of the same name would be mistaken for it."""
    from resnetgen.compiler.frontend import library
    from resnetgen.compiler.frontend.identifiers import file_name_error

    reason = file_name_error(name)
    if name in bases:
        reason = "is the network to start from"
    elif any(name == path.stem for path in library.network_files()):
        reason = "is a network of the library"
    if reason:
        raise typer.BadParameter(f"{visible(repr(name))} {reason}", param_hint="NAME")


def _table(name: str, family: DepthFamily, choice: Choice, is_set: bool) -> list[str]:
    """The variant beside its base and its neighbours."""
    from resnetgen.variants.new_spec import table
    from resnetgen.variants.repeats import Choice, neighbours

    base = Choice(family.rule.base, family.rule.depth(family.rule.base))
    head = f"{family.network.name}{', as set' if is_set else ''}"
    near = [(f"{each.depth} layers", each) for each in neighbours(family, choice.depth) if each]
    return table(family, [(head, base), (name, choice), *near])
