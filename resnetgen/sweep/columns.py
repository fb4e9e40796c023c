"""The columns of a sweep's rows: what each is called, its unit, what it means.

    variant, layer3.blocks, layer4.width, params, buffers, macs, flops, activations, error

The number of the variant comes first and its fault last; between them stand the varied values, named
by their paths, and the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnetgen.sweep.space import Space


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a row."""

    name: str
    unit: str
    doc: str


VARIANT = Column(
    "variant", "", "number of the variant, from 0; the last varied path changes fastest"
)
ERROR = Column("error", "", "code and message of the first fault of a variant that is refused")
FIGURES = (  # in the order of `Figures`
    Column("params", "elements", "trained parameters"),
    Column("buffers", "elements", "elements of the state_dict that are not trained"),
    Column("macs", "multiply-adds", "of convolutions and linear layers, for one image"),
    Column("flops", "operations", "two for each multiply-add"),
    Column("activations", "elements", "of the results of all ops in evaluation, for one image"),
)
NAMES = tuple(column.name for column in FIGURES)


def columns_of(space: Space, figures: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a sweep that writes some figures."""
    varied = (Column(factor.path, "", "varied") for factor in space.factors)
    return VARIANT, *varied, *(FIGURES[NAMES.index(name)] for name in figures), ERROR
