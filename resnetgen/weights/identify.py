"""identify(entries, file, networks) -> Identification: whose checkpoint it is, from keys and shapes.

    {"backbone.res2.0.conv1.weight": ...}  ->  below `backbone.`, in dialect detectron2, of resnet50

The keys are read in each dialect, below each prefix that many of them share, and matched with every
network; without an exact match, the closest network is reported. Networks with another number of
matrices are skipped before any key is compared: all 133 in all dialects would take seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import prod

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.weights.dialects import Dialect, network_keys, network_shape, shipped_dialects
from resnetgen.weights.keys import module_prefixes, strip_wrappers, tensor_of
from resnetgen.weights.library_index import (
    NetworkIndex,
    Settings,
    closest_network,
    is_library_key,
)
from resnetgen.weights.match import (
    TensorEntry,
    TensorMatch,
    is_counter,
    match_tensors,
    size_settings,
)
from resnetgen.weights.tensor_layout import graph_differences

_MIN_SHARE = 1 / 4  # of all tensors lie below a prefix that is tried
_MAX_READ = 100_000  # keys, over all prefixes: they are read in each dialect
# The largest network of the library has 7,220 tensors (a test compares): one of half as many as a file
# has is no match, and not worth calling the nearest.
_MOST_LIKE_THE_LIBRARY = 15_000


@dataclass(frozen=True)
class NetworkMatch:
    """A network that has the tensors of a file, and the settings under which it does."""

    spec: str
    dialect: Dialect | None  # None: the network's own keys
    settings: Settings


@dataclass(frozen=True)
class NearestNetwork:
    """The network that is most similar to a file, and what differs, under the network's keys."""

    spec: str
    dialect: Dialect | None
    similarity: float  # the share of tensors that both have
    match: TensorMatch


@dataclass(frozen=True)
class Identification:
    """What the keys and shapes of a file say about it."""

    wrappers: tuple[str, ...]
    prefix: str
    outside: tuple[str, ...]  # keys that do not lie below the prefix
    matches: tuple[NetworkMatch, ...]
    nearest: NearestNetwork | None  # only if nothing matches

    @property
    def specs(self) -> tuple[str, ...]:
        """The networks that match, each once."""
        return tuple(dict.fromkeys(match.spec for match in self.matches))


def identify(
    entries: Mapping[str, TensorEntry],
    file: str,
    networks: NetworkIndex,
    among: Sequence[Dialect | None] | None = None,
) -> Identification:
    """Every network and dialect that matches exactly, else the nearest. `among`: dialects to try.

    Raises SpecError and OSError for a network that the caller named.
    """
    names, wrappers = strip_wrappers(entries, ())
    stored = {name: entries[key] for name, key in names.items()}
    if networks.is_library and len(stored) > _MOST_LIKE_THE_LIBRARY:
        return _identification(stored, wrappers, "", (), None)
    tried = (None, *shipped_dialects()) if among is None else among
    readings = [
        _read_as(each, stored, prefix) for prefix in _shared_prefixes(stored) for each in tried
    ]
    specs = networks.specs if networks.is_library else list(networks.compiling())
    for prefix in dict.fromkeys(reading.prefix for reading in readings):
        possible = [
            each for each in readings if each.prefix == prefix and each.could_match(networks)
        ]
        matches = tuple(match for each in possible for match in _matches(each, specs, networks))
        if matches:
            return _identification(stored, wrappers, prefix, matches, None)
    reading, nearest = _nearest(readings, file, networks) or (None, None)
    return _identification(stored, wrappers, reading.prefix if reading else "", (), nearest)


def _identification(
    keys: Iterable[str],
    wrappers: tuple[str, ...],
    prefix: str,
    matches: tuple[NetworkMatch, ...],
    nearest: NearestNetwork | None,
) -> Identification:
    outside = tuple(key for key in keys if not key.startswith(prefix))
    return Identification(wrappers, prefix, outside, matches, nearest)


# --- keys, read in a dialect


@dataclass(frozen=True)
class DialectReading:
    """The tensors below a prefix, read in a dialect: under the network's keys where it knows them."""

    prefix: str
    dialect: Dialect | None  # None: the network's own keys
    entries: Mapping[str, TensorEntry]
    known: int  # how many keys the dialect knows

    def could_match(self, networks: NetworkIndex) -> bool:
        """Whether the dialect knows every key, and a network could have it."""
        known = self.known == len(self.entries)
        return known and (not networks.is_library or all(map(is_library_key, self.entries)))


def _shared_prefixes(keys: Iterable[str]) -> list[str]:
    """The prefixes below which many keys lie, the shortest first; few, of a file of many keys."""
    counts = Counter(prefix for key in keys for prefix in module_prefixes(key))
    least = counts[""] * _MIN_SHARE
    shared = sorted((prefix for prefix, count in counts.items() if count >= least), key=len)
    return shared[: max(1, _MAX_READ // max(1, counts[""]))]


def _read_as(
    dialect: Dialect | None, stored: Mapping[str, TensorEntry], prefix: str
) -> DialectReading:
    below = {
        key.removeprefix(prefix): entry for key, entry in stored.items() if key.startswith(prefix)
    }
    if dialect is None:
        return DialectReading(prefix, None, below, len(below))
    names = network_keys(below, dialect)
    if 2 * len(names) < len(below):  # it is in another dialect, and what it says here is not used
        return DialectReading(prefix, dialect, below, len(names))
    entries = {
        names.get(key, key): replace(entry, shape=network_shape(key, entry.shape, dialect))
        for key, entry in below.items()
    }
    return DialectReading(prefix, dialect, entries, len(names))


# --- exact matches


def _matches(
    reading: DialectReading, specs: Iterable[str], networks: NetworkIndex
) -> Iterator[NetworkMatch]:
    matrices = sum(len(entry.shape) > 1 for entry in reading.entries.values())
    for spec in specs:
        with suppress(SpecError):  # this network cannot have the sizes of the file, or is wrong
            if networks.matrix_count(spec) == matrices:
                settings = _matching_settings(reading, spec, networks)
                if settings is not None:
                    yield NetworkMatch(spec, reading.dialect, settings)


def _matching_settings(
    reading: DialectReading, spec: str, networks: NetworkIndex
) -> Settings | None:
    """The settings under which a network matches; None if it does not."""
    built = reading.dialect.settings if reading.dialect else ()
    match = _match(reading, spec, built, networks)
    settings: Settings = ()
    if not match.ok:
        settings = _sizes(match, spec, networks)
        if not settings or not _match(reading, spec, settings + built, networks).ok:
            return None
    if built and graph_differences(networks.graph(spec), networks.graph(spec, built)):
        return None
    return settings


def _match(
    reading: DialectReading, spec: str, settings: Settings, networks: NetworkIndex
) -> TensorMatch:
    without = reading.dialect.without if reading.dialect else ()
    shapes = networks.shapes(spec, settings)
    expected = {key: shape for key, shape in shapes.items() if tensor_of(key) not in without}
    return match_tensors(expected, reading.entries)


def _sizes(match: TensorMatch, spec: str, networks: NetworkIndex) -> Settings:
    """The classes and channels of the file, if these are all that differs."""
    if match.missing or match.unexpected or match.dtype_mismatches:
        return ()
    channels = networks.graph(spec).input.channels
    sizes = size_settings(match.shape_mismatches, channels, networks.classes(spec))
    return tuple((key, str(size)) for key, size in (sizes or {}).items())


# --- the nearest network


def _nearest(
    readings: Iterable[DialectReading], file: str, networks: NetworkIndex
) -> tuple[DialectReading, NearestNetwork] | None:
    best: tuple[DialectReading, NearestNetwork] | None = None
    for reading in readings:
        if 2 * reading.known < len(reading.entries):
            continue
        shapes = {key: entry.shape for key, entry in reading.entries.items()}
        spec, similarity = closest_network(shapes, file, networks)
        if spec and (best is None or similarity > best[1].similarity):
            built = reading.dialect.settings if reading.dialect else ()
            match = _match(reading, spec, built, networks)
            best = reading, NearestNetwork(spec, reading.dialect, similarity, match)
    return best


# --- what `weights inspect` counts


def dtype_counts(entries: Mapping[str, TensorEntry]) -> dict[str, int]:
    """How many tensors there are of each dtype."""
    return dict(Counter(entry.dtype for entry in entries.values()))


def value_count(entries: Mapping[str, TensorEntry]) -> int:
    """How many numbers the tensors have in all, without the counters of norms."""
    return sum(prod(entry.shape) for key, entry in entries.items() if not is_counter(key))
