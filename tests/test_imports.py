"""Imports point one way, and each outside library has its one place.

`tools/house/rooms.py` lists the rooms and the rules. An import under `if TYPE_CHECKING:` loads
nothing, so it may name an outside library; it still has to respect the order of the rooms.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest

from tools.house.diagram import PAGE, regenerated
from tools.house.imports import imports_by_module, imports_of
from tools.house.rooms import PACKAGE, violations


def test_imports_point_one_way() -> None:
    table = imports_by_module()
    assert table, "no modules found"
    broken = [text for module, each in table.items() for text in violations(module, each)]
    assert not broken, "\n".join(broken)


def test_the_diagram_of_the_rooms_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == regenerated(page), "run `python -m tools.house diagram`"


def test_modules_import_each_other_without_cycles() -> None:
    table = imports_by_module()
    graph = {
        module: {
            found.target
            for found in imports
            if found.top_level and not found.only_typing and found.target in table
        }
        - {module}
        for module, imports in table.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("modules import each other: " + " <- ".join(error.args[1]))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("resnetgen.compiler.frontend.yaml_reader", "import resnetgen.compiler.ir.nodes"),
        ("resnetgen.compiler.frontend.yaml_reader", "from resnetgen.compiler import ir"),
        ("resnetgen.compiler.frontend.yaml_reader", "from resnetgen import compile_spec"),
        ("resnetgen.compiler.frontend.yaml_reader", "from ..ir import nodes"),
        ("resnetgen.compiler.frontend.yaml_reader", "from .. import ir"),
        (
            "resnetgen.compiler.ir.nodes",
            "def f():\n    from resnetgen.compiler.codegen import plan",
        ),
        (
            "resnetgen.compiler.ir.nodes",
            "if TYPE_CHECKING:\n    from resnetgen.compiler.codegen import plan",
        ),
        ("resnetgen.compiler.ir.nodes", "importlib.import_module('resnetgen.runtime.load')"),
        ("resnetgen.runtime.load", "import resnetgen.api"),
        ("resnetgen.pipeline", "from resnetgen.cli import app"),
        ("resnetgen", "from .cli import main"),
        ("resnetgen.helpers", "x = 1"),
        ("resnetgen.pipeline", "import torch"),
        ("resnetgen.pipeline", "def f():\n    from torch.nn import functional"),
        ("resnetgen.weights.read", "import torch"),
        ("resnetgen.weights.read", "try:\n    import torch.nn\nexcept ImportError:\n    pass"),
        ("resnetgen.weights.read", "class C:\n    import torch"),
        ("resnetgen.compiler.codegen.plan", "from jinja2 import Environment"),
        ("resnetgen.reports.html", "import jinja2"),
        ("resnetgen.compiler.frontend.library", "import yaml"),
        ("resnetgen.reports.table_layout", "import typer"),
    ],
)
def test_a_violation_is_found(module: str, source: str) -> None:
    assert list(violations(module, imports_of(source, module, module == PACKAGE)))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "resnetgen.compiler.frontend.yaml_reader",
            "import yaml\nfrom resnetgen.compiler.frontend.schema import Spec",
        ),
        (
            "resnetgen.compiler.frontend.yaml_reader",
            "from .schema import Spec\nfrom . import tree",
        ),
        ("resnetgen.compiler.ir.nodes", "from ..frontend import library"),
        (
            "resnetgen.compiler.codegen.render",
            "import jinja2\nfrom resnetgen._version import __version__",
        ),
        ("resnetgen.weights.read", "def f():\n    import torch"),
        ("resnetgen.weights.read", "if TYPE_CHECKING:\n    import torch"),
        ("resnetgen.runtime.load", "import torch.nn as nn"),
        ("resnetgen.api", "from resnetgen import runtime, weights"),
        ("resnetgen", "from resnetgen.pipeline import compile_spec"),
        ("resnetgen.cli.build", "import typer\nfrom resnetgen import compile_spec"),
        ("resnetgen.__main__", "from resnetgen.cli import main"),
    ],
)
def test_what_is_allowed_is_let_through(module: str, source: str) -> None:
    assert not list(violations(module, imports_of(source, module, module == PACKAGE)))


def test_relative_imports_of_a_package_start_at_the_package() -> None:
    found = imports_of("from .ops import OPS\nfrom ..codegen import plan", "resnetgen.ir", True)
    assert [one.target for one in found] == ["resnetgen.ir.ops", "resnetgen.codegen"]
