"""Bytes -> text, and plain text -> value: everything in reading a file that is not structure.

    b"width: 010"  ->  "width: 010"      and       "010"  ->  10

This covers the size of a file, its encoding, characters that a terminal or an editor may act on,
and the scalar rules of YAML 1.2's core schema.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from resnetgen.compiler.diagnostics.model import Diagnostic, Source, Span, SpecError
from resnetgen.compiler.frontend.input_file import FileTooLarge, read_regular

MAX_BYTES = 1 << 20
MAX_SCALAR = 10_000  # characters
MAX_DIGITS = 18
MAX_ERRORS_PER_CAUSE = 2

# --- bytes to text


def read_source(path: Path, name: str) -> Source:
    """The text of a file, as the source of this name. Raises SpecError, and OSError."""
    try:
        return _decode(read_regular(path, MAX_BYTES), name)
    except FileTooLarge:
        raise SpecError([_too_large(name)]) from None


def _decode(data: bytes, name: str) -> Source:
    """Bytes -> the source of this name. Raises SpecError."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SpecError([_not_utf8("the file is in UTF-16", Span(Source(name, ""), 1, 1, 2))])
    try:
        return Source(name, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        source = Source(name, data.decode("utf-8", "replace"))
        span = _span_at(source, len(data[: error.start].decode("utf-8")))
        message = f"byte 0x{data[error.start]:02x} is not valid UTF-8"
        raise SpecError([_not_utf8(message, span)]) from None


def _not_utf8(message: str, span: Span) -> Diagnostic:
    return Diagnostic("yaml-encoding", message, span, help="save the file as UTF-8")


def _too_large(name: str) -> Diagnostic:
    return Diagnostic("limit", "a spec has at most 1 MiB", Span(Source(name, ""), 1, 1, 2))


# --- characters

# What a terminal or an editor may act on: controls, surrogates, line separators, a byte order
# mark inside the text, and the marks that reverse the direction of text.
_UNSAFE = (
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff"
    "\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_UNSAFE_ASCII = re.compile("[^\t\n\r\x20-\x7e]")


def check_characters(source: Source) -> Source:
    """The source without a byte order mark; SpecError if it is too large or not safe to print."""
    if len(source.text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SpecError([_too_large(source.name)])
    if source.text.startswith("\ufeff"):
        source = Source(source.name, source.text[1:])
    unsafe = list(islice(_unsafe_in(source.text), MAX_ERRORS_PER_CAUSE))
    if unsafe:
        raise SpecError(
            Diagnostic(
                "yaml-encoding",
                f"{_described(each[0])} is not allowed",
                _span_at(source, each.start()),
                help="remove it; specs are saved as UTF-8",
            )
            for each in unsafe
        )
    return source


def _unsafe_in(text: str) -> Iterator[re.Match[str]]:
    """The unsafe characters. Compiling the pattern for all of Unicode takes 4 ms: not for ASCII."""
    return (_UNSAFE_ASCII if text.isascii() else re.compile(_UNSAFE)).finditer(text)


def _described(char: str) -> str:
    name = unicodedata.name(char, "").lower()
    return f"character U+{ord(char):04X} ({name})" if name else f"character U+{ord(char):04X}"


def _span_at(source: Source, index: int) -> Span:
    before = Source(source.name, source.text[:index]).lines()
    column = len(before[-1]) + 1
    return Span(source, len(before), column, column + 1)


# --- scalars

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class ScalarError(Exception):
    """A scalar that has no value: the code of the diagnostic, and the reason as its message."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def scalar_text(text: str) -> str:
    """The text, if it is short and safe: an escape in quotes can be any character."""
    if len(text) > MAX_SCALAR:
        raise ScalarError("limit", f"a value has at most {MAX_SCALAR:,} characters")
    if unsafe := next(_unsafe_in(text.replace("\r", "\0")), None):
        raise ScalarError("yaml-encoding", f"{_described(unsafe[0])} is not allowed")
    return text


def resolve(text: str) -> str | int | float | bool | None:
    """Plain text -> its value in YAML 1.2's core schema (section 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) or _BASED_INT.fullmatch(text):
        return _integer(text)
    if _NOT_FINITE.fullmatch(text):
        raise ScalarError("yaml-number", "no value of a network is infinite or undefined")
    if not _FLOAT.fullmatch(text):
        return text
    if abs(number := float(text)) == float("inf"):
        raise ScalarError("yaml-number", "this number is too large for a float")
    return number


def _integer(text: str) -> int:
    # The length is checked first: Python refuses to convert thousands of digits.
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    digits = len(text.lstrip("+-")) - (2 if base != 10 else 0)
    if digits <= MAX_DIGITS and abs(number := int(text, base)) < 10**MAX_DIGITS:
        return number
    raise ScalarError("yaml-number", f"an integer has at most {MAX_DIGITS} digits")
