"""`init:` rules: what is drawn is what `torch.nn.init` draws, and what `check` accepts can be drawn."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from resnetgen import SpecError
from resnetgen.pipeline import compile_text
from resnetgen.runtime.load import build

INIT = nn.init
NET = """\
network: sample
input: {{channels: 4, size: {size}}}
params: {{scale: 0.5}}
let: {{twice: 2 * scale}}
nodes:
  conv: {{op: convolution, out: 8, kernel: 3, groups: 2, bias: false}}
  bn: {{op: batch_norm}}
  pool: {{op: global_avg_pool}}
  flat: {{op: flatten}}
  fc: {{op: linear, out: 6, role: last}}
init:
  convolution: {{weight: default}}
  {key}: {{{tensor}: {rule}}}
"""


def grouped(weight: Tensor, square: float, draw: str) -> Tensor:
    fan = weight[:, 0].numel() // 2  # the convolution has two groups
    if draw == "normal":
        return INIT.normal_(weight, std=math.sqrt(square / fan))
    bound = math.sqrt(3 * square / fan)
    return INIT.uniform_(weight, -bound, bound)


RULES: dict[str, Callable[[Tensor], Tensor]] = {
    "0.25": lambda w: INIT.constant_(w, 0.25),
    "0": INIT.zeros_,
    "0.1 * twice": lambda w: INIT.constant_(w, 0.1),
    "{constant: -3}": lambda w: INIT.constant_(w, -3),
    "{normal: 0.1 * 2}": lambda w: INIT.normal_(w, std=0.2),
    "{normal: {std: scale}}": lambda w: INIT.normal_(w, std=0.5),
    "{normal: 0}": lambda w: INIT.normal_(w, std=0),
    "{uniform: 0.1}": lambda w: INIT.uniform_(w, -0.1, 0.1),
    "{trunc_normal: 0.02}": lambda w: INIT.trunc_normal_(w, std=0.02),
    "kaiming_normal": lambda w: INIT.kaiming_normal_(w, mode="fan_out"),
    "{kaiming_normal: {mode: fan_in}}": lambda w: INIT.kaiming_normal_(w, mode="fan_in"),
    "{kaiming_uniform: {nonlinearity: tanh}}": lambda w: INIT.kaiming_uniform_(
        w, mode="fan_out", nonlinearity="tanh"
    ),
    "{kaiming_uniform: {mode: fan_in, nonlinearity: leaky_relu, slope: 0.1}}": (
        lambda w: INIT.kaiming_uniform_(w, a=0.1, mode="fan_in")
    ),
    "{kaiming_normal: {nonlinearity: relu, mode: fan_out}}": lambda w: INIT.kaiming_normal_(
        w, mode="fan_out", nonlinearity="relu"
    ),
    "xavier_normal": INIT.xavier_normal_,
    "{xavier_uniform: {gain: twice}}": lambda w: INIT.xavier_uniform_(w, gain=1.0),
}
GROUPED: dict[str, Callable[[Tensor], Tensor]] = {
    "{kaiming_normal: {groups: true}}": lambda w: grouped(w, 2.0, "normal"),
    "{kaiming_normal: {groups: true, nonlinearity: selu}}": lambda w: grouped(w, 9 / 16, "normal"),
    "{kaiming_uniform: {groups: true, nonlinearity: leaky_relu, slope: 0.5}}": (
        lambda w: grouped(w, 2 / 1.25, "uniform")
    ),
    "{kaiming_normal: {groups: false}}": lambda w: INIT.kaiming_normal_(w, mode="fan_out"),
}
CASES = [
    *(("convolution", "conv", rule, draw) for rule, draw in {**RULES, **GROUPED}.items()),
    *(("last", "fc", rule, draw) for rule, draw in RULES.items()),
    *(
        ("batch_norm", "bn", rule, draw)
        for rule, draw in RULES.items()
        if "kaiming" not in rule and "xavier" not in rule
    ),
]


SIZES = ("[9]", "[9, 8]", "[5, 6, 7]")


@pytest.mark.parametrize(
    ("size", "key", "node", "rule", "draw"),
    [(SIZES[at % 3], *case) for at, case in enumerate(CASES)],
    ids=[f"{key} {rule}" for key, _, rule, _ in CASES],
)
def test_the_weights_are_those_that_torch_draws(
    size: str, key: str, node: str, rule: str, draw: Callable[[Tensor], Tensor]
) -> None:
    text = NET.format(size=size, key=key, tensor="weight", rule=rule)
    text = text.replace(
        "  convolution: {weight: default}\n",
        "" if key == "convolution" else "\n  convolution: {weight: default}\n",
    )
    compiled = compile_text(text)
    torch.manual_seed(3)
    module = build(compiled.source, "sample")
    # All else starts as torch starts it, which happens in the constructors, before any rule.
    torch.manual_seed(3)
    plain = build(compile_text(text.replace(f"weight: {rule}", "weight: default")).source, "sample")
    wanted = plain.get_parameter(f"{node}.weight").detach()
    draw(wanted)
    assert torch.equal(module.get_parameter(f"{node}.weight"), wanted)


@pytest.mark.parametrize("tensor", ["weight", "bias"])
@pytest.mark.parametrize("key", ["convolution", "batch_norm", "linear", "last"])
@pytest.mark.parametrize(
    "rule",
    [
        *RULES,
        *GROUPED,
        *(
            f"{{{name}: {number}}}"
            for name in ("constant", "normal", "uniform", "trunc_normal")
            for number in ("-1", "0", "1e-30", "1e-50", "5e37", "3e38", "1e39", "-1e39", ".inf", ".nan", "1 / 0", "x")
        ),
        "{xavier_normal: {gain: 3e38}}",
        "{kaiming_normal: {nonlinearity: leaky_relu, slope: 3e38}}",
        "{kaiming_normal: {nonlinearity: leaky_relu, slope: -1}}",
    ],
)  # fmt: skip
def test_what_is_accepted_can_be_drawn(key: str, tensor: str, rule: str) -> None:
    text = NET.format(size="[8, 8]", key=key, tensor=tensor, rule=rule)
    if key == "convolution":
        text = text.replace("  convolution: {weight: default}\n", "")
    try:
        compiled = compile_text(text)
    except SpecError as error:
        lines = {each.span.line for each in error.diagnostics if each.span}
        assert lines == {len(text.splitlines())}, error  # noqa: PT017
        return
    for parameter in build(compiled.source, "sample").parameters():
        assert not parameter.isnan().any()
