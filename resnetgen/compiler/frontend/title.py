"""title(specs, settings): what a network is, in a line, also where nobody wrote it.

    doc: ResNet-152, the stride in the 3x3 (v1.5)                   ->  as it is
    the same, and --set layer3.blocks=11                            ->  ResNet-152 with layer3.blocks=11
    extends: resnet50, block: {attention: eca}, and no `doc`        ->  ResNet-50 with block.attention=eca

build_command(spec, settings): the command that compiles it again.

Non-goal: facts about the network, such as its depth: the compiler adds them where it knows them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from resnetgen.compiler.diagnostics.model import Source
from resnetgen.compiler.frontend.tree import MapTree, Scalar, Tree, text_at
from resnetgen.compiler.frontend.yaml_writer import to_flow

DESCRIPTIVE_KEYS = ("network", "doc", "paper", "family", "allow", "language")
_UNNAMED_KEYS = (*DESCRIPTIVE_KEYS, "extends", "class", "input")
MOST_CHANGES = 4  # that a title lists
LONGEST_CHANGE = 40  # characters


def title(specs: Sequence[MapTree], settings: Mapping[str, str]) -> str:
    """What a network is; `specs` are the trees that were merged, its own last."""
    own = specs[-1]
    changes = [f"{key}={value}" for key, value in settings.items() if key not in DESCRIPTIVE_KEYS]
    doc = settings.get("doc") or text_at(own, "doc")
    if doc is None and isinstance(own.entries.get("extends"), Scalar):
        doc = next((text for each in reversed(specs) if (text := text_at(each, "doc"))), None)
        changes = [*_changes(own), *changes]
    if doc is None or not changes:
        return doc or ""
    listed = [_shortened(each) for each in changes[:MOST_CHANGES]]
    more = len(changes) - len(listed)
    return f"{short_title(doc)} with {', '.join(listed)}" + (f" and {more} more" if more else "")


def short_title(doc: str) -> str:
    """The name in a title: `ResNet-50, the stride in the 3x3 (v1.5)` -> `ResNet-50`."""
    return doc.partition(",")[0].strip().rstrip(".")


def build_command(spec: Source, settings: Mapping[str, str]) -> str | None:
    """The command that compiles a spec again; None for a text in memory."""
    path = Path(spec.name)
    if path.suffix not in (".yaml", ".yml"):
        return None
    name = path.stem if spec.shipped else path.name
    options = (f"--set {shlex.quote(f'{key}={value}')}" for key, value in settings.items())
    return " ".join([f"resnetgen build {shlex.quote(name)}", *options])


def _changes(tree: MapTree) -> Iterator[str]:
    """What a spec writes, as `--set` would: `layer3.blocks=11`."""
    for key, value in tree.entries.items():
        if key == "stages" and isinstance(value, MapTree):
            yield from _leaves(value, "")
        elif key not in _UNNAMED_KEYS:
            yield from _leaves(value, key)


def _leaves(tree: Tree, path: str) -> Iterator[str]:
    if isinstance(tree, MapTree) and tree.entries and path.count(".") < 3:
        for key, value in tree.entries.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    else:
        yield f"{path}={tree.text if isinstance(tree, Scalar) else to_flow(tree)}"


def _shortened(change: str) -> str:
    return change if len(change) <= LONGEST_CHANGE else f"{change[: LONGEST_CHANGE - 3]}..."
