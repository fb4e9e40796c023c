"""render(plan) -> text. The only place that knows Jinja.

Templates decide where lines stand; every value that comes from a spec passes the one filter,
`docstring`, or was made by the planner of checked names and numbers.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import jinja2

from resnetgen.compiler.codegen.allowlist import AXES, check
from resnetgen.compiler.codegen.files import text_digest
from resnetgen.compiler.diagnostics.model import Diagnostic, SpecError
from resnetgen.compiler.frontend.library import TEMPLATES
from resnetgen.compiler.ir.op_def import TorchModule
from resnetgen.compiler.ir.ops import OPS

if TYPE_CHECKING:
    from resnetgen.compiler.codegen.plan import ModulePlan

_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)
WIDTH = 88
MOST_BYTES = 1 << 20  # of a printed file, as of a spec


def render(plan: ModulePlan) -> str:
    """The text of the printed module, with the digests by which an edit is recognised.

    Raises SpecError where the text is too long, and BrokenPrint where it holds syntax that no
    printed module may hold.
    """
    environment = _environment()
    body = environment.get_template("module.py.jinja").render(plan=plan)
    body = body.rstrip("\n") + "\n"
    if len(body) > MOST_BYTES:
        message = f"the module of `{plan.name}` has {len(body):,} bytes; a file has at most 1 MiB"
        raise SpecError([Diagnostic("limit", message)])
    head = environment.get_template("docstring.py.jinja").render(plan=plan, code=text_digest(body))
    text = head.rstrip("\n") + "\n" + body
    check(text, _shipped(plan.support, plan.axes))
    return text


def check_printed(source: str) -> None:
    """Raises BrokenPrint unless the text of a file is, by its syntax, one that may be printed."""
    named = set(_CLASS.findall(source))
    forms = (form for op in OPS.values() for form in (op.torch, op.inference_module))
    modules = (form for form in forms if isinstance(form, TorchModule))
    support = {form.support for form in modules if form.support and form.callee in named}
    check(source, frozenset().union(*(_shipped(support, axes) for axes in AXES)))


def _shipped(support: Iterable[str], axes: int) -> frozenset[str]:
    """The support classes of a file, which are the templates' own text, as `ast.dump` has them."""
    templates = (_environment().get_template(f"{name}.py.jinja") for name in support)
    texts = (each.render(plan={"axes": axes}) for each in templates)
    return frozenset(ast.dump(node) for text in texts for node in ast.parse(text).body)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES / "torch"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["docstring"] = docstring
    return environment


def docstring(text: str | Sequence[str], indent: int = 0) -> str:
    """A text, or lines, as a docstring: printable, escaped, wrapped; nothing can end it early."""
    from resnetgen.compiler.codegen.plan import (
        sentence,  # with costs, which a file that is held has not
    )

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
