"""The form of a document, as pydantic models: what keys there are and what kind of value each takes.

What the values mean is not decided here: expressions are parsed, and names resolved, in
`compiler/passes/elaborate.py`, which walks the positioned tree that these models have found to be well formed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from resnetgen.compiler.diagnostics.model import MAX_REPORTED, Diagnostic, did_you_mean, closest_match
from resnetgen.compiler.frontend.yaml_reader import (
    ListTree,
    MapTree,
    Scalar,
    Tree,
    key_span,
    locate,
    python_value,
)

Number = Annotated[int | float | bool | str, Field(description="a number, or an expression")]


class StrictForm(BaseModel):
    """Strict: `"64"` is not an integer, and a key that is not listed is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", populate_by_name=False)


class CallForm(BaseModel):
    """A block, op or policy with some of its arguments: `{op: zero_pad, centred: false}`."""

    model_config = ConfigDict(strict=True, extra="allow")

    op: str | None = Field(None, description="what is called")


class InlineForm(StrictForm):
    """A block written where it is used: `{nodes: ...}`."""

    doc: str | None = Field(None, description="a line about it; it reaches the printed docstring")
    class_name: str | None = Field(None, alias="class", description="the name of the printed class")
    extends: str | None = Field(None, description="a block to start from")
    inputs: list[str] | None = Field(None, description="names of its inputs, `[x]` by default")
    params: dict[str, Number] | None = Field(
        None,
        description="`int`, `float` or `bool`: a caller must give it; anything else is a default",
    )
    slots: dict[str, Any] | None = Field(
        None, description="places for other blocks, with what stands there by default"
    )
    let: dict[str, Number] | None = Field(None, description="names for expressions")
    nodes: dict[str, NodeForm] = Field(description="the graph; a node reads the one before it")
    output: str | None = Field(None, description="the node that is the result, the last by default")


def _slot_form(value: Any) -> str:
    if isinstance(value, dict):
        return "inline" if "nodes" in value else "call"
    return "name"


SlotValue = Annotated[
    Annotated[str, Tag("name")]
    | Annotated[CallForm, Tag("call")]
    | Annotated[InlineForm, Tag("inline")],
    Discriminator(_slot_form),
]


class NodeForm(BaseModel):
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
    blocks: int | str | None = Field(
        None, description="how often the block repeats", json_schema_extra={"minimum": 1}
    )
    after: str | None = Field(None, description="the key that it follows, under `extends`")


RESERVED = ("op", "inputs", "when", "else", "as", "role", "blocks", "after")


class BlockForm(StrictForm):
    """A block: a small graph of ops whose node names become module names."""

    block: str | None = Field(None, description="its name, that of the file")
    language: Literal[1] = Field(1, description="the version of the language")
    extends: str | None = Field(None, description="a block to start from")
    doc: str | None = Field(None, description="a line about it; it reaches the printed docstring")
    paper: str | None = Field(None, description="a link; it reaches the printed docstring")
    class_name: str | None = Field(None, alias="class", description="the name of the printed class")
    inputs: list[str] | None = Field(None, description="names of its inputs, `[x]` by default")
    params: dict[str, Number] | None = Field(
        None,
        description="`int`, `float` or `bool`: a caller must give it; anything else is a default",
    )
    slots: dict[str, SlotValue] | None = Field(
        None, description="places for other blocks, with what stands there by default"
    )
    let: dict[str, Number] | None = Field(None, description="names for expressions")
    when: Number | None = Field(
        None, description="where it is false, the block passes its first input"
    )
    nodes: dict[str, NodeForm] = Field(description="the graph; a node reads the one before it")
    output: str | None = Field(None, description="the node that is the result, the last by default")


class Input(StrictForm):
    """What the network reads."""

    channels: int = Field(ge=1, description="channels of an image")
    size: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1, max_length=3, description="the size of each spatial axis, 1 to 3 of them"
    )


Rule = int | float | str | dict[str, float | int]


class InitForm(StrictForm):
    """How weights start."""

    weight: Rule | None = Field(None, description="how the weight starts: a number, or a rule")
    bias: Rule | None = Field(None, description="how the bias starts: a number, or a rule")


class NetworkForm(StrictForm):
    """A network: stem, stages, nodes and head, in this order."""

    network: str = Field(description="its name, also that of the printed file")
    language: Literal[1] = Field(1, description="the version of the language")
    extends: str | list[str] | None = Field(
        None, description="a network to start from, or several: each later one refines"
    )
    doc: str | None = Field(None, description="a line about it; it reaches the printed docstring")
    paper: str | None = Field(None, description="a link; it reaches the printed docstring")
    family: str | None = Field(None, description="a word by which `resnetgen list` groups it")
    class_name: str | None = Field(None, alias="class", description="the name of the printed class")
    params: dict[str, Number] | None = Field(
        None, description="numbers that the printed class takes as arguments"
    )
    let: dict[str, Number] | None = Field(None, description="names for expressions")
    define: dict[str, dict[str, Any]] | None = Field(None, description="blocks of this file")
    input: Input = Field(description="what the network reads")
    conv: SlotValue | None = Field(
        None, description="what blocks mean by `conv`, a convolution by default"
    )
    norm: SlotValue | None = Field(
        None, description="what blocks mean by `norm`, batch normalisation by default"
    )
    act: SlotValue | None = Field(
        None, description="what blocks mean by `act`, a rectifier by default"
    )
    shortcut: SlotValue | None = Field(
        None, description="what joins the two ends of a block; there is no default"
    )
    block: SlotValue | None = Field(None, description="what a stage repeats")
    stem: SlotValue | None = Field(None, description="the nodes before the stages")
    stages: dict[str, NodeForm] | None = Field(
        None, description="each repeats a block; its arguments stand over those of `block`"
    )
    nodes: dict[str, NodeForm] | None = Field(
        None, description="any acyclic graph after the stages"
    )
    head: SlotValue | None = Field(None, description="the nodes at the end; none by default")
    outputs: list[str] | dict[str, str] | str | None = Field(
        None, description="what it returns: a value, a tuple or a dict; the last node by default"
    )
    train_outputs: list[str] | None = Field(None, description="what it returns besides in training")
    output_stride: int | None = Field(
        None, ge=1, description="strides of stages beyond it become dilation"
    )
    init: dict[str, InitForm] | None = Field(
        None, description="how weights start: rules for ops, then for roles"
    )
    allow: list[str] | None = Field(
        None, min_length=1, description="codes of warnings that are meant, so that none is told"
    )


_MOST_PLACES = MAX_REPORTED + 1 + len(NetworkForm.model_fields)  # some faults are silent
InlineForm.model_rebuild()
_FORMS: dict[str, TypeAdapter[Any]] = {}


def check_form(tree: MapTree, form: type[BaseModel]) -> list[Diagnostic]:
    """What is wrong with the form of a document, each fault at its place."""
    adapter = _FORMS.setdefault(form.__name__, TypeAdapter(form))
    try:
        adapter.validate_python(python_value(tree))
    except ValidationError as error:
        return _diagnostics(tree, form, error.errors(include_url=False))
    return []


def _diagnostics(tree: MapTree, form: type[BaseModel], errors: list[Any]) -> list[Diagnostic]:
    """One diagnostic a place: a union fails once for each of its members, and is told once.

    One more than are told at most, so that suggestions are looked for no oftener.
    """
    places: dict[tuple[Any, ...], list[Any]] = {}
    for error in errors:
        extra = error["type"] in ("extra_forbidden", "missing")
        path = tuple(_path_in(tree, error["loc"]))
        key = (path, error["type"], error["loc"][-1]) if extra else (path,)
        if key in places or len(places) < _MOST_PLACES:
            places.setdefault(key, []).append(error)
    misspelt = {
        (
            tuple(_path_in(tree, e["loc"][:-1])),
            closest_match(str(e["loc"][-1]), _keys_at(form, e["loc"][:-1])),
        )
        for (e, *_) in places.values()
        if e["type"] == "extra_forbidden"
    }
    found = [
        _diagnostic(tree, form, faults)
        for (path, *_), faults in places.items()
        if faults[0]["type"] != "missing"
        or not {(path, str(faults[0]["loc"][-1])), (path, "extends")} & misspelt
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
    models: dict[str, type[BaseModel]] = {
        "input": Input,
        "init": InitForm,
        "inline": InlineForm,
    }
    here: type[BaseModel] = form
    for step in loc:
        here = models.get(str(step), here)
    return [field.alias or name for name, field in here.model_fields.items()]
