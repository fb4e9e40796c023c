"""recognise(entries, file, networks) -> Found: whose checkpoint it is, from keys and shapes.

    {"backbone.res2.0.conv1.weight": ...}  ->  below `backbone.`, in the dialect detectron2, resnet50

The file's keys are brought to our own names, once for each dialect and each prefix below which most
of them lie. Networks with another number of matrices are passed over before any key is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.weights.dialects import Dialect, canonical, dialects, own_shape
from resnetgen.weights.keys import prefixes, unwrapped
from resnetgen.weights.library_index import Networks, Settings, closest, sizes
from resnetgen.weights.match import Fit, TensorEntry, fit, is_counter
from resnetgen.weights.tensor_layout import unlike

_MOST = 1 / 4  # of all tensors lie below a prefix that is looked at


@dataclass(frozen=True)
class DialectReading:
    """The tensors below a prefix, read as a dialect: their own keys, so far as it knows them."""

    prefix: str
    dialect: Dialect | None  # None: our own names
    entries: Mapping[str, TensorEntry]
    known: int  # how many keys the dialect knows

    @property
    def whole(self) -> bool:
        """Whether the dialect knows every key."""
        return self.known == len(self.entries)

    @property
    def matrices(self) -> int:
        """How many tensors have two axes or more."""
        return sum(len(entry.shape) > 1 for entry in self.entries.values())


@dataclass(frozen=True)
class NetworkMatch:
    """A network that has the tensors of a file, and what was set so that it has."""

    spec: str
    dialect: Dialect | None
    settings: Settings


@dataclass(frozen=True)
class Nearest:
    """The network that is most like a file, and what differs; the keys are our own."""

    spec: str
    dialect: Dialect | None
    alike: float  # the share of tensors that both have
    fit: Fit


@dataclass(frozen=True)
class Found:
    """What is known of a file by its keys and shapes."""

    wrappers: tuple[str, ...]
    prefix: str
    beside: tuple[str, ...]  # keys that do not lie below the prefix
    matches: tuple[NetworkMatch, ...]
    nearest: Nearest | None

    @property
    def specs(self) -> tuple[str, ...]:
        """The networks that fit, each once."""
        return tuple(dict.fromkeys(match.spec for match in self.matches))


def recognise(
    entries: Mapping[str, TensorEntry],
    file: str,
    networks: Networks,
    among: Sequence[Dialect | None] | None = None,
) -> Found:
    """Every network and dialect that fits exactly, else the nearest. `among`: dialects to look at.

    Raises SpecError and OSError for a network that the caller named.
    """
    names, wrappers = unwrapped(entries, ())
    held = {name: entries[key] for name, key in names.items()}
    asked = (None, *dialects()) if among is None else among
    readings = [_reading(held, prefix, each) for prefix in _spine(held) for each in asked]
    sound = list(networks.sound())
    for prefix in dict.fromkeys(each.prefix for each in readings):
        here = [each for each in readings if each.prefix == prefix and each.whole]
        matches = tuple(match for each in here for match in _matches(each, sound, networks))
        if matches:
            return _found(held, wrappers, prefix, matches)
    nearest = _nearest(readings, file, networks)
    prefix = nearest[0].prefix if nearest else ""
    return replace(_found(held, wrappers, prefix, ()), nearest=nearest[1] if nearest else None)


def _found(
    held: Iterable[str], wrappers: tuple[str, ...], prefix: str, matches: tuple[NetworkMatch, ...]
) -> Found:
    beside = tuple(key for key in held if not key.startswith(prefix))
    return Found(wrappers, prefix, beside, matches, None)


def _spine(keys: Iterable[str]) -> list[str]:
    """The prefixes below which many keys lie, the shortest first."""
    counts = Counter(prefix for key in keys for prefix in prefixes(key))
    return sorted((p for p, count in counts.items() if count >= counts[""] * _MOST), key=len)


def _reading(
    held: Mapping[str, TensorEntry], prefix: str, dialect: Dialect | None
) -> DialectReading:
    below = {key.removeprefix(prefix): each for key, each in held.items() if key.startswith(prefix)}
    if dialect is None:
        return DialectReading(prefix, None, below, len(below))
    names = canonical(below, dialect)
    entries = {
        names.get(key, key): replace(entry, shape=own_shape(key, entry.shape, dialect))
        for key, entry in below.items()
    }
    return DialectReading(prefix, dialect, entries, len(names))


# --- what fits


def _matches(
    reading: DialectReading, specs: Iterable[str], networks: Networks
) -> Iterator[NetworkMatch]:
    for spec in specs:
        if networks.matrices(spec) == reading.matrices:
            with suppress(SpecError):  # of a size that this network cannot have
                settings = _fitted(reading, spec, networks)
                if settings is not None:
                    yield NetworkMatch(spec, reading.dialect, settings)


def _fitted(reading: DialectReading, spec: str, networks: Networks) -> Settings | None:
    """What has to be set so that a network fits; None where it does not."""
    built = reading.dialect.settings if reading.dialect else ()
    found = _fit(reading, spec, built, networks)
    settings: Settings = ()
    if not found.ok:
        settings = _sizes(found, spec, networks)
        if not settings or not _fit(reading, spec, settings + built, networks).ok:
            return None
    if built and unlike(networks.graph(spec), networks.graph(spec, built)):
        return None
    return settings


def _fit(reading: DialectReading, spec: str, settings: Settings, networks: Networks) -> Fit:
    without = reading.dialect.without if reading.dialect else ()
    shapes = networks.shapes(spec, settings)
    wanted = {k: each for k, each in shapes.items() if k.rpartition(".")[2] not in without}
    return fit(wanted, reading.entries)


def _sizes(found: Fit, spec: str, networks: Networks) -> Settings:
    """The classes and channels of a file, where these are all that differs."""
    if found.missing or found.unexpected or found.retyped:
        return ()
    channels = networks.graph(spec).input.channels
    said = sizes(found.reshaped, channels, networks.classes(spec))
    return tuple((key, str(size)) for key, size in (said or {}).items())


# --- what nearly fits


def _nearest(
    readings: Iterable[DialectReading], file: str, networks: Networks
) -> tuple[DialectReading, Nearest] | None:
    best: tuple[DialectReading, Nearest] | None = None
    for reading in readings:
        if 2 * reading.known < len(reading.entries):
            continue
        shapes = {key: each.shape for key, each in reading.entries.items()}
        spec, alike = closest(shapes, file, networks)
        if spec and (best is None or alike > best[1].alike):
            built = reading.dialect.settings if reading.dialect else ()
            fit = _fit(reading, spec, built, networks)
            best = reading, Nearest(spec, reading.dialect, alike, fit)
    return best


def counted(entries: Mapping[str, TensorEntry]) -> dict[str, int]:
    """How many tensors there are of each type."""
    return dict(Counter(entry.dtype for entry in entries.values()))


def numbers(entries: Mapping[str, TensorEntry]) -> int:
    """How many numbers they hold, without the counters of norms."""
    from math import prod

    return sum(prod(each.shape) for key, each in entries.items() if not is_counter(key))
