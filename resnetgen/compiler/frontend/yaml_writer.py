"""as_spec(tree): a positioned tree as the YAML that a person would write.

    layer3:          ->    stages:
      blocks: 11             layer3: {blocks: 11, width: 256, stride: 2}
      ...

Keys and values keep their text; quotes stand where YAML needs them. Small maps stay in one line,
nodes and stages have a line each, and the keys of a spec stand in the order of the library's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from resnetgen.compiler.frontend.yaml_reader import ListTree, MapTree, Scalar, Tree
from resnetgen.compiler.frontend.yaml_scalars import ScalarError, resolve

WIDTH = 100
_ORDER = (
    "network", "class", "language", "doc", "family", "paper", "extends", "input", "inputs", "params",
    "slots", "let", "conv", "norm", "act", "stem", "block", "shortcut", "when", "stages", "nodes", "head",
    "output", "outputs", "train_outputs", "output_stride", "init", "allow", "define",
)  # fmt: skip
_LISTED = ("stages", "nodes", "define")  # maps whose entries have a line each
# A plain scalar of YAML 1.2 (sections 6.7 and 7.3.3), and less: no `:` where it needs none.
_PLAIN = re.compile(r"[^-?:,\[\]{}#&*!|>'\"%@`\s](?:[^:#\s]|\S#|:(?=\S)|[ ](?=[^#\s]))*")
_FLOW = frozenset(",[]{}:")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def to_yaml(tree: MapTree) -> str:
    """The text of a network or a block; reading it gives a tree of the same content."""
    return "\n".join(_block(tree, "")) + "\n"


def to_flow(tree: Tree) -> str:
    """A tree in one line."""
    if isinstance(tree, MapTree):
        pairs = (f"{_key(key, inside=True)}: {to_flow(each)}" for key, each in tree.entries.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(tree, ListTree):
        return f"[{', '.join(map(to_flow, tree.items))}]"
    return _scalar(tree, inside=True)


# --- layout


def _block(tree: MapTree, indent: str) -> Iterator[str]:
    """A network or a block: its keys in the usual order."""
    for key in sorted(tree.entries, key=_place):
        value = tree.entries[key]
        if key not in _LISTED or not isinstance(value, MapTree) or not value.entries:
            yield from _pair(key, value, indent)
            continue
        yield f"{indent}{key}:"
        yield from _list(value, f"{indent}  ", blocks=key == "define")


def _place(key: str) -> int:
    return _ORDER.index(key) if key in _ORDER else len(_ORDER)


def _list(tree: MapTree, indent: str, *, blocks: bool) -> Iterator[str]:
    """Nodes, stages or blocks; the values of nodes start in one column where all fit in a line."""
    if blocks:
        for key, value in tree.entries.items():
            yield from _opened_block(key, value, indent)
        return
    lines = {key: list(_pair(key, value, indent)) for key, value in tree.entries.items()}
    longest = max(len(_key(key)) for key in lines)
    for key, own in lines.items():
        start = f"{indent}{_key(key)}:"
        aligned = f"{start:{len(indent) + longest + 1}}{own[0].removeprefix(start)}"
        yield from [aligned] if len(own) == 1 and len(aligned) <= WIDTH else own


def _opened_block(key: str, value: Tree, indent: str) -> Iterator[str]:
    if isinstance(value, MapTree) and value.entries:
        yield f"{indent}{_key(key)}:"
        yield from _block(value, f"{indent}  ")
    else:
        yield from _pair(key, value, indent)


def _pair(key: str, value: Tree, indent: str) -> Iterator[str]:
    """A key with its value: in one line, else what the value holds in lines of its own."""
    start = f"{indent}{_key(key)}:"
    if isinstance(value, Scalar):
        yield f"{start} {_scalar(value)}"
        return
    line = f"{start} {to_flow(value)}"
    if _is_empty(value) or (len(line) <= WIDTH and not _is_written_block(value)):
        yield line
        return
    yield start
    yield from _opened(value, f"{indent}  ")


def _opened(value: Tree, indent: str) -> Iterator[str]:
    if isinstance(value, ListTree):
        yield from (f"{indent}- {to_flow(each)}" for each in value.items)
    elif _is_written_block(value) and isinstance(value, MapTree):
        yield from _block(value, indent)
    elif isinstance(value, MapTree):
        for key, each in value.entries.items():
            yield from _pair(key, each, indent)


def _is_empty(value: Tree) -> bool:
    return not (value.entries if isinstance(value, MapTree) else _items(value))


def _items(value: Tree) -> tuple[Tree, ...]:
    return value.items if isinstance(value, ListTree) else ()


def _is_written_block(value: Tree) -> bool:
    """Whether it holds nodes, itself or inside: no such thing is small."""
    if isinstance(value, ListTree):
        return any(map(_is_written_block, value.items))
    if not isinstance(value, MapTree):
        return False
    written = isinstance(value.entries.get("nodes"), MapTree)
    return written or any(map(_is_written_block, value.entries.values()))


# --- words


def _key(key: str, *, inside: bool = False) -> str:
    """A key keeps its text whatever it would be as a value (`0`, `null`); `<<` is not one."""
    return key if _fits(key, inside) and key != "<<" else _quoted(key)


def _scalar(scalar: Scalar, *, inside: bool = False) -> str:
    if not isinstance(scalar.value, str):
        return scalar.text or "null"
    text = scalar.value
    return text if _fits(text, inside) and _stays_text(text) else _quoted(text)


def _fits(text: str, inside: bool) -> bool:
    """Whether a text can stand without quotes; inside of `{}` and `[]` fewer can."""
    return bool(_PLAIN.fullmatch(text)) and not (inside and _FLOW & set(text))


def _stays_text(text: str) -> bool:
    """Whether it is read as text, and not as a number or a word such as `true`."""
    try:
        return isinstance(resolve(text), str)
    except ScalarError:
        return False


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'
