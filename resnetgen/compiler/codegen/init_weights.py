"""How the printed network initialises its weights: loops over its modules, in their order.

    init: {convolution: {weight: kaiming_normal}}
        ->  for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out")

The first loop applies the rules for ops and for roles of the network's own nodes, the second those for
roles inside blocks. The order of the modules is that of torchvision and timm, so the same seed yields
the same weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from resnetgen.compiler.codegen import pretty
from resnetgen.compiler.codegen.classes import ClassGroup, ClassGroups
from resnetgen.compiler.codegen.pretty import Brackets, Doc, call
from resnetgen.compiler.ir.init_rules import SQUARED_GAINS, InitCall, InitRule
from resnetgen.compiler.ir.nodes import Network
from resnetgen.compiler.ir.op_def import TorchModule
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.module_paths import numbered_paths

# The options of a rule by the keywords of its function in `torch.nn.init`.
_KEYWORDS = {
    "kaiming": {"slope": "a", "mode": "mode", "nonlinearity": "nonlinearity"},
    "xavier": {"gain": "gain"},
}
_NUMBERS = {
    "normal": ("std={0}",),
    "uniform": ("a=-{0}", "b={0}"),
    "trunc_normal": ("std={0}", "a=-2", "b=2"),
    "constant": ("{0}",),
}


def init_lines(network: Network, groups: ClassGroups) -> list[str]:
    """The statements at the end of the network's constructor."""
    root_rules = list(_by_role_of_root(network, groups.root))
    first = [*root_rules, *_by_op(network, groups)]
    named = "name, module in self.named_modules()" if root_rules else "module in self.modules()"
    lines = _loop(named, first)
    return [*lines, *_loop("module in self.modules()", _by_role(network, groups))]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Statements for the modules of a class; only those of a name, or those with a bias."""

    callee: str
    body: tuple[str, ...]
    name: str = ""
    biased: bool = False  # among others without


def _loop(variables: str, rules: Iterable[_Rule]) -> list[str]:
    """One loop over the modules; classes, or names of a class, with equal statements share a branch."""
    branches: dict[object, list[_Rule]] = {}
    for rule in rules:
        apart = (rule.callee, rule.biased) if rule.name or rule.biased else None
        branches.setdefault((rule.body, apart), []).append(rule)
    lines = [f"        for {variables}:"] if branches else []
    for index, branch in enumerate(branches.values()):
        lines += [*_condition("elif" if index else "if", branch), *branch[0].body]
    return lines


def _condition(word: str, branch: list[_Rule]) -> list[str]:
    """`if name == "fc" and isinstance(module, nn.Linear):`; an operand a line where it is too long."""
    names = [f'"{rule.name}"' for rule in branch if rule.name]
    tests: list[tuple[str, Doc]] = []
    if len(names) == 1:
        tests.append(("name == ", names[0]))
    elif names:
        tests.append(("name in ", Brackets("(", tuple(names))))
    classes = " | ".join(dict.fromkeys(rule.callee for rule in branch))
    tests.append(("", f"isinstance(module, {classes})"))
    if branch[0].biased:
        tests.append(("", "module.bias is not None"))
    line = " and ".join(f"{prefix}{pretty.flat(doc)}" for prefix, doc in tests)
    if len(line) + len(word) + 14 <= pretty.WIDTH:
        return [f"            {word} {line}:"]
    lines = [f"            {word} ("]
    for prefix, doc in tests:
        joined = "" if len(lines) == 1 else "and "
        lines += pretty.lay(doc, 16, f"{joined}{prefix}")
    return [*lines, "            ):"]


def _by_role_of_root(network: Network, root: ClassGroup) -> Iterator[_Rule]:
    """Rules for roles of the network's own nodes, in place of those of their ops."""
    instance = root.instances[0]
    for node, paths in zip(instance.nodes, numbered_paths(instance.nodes), strict=True):
        rule = network.init.get(node.role or "")
        if rule is None or not node.op or node.role in OPS:
            continue
        base = network.init.get(node.op.name)
        whole = InitRule({**(base.rules if base else {}), **rule.rules}, rule.span)
        callee = _callee(node.op.name, network)
        biased = bool(node.op.attributes.get("bias", True)) and _has_bias(callee)
        yield from _rule(callee, whole, biased, paths[0])


def _by_op(network: Network, groups: ClassGroups) -> Iterator[_Rule]:
    biased = _biased(network, groups)
    for name, rule in network.init.items():
        if name not in OPS or not OPS[name].has_weights:
            continue
        callee = _callee(name, network)
        if name not in biased:
            continue
        yield from _rule(callee, rule, all(biased[callee]) and _has_bias(callee))


def _has_bias(callee: str) -> bool:
    """Whether torch annotates the bias of a class as never None: of convolutions it does not."""
    return not callee.startswith("nn.Conv")


def _biased(network: Network, groups: ClassGroups) -> dict[str, list[bool]]:
    """For each op and each class of torch in the network, which of its modules have a bias."""
    biased: dict[str, list[bool]] = {}
    for group in groups.all:
        for instance in group.instances:
            for node in instance.nodes:
                if node.op and node.op.definition.has_weights:
                    bias = bool(node.op.attributes.get("bias", True))
                    biased.setdefault(node.op.name, []).append(bias)
                    biased.setdefault(_callee(node.op.name, network), []).append(bias)
    return biased


def _callee(op: str, network: Network) -> str:
    form = OPS[op].torch
    assert isinstance(form, TorchModule), "an op with weights is a module"
    return form.callee.format(n=network.axes)


def _by_role(network: Network, groups: ClassGroups) -> Iterator[_Rule]:
    for group in groups.all:
        if group is not groups.root:
            body = tuple(_role_assignments(network, group))
            if body:
                yield _Rule(group.name, body)


def _role_assignments(network: Network, group: ClassGroup) -> Iterator[str]:
    instance = group.instances[0]
    for node, paths in zip(instance.nodes, numbered_paths(instance.nodes), strict=True):
        rule = network.init.get(node.role or "")
        if rule is None or not node.op or node.role in OPS:
            continue
        for weight, each in rule.rules.items():
            if weight == "bias" and not node.op.attributes.get("bias", True):
                continue
            target = f"module.{paths[0]}.{weight}"
            if "." in paths[0] or weight == "bias":
                target = f'module.get_parameter("{paths[0]}.{weight}")'
            yield from _statements(each, f"module.{paths[0]}", target, 16)


def _rule(callee: str, rule: InitRule, always_biased: bool, name: str = "") -> Iterator[_Rule]:
    """The statements for a class; if they all concern a bias, it is part of the condition."""
    drawn = {weight for weight, each in rule.rules.items() if each.name != "default"}
    biased = drawn == {"bias"} and not always_biased
    body = tuple(_assignments(rule, "module", always_biased or biased))
    if body:
        yield _Rule(callee, body, name, biased)


def _assignments(rule: InitRule, owner: str, always_biased: bool) -> Iterator[str]:
    for weight, each in rule.rules.items():
        guarded = weight == "bias" and not always_biased and each.name != "default"
        if guarded:
            yield f"                if {owner}.{weight} is not None:"
        yield from _statements(each, owner, f"{owner}.{weight}", 20 if guarded else 16)


def _statements(rule: InitCall, owner: str, target: str, indent: int) -> Iterator[str]:
    """The lines that fill a tensor, `target`, of the module `owner`."""
    if rule.options.get("groups"):
        yield from _with_groups(rule, owner, target, indent)
    elif rule.name != "default":
        name, arguments = _call(rule)
        yield from pretty.lay(call(f"nn.init.{name}_", [target, *arguments]), indent)


def _call(rule: InitCall) -> tuple[str, Sequence[str]]:
    """The function of `torch.nn.init`, and its arguments after the tensor."""
    if rule.name in _NUMBERS:
        (number,) = map(float, rule.options.values())
        if rule.name == "constant" and number in (0, 1):
            return ("zeros" if number == 0 else "ones"), ()
        return rule.name, [each.format(number) for each in _NUMBERS[rule.name]]
    family = rule.name.partition("_")[0]
    options = {"mode": rule["mode"], **rule.options} if family == "kaiming" else rule.options
    pairs = ((word, options[key]) for key, word in _KEYWORDS[family].items() if key in options)
    return rule.name, [
        f'{word}="{value}"' if isinstance(value, str) else f"{word}={float(value)}"
        for word, value in pairs
    ]


def _with_groups(rule: InitCall, owner: str, target: str, indent: int) -> Iterator[str]:
    """Fan out within one group, which `torch.nn.init` does not count: its formula, written out."""
    squared = SQUARED_GAINS[rule["nonlinearity"]] / (1 + float(rule["slope"]) ** 2)
    margin = " " * indent
    yield f"{margin}fan = {target}[:, 0].numel() // {owner}.groups"
    if rule.name == "kaiming_normal":
        yield f"{margin}nn.init.normal_({target}, std=math.sqrt({squared} / fan))"
    else:
        yield f"{margin}bound = math.sqrt({3 * squared} / fan)"
        yield f"{margin}nn.init.uniform_({target}, a=-bound, b=bound)"
