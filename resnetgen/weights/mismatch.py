"""check_match(match, request): a checkpoint that does not fit raises one diagnostic, with a fix.

    error[weights-mismatch]: `old.pth` does not fit `resnet50`: 2 tensors of another shape
      = note: another shape: fc: weight 1000 x 2048 (in the file 10 x 2048), bias 1000 (in ... 10)
      = help: to match the file: `--set head.classes=10`; or `--except fc` (...) loads the rest

Long lists are folded by module and cut: a message stays readable for any file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnetgen.compiler.diagnostics.model import Diagnostic, Note, did_you_mean
from resnetgen.weights.errors import WeightsError, WeightsMismatch
from resnetgen.weights.keys import covering_paths, module_of, module_paths, tensor_of
from resnetgen.weights.library_index import closest_network, similarity
from resnetgen.weights.match import Shape, ShapeMismatch, TensorMatch, size_settings

MAX_SHOWN = 8  # modules of each kind of mismatch, and tensors of a module
_MAX_KEY = 100  # characters of a key that are shown
_MAX_EXCEPTIONS = 3  # modules that a hint proposes to leave out
_MIN_SIMILARITY = 0.9  # from which on a hint names another network


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What is loaded into what: the names for messages, and the sizes that a caller can set."""

    file: str
    network: str
    channels: int
    classes: int | None  # None if the spec has no `head.classes`


def check_leave(leave: Sequence[str], keys: Iterable[str], request: LoadRequest) -> None:
    """Raises WeightsError `unknown-module` for a module that neither side has."""
    paths = {*keys}
    paths |= module_paths(paths)
    for path in leave:
        if path not in paths:
            message = f"neither `{request.network}` nor `{request.file}` has a module `{path}`"
            help = did_you_mean(path, paths)
            raise WeightsError(Diagnostic("unknown-module", message, help=help))


def check_match(match: TensorMatch, request: LoadRequest) -> None:
    """Raises WeightsMismatch if a tensor is missing, unexpected or different."""
    if match.ok:
        return
    message = f"`{request.file}` does not fit `{request.network}`: {mismatch_counts(match)}"
    notes = tuple(Note(text) for text in mismatch_lines(match))
    diagnostic = Diagnostic("weights-mismatch", message, notes=notes, help=_help(match, request))
    raise WeightsMismatch(diagnostic, match)


# --- what differs


def mismatch_counts(match: TensorMatch) -> str:
    """How many tensors differ, and how: `1 tensor of 122 missing, 2 tensors unexpected`."""
    return ", ".join(_counts(match))


def _counts(match: TensorMatch) -> Iterator[str]:
    if match.missing:
        yield f"{_plural(len(match.missing), 'tensor')} of {len(match.expected):,} missing"
    if match.unexpected:
        yield f"{_plural(len(match.unexpected), 'tensor')} unexpected"
    if match.shape_mismatches:
        yield f"{_plural(len(match.shape_mismatches), 'tensor')} of another shape"
    if match.dtype_mismatches:
        yield f"{_plural(len(match.dtype_mismatches), 'tensor')} of a type that cannot be converted"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def mismatch_lines(match: TensorMatch) -> Iterator[str]:
    """Every key that differs, those of a module in one line."""
    yield from _whole_modules("missing", match.missing, match.expected)
    yield from _whole_modules("unexpected", match.unexpected, match.stored)
    shapes = {key: _shapes_text(each) for key, each in match.shape_mismatches.items()}
    yield from _by_module("another shape", shapes)
    dtypes = {key: f" of {dtype}" for key, dtype in match.dtype_mismatches.items()}
    yield from _by_module("cannot be converted", dtypes)


def _whole_modules(kind: str, keys: Iterable[str], all_keys: Iterable[str]) -> Iterator[str]:
    """`unexpected: layer3.6: all 18 tensors` for a module with submodules; else as `_by_module`."""
    rest = dict.fromkeys(keys, "")
    lines = []
    for path, inside in covering_paths([*rest], all_keys).items():
        if len({module_of(key) for key in inside}) > 1:
            lines.append(f"{kind}: {_short(path)}: all {len(inside):,} tensors")
            for key in inside:
                del rest[key]
    yield from lines[:MAX_SHOWN]
    if len(lines) > MAX_SHOWN:
        yield f"{kind}: and all of {_plural(len(lines) - MAX_SHOWN, 'more module')}"
    yield from _by_module(kind, rest)


def _by_module(kind: str, details: Mapping[str, str]) -> Iterator[str]:
    """One line for each of the first modules: `missing: fc: weight, bias`."""
    lines: dict[str, list[str]] = {}
    for key, detail in details.items():
        lines.setdefault(module_of(key), []).append(_short(tensor_of(key)) + detail)
    for module in list(lines)[:MAX_SHOWN]:
        tensors = lines.pop(module)
        more = [f"and {len(tensors) - MAX_SHOWN} more"] if len(tensors) > MAX_SHOWN else []
        prefix = f"{_short(module)}: " if module else ""
        yield f"{kind}: {prefix}{', '.join(tensors[:MAX_SHOWN] + more)}"
    if lines:
        count = sum(map(len, lines.values()))
        yield f"{kind}: and {count:,} more, in {_plural(len(lines), 'module')}"


def _short(text: str) -> str:
    return text if len(text) <= _MAX_KEY else f"{text[:_MAX_KEY]}..."


def _shapes_text(mismatch: ShapeMismatch) -> str:
    return f" {shape_text(mismatch.expected)} (in the file {shape_text(mismatch.stored)})"


def shape_text(shape: Shape) -> str:
    """A shape for people: `64 x 3 x 7 x 7`."""
    sizes = " x ".join(map(str, shape[:8])) + (" x ..." if len(shape) > 8 else "")
    return sizes or "a single number"


# --- the suggested fix


def _help(match: TensorMatch, request: LoadRequest) -> str | None:
    if match.dtype_mismatches:
        return "save the weights as floating-point numbers, not quantized, sparse or without data"
    return (
        _set_sizes(match, request)
        or _strip_prefix(match)
        or _name_closest_network(match, request.file)
        or _leave_out_modules(match)
    )


def _set_sizes(match: TensorMatch, request: LoadRequest) -> str | None:
    """If other classes or other input channels explain every difference."""
    if match.missing or match.unexpected:
        return None
    sizes = size_settings(match.shape_mismatches, request.channels, request.classes)
    if sizes is None:
        return None
    left = _exceptions(covering_paths([*match.shape_mismatches], match.expected))
    settings = " ".join(f"--set {key}={size}" for key, size in sizes.items())
    return f"to match the file: `{settings}`; or {left}" if settings else left


def _strip_prefix(match: TensorMatch) -> str | None:
    """If the network is a part of the model that was saved, or was saved under a name."""
    first = next(iter(match.stored), "").partition(".")[0]
    if any(not key.startswith(f"{first}.") for key in match.stored):
        return None
    inner = {key.removeprefix(f"{first}."): shape for key, shape in match.stored.items()}
    if similarity(inner, match.expected) < _MIN_SIMILARITY:
        return None
    return f"all keys start with `{_short(first)}.`; save them again without it"


def _name_closest_network(match: TensorMatch, file: str) -> str | None:
    """The network of the library that has most of the file's names and shapes."""
    name, alike = closest_network(match.stored, file)
    if alike < _MIN_SIMILARITY or alike <= similarity(match.stored, match.expected):
        return None
    return f"the file has {'the' if alike == 1 else 'most'} names and shapes of `{name}`"


def _leave_out_modules(match: TensorMatch) -> str | None:
    """If few modules contain everything that differs."""
    keys = [*match.missing, *match.unexpected, *match.shape_mismatches]
    paths = covering_paths(keys, {*match.expected, *match.unexpected})
    return _exceptions(paths) if 0 < len(paths) <= _MAX_EXCEPTIONS else None


def _exceptions(paths: Collection[str]) -> str:
    options = " ".join(f"--except {_short(path)}" for path in paths)
    listed = ", ".join(f'"{_short(path)}"' for path in paths)
    return f"`{options}` (in Python, `leave=[{listed}]`) loads everything else"
