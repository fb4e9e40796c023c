"""Sides: the contenders of a benchmark, that is, the ways to run a network that are compared.

They are declared in `sides.yaml`: resnetgen, eager execution, torch.compile, peers (other libraries).

sides()["freezing"]  ->  Side("freezing", "torch.compile with ...", build="frozen", ...)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Side:
    """A contender: a way to run a network; `sides.yaml` explains each field."""

    name: str
    doc: str
    build: str
    layouts: list[str]
    modes: list[str]
    dtypes: list[str] | None = None
    constructor: str | None = None
    compile_mode: str | None = None
    compiles: bool = False
    needs: list[str] = field(default_factory=list)
    required_operator: str | None = None
    on_request: bool = False

    def unsupported(self, mode: str, dtype: str) -> str | None:
        """Why it cannot be measured in this mode and dtype; None if it can."""
        if mode not in self.modes:
            return f"not in {mode}, only in {' and '.join(self.modes)}"
        if self.dtypes is not None and dtype not in self.dtypes:
            return f"not in {dtype}, only in {' and '.join(self.dtypes)}"
        return None


def sides() -> dict[str, Side]:
    """All sides by name, in the order in which they are shown."""
    from resnetgen.reports.tables import read_table  # not in a worker that times a cold start

    table = read_table("sides", Path(__file__).parent)
    return {name: Side(name, **entry) for name, entry in table.items()}
