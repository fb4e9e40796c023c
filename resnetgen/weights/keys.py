"""The keys of a state_dict as module paths: wrappers stripped, keys grouped by module.

module._orig_mod.layer1.0.conv1.weight  ->  layer1.0.conv1.weight
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

# Of a file, before anything walks over its keys. ResNet-1202 with the moments of an optimizer and an
# average of its weights has 25,000 tensors; keys of the library have at most 7 parts, 60 characters.
MAX_TENSORS = 30_000
MAX_KEY = 500  # characters
_MAX_PARTS = 64  # of a key, between its dots
_MAX_ALL_PARTS = 10 * MAX_TENSORS

# Of torch.nn.parallel.DistributedDataParallel and DataParallel, and of torch.compile.
WRAPPERS = ("module", "_orig_mod")
_NUMBER = re.compile(r"\d+")


def keys_error(keys: Collection[str]) -> str | None:
    """Why the keys of a file are not read; None if they are."""
    if len(keys) > MAX_TENSORS:
        return f"it has more than {MAX_TENSORS:,} tensors"
    dots = [key.count(".") for key in keys]
    if max(dots, default=0) >= _MAX_PARTS or sum(dots) > _MAX_ALL_PARTS:
        return "its keys have too many parts"
    if max(map(len, keys), default=0) > MAX_KEY:
        return f"it has a key of more than {MAX_KEY} characters"
    return None


def module_of(key: str) -> str:
    """The module that a tensor belongs to: `layer1.0.conv1` for `layer1.0.conv1.weight`."""
    return key.rpartition(".")[0]


def tensor_of(key: str) -> str:
    """The name of a tensor in its module: `weight` for `layer1.0.conv1.weight`."""
    return key.rpartition(".")[2]


def is_under(key: str, path: str) -> bool:
    """Whether a key is the path itself, or lies in the module at that path."""
    return key == path or key.startswith(f"{path}.")


def mask_numbers(path: str) -> str:
    """`layer3.0` -> `layer#.#`."""
    return _NUMBER.sub("#", path)


def module_prefixes(key: str) -> Iterator[str]:
    """The prefixes of a key that end at a module: ``, `layer1.`, `layer1.0.`, ..."""
    end = 0
    yield ""
    while end := key.find(".", end) + 1:
        yield key[:end]


def module_paths(keys: Iterable[str]) -> set[str]:
    """The path of every module that contains a key, at any depth."""
    return {prefix[:-1] for key in keys for prefix in module_prefixes(key) if prefix}


def strip_wrappers(
    keys: Collection[str], network_keys: Iterable[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """{key without wrappers: key in the file}, and the wrappers that were stripped.

    A wrapper is stripped where all keys of its parent go through it, at the front or inside
    (`layer1._orig_mod.0.conv1.weight`), and never if the network has a module of that name.
    """
    network_parts = {part for key in network_keys for part in key.split(".")}
    wrappers = [each for each in WRAPPERS if each not in network_parts]
    counts = _count_by_prefix(keys)
    stripped: dict[str, None] = {}
    names: dict[str, str] = {}
    for key in keys:
        kept = []
        prefix = ""
        *parts, last = key.split(".")
        for part in parts:
            parent, prefix = prefix, f"{prefix}{part}."
            if part in wrappers and counts[prefix] == counts[parent]:
                stripped[part] = None
            else:
                kept.append(part)
        names[".".join([*kept, last])] = key
    return names, tuple(stripped)


def covering_paths(chosen: Collection[str], keys: Iterable[str]) -> dict[str, list[str]]:
    """The fewest module paths (or keys) that cover all chosen keys and no other, with those keys.

        {fc.weight, fc.bias} of {conv1.weight, fc.weight, fc.bias}  ->  {fc: [fc.weight, fc.bias]}

    Empty if every key is chosen.
    """
    totals, counts = _count_by_prefix(keys), _count_by_prefix(chosen)
    if not chosen or counts[""] == totals[""]:
        return {}
    paths: dict[str, list[str]] = {}
    for key in chosen:
        whole = (prefix for prefix in module_prefixes(key) if counts[prefix] == totals[prefix])
        paths.setdefault(next(whole, key + ".")[:-1], []).append(key)
    return paths


def _count_by_prefix(keys: Iterable[str]) -> Counter[str]:
    return Counter(prefix for key in keys for prefix in module_prefixes(key))
