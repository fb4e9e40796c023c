"""The keys of a state_dict as paths: wrappers taken off, modules that keys lie in.

module._orig_mod.layer1.0.conv1.weight  ->  layer1.0.conv1.weight
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

# torch.nn.parallel.DistributedDataParallel and DataParallel; torch.compile.
WRAPPERS = ("module", "_orig_mod")


def module_of(key: str) -> str:
    """The module that holds a tensor: `layer1.0.conv1` of `layer1.0.conv1.weight`."""
    return key.rpartition(".")[0]


def is_under(key: str, path: str) -> bool:
    """Whether a key is the path itself or lies in the module of that path."""
    return key == path or key.startswith(f"{path}.")


def prefixes(key: str) -> Iterator[str]:
    """The beginnings of a key that end at a module: ``, `layer1.`, `layer1.0.`, ..."""
    yield ""
    for place, char in enumerate(key, 1):
        if char == ".":
            yield key[:place]


def modules(keys: Iterable[str]) -> set[str]:
    """Every module path in which a key lies."""
    return {prefix[:-1] for key in keys for prefix in prefixes(key) if prefix}


def unwrapped(
    keys: Collection[str], wanted: Iterable[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The keys without wrappers -> the keys as they are; and the wrappers that were taken off.

    A wrapper is taken off where all keys of its parent go through it, at the front as well as
    inside (`layer1._orig_mod.0.conv1.weight`), and never if the network has a module of its name.
    """
    own = {part for key in wanted for part in key.split(".")}
    wrappers = [each for each in WRAPPERS if each not in own]
    held = Counter(prefix for key in keys for prefix in prefixes(key))
    removed: dict[str, None] = {}
    names: dict[str, str] = {}
    for key in keys:
        kept = []
        prefix = ""
        *parts, last = key.split(".")
        for part in parts:
            before, prefix = prefix, f"{prefix}{part}."
            if part in wrappers and held[prefix] == held[before]:
                removed[part] = None
            else:
                kept.append(part)
        names[".".join([*kept, last])] = key
    return names, tuple(removed)


def roots(chosen: Collection[str], keys: Iterable[str]) -> dict[str, list[str]]:
    """The fewest module paths (or keys) that hold all chosen keys and no other, with those keys.

        {fc.weight, fc.bias} of {conv1.weight, fc.weight, fc.bias}  ->  {fc: [fc.weight, fc.bias]}

    Empty if every key is chosen.
    """
    total = Counter(prefix for key in keys for prefix in prefixes(key))
    part = Counter(prefix for key in chosen for prefix in prefixes(key))
    if not chosen or part[""] == total[""]:
        return {}
    found: dict[str, list[str]] = {}
    for key in chosen:
        whole = (prefix for prefix in prefixes(key) if part[prefix] == total[prefix])
        found.setdefault(next(whole, key + ".")[:-1], []).append(key)
    return found
