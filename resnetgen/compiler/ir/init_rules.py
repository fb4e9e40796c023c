"""The rules by which weights start: what options each has, and which values PyTorch accepts.

    {normal: 0.01}                                      ->  InitCall("normal", {"std": 0.01})
    kaiming_normal                                      ->  InitCall("kaiming_normal", {})
    {kaiming_normal: {mode: fan_in, groups: true}}      ->  InitCall("kaiming_normal", {"mode": ...})

Formulas and defaults are those of `torch.nn.init`; `kaiming_*` count fan out unless `mode` says
otherwise. How a rule is printed is in `codegen/init_weights.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resnetgen.compiler.diagnostics.model import Span
from resnetgen.compiler.ir.op_def import Attribute

LARGEST = 3.4e38  # a float32

# The square of the gain of each nonlinearity; of `leaky_relu`, at slope 0 (`torch.nn.init`).
SQUARED_GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 25 / 9,
    "relu": 2.0,
    "leaky_relu": 2.0,
    "selu": 9 / 16,
}
_KAIMING = {
    "mode": Attribute("word", "fan_out", "which channels count", choices=("fan_out", "fan_in")),
    "nonlinearity": Attribute(
        "word", "leaky_relu", "what follows, for the gain", choices=tuple(SQUARED_GAINS)
    ),
    "slope": Attribute(
        "float", 0.0, "of `leaky_relu`, below zero", minimum=-LARGEST, maximum=LARGEST
    ),
    "groups": Attribute("bool", False, "fan out counts the channels of one group only"),
}
_XAVIER = {"gain": Attribute("float", 1.0, "a factor", minimum=0, maximum=LARGEST)}

# Rule -> its options. A rule with a required option may be given that alone: `{normal: 0.01}`.
INIT_RULES: Mapping[str, Mapping[str, Attribute]] = {
    "default": {},
    "constant": {
        "value": Attribute("float", doc="of every element", minimum=-LARGEST, maximum=LARGEST)
    },
    "normal": {"std": Attribute("float", doc="standard deviation", minimum=0, maximum=LARGEST)},
    "uniform": {
        "bound": Attribute("float", doc="from -bound to bound", minimum=0, maximum=LARGEST / 4)
    },
    "trunc_normal": {
        "std": Attribute("float", doc="standard deviation; cut off at 2", above=0, maximum=LARGEST)
    },
    "kaiming_normal": _KAIMING,
    "kaiming_uniform": _KAIMING,
    "xavier_normal": _XAVIER,
    "xavier_uniform": _XAVIER,
}
COUNTS_FANS = ("kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform")


@dataclass(frozen=True, slots=True)
class InitCall:
    """A rule with the options that the spec gives. `span`: where; None for a default of the compiler."""

    name: str
    options: Mapping[str, Any]
    span: Span | None = field(default=None, compare=False)

    @property
    def plain(self) -> tuple[str, Any]:
        """The rule as data: its name, and the number that it needs, its options, or None."""
        required = [key for key, option in INIT_RULES[self.name].items() if option.required]
        return self.name, self.options[required[0]] if required else dict(self.options) or None

    def __getitem__(self, option: str) -> Any:
        return self.options.get(option, INIT_RULES[self.name][option].default)


@dataclass(frozen=True, slots=True, eq=False)
class InitRule:
    """How the weights of an op or a role start: `{weight: RULE, bias: RULE}`."""

    rules: Mapping[str, InitCall]
    span: Span | None
