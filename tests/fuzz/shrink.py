"""shrunk(text, fails) -> a smaller text that fails too: lines, parts of the tree, characters.

    shrunk(b"network: n\ninput: {channels: 3}\n", lambda text: b"channels" in text)  ->  b"channels"

`fails` is asked for at most a minute: a slow fault is shrunk less, not forever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import yaml
from generated.text import written

Fails = Callable[[bytes], bool]
Path = tuple[str | int, ...]


class _Late(Exception):
    """The time is up."""


class _Shrinker:
    def __init__(self, text: bytes, fails: Fails, seconds: float) -> None:
        self.best, self.fails, self.end = text, fails, time.monotonic() + seconds
        self.asked: set[bytes] = {text}

    def smaller(self, text: bytes) -> bool:
        """Takes a text if it fails and is new."""
        if text in self.asked:
            return False
        if time.monotonic() > self.end:
            raise _Late
        self.asked.add(text)
        if self.fails(text):
            self.best = text
            return True
        return False


def shrunk(text: bytes, fails: Fails, seconds: float = 60.0) -> bytes:
    """The smallest text that was found to fail. `text` itself must."""
    shrinker = _Shrinker(text, fails, seconds)
    with suppress(_Late):
        _by_parts(shrinker, lambda best: best.splitlines(keepends=True))
        _by_tree(shrinker)
        _by_parts(shrinker, lambda best: best.splitlines(keepends=True))
        if len(shrinker.best) <= 400:
            _by_parts(shrinker, lambda best: [best[i : i + 1] for i in range(len(best))])
    return shrinker.best


def _by_parts(shrinker: _Shrinker, split: Callable[[bytes], Sequence[bytes]]) -> None:
    """Delta debugging (Zeller and Hildebrandt, 2002): leaves out ever smaller runs of parts."""
    size = len(split(shrinker.best)) // 2
    while size:
        start = 0
        while start < len(parts := split(shrinker.best)):
            if not shrinker.smaller(b"".join([*parts[:start], *parts[start + size :]])):
                start += size
        size //= 2


def _by_tree(shrinker: _Shrinker) -> None:
    """Leaves out keys and items, lifts what is inside, shortens words; again while it helps."""
    try:
        form = yaml.load(shrinker.best, yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    if not isinstance(form, dict) or not shrinker.smaller(written(form).encode()):
        return
    progress = True
    while progress:
        progress = False
        for path, simpler in _simpler(form):
            changed = _with(form, path, simpler)
            if isinstance(changed, dict) and shrinker.smaller(written(changed).encode()):
                form, progress = changed, True
                break


_GONE = object()


def _simpler(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Places of a tree and what may stand there instead, the largest cuts first."""
    steps = list(tree) if isinstance(tree, dict) else range(len(tree))
    for step in steps:
        yield (*path, step), _GONE
    for step in steps:
        below = tree[step]
        if isinstance(below, dict | list):
            yield from (((*path, step), each) for each in _children(below))
            yield from _simpler(below, (*path, step))
        elif below not in ("0", "1", "a"):
            yield from (((*path, step), each) for each in ("1", "a"))


def _children(tree: Any) -> list[Any]:
    return list(tree.values()) if isinstance(tree, dict) else list(tree)


def _with(tree: Any, path: Path, value: Any) -> Any:
    """A tree with another value at a path, or without it."""
    if not path:
        return value
    step, *rest = path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    changed = {
        key: (_with(each, tuple(rest), value) if key == step else each) for key, each in items
    }
    kept = {key: each for key, each in changed.items() if each is not _GONE}
    return kept if isinstance(tree, dict) else list(kept.values())
