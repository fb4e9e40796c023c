"""check(fit, ...): a checkpoint that does not fit becomes one diagnostic: what, and how to mend it.

error[weights-mismatch]: `old.pth` does not fit `resnet50`: 2 tensors have another shape
  = note: another shape: fc: weight 1000 x 2048, in the file 10 x 2048; bias 1000, in the file 10
  = help: the file has 10 classes: `--set head.classes=10`, or `--except fc` ...
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnetgen.compiler.diagnostics.model import Diagnostic, Note, did_you_mean
from resnetgen.weights.errors import Misfit, WeightsError
from resnetgen.weights.keys import module_of, modules, roots
from resnetgen.weights.library_index import closest, likeness, sizes
from resnetgen.weights.match import Fit, Reshaped, Shape

MOST_SHOWN = 8  # modules of each kind of fault
_LONGEST = 100  # characters of a key
_MOST_LEFT = 3  # modules that a hint proposes to leave out
_ALIKE = 0.9  # of all tensors, from which on a network is named


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Who asks: the names for messages, and the sizes that a caller can set."""

    file: str
    network: str
    channels: int
    classes: int | None  # None: the spec has no `head.classes`


def check_left(leave: Sequence[str], keys: Iterable[str], asked: LoadRequest) -> None:
    """Raises WeightsError `unknown-module` for a module that neither side has."""
    paths = {*keys}
    paths |= modules(paths)
    for each in leave:
        if each not in paths:
            message = f"neither `{asked.network}` nor `{asked.file}` has a module `{each}`"
            help = did_you_mean(each, paths)
            raise WeightsError(Diagnostic("unknown-module", message, help=help))


def check(fit: Fit, asked: LoadRequest) -> None:
    """Raises Misfit `weights-mismatch` if anything is missing, unexpected or different."""
    if fit.ok:
        return
    message = f"`{asked.file}` does not fit `{asked.network}`: {differences(fit)}"
    notes = tuple(Note(text) for text in account(fit))
    raise Misfit(Diagnostic("weights-mismatch", message, notes=notes, help=_help(fit, asked)), fit)


def differences(fit: Fit) -> str:
    """How many tensors do not fit, and why: `1 tensor of 122 missing, 2 tensors unexpected`."""
    return ", ".join(_counts(fit))


def _counts(fit: Fit) -> Iterator[str]:
    if fit.missing:
        yield f"{_number(len(fit.missing), 'tensor')} of {len(fit.wanted):,} missing"
    if fit.unexpected:
        yield f"{_number(len(fit.unexpected), 'tensor')} unexpected"
    if fit.reshaped:
        yield f"{_number(len(fit.reshaped), 'tensor')} of another shape"
    if fit.retyped:
        yield f"{_number(len(fit.retyped), 'tensor')} of a type that is not converted"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def account(fit: Fit) -> Iterator[str]:
    """Every key that does not fit, those of a module in one line."""
    yield from _whole_modules("missing", fit.missing, fit.wanted)
    yield from _whole_modules("unexpected", fit.unexpected, fit.held)
    yield from _by_module("another shape", {k: _shapes(v) for k, v in fit.reshaped.items()})
    yield from _by_module("not converted", {k: f" of {v}" for k, v in fit.retyped.items()})


def _whole_modules(kind: str, keys: Iterable[str], all_keys: Iterable[str]) -> Iterator[str]:
    """`unexpected: layer3.6: all 18 tensors`, where a module with modules inside is at fault."""
    rest = dict.fromkeys(keys, "")
    lines = []
    for path, inside in roots([*rest], all_keys).items():
        if len({module_of(key) for key in inside}) > 1:
            lines.append(f"{kind}: {_short(path)}: all {len(inside):,} tensors")
            for key in inside:
                del rest[key]
    yield from lines[:MOST_SHOWN]
    if len(lines) > MOST_SHOWN:
        yield f"{kind}: and all of {_number(len(lines) - MOST_SHOWN, 'more module')}"
    yield from _by_module(kind, rest)


def _by_module(kind: str, faults: Mapping[str, str]) -> Iterator[str]:
    """One line a module, the first of them: `missing: fc: weight, bias`."""
    lines: dict[str, list[str]] = {}
    for key, text in faults.items():
        lines.setdefault(module_of(key), []).append(_short(key.rpartition(".")[2]) + text)
    for module in list(lines)[:MOST_SHOWN]:
        tensors = lines.pop(module)
        more = [f"and {len(tensors) - MOST_SHOWN} more"] if len(tensors) > MOST_SHOWN else []
        place = f"{_short(module)}: " if module else ""
        yield f"{kind}: {place}{', '.join(tensors[:MOST_SHOWN] + more)}"
    if lines:
        count = sum(map(len, lines.values()))
        yield f"{kind}: and {count:,} more, in {_number(len(lines), 'module')}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _shapes(fault: Reshaped) -> str:
    return f" {sized(fault.wanted)} (in the file {sized(fault.held)})"


def sized(shape: Shape) -> str:
    """A shape for people: `64 x 3 x 7 x 7`."""
    shown = " x ".join(map(str, shape[:8])) + (" x ..." if len(shape) > 8 else "")
    return shown or "a single number"


# --- the mend


def _help(fit: Fit, asked: LoadRequest) -> str | None:
    if fit.retyped:
        return "save the weights as floating-point numbers, not quantized, sparse or without data"
    return (
        _of_sizes(fit, asked)
        or _of_prefix(fit)
        or _of_another_network(fit, asked.file)
        or _of_few_modules(fit)
    )


def _of_sizes(fit: Fit, asked: LoadRequest) -> str | None:
    """Where other classes or other input channels explain every difference."""
    if fit.missing or fit.unexpected:
        return None
    found = sizes(fit.reshaped, asked.channels, asked.classes)
    if found is None:
        return None
    left = _excepted(roots([*fit.reshaped], fit.wanted))
    said = " ".join(f"--set {key}={size}" for key, size in found.items())
    return f"as in the file: `{said}`; or {left}" if said else left


def _excepted(paths: Collection[str]) -> str:
    options = " ".join(f"--except {_short(path)}" for path in paths)
    listed = ", ".join(f'"{_short(path)}"' for path in paths)
    return f"`{options}` (in Python, `leave=[{listed}]`) loads everything else"


def _of_few_modules(fit: Fit) -> str | None:
    faulty = [*fit.missing, *fit.unexpected, *fit.reshaped]
    paths = roots(faulty, {*fit.wanted, *fit.unexpected})
    return _excepted(paths) if 0 < len(paths) <= _MOST_LEFT else None


def _of_prefix(fit: Fit) -> str | None:
    """Where the network is a part of the model that was saved, or was saved under a name."""
    first = next(iter(fit.held), "").partition(".")[0]
    if any(not key.startswith(f"{first}.") for key in fit.held):
        return None
    inner = {key.removeprefix(f"{first}."): shape for key, shape in fit.held.items()}
    if likeness(inner, fit.wanted) < _ALIKE:
        return None
    return f"all keys begin with `{_short(first)}.`; save it again without"


def _of_another_network(fit: Fit, file: str) -> str | None:
    """The network of the library that has most of the file's names and shapes."""
    name, alike = closest(fit.held, file)
    if alike < _ALIKE or alike <= likeness(fit.held, fit.wanted):
        return None
    return f"the file has {'the' if alike == 1 else 'most'} names and shapes of `{name}`"
