"""The explanation of each diagnostic code: one Markdown file per code, in `codes/`.

    # error: a value that nothing computes

    Why it is wrong, what usually causes it, how to fix it.

    ```yaml fails                              a spec, with carets below the span of the error;
    ```                                        or `console`, commands of which the last fails
    ```yaml works
    ```

`entry("unknown-value")` reads one of them. Files are read on demand, so that no other command
spends time on the catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnetgen.compiler.diagnostics.model import Severity

_FOLDER = Path(__file__).parent / "codes"
_TITLE = re.compile(r"# (?P<severity>error|warning): (?P<title>.+)\n\n")
_FENCE = re.compile(
    r"^```(?P<language>yaml|console) (?P<role>fails|works)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_HEADINGS = {"fails": "This fails:", "works": "This works:"}


@dataclass(frozen=True, slots=True)
class Example:
    """A spec, or commands, that fails with the code of its entry, or the fixed version of it."""

    role: Literal["fails", "works"]
    language: Literal["yaml", "console"]
    text: str


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """One code: its severity, a title of one line, and the explanation with examples."""

    code: str
    severity: Severity
    title: str
    markdown: str  # everything below the title

    @property
    def explanation(self) -> str:
        """The text without the examples."""
        return _FENCE.sub("", self.markdown).strip()

    @property
    def examples(self) -> list[Example]:
        """The examples, in the order of the file."""
        return [Example(**fence.groupdict()) for fence in _FENCE.finditer(self.markdown)]  # type: ignore[arg-type]

    def as_text(self) -> str:
        """The explanation as a terminal shows it: examples under a heading, indented."""
        return _FENCE.sub(_indented, self.markdown).strip()


def _indented(fence: re.Match[str]) -> str:
    lines = [f"    {line}".rstrip() for line in fence["text"].splitlines()]
    return "\n".join([_HEADINGS[fence["role"]], "", *lines])


def codes() -> list[str]:
    """All codes, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.md"))


def entry(code: str) -> CodeEntry:
    """The entry of one code; KeyError if there is none."""
    if code not in codes():
        raise KeyError(code)
    return _read(code)


def entries() -> Iterator[CodeEntry]:
    """The entries of all codes, sorted by code."""
    return map(_read, codes())


def _read(code: str) -> CodeEntry:
    text = (_FOLDER / f"{code}.md").read_text(encoding="utf-8")
    title = _TITLE.match(text)
    assert title, f"{code}.md does not start with `# error: TITLE` or `# warning: TITLE`"
    severity: Severity = "warning" if title["severity"] == "warning" else "error"
    return CodeEntry(code, severity, title["title"], text[title.end() :].strip())
