"""What a block declares: parameters, slots, `let`; each name checked, for it may be printed.

params: {width: int, stride: 1}  ->  Param("width", "int", None), Param("stride", None, Const(1))
"""

from __future__ import annotations

import re
from collections.abc import Callable

from resnetgen.graph.faults import Faults
from resnetgen.graph.ir import Param
from resnetgen.graph.ops import AMBIENT, OPS
from resnetgen.graph.terms import term
from resnetgen.language.diagnostics import Span, did_you_mean
from resnetgen.language.names import wrong_class, wrong_identifier, wrong_key
from resnetgen.language.reader import MapTree, Scalar, Tree
from resnetgen.language.spec import RESERVED
from resnetgen.language.trees import entries, key_of, keys

KINDS = ("int", "float", "bool")  # of the parameters that a caller must give
PASSING = ("identity", "none")  # what can be called and does nothing


def params_of(faults: Faults, tree: MapTree) -> dict[str, Param]:
    """The parameters of a block or network."""
    params: dict[str, Param] = {}
    for name, each in entries(tree, "params").items():
        word = each.value if isinstance(each, Scalar) and not each.quoted else None
        if isinstance(word, str) and word in KINDS:
            params[name] = Param(name, word, None)
            continue
        if isinstance(word, str) and word.isidentifier() and word not in params:
            _check_kind(faults, word, each.span)
        params[name] = Param(name, None, term(faults, each, key_of(tree, "params", name)))
    return params


def _check_kind(faults: Faults, word: str, span: Span) -> None:
    """A default that is one unknown word, and nearly `int`: the other reasons are misleading."""
    if not word.endswith("_channels") and (hint := did_you_mean(word, KINDS)):
        faults.record("expression", f"there is no `{word}` here", span, hint)


def class_name(faults: Faults, tree: MapTree) -> str | None:
    """The name of the printed class, where `class:` gives one."""
    name = tree.entries.get("class")
    if not isinstance(name, Scalar):
        return None
    check_name(faults, name.text, name.span, wrong_class)
    return name.text


def module_path(faults: Faults, tree: Tree | None, key: str, repeated: bool) -> str:
    """The module path of a node: `as:`, else its key, with a number for each block of a stage."""
    if not isinstance(tree, Scalar):
        return f"{key}.<index>" if repeated else key
    if tree.text != ".":
        plain = re.sub(r"<[^<>]*>", "a", tree.text)  # `stages.<index>`: the rest can be checked
        parts = ("a" if part in ("*", "0*") else part for part in plain.split("."))
        if reason := wrong_key(".".join(parts)):
            faults.record("wrong-name", f"the path `{tree.text}` {reason}", tree.span)
    return tree.text


def check_name(
    faults: Faults, name: str, span: Span, rule: Callable[[str], str | None] = wrong_identifier
) -> None:
    """A name that a rule of `language/names.py` refuses is a fault."""
    if reason := rule(name):
        faults.record("wrong-name", f"`{name}` {reason}", span)


def check_own_names(faults: Faults, tree: MapTree, what: str) -> None:
    """The parameters, slots and `let` of a block: each a name, without another meaning, once."""
    parts = [entries(tree, part) for part in ("params", "slots", "let")]
    for each, span in [*keys(tree, "params"), *keys(tree, "slots"), *keys(tree, "let")]:
        check_name(faults, each, span)
        if each in RESERVED or each.endswith("in_channels"):
            message = f"`{each}` has a meaning of its own in the language"
            faults.record("wrong-name", message, span)
    for each, span in keys(tree, "slots"):
        check_shadow(faults, each, span)
    for each, span in [*keys(tree, "slots"), *keys(tree, "let")]:
        if sum(each in part for part in parts) > 1:
            faults.record("duplicate-key", f"the {what} has two names `{each}`", span)


def check_shadow(faults: Faults, name: str, span: Span) -> None:
    """Names of what can be called are looked up in one order, and none may hide another."""
    if name in OPS or name in AMBIENT or name in PASSING:
        message = f"`{name}` is the name of an op or an ambient slot"
        faults.record("shadowed-name", message, span)
