"""The form of a document, as pydantic models: its keys, and the kind of value of each.

    check_form(tree of `stages: {layer1: {blocks: half}}`, NetworkForm)  ->  [Diagnostic(...), ...]

The descriptions of the fields are what an editor shows. Non-goals: what the values mean. Parsing
expressions and resolving names is elaboration (`passes/elaborate.py`), which reads the positioned
tree after its form has been checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from resnetgen.compiler.diagnostics.model import (
    MAX_REPORTED,
    Diagnostic,
    Span,
    closest_match,
    did_you_mean,
)
from resnetgen.compiler.frontend.tree import (
    ListTree,
    MapTree,
    Scalar,
    Tree,
    child,
    key_span,
    nearest_value,
    python_value,
    value_span,
)

Number = Annotated[int | float | bool | str, Field(description="a number, or an expression")]


class StrictForm(BaseModel):
    """`"64"` is not an integer, and a key that is not listed is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", populate_by_name=False)


class CallForm(BaseModel):
    """A block, op or policy with some of its arguments: `{op: zero_pad, centred: false}`."""

    model_config = ConfigDict(strict=True, extra="allow")

    op: str | None = Field(None, description="what is called")


class InlineForm(StrictForm):
    """A block written where it is used: `{nodes: ...}`."""

    doc: str | None = Field(None, description="one line about it, printed in the docstring")
    class_name: str | None = Field(None, alias="class", description="the name of the printed class")
    extends: str | None = Field(None, description="a block to start from")
    inputs: list[str] | None = Field(None, description="names of its inputs, `[x]` by default")
    params: dict[str, Number] | None = Field(
        None,
        description="`int`, `float` or `bool` for a required one; anything else is the default",
    )
    slots: dict[str, Any] | None = Field(
        None, description="places for other blocks, each with its default"
    )
    let: dict[str, Number] | None = Field(None, description="names for expressions")
    nodes: dict[str, NodeForm] = Field(
        description="the graph; a node reads the one before it by default"
    )
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

    op: str | None = Field(None, description="an op, block or slot")
    inputs: str | int | list[str | int] | None = Field(
        None, description="what it reads; the node before it by default"
    )
    when: Number | None = Field(None, description="the node is left out if this is false")
    otherwise: str | None = Field(
        None, alias="else", description="the value used instead if it is left out"
    )
    path: str | int | float | None = Field(
        None, alias="as", description="its module path; its key by default"
    )
    role: str | None = Field(None, description="a name for `init`")
    blocks: int | str | None = Field(
        None, description="how often the block repeats", json_schema_extra={"minimum": 1}
    )
    after: str | None = Field(None, description="under `extends`, the key to place it after")


def form_keys(form: type[BaseModel]) -> list[str]:
    """The keys of a form, as a spec spells them."""
    return [field.alias or name for name, field in form.model_fields.items()]


NODE_KEYS = tuple(form_keys(NodeForm))  # any other key of a node is an argument


class BlockForm(StrictForm):
    """A block: a small graph of ops whose node names become module names."""

    block: str | None = Field(None, description="its name, that of the file")
    language: Literal[1] = Field(1, description="the version of the language")
    extends: str | None = Field(None, description="a block to start from")
    doc: str | None = Field(None, description="one line about it, printed in the docstring")
    paper: str | None = Field(None, description="a link, printed in the docstring")
    class_name: str | None = Field(None, alias="class", description="the name of the printed class")
    inputs: list[str] | None = Field(None, description="names of its inputs, `[x]` by default")
    params: dict[str, Number] | None = Field(
        None,
        description="`int`, `float` or `bool` for a required one; anything else is the default",
    )
    slots: dict[str, SlotValue] | None = Field(
        None, description="places for other blocks, each with its default"
    )
    let: dict[str, Number] | None = Field(None, description="names for expressions")
    when: Number | None = Field(
        None, description="if this is false, the block returns its first input"
    )
    nodes: dict[str, NodeForm] = Field(
        description="the graph; a node reads the one before it by default"
    )
    output: str | None = Field(None, description="the node that is the result, the last by default")


class InputForm(StrictForm):
    """What the network reads."""

    channels: int = Field(ge=1, description="channels of an image")
    size: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1, max_length=3, description="the size of each spatial axis, 1 to 3 of them"
    )


Rule = int | float | str | dict[str, int | float | str | dict[str, int | float | str | bool]]
_SomeNames = Annotated[list[str], Field(min_length=1)]
_SomePairs = Annotated[dict[str, str], Field(min_length=1)]


class InitForm(StrictForm):
    """The initial weights of an op or a role."""

    weight: Rule | None = Field(None, description="the initial weight: a number, or a rule")
    bias: Rule | None = Field(None, description="the initial bias: a number, or a rule")


class NetworkForm(StrictForm):
    """A network: stem, stages, nodes and head, in this order."""

    network: str = Field(description="its name, and that of the printed file")
    language: Literal[1] = Field(1, description="the version of the language")
    extends: str | list[str] | None = Field(
        None, description="a network to start from, or several: each later one refines"
    )
    doc: str | None = Field(None, description="one line about it, printed in the docstring")
    paper: str | None = Field(None, description="a link, printed in the docstring")
    family: str | None = Field(None, description="a word by which `resnetgen list` groups it")
    class_name: str | None = Field(None, alias="class", description="the name of the printed class")
    params: dict[str, Number] | None = Field(
        None, description="numbers that the printed class takes as arguments"
    )
    let: dict[str, Number] | None = Field(None, description="names for expressions")
    define: dict[str, dict[str, Any]] | None = Field(None, description="blocks of this file")
    input: InputForm = Field(description="what the network reads")
    conv: SlotValue | None = Field(
        None, description="what blocks mean by `conv`, a convolution by default"
    )
    norm: SlotValue | None = Field(
        None, description="what blocks mean by `norm`, batch normalisation by default"
    )
    act: SlotValue | None = Field(None, description="what blocks mean by `act`, a ReLU by default")
    shortcut: SlotValue | None = Field(
        None, description="the shortcut policy of blocks; there is no default"
    )
    block: SlotValue | None = Field(None, description="what a stage repeats")
    stem: SlotValue | None = Field(None, description="the nodes before the stages")
    stages: dict[str, NodeForm] | None = Field(
        None, description="each repeats a block; its arguments override those of `block`"
    )
    nodes: dict[str, NodeForm] | None = Field(
        None, description="any acyclic graph after the stages"
    )
    head: SlotValue | None = Field(None, description="the nodes at the end; none by default")
    outputs: _SomeNames | _SomePairs | str | None = Field(
        None, description="what it returns: a value, a tuple or a dict; the last node by default"
    )
    train_outputs: list[str] | None = Field(None, description="what it also returns in training")
    output_stride: int | None = Field(
        None, ge=1, description="strides of stages beyond it become dilation"
    )
    init: dict[str, InitForm] | None = Field(
        None, description="initial weights: rules for ops, then for roles"
    )
    allow: list[str] | None = Field(
        None, min_length=1, description="codes of warnings that are not reported"
    )


InlineForm.model_rebuild()

# --- checking

_NESTED_FORMS: dict[str, type[BaseModel]] = {
    "input": InputForm,
    "init": InitForm,
    "inline": InlineForm,
}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {}
# Enough places to report too many errors, even if each key of the form has one that is not reported.
_MAX_PLACES = MAX_REPORTED + 1 + len(NetworkForm.model_fields)

_Path = tuple[str | int, ...]


def check_form(tree: MapTree, form: type[BaseModel]) -> list[Diagnostic]:
    """The errors in the form of a document, each with its span."""
    adapter = _ADAPTERS.setdefault(form.__name__, TypeAdapter(form))
    try:
        adapter.validate_python(python_value(tree))
    except ValidationError as error:
        return _diagnostics(tree, form, error.errors(include_url=False))
    return []


def _diagnostics(
    tree: MapTree, form: type[BaseModel], errors: Sequence[ErrorDetails]
) -> list[Diagnostic]:
    """One diagnostic per place. A missing key is not reported where its misspelling is."""
    places = _by_place(tree, errors)
    misspelt = {
        (
            _path(tree, first["loc"][:-1]),
            closest_match(str(first["loc"][-1]), _keys_at(form, first)),
        )
        for first, *_ in places
        if first["type"] == "extra_forbidden"
    }
    return [
        _diagnostic(tree, form, same_place)
        for same_place in places
        if not _is_consequence(tree, same_place[0], misspelt)
    ]


def _by_place(tree: MapTree, errors: Sequence[ErrorDetails]) -> list[list[ErrorDetails]]:
    """Errors grouped by place, up to a limit: a union fails once for each of its members."""
    places: dict[tuple[object, ...], list[ErrorDetails]] = {}
    for error in errors:
        about_key = error["type"] in ("extra_forbidden", "missing")
        path = _path(tree, error["loc"])
        place = (path, error["type"], error["loc"][-1]) if about_key else (path,)
        if place in places or len(places) < _MAX_PLACES:
            places.setdefault(place, []).append(error)
    return list(places.values())


def _is_consequence(
    tree: MapTree, error: ErrorDetails, misspelt: set[tuple[_Path, str | None]]
) -> bool:
    """Whether a key is missing because it, or `extends`, is misspelt in the same map."""
    if error["type"] != "missing":
        return False
    path = _path(tree, error["loc"])
    return not misspelt.isdisjoint({(path, str(error["loc"][-1])), (path, "extends")})


def _diagnostic(tree: MapTree, form: type[BaseModel], errors: Sequence[ErrorDetails]) -> Diagnostic:
    """The errors of one place as one diagnostic."""
    first = errors[0]
    path, key = _path(tree, first["loc"]), str(first["loc"][-1])
    if first["type"] == "extra_forbidden":
        hint = did_you_mean(key, _keys_at(form, first))
        message = f"there is no key `{key}` here"
        return Diagnostic("unknown-key", message, key_span(tree, path), help=hint)
    if first["type"] == "missing":
        where = f"`{path[-1]}`" if path else "the document"
        return Diagnostic("missing-key", f"{where} needs a key `{key}`", _map_span(tree, path))
    reason = _reason(errors, nearest_value(tree, path))
    message = f"`{path[-1] if path else key}` {reason}"
    return Diagnostic("wrong-value", message, value_span(tree, path))


def _map_span(tree: MapTree, path: _Path) -> Span:
    """Where to report that a map lacks a key: at its own key; for the document, at its first."""
    if path:
        return key_span(tree, path)
    return next(iter(tree.key_spans.values()), tree.span)


def _path(tree: Tree, loc: Sequence[str | int]) -> _Path:
    """The part of pydantic's `loc` that is a path in the tree: it also has the tags of unions."""
    path: list[str | int] = []
    for step in loc:
        below = child(tree, step)
        if below is not None:
            path.append(str(step) if isinstance(tree, MapTree) else step)
            tree = below
    return tuple(path)


def _keys_at(form: type[BaseModel], error: ErrorDetails) -> list[str]:
    """The keys of the model that has an unknown key."""
    here = form
    for step in error["loc"][:-1]:
        here = _NESTED_FORMS.get(str(step), here)
    return form_keys(here)


_KINDS = {
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


def _reason(errors: Sequence[ErrorDetails], tree: Tree) -> str:
    """What is wrong with a value, after its key: `must be an integer, not a map`."""
    shown = f", not {_shown(tree)}"
    first = errors[0]
    if first["type"] == "greater_than_equal":
        return f"must be at least {first['ctx']['ge']}{shown}"
    if first["type"] == "literal_error":
        return f"must be 1, the version of the language that this program knows{shown}"
    if count := next((each["type"] for each in errors if each["type"] in _COUNTS), None):
        return _COUNTS[count]
    wanted = dict.fromkeys(_KINDS[each["type"]] for each in errors if each["type"] in _KINDS)
    if "a word" in wanted and "an integer" in wanted:
        wanted = dict.fromkeys(["an integer", "an expression"])
    return f"must be {' or '.join(wanted)}{shown}" if wanted else f"has an unsuitable value{shown}"


def _shown(tree: Tree) -> str:
    if isinstance(tree, Scalar):
        return f"`{tree.text}`"
    return "a list" if isinstance(tree, ListTree) else "a map"
