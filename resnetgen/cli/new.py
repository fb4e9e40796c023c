"""`new`: a spec of another depth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli import errors
from resnetgen.cli.console import OutputFile
from resnetgen.cli.options import (
    Force,
    Set,
    complete_spec,
    output_file_option,
    overrides,
    safe_path,
)
from resnetgen.compiler.diagnostics.model import escape_invisible
from resnetgen.variants.depth_rule import DEEPEST

if TYPE_CHECKING:
    from resnetgen.variants.repeats import Budget, Choice, DepthFamily

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the new network.")]
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
    typer.Option("--depth", metavar="N", min=1, max=DEEPEST, help="The number of layers."),
]
Macs = Annotated[
    str | None,
    typer.Option(
        "--macs", metavar="X", help="The deepest network with at most X multiply-adds, such as 6G."
    ),
]
Params = Annotated[
    str | None,
    typer.Option(
        "--params", metavar="X", help="The deepest network with at most X parameters, such as 40M."
    ),
]
Output = Annotated[str | None, output_file_option(".yaml")]


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
    """Writes a spec of another depth, with more or fewer blocks.

    Layers are counted as in the names of networks: one for the stem, those on the main path of each
    block, not those of its shortcut or attention unit, and one for the classifier.

    If the library has a network of that depth with the same blocks, its repeats are used. Otherwise
    blocks are added to, or removed from, the stage that has most; if all stages have equally many,
    they stay as equal as possible. The file states what it changes, including --set, and extends
    SPEC for the rest.

    \b
    Examples:
      resnetgen new my101 --from resnet50 --depth 101
      resnetgen new tiny --from resnet50 --depth 26 --set head.classes=10
      resnetgen new phone --from resnet18 --macs 1.2G -o nets/
      resnetgen new deep --from my/net.yaml --params 40M -o my/
    """
    from resnetgen.compiler.codegen.files import UNMARKED
    from resnetgen.compiler.frontend import library
    from resnetgen.pipeline import compile_document
    from resnetgen.reports.numbers import cost_summary
    from resnetgen.variants.new_spec import draft_depth_variant, explain_choice
    from resnetgen.variants.repeats import choose_by_depth, choose_within, depth_family

    budget = _budget(depth, macs, params)
    path = library.locate_network(safe_path(base))
    compiled = compile_document(library.load(path, overrides(settings)))
    _check_name(name, path.stem, compiled.network.name)
    target = _target(name, path, output)
    file = OutputFile(None if output == "-" else target, UNMARKED, force)
    family = depth_family(compiled)
    choice = choose_within(family, budget) if budget else choose_by_depth(family, depth or 0)
    reasons = explain_choice(family, choice, budget)
    draft = draft_depth_variant(name, path, family, choice, reasons, target)
    errors.show_diagnostics(draft.compiled.warnings)
    if file.path is not None:
        print("\n".join([*_table(name, family, choice, bool(settings)), *reasons]))
    file.write(draft.text)
    file.announce(f"{choice.depth} layers; {cost_summary(draft.compiled.cost)}")


def _budget(depth: int | None, macs: str | None, params: str | None) -> Budget | None:
    """The budget, or None if --depth is given. Raises BadParameter unless one option is given."""
    from resnetgen.variants.repeats import Budget

    if [depth, macs, params].count(None) != 2:
        raise typer.BadParameter("give one of --depth, --macs and --params")
    if macs is not None:
        return Budget("macs", _number(macs, "--macs"))
    return Budget("params", _number(params, "--params")) if params is not None else None


def _number(text: str, option: str) -> float:
    """The value of `6e9` or `6G`, as in `report --budget`."""
    from resnetgen.compiler.frontend.expressions import ExpressionError, evaluate, parse
    from resnetgen.reports.numbers import expand_suffixes

    try:
        value = evaluate(parse(expand_suffixes(text)), {})
    except ExpressionError:
        value = False
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e18:
        raise typer.BadParameter(f"{text!r} is not a number such as 6e9 or 6G", param_hint=option)
    return value


def _target(name: str, base: Path, output: str | None) -> Path:
    """Where the spec goes, or would go: it must find the one that it extends."""
    from resnetgen.compiler.codegen.files import output_path
    from resnetgen.compiler.frontend.identifiers import file_name_error
    from resnetgen.compiler.frontend.library import LIBRARY, display_path

    file, folder = f"{name}.yaml", base.parent
    if base.suffix != ".yaml" or file_name_error(base.stem):
        message = f"`extends` only finds NAME.yaml, not `{base.name}`"
        raise typer.BadParameter(escape_invisible(message), param_hint="--from")
    if output == "-":
        return Path(file) if folder == LIBRARY else folder / file
    path = output_path(output, file)
    if folder != LIBRARY and path.absolute().parent.resolve() != folder.resolve():
        place = f"only beside the new file; use `-o {display_path(folder)}/`"
        message = f"`extends` finds `{base.stem}` {place}"
        raise typer.BadParameter(escape_invisible(message), param_hint="--output")
    return path


def _check_name(name: str, *bases: str) -> None:
    """Raises BadParameter for a name that is taken: `extends` could mean either network."""
    from resnetgen.compiler.frontend import library
    from resnetgen.compiler.frontend.identifiers import file_name_error

    reason = file_name_error(name)
    if name in bases:
        reason = "is the name of the network to start from"
    elif any(name == path.stem for path in library.network_files()):
        reason = "is the name of a library network"
    if reason:
        raise typer.BadParameter(f"{escape_invisible(repr(name))} {reason}", param_hint="NAME")


def _table(name: str, family: DepthFamily, choice: Choice, is_set: bool) -> list[str]:
    """The variant beside its base and its neighbours."""
    from resnetgen.variants.new_spec import comparison_table
    from resnetgen.variants.repeats import Choice, neighbours

    base = Choice(family.rule.base, family.rule.depth(family.rule.base))
    head = f"{family.network.name}{', as set' if is_set else ''}"
    near = [(f"{each.depth} layers", each) for each in neighbours(family, choice.depth) if each]
    return comparison_table(family, [(head, base), (name, choice), *near])
