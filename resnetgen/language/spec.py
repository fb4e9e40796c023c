"""The form of a document, as pydantic models: what keys there are and what kind of value each takes.

What the values mean is not decided here: expressions are parsed, and names resolved, in
`graph/elaborate.py`, which walks the positioned tree that these models have found to be well formed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from resnetgen.language.diagnostics import Diagnostic, did_you_mean, suggest
from resnetgen.language.reader import ListTree, MapTree, Scalar, Tree, key_span, locate, plain

Number = Annotated[int | float | bool | str, Field(description="a number, or an expression")]


class Form(BaseModel):
    """Strict: `"64"` is not an integer, and a key that is not listed is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", populate_by_name=False)


class Call(BaseModel):
    """A block, op or policy with some of its arguments: `{op: zero_pad, centred: false}`."""

    model_config = ConfigDict(strict=True, extra="allow")

    op: str | None = Field(None, description="what is called")


class Inline(Form):
    """A block written where it is used: `{nodes: ...}`."""

    doc: str | None = None
    class_name: str | None = Field(None, alias="class", description="the name of the printed class")
    extends: str | None = None
    inputs: list[str] | None = None
    params: dict[str, Number] | None = None
    slots: dict[str, Any] | None = None
    let: dict[str, Number] | None = None
    nodes: dict[str, Node]
    output: str | None = None


def _slot_form(value: Any) -> str:
    if isinstance(value, dict):
        return "inline" if "nodes" in value else "call"
    return "name"


SlotValue = Annotated[
    Annotated[str, Tag("name")] | Annotated[Call, Tag("call")] | Annotated[Inline, Tag("inline")],
    Discriminator(_slot_form),
]


class Node(BaseModel):
    """A node; keys that are not listed are attributes of its op or arguments of its block."""

    model_config = ConfigDict(strict=True, extra="allow")

    op: str | None = Field(None, description="an op, a block, a slot")
    inputs: str | int | list[str | int] | None = Field(
        None, description="what it reads; the node before it by default"
    )
    when: Number | None = Field(None, description="left out where this is false")
    otherwise: str | None = Field(
        None, alias="else", description="the value that passes where it is left out"
    )
    path: str | int | float | None = Field(
        None, alias="as", description="its module path; its key by default"
    )
    role: str | None = Field(None, description="a name for `init`")
    blocks: int | str | None = Field(None, description="how often the block repeats")
    after: str | None = Field(None, description="the key that it follows, under `extends`")


RESERVED = ("op", "inputs", "when", "else", "as", "role", "blocks", "after")


class BlockForm(Form):
    """A block: a small graph of ops whose node names become module names."""

    block: str | None = None
    language: Literal[1] = 1
    extends: str | None = None
    doc: str | None = None
    paper: str | None = None
    class_name: str | None = Field(None, alias="class", description="the name of the printed class")
    inputs: list[str] | None = None
    params: dict[str, Number] | None = None
    slots: dict[str, SlotValue] | None = None
    let: dict[str, Number] | None = None
    when: Number | None = None
    nodes: dict[str, Node]
    output: str | None = None


class Input(Form):
    """What the network reads."""

    channels: int = Field(ge=1)
    size: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, max_length=3)


Rule = int | float | str | dict[str, float | int]


class InitForm(Form):
    """How weights start."""

    weight: Rule | None = None
    bias: Rule | None = None


class NetworkForm(Form):
    """A network: stem, stages, nodes and head, in this order."""

    network: str
    language: Literal[1] = 1
    extends: str | None = None
    doc: str | None = None
    paper: str | None = None
    family: str | None = Field(None, description="a word by which `resnetgen list` groups it")
    class_name: str | None = Field(None, alias="class", description="the name of the printed class")
    params: dict[str, Number] | None = Field(
        None, description="numbers that the printed class takes as arguments"
    )
    let: dict[str, Number] | None = None
    define: dict[str, dict[str, Any]] | None = Field(None, description="blocks of this file")
    input: Input
    conv: SlotValue | None = None
    norm: SlotValue | None = None
    act: SlotValue | None = None
    shortcut: SlotValue | None = None
    block: SlotValue | None = None
    stem: SlotValue | None = None
    stages: dict[str, Node] | None = None
    nodes: dict[str, Node] | None = None
    head: SlotValue | None = None
    outputs: list[str] | dict[str, str] | str | None = None
    train_outputs: list[str] | None = None
    output_stride: int | None = Field(None, ge=1)
    init: dict[str, InitForm] | None = None


Inline.model_rebuild()
_FORMS: dict[str, TypeAdapter[Any]] = {}


def check_form(tree: MapTree, form: type[BaseModel]) -> list[Diagnostic]:
    """What is wrong with the form of a document, each fault at its place."""
    adapter = _FORMS.setdefault(form.__name__, TypeAdapter(form))
    try:
        adapter.validate_python(plain(tree))
    except ValidationError as error:
        return _diagnostics(tree, form, error.errors(include_url=False))
    return []


def _diagnostics(tree: MapTree, form: type[BaseModel], errors: list[Any]) -> list[Diagnostic]:
    """One diagnostic a place: a union fails once for each of its members, and is told once."""
    places: dict[tuple[Any, ...], list[Any]] = {}
    for error in errors:
        extra = error["type"] in ("extra_forbidden", "missing")
        path = tuple(_path_in(tree, error["loc"]))
        key = (path, error["type"], error["loc"][-1]) if extra else (path,)
        places.setdefault(key, []).append(error)
    misspelt = {
        (
            tuple(_path_in(tree, e["loc"][:-1])),
            suggest(str(e["loc"][-1]), _keys_at(form, e["loc"][:-1])),
        )
        for e in errors
        if e["type"] == "extra_forbidden"
    }
    found = [
        _diagnostic(tree, form, faults)
        for (path, *_), faults in places.items()
        if faults[0]["type"] != "missing" or (path, str(faults[0]["loc"][-1])) not in misspelt
    ]
    return found


def _diagnostic(tree: MapTree, form: type[BaseModel], faults: list[Any]) -> Diagnostic:
    loc, kind = faults[0]["loc"], faults[0]["type"]
    path, key = _path_in(tree, loc), str(loc[-1])
    if kind == "extra_forbidden":
        hint = did_you_mean(key, _keys_at(form, loc[:-1]))
        return Diagnostic(
            "unknown-key", f"there is no key `{key}` here", key_span(tree, path), help=hint
        )
    if kind == "missing":
        where = f"`{path[-1]}`" if path else "the document"
        return Diagnostic("missing-key", f"{where} needs a key `{key}`", _own_span(tree, path))
    reason = _reason(faults, _at(tree, path))
    return Diagnostic("wrong-value", f"`{path[-1] if path else key}` {reason}", locate(tree, path))


def _own_span(tree: MapTree, path: list[str | int]) -> Any:
    return (
        key_span(tree, path)
        if path
        else tree.keys[next(iter(tree.keys))]
        if tree.keys
        else tree.span
    )


def _path_in(tree: Tree, loc: tuple[str | int, ...]) -> list[str | int]:
    """The part of pydantic's `loc` that is a path in the tree; tags of unions are not."""
    path: list[str | int] = []
    for step in loc:
        if isinstance(tree, MapTree) and str(step) in tree.entries:
            tree = tree.entries[str(step)]
            path.append(str(step))
        elif isinstance(tree, ListTree) and isinstance(step, int) and step < len(tree.items):
            tree = tree.items[step]
            path.append(step)
    return path


def _at(tree: Tree, path: list[str | int]) -> Tree:
    for step in path:
        if isinstance(tree, MapTree):
            tree = tree.entries[str(step)]
        elif isinstance(tree, ListTree) and isinstance(step, int):
            tree = tree.items[step]
    return tree


_WANTED = {
    "string_type": "a word",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
    "list_type": "a list",
}
_COUNTS = {"too_short": "needs at least one value", "too_long": "has too many values (1 to 3 axes)"}


def _reason(faults: list[Any], tree: Tree) -> str:
    kind = {"MapTree": "a map", "ListTree": "a list"}.get(type(tree).__name__)
    shown = f", not {kind}" if kind else f", not `{tree.text}`" if isinstance(tree, Scalar) else ""
    first = faults[0]
    if first["type"] == "greater_than_equal":
        return f"must be at least {first['ctx']['ge']}{shown}"
    if first["type"] == "literal_error":
        return f"must be 1, the version of the language that this program knows{shown}"
    if first["type"] in _COUNTS:
        return _COUNTS[first["type"]]
    wanted = dict.fromkeys(_WANTED[each["type"]] for each in faults if each["type"] in _WANTED)
    if "a word" in wanted and "an integer" in wanted:
        wanted = dict.fromkeys(["an integer", "an expression"])
    return f"must be {' or '.join(wanted)}{shown}" if wanted else f"has an unsuitable value{shown}"


def _keys_at(form: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The keys of the model in which an unknown key stands."""
    models: dict[str, type[BaseModel]] = {"input": Input, "init": InitForm, "inline": Inline}
    here: type[BaseModel] = form
    for step in loc:
        here = models.get(str(step), here)
    return [field.alias or name for name, field in here.model_fields.items()]
