"""fit(wanted, held, leave) -> Fit: which tensor of a checkpoint goes where, and what does not fit.

    wanted  {fc.weight: (10, 512), ...}             what the compiler predicts of the network
    held    {module.fc.weight: Entry((10, 512), "float16"), ...}
    leave   ("fc",)                                 modules that are left out, because asked

Nothing here knows torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resnetgen.weights.keys import is_under, unwrapped

Shape = tuple[int, ...]

# How many batches a norm has seen: torch wrote none before version 0.4.1, and starts at 0.
COUNTER = "num_batches_tracked"
PARAMETER_TYPE, COUNTER_TYPE = "float32", "int64"


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A tensor of a checkpoint, without its numbers."""

    shape: Shape
    dtype: str = PARAMETER_TYPE  # as torch names it; `sparse float32` for what is no plain tensor


@dataclass(frozen=True, slots=True)
class Reshaped:
    """A tensor whose shape in the checkpoint is not that of the network."""

    wanted: Shape
    held: Shape


@dataclass(frozen=True)
class Fit:
    """What comes from where. Keys are the network's; those of the checkpoint are unwrapped."""

    wanted: Mapping[str, Shape]
    held: Mapping[str, Shape]
    sources: Mapping[str, str]  # key of the network -> key of the checkpoint
    wrappers: tuple[str, ...] = ()  # taken off the keys of the checkpoint
    zeroed: tuple[str, ...] = ()  # counters of norms that an old checkpoint lacks
    fresh: tuple[str, ...] = ()  # left out: they keep their initial weights
    unused: tuple[str, ...] = ()  # left out: the network has no place for them
    converted: Mapping[tuple[str, str], int] = field(default_factory=dict)  # tensors by dtypes
    missing: tuple[str, ...] = ()
    unexpected: Mapping[str, Shape] = field(default_factory=dict)
    reshaped: Mapping[str, Reshaped] = field(default_factory=dict)
    retyped: Mapping[str, str] = field(default_factory=dict)  # of a dtype that is not converted

    @property
    def ok(self) -> bool:
        """Whether every tensor of both sides has its counterpart, or was left out."""
        return not (self.missing or self.unexpected or self.reshaped or self.retyped)


def fit(
    wanted: Mapping[str, Shape], held: Mapping[str, TensorEntry], leave: Sequence[str] = ()
) -> Fit:
    """Pairs the tensors of a network and of a checkpoint by name, and compares shapes and types."""
    names, wrappers = unwrapped(held, wanted)
    left = {key for key in (*wanted, *names) if any(is_under(key, each) for each in leave)}
    here = {name: held[key] for name, key in names.items() if name not in left}
    zeroed = _zeroed(wanted, names, left)
    excused = {*left, *zeroed}
    both = [key for key in wanted if key in here]
    reshaped = {
        key: Reshaped(wanted[key], here[key].shape)
        for key in both
        if wanted[key] != here[key].shape
    }
    retyped = {key: here[key].dtype for key in both if not _converts(key, here[key].dtype)}
    faulty = reshaped.keys() | retyped.keys()
    return Fit(
        wanted=wanted,
        held={name: held[key].shape for name, key in names.items()},
        sources={key: names[key] for key in both if key not in faulty},
        wrappers=wrappers,
        zeroed=zeroed,
        fresh=tuple(key for key in wanted if key in left),
        unused=tuple(key for key in names if key in left and key not in wanted),
        converted=Counter(
            (here[key].dtype, dtype_of(key))
            for key in both
            if key not in faulty and here[key].dtype != dtype_of(key)
        ),
        missing=tuple(key for key in wanted if key not in here and key not in excused),
        unexpected={key: each.shape for key, each in here.items() if key not in wanted},
        reshaped=reshaped,
        retyped=retyped,
    )


def is_counter(key: str) -> bool:
    """Whether a key is a norm's count of batches."""
    return key.rpartition(".")[2] == COUNTER


def without_counters(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The tensors that are no counts of batches."""
    return {key: shape for key, shape in shapes.items() if not is_counter(key)}


def dtype_of(key: str) -> str:
    """The dtype of a tensor of the network."""
    return COUNTER_TYPE if is_counter(key) else PARAMETER_TYPE


def _zeroed(
    wanted: Mapping[str, Shape], names: Mapping[str, str], left: set[str]
) -> tuple[str, ...]:
    """The counters of the network, if the checkpoint has none at all: it is an old one."""
    if any(map(is_counter, names)):
        return ()
    return tuple(key for key in wanted if is_counter(key) and key not in left)


def _converts(key: str, dtype: str) -> bool:
    """Whether numbers of a dtype can stand there: real for real, whole for whole."""
    kinds = ("int", "uint") if is_counter(key) else ("float", "bfloat")
    return dtype.startswith(kinds)
