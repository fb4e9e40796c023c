"""Faults of one pass, one a cause: a place is told once of each code.

faults.record("unknown-name", "there is no block `basik`", span, "did you mean `basic`?")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NoReturn

from resnetgen.language.diagnostics import Diagnostic, Note, Span, SpecError


class Faults:
    """The faults so far. Raises SpecError once there are more than `most`; None: as many as come."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self._found: dict[tuple[str, str, int, int], Diagnostic] = {}

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._found.values())

    def record(
        self, code: str, message: str, span: Span, help: str | None = None, *notes: Note
    ) -> None:
        """Records a fault, unless its code was found at this place before."""
        place = (code, span.file, span.line, span.column)
        self._found.setdefault(place, Diagnostic(code, message, span, notes, help))
        if self.most is not None and len(self) > self.most:
            raise SpecError(self)

    def extend(self, faults: Iterable[Diagnostic]) -> None:
        """Records faults that another pass found."""
        for each in faults:
            assert each.span
            self.record(each.code, each.message, each.span, each.help, *each.notes)

    def limit(self, message: str, span: Span) -> NoReturn:
        """A limit is exceeded: raises SpecError, for reading on would take long or never end."""
        raise SpecError([*self, Diagnostic("limit", message, span)])

    def clear(self) -> None:
        """Forgets all."""
        self._found.clear()
