"""docs/variants.md: every command of the page, run in order in one folder, prints what is shown.

    python tests/test_variants_page.py       updates the page with the current output

`python` blocks are run in their place; a block after `<!-- file: NAME -->` is that file.
"""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sessions import ROOT, environment, fenced, session

PAGE = ROOT / "docs/variants.md"


def replayed(page: str, folder: Path) -> str:
    """The page with the current output of its commands."""
    lines = page.splitlines()
    for each in fenced(page, "console", "python", "yaml"):
        over = lines[each.line - 3]  # the line over the fence
        named = re.fullmatch(r"<!-- file: (\S+) -->", over)
        if named:
            (folder / named[1]).write_text(each.text, encoding="utf-8")
        elif each.language == "python":
            ran = [sys.executable, "-c", each.text]
            subprocess.run(ran, cwd=folder, env=environment(), check=True)
        elif each.language == "console":
            page = page.replace(each.text, session(each.text, folder), 1)
    return page


@pytest.mark.slow
def test_every_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    now = replayed(page, tmp_path)
    changes = difflib.unified_diff(page.splitlines(), now.splitlines(), "page", "now", lineterm="")
    assert not (shown := "\n".join(changes)), f"`python {__file__}` fixes this:\n{shown}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(replayed(PAGE.read_text(encoding="utf-8"), Path(place)), encoding="utf-8")
