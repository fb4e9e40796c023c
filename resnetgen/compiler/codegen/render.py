"""render(plan) -> str: fills the templates and checks the text. The only module that imports Jinja.

    render(plan of resnet18)  ->  the text of a file with `class BasicBlock`, ..., `class ResNet`

Templates put the lines of a plan together. Each value that comes from a spec passes the filter
`docstring`, or was made by the planner from checked names and numbers. The printed text is checked
again as a whole (`allowlist.py`) before anybody sees it.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from resnetgen._version import __version__
from resnetgen.compiler.codegen.allowlist import check
from resnetgen.compiler.codegen.files import text_digest
from resnetgen.compiler.codegen.pretty import WIDTH, sentence
from resnetgen.compiler.diagnostics.model import Diagnostic, SpecError
from resnetgen.compiler.frontend.shipped import SUPPORT, TEMPLATES

if TYPE_CHECKING:
    from resnetgen.compiler.codegen.plan import ModulePlan

MOST_BYTES = 1 << 20  # of a printed file, as of a spec


def render(plan: ModulePlan) -> str:
    """The text of the printed module, with the digests by which edits are recognised.

    Raises SpecError if the text is too long, and UnsafeOutput if it contains syntax that is not
    allowed in printed modules.
    """
    templates = _templates()
    support = [_support_classes()[name] for name in plan.support]
    body = templates.get_template("module.py.jinja").render(plan=plan, support=support)
    body = body.rstrip("\n") + "\n"
    if len(body) > MOST_BYTES:
        message = f"the module of `{plan.name}` has {len(body):,} bytes; a file has at most 1 MiB"
        raise SpecError([Diagnostic("limit", message)])
    head = templates.get_template("docstring.py.jinja").render(
        plan=plan, version=__version__, code=text_digest(body)
    )
    text = head.rstrip("\n") + "\n" + body
    check(text, {name: _dumped(name) for name in plan.support})
    return text


@cache
def _support_classes() -> dict[str, str]:
    """The text of each class of `runtime/support.py`, by its name."""
    text = SUPPORT.read_text(encoding="utf-8")
    classes = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef))
    return {node.name: ast.get_source_segment(text, node) or "" for node in classes}


@cache
def _dumped(name: str) -> str:
    """The syntax tree of a support class, by which the check knows it."""
    return ast.dump(ast.parse(_support_classes()[name]).body[0])


def environment(folder: Path, *, html: bool = False) -> jinja2.Environment:
    """The templates of a folder. Those of HTML escape what they print."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not html,
        autoescape=html,
    )


@cache
def _templates() -> jinja2.Environment:
    templates = environment(TEMPLATES / "torch")
    templates.filters["docstring"] = docstring
    return templates


def docstring(text: str | Sequence[str], indent: int = 0) -> str:
    """A text, or lines, as a docstring: printable, escaped, wrapped; nothing can end it early."""
    margin = " " * indent
    if isinstance(text, str):
        lines = textwrap.wrap(sentence(text), WIDTH - indent - 6, break_long_words=False)
    else:
        lines = list(text)
    quoted = [_escaped(line) for line in lines]
    if len(quoted) == 1:
        return f'{margin}"""{quoted[0]}"""'
    body = "\n".join((margin + line).rstrip() for line in quoted[1:])
    return f'{margin}"""{quoted[0]}\n{body}\n{margin}"""'


def _escaped(line: str) -> str:
    safe = line.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in safe
    )
