"""What each code of a diagnostic means: one Markdown file a code, beside this module.

    # error: a value that nothing computes

    Why it is wrong, what usually causes it, how to mend it.

    ```yaml fails                              a spec, with carets below the place at fault;
    ```                                        or `console`, commands of which the last fails
    ```yaml mended
    ```

entry("unknown-value") reads one of them. A file is read when it is asked for, so no other command
pays for the catalogue.
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
    r"^```(?P<language>yaml|console) (?P<role>fails|mended)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_HEADINGS = {"fails": "This fails:", "mended": "This is sound:"}


@dataclass(frozen=True, slots=True)
class Example:
    """A spec, or commands, that fails with the code of its entry or that is mended."""

    role: Literal["fails", "mended"]
    language: Literal["yaml", "console"]
    text: str


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """One code: how grave it is, what it says in one line, and the explanation with examples."""

    code: str
    severity: Severity
    title: str
    markdown: str  # all that stands below the title

    @property
    def explanation(self) -> str:
        """The explanation without the examples."""
        return _FENCE.sub("", self.markdown).strip()

    @property
    def examples(self) -> list[Example]:
        """The examples, in the order of the file."""
        return [Example(**found.groupdict()) for found in _FENCE.finditer(self.markdown)]  # type: ignore[arg-type]

    def as_text(self) -> str:
        """The explanation as a terminal shows it: examples under a heading, indented."""
        return _FENCE.sub(_indented, self.markdown).strip()


def _indented(fence: re.Match[str]) -> str:
    lines = [f"    {line}".rstrip() for line in fence["text"].splitlines()]
    return "\n".join([_HEADINGS[fence["role"]], "", *lines])


def codes() -> list[str]:
    """Every code, by name."""
    return sorted(path.stem for path in _FOLDER.glob("*.md"))


def entry(code: str) -> CodeEntry:
    """The entry of a code. Raises KeyError where there is none."""
    if code not in codes():
        raise KeyError(code)
    text = (_FOLDER / f"{code}.md").read_text(encoding="utf-8")
    title = _TITLE.match(text)
    assert title, f"{code}.md starts with `# error: TITLE`"
    severity: Severity = "warning" if title["severity"] == "warning" else "error"
    return CodeEntry(code, severity, title["title"], text[title.end() :].strip())


def entries() -> Iterator[CodeEntry]:
    """All of them."""
    return map(entry, codes())
