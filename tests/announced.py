"""Specs that say on their first line what is found in them: those of `errors/` and `warnings/`.

    # 4:8 unknown-name: the line, the column and the code of the one diagnostic
    # none: why there is none

So a message that is regenerated cannot move to another place unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from resnetgen.compiler.diagnostics.model import Diagnostic

_FORM = re.compile(r"# (?:(?P<place>\d+:\d+) (?P<code>[a-z-]+)|none): .")


def announced(spec: Path) -> list[str]:
    """`FILE:LINE:COLUMN CODE`, as the first line has it; nothing where it says `none`."""
    said = _FORM.match(spec.read_text(encoding="utf-8").partition("\n")[0])
    assert said, "the first line is `# LINE:COLUMN CODE: why` or `# none: why`"
    return [f"{spec.name}:{said['place']} {said['code']}"] if said["code"] else []


def found(diagnostics: Iterable[Diagnostic]) -> list[str]:
    """The same of what was found."""
    return [f"{each.span} {each.code}" for each in diagnostics]
