"""override(tree, key, value): one `--set KEY=VALUE` over a spec, as `extends` would have it.

    layer3.blocks=11  ->  {stages: {layer3: {blocks: 11}}}, merged over the tree

Faults of a value are told in a source of the name `--set KEY`.
"""

from __future__ import annotations

from resnetgen.language.diagnostics import Diagnostic, Note, SpecError, did_you_mean
from resnetgen.language.merge import merge
from resnetgen.language.reader import MapTree, Tree, parse_value
from resnetgen.language.trees import entries


def override(tree: MapTree, key: str, value: object) -> MapTree:
    """The spec with one value set: the longest keys that match, stages first. Raises SpecError."""
    leaf = parse_value(value if isinstance(value, str) else as_yaml(value), f"--set {key}")
    path = _path(tree, key)
    _refuse_unknown(tree, path, leaf, key)
    for name in reversed(path):
        leaf = MapTree({name: leaf}, {name: leaf.span}, leaf.span)
    return merge(tree, leaf)


def _path(tree: MapTree, key: str) -> list[str]:
    """`layer3.blocks` -> [stages, layer3, blocks]."""
    steps = key.split(".")
    stages = tree.entries.get("stages")
    in_stages = bool(_longest(stages, steps))
    path, here = (["stages"], stages) if in_stages else ([], tree)
    while steps:
        taken = _longest(here, steps) or 1
        name = ".".join(steps[:taken])
        path.append(name)
        here = here.entries.get(name) if isinstance(here, MapTree) else None
        steps = steps[taken:]
    return path


def _refuse_unknown(tree: MapTree, path: list[str], leaf: Tree, key: str) -> None:
    """A path that leads nowhere is a mistake of the call. Raises SpecError."""
    from resnetgen.language.spec import NetworkForm

    names = [field.alias or name for name, field in NetworkForm.model_fields.items()]
    if path[0] not in names:
        known = [*entries(tree, "stages"), *names]
        new = f"a new stage is `stages.{path[0]}`" if isinstance(leaf, MapTree) else None
        help = " ".join(filter(None, (did_you_mean(path[0], known), new)))
        message = f"there is no stage and no key `{path[0]}` in this network"
        raise _refused("unknown-key", message, leaf, key, help)
    if path[0] == "extends":
        message = "`extends` has been followed before anything is set"
        help = "write a file that extends the other spec, and set values of that"
        raise _refused("no-effect", message, leaf, key, help)
    below = path[2:3] not in ([], ["extends"])
    if path[0] == "define" and below and path[1] not in entries(tree, "define"):
        message = f"this network defines no block `{path[1]}`"
        help = f"over a block of a file, set `define.{path[1]}.extends={path[1]}` before"
        raise _refused("unknown-key", message, leaf, key, help)


def _refused(code: str, message: str, leaf: Tree, key: str, help: str) -> SpecError:
    note = Note(f"set by `{key}`")
    return SpecError([Diagnostic(code, message, leaf.span, (note,), help or None)])


def _longest(tree: Tree | None, steps: list[str]) -> int:
    if not isinstance(tree, MapTree):
        return 0
    counts = range(len(steps), 0, -1)
    return next((count for count in counts if ".".join(steps[:count]) in tree.entries), 0)


def as_yaml(value: object) -> str:
    """A Python value of `compile_spec(spec, **overrides)` as YAML flow text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_yaml(each) for each in value) + "]"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
