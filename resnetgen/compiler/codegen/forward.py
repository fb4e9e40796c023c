"""The lines of `forward`: statements in order, with a variable for each value, and the `return`.

    x = self.bn3(x)               short-lived values are all `x`
    x = x + shortcut              a value that must outlive the next one has a name of its own
    return x

Which values have names and which expressions are inlined is decided in `analysis/statements.py`,
because memory analysis depends on it; here they are printed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest

from resnetgen.compiler.analysis.statements import count_readers, is_inlined, named_values
from resnetgen.compiler.codegen import pretty
from resnetgen.compiler.codegen.classes import unique
from resnetgen.compiler.codegen.lowering import Statement
from resnetgen.compiler.codegen.pretty import MARGIN, Brackets
from resnetgen.compiler.frontend.identifiers import PRINTED_NAMES
from resnetgen.compiler.ir.nodes import Network

LONGEST_VARIABLE = 24


def forward_lines(
    statements: Sequence[Statement],
    inputs: Sequence[str],
    outputs: Sequence[str],
    classes: Collection[str],
    comments: Mapping[str, str],
    several: bool = False,
) -> tuple[list[str], dict[str, str]]:
    """The lines of a body, given its statements in order, and the variable of each value.

    `inputs` are the parameters; no variable has the name of one of the `classes`. With `several`
    outputs, each has a name of its own. `comments` stand behind the lines that compute these values.
    """
    named = named_values(statements, inputs, outputs, outputs if several else ())
    variables: dict[str, str] = {}
    taken = {*PRINTED_NAMES, *inputs, *classes}
    lines: list[str] = []
    guarded = False
    main, identity = inputs[0], None
    for name in inputs:
        variables[name] = name
        if name == main and name in named:
            identity = _new_name("identity", taken)
            lines.append(f"{MARGIN}{identity} = {name}")
    inlined: dict[str, str] = {}
    readers = count_readers(statements, outputs)
    for statement, following in zip_longest(statements, statements[1:]):
        sources = [inlined.get(name) or variables[name] for name in statement.inputs]
        text = statement.text(sources)
        if following and is_inlined(statement, following, readers, len(text)):
            inlined[statement.result_key] = text
            continue
        is_named = statement.result_key in named
        variables[statement.result_key] = _new_name(statement.name, taken) if is_named else main
        if not is_named and identity:
            variables[main] = identity
        if statement.training and not guarded:
            lines.append(f"{MARGIN}if self.training:")
        guarded = statement.training
        indent = len(MARGIN) + (pretty.INDENT if guarded else 0)
        laid = pretty.lay(pretty.parsed(text), indent, f"{variables[statement.result_key]} = ")
        lines += _commented(laid, comments.get(statement.result_key))
    return lines, variables


def _commented(lines: list[str], comment: str | None) -> list[str]:
    """The lines, with a comment behind the only one, if there is room."""
    whole = f"{lines[0]}  # {comment}"
    return [whole] if comment and len(lines) == 1 and len(whole) <= pretty.WIDTH else lines


def _new_name(name: str, taken: set[str]) -> str:
    base = re.sub(r"\W", "_", name)
    if not base[:1].isalpha() or len(base) > LONGEST_VARIABLE:
        base = "value"
    return unique(base, taken)


def return_lines(network: Network | None, inputs: Sequence[str], names: Sequence[str]) -> list[str]:
    """The `return` statements; for a block, which has one result, `network` is None."""
    if network is None:
        return _single(names[0], inputs)
    count = len(network.outputs)
    keys = [output.name for output in (*network.outputs, *network.train_outputs)]
    lines: list[str] = []
    if count == 1 and not network.named_outputs:
        lines = _single(names[0], inputs)[:-1]
        names = [inputs[0] if lines else names[0], *names[1:]]
    if count < len(names):
        lines += [f"{MARGIN}if self.training:", *_returned(network, keys, names, 12)]
    return [*lines, *_returned(network, keys[:count], names[:count], 8)]


def return_type(network: Network | None) -> str:
    """The annotation of the result."""
    if network is None:
        return "Tensor"
    if network.named_outputs:
        return "dict[str, Tensor]"
    plain = "Tensor" if len(network.outputs) == 1 else "tuple[Tensor, ...]"
    more = network.train_outputs and len(network.outputs) == 1
    return f"{plain} | tuple[Tensor, ...]" if more else plain


def _single(name: str, inputs: Sequence[str]) -> list[str]:
    """`return x`: a parameter, because its type is declared."""
    if name in inputs:
        return [f"{MARGIN}return {name}"]
    return [f"{MARGIN}{inputs[0]} = {name}", f"{MARGIN}return {inputs[0]}"]


def _returned(
    network: Network, keys: Sequence[str], names: Sequence[str], indent: int
) -> list[str]:
    if network.named_outputs:
        pairs = tuple(f'"{key}": {name}' for key, name in zip(keys, names, strict=True))
        return pretty.lay(Brackets("{", pairs, "}"), indent, "return ")
    text = f"{' ' * indent}return {', '.join(names)}"
    if len(names) == 1 or len(text) <= pretty.WIDTH:
        return [text]
    return pretty.lay(Brackets("(", tuple(names), ")"), indent, "return ")
