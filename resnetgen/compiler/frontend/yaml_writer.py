"""Positioned tree -> YAML text, as a person would write it.

    layer3:          ->    stages:
      blocks: 11             layer3: {blocks: 11, width: 256, stride: 2}
      ...

Keys and values keep their text, and are quoted where YAML requires it. The keys of a spec come in
the order that the library uses. Small maps stay on one line; nodes and stages have a line each.
Reading the text again gives a tree of the same content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from resnetgen.compiler.frontend.tree import ListTree, MapTree, Scalar, Tree
from resnetgen.compiler.frontend.yaml_scalars import ScalarError, resolve

WIDTH = 100
_KEY_ORDER = (
    "network", "class", "language", "doc", "family", "paper", "extends", "input", "inputs", "params",
    "slots", "let", "conv", "norm", "act", "stem", "block", "shortcut", "when", "stages", "nodes", "head",
    "output", "outputs", "train_outputs", "output_stride", "init", "allow", "define",
)  # fmt: skip
_ONE_PER_LINE = ("stages", "nodes", "define")  # maps whose entries have a line each


def to_yaml(tree: MapTree) -> str:
    """The text of a network or a block."""
    return "\n".join(_spec_lines(tree, "")) + "\n"


def to_flow(tree: Tree) -> str:
    """A tree on one line: `{op: bottleneck, groups: 32}`."""
    if isinstance(tree, MapTree):
        pairs = (
            f"{_key(key, in_flow=True)}: {to_flow(each)}" for key, each in tree.entries.items()
        )
        return f"{{{', '.join(pairs)}}}"
    if isinstance(tree, ListTree):
        return f"[{', '.join(map(to_flow, tree.items))}]"
    return _scalar(tree, in_flow=True)


def value_to_flow(value: object) -> str:
    """A Python value of `compile_spec(spec, **overrides)` on one line; strings are YAML already."""
    if isinstance(value, dict):
        pairs = (f"{key}: {value_to_flow(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_to_flow, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- lines


def _spec_lines(tree: MapTree, indent: str) -> Iterator[str]:
    """A network or a block: its keys in the usual order."""
    for key in sorted(tree.entries, key=_key_rank):
        value = tree.entries[key]
        if key not in _ONE_PER_LINE or not isinstance(value, MapTree) or not value.entries:
            yield from _pair_lines(key, value, indent)
            continue
        yield f"{indent}{key}:"
        lines = _definition_lines if key == "define" else _aligned_lines
        yield from lines(value, f"{indent}  ")


def _key_rank(key: str) -> int:
    return _KEY_ORDER.index(key) if key in _KEY_ORDER else len(_KEY_ORDER)


def _aligned_lines(tree: MapTree, indent: str) -> Iterator[str]:
    """Nodes or stages; values start in one column where an entry fits on one line."""
    lines = {key: list(_pair_lines(key, value, indent)) for key, value in tree.entries.items()}
    longest = max(len(_key(key)) for key in lines)
    for key, own in lines.items():
        start = f"{indent}{_key(key)}:"
        aligned = f"{start:{len(indent) + longest + 1}}{own[0].removeprefix(start)}"
        yield from [aligned] if len(own) == 1 and len(aligned) <= WIDTH else own


def _definition_lines(tree: MapTree, indent: str) -> Iterator[str]:
    """The blocks of `define`, each as in a file of its own."""
    for key, value in tree.entries.items():
        if isinstance(value, MapTree) and value.entries:
            yield f"{indent}{_key(key)}:"
            yield from _spec_lines(value, f"{indent}  ")
        else:
            yield from _pair_lines(key, value, indent)


def _pair_lines(key: str, value: Tree, indent: str) -> Iterator[str]:
    """A key with its value: on one line, or the parts of the value on lines below."""
    start = f"{indent}{_key(key)}:"
    if isinstance(value, Scalar):
        yield f"{start} {_scalar(value)}"
        return
    line = f"{start} {to_flow(value)}"
    if _is_empty(value) or (len(line) <= WIDTH and not _has_inline_block(value)):
        yield line
        return
    yield start
    yield from _part_lines(value, f"{indent}  ")


def _part_lines(value: MapTree | ListTree, indent: str) -> Iterator[str]:
    if isinstance(value, ListTree):
        yield from (f"{indent}- {to_flow(each)}" for each in value.items)
    elif _has_inline_block(value):
        yield from _spec_lines(value, indent)
    else:
        for key, each in value.entries.items():
            yield from _pair_lines(key, each, indent)


def _is_empty(value: MapTree | ListTree) -> bool:
    return not (value.entries if isinstance(value, MapTree) else value.items)


def _has_inline_block(value: Tree) -> bool:
    """Whether it has nodes, itself or further inside: such a map is never written on one line."""
    if isinstance(value, ListTree):
        return any(map(_has_inline_block, value.items))
    if not isinstance(value, MapTree):
        return False
    is_block = isinstance(value.entries.get("nodes"), MapTree)
    return is_block or any(map(_has_inline_block, value.entries.values()))


# --- scalars and keys

# A plain scalar of YAML 1.2 (sections 6.7 and 7.3.3), and less: no `:` where it needs none.
_PLAIN = re.compile(r"[^-?:,\[\]{}#&*!|>'\"%@`\s](?:[^:#\s]|\S#|:(?=\S)|[ ](?=[^#\s]))*")
_FLOW_INDICATORS = frozenset(",[]{}:")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _key(key: str, *, in_flow: bool = False) -> str:
    """A key is always text, so `0` and `null` need no quotes; `<<` would be a merge key."""
    return key if _is_plain(key, in_flow) and key != "<<" else _quoted(key)


def _scalar(scalar: Scalar, *, in_flow: bool = False) -> str:
    if not isinstance(scalar.value, str):
        return scalar.text or "null"
    text = scalar.value
    return text if _is_plain(text, in_flow) and _stays_text(text) else _quoted(text)


def _is_plain(text: str, in_flow: bool) -> bool:
    """Whether a text needs no quotes; inside `{}` and `[]` more texts do."""
    return bool(_PLAIN.fullmatch(text)) and not (in_flow and _FLOW_INDICATORS & set(text))


def _stays_text(text: str) -> bool:
    """Whether it is read as text, not as a number or a word such as `true`."""
    try:
        return isinstance(resolve(text), str)
    except ScalarError:
        return False


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'
