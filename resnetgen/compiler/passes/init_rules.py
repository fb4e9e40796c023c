"""The rules of `init:` in a spec: parsed, evaluated, and checked against the weights they touch.

    init: {convolution: {weight: {normal: 0.1 * scale}}}    ->  InitCall("normal", {"std": 0.02})
    init: {batch_norm: {weight: kaiming_normal}}            ->  error: it has one dimension

Every rule that passes can be printed, and is accepted by PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resnetgen.compiler.diagnostics.model import DiagnosticCollector, Span, did_you_mean, listed
from resnetgen.compiler.frontend.expressions import (
    ExpressionError,
    UnknownName,
    Value,
    evaluate,
    parse,
)
from resnetgen.compiler.frontend.tree import MapTree, Scalar, Tree
from resnetgen.compiler.ir.init_rules import COUNTS_FANS, INIT_RULES, InitCall, InitRule
from resnetgen.compiler.ir.nodes import Instance, InstanceNode, Network
from resnetgen.compiler.ir.op_def import Attribute, value_error
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import Weight

# --- a rule as it is written


def parse_rule(
    errors: DiagnosticCollector, tree: Tree, values: Mapping[str, Value]
) -> InitCall | None:
    """A number, a rule, `{rule: NUMBER}` or `{rule: {option: VALUE}}`; None after an error.

    `values`: the names that expressions may read.
    """
    if isinstance(tree, Scalar):
        if tree.text in INIT_RULES:
            return _with_options(errors, tree.text, {}, tree.span)
        if isinstance(tree.value, str) and tree.text.isidentifier() and tree.text not in values:
            _report_unknown(errors, tree.text, tree.span)
            return None
        number = _value(errors, INIT_RULES["constant"]["value"], "the value", tree, values)
        return None if number is None else InitCall("constant", {"value": number}, tree.span)
    if not isinstance(tree, MapTree) or len(tree.entries) != 1:
        _report_unknown(errors, None, tree.span)
        return None
    ((name, options),) = tree.entries.items()
    if name not in INIT_RULES:
        _report_unknown(errors, name, tree.key_spans[name])
        return None
    known = INIT_RULES[name]
    if isinstance(options, MapTree):
        return _parse_options(errors, name, options, values)
    first = next(iter(known), None)
    if first is None or not known[first].required:
        what = f"a map of options ({', '.join(known)})" if known else "no options"
        errors.report("wrong-value", f"`{name}` accepts {what}", options.span)
        return None
    number = _value(errors, known[first], f"`{name}`", options, values)
    return None if number is None else InitCall(name, {first: number}, options.span)


def _parse_options(
    errors: DiagnosticCollector, name: str, tree: MapTree, values: Mapping[str, Value]
) -> InitCall | None:
    known, options, sound = INIT_RULES[name], {}, True
    for key, each in tree.entries.items():
        if key not in known:
            hint = did_you_mean(key, known) or (f"it has {listed(known)}" if known else None)
            message = f"`{name}` has no option `{key}`"
            errors.report("unknown-key", message, tree.key_spans[key], hint)
            sound = False
            continue
        options[key] = _value(errors, known[key], f"`{key}` of `{name}`", each, values)
        sound = sound and options[key] is not None
    return _with_options(errors, name, options, tree.span) if sound else None


def _with_options(
    errors: DiagnosticCollector, name: str, options: Mapping[str, Any], span: Span
) -> InitCall | None:
    """The rule, if it has the options that it needs and no two contradict each other."""
    known = INIT_RULES[name]
    missing = [key for key, option in known.items() if option.required and key not in options]
    if missing:
        errors.report(
            "missing-argument", f"`{name}` needs a number", span, f"write `{{{name}: NUMBER}}`"
        )
        return None
    call = InitCall(name, options, span)
    wrong = None
    if "slope" in options and call["nonlinearity"] != "leaky_relu":
        wrong = "`slope` is that of `leaky_relu`", "write `nonlinearity: leaky_relu`"
    elif options.get("groups") and call["mode"] == "fan_in":
        wrong = "fan in always counts the channels of one group", "leave `groups` out"
    if wrong:
        errors.report("wrong-value", wrong[0], span, wrong[1])
        return None
    return call


def _value(
    errors: DiagnosticCollector,
    option: Attribute,
    what: str,
    tree: Tree,
    values: Mapping[str, Value],
) -> Any:
    """The value of an option; None after an error."""
    value: Any = tree.value if isinstance(tree, Scalar) else None
    if isinstance(value, str) and option.kind != "word":
        try:
            value = evaluate(parse(value), values)
        except ExpressionError as error:
            name = error.name if isinstance(error, UnknownName) else ""
            hint = did_you_mean(name, values) if name else None
            errors.report("expression", str(error), tree.span, hint)
            return None
    reason = "must be a value" if value is None else value_error(option, value, axes=0)
    if reason:
        errors.report("wrong-value", f"{what} {reason}", tree.span)
        return None
    return value


def _report_unknown(errors: DiagnosticCollector, word: str | None, span: Span) -> None:
    known = ", ".join(f"{{{name}: NUMBER}}" if _needs_number(name) else name for name in INIT_RULES)
    hint = did_you_mean(word, INIT_RULES) if word else None
    message = "this is not an initialisation rule"
    errors.report("wrong-value", message, span, hint or f"there are a number, {known}")


def _needs_number(name: str) -> bool:
    return any(option.required for option in INIT_RULES[name].values())


# --- the weights that a rule touches


def check_init(
    errors: DiagnosticCollector, network: Network, instances: Sequence[Instance]
) -> None:
    """Reports rules for weights that are not there, or whose shape they cannot fill."""
    written = {key for key, rule in network.init.items() if rule.span}
    found: dict[tuple[str, str], list[tuple[InstanceNode, Weight | None, bool]]] = {}
    for instance in instances if written else ():
        for node in instance.nodes:
            for key, rule in _rules_of(network, node):
                if key in written:
                    weights = _weights(network, instance, node)
                    is_root = instance.block is network.root
                    for name in rule.rules:
                        found.setdefault((key, name), []).append((node, weights.get(name), is_root))
    for (key, name), touched in found.items():
        call = network.init[key].rules[name]
        if reason := _misfit(key, name, call, touched):
            errors.report("wrong-value", reason, call.span or network.span)


def _rules_of(network: Network, node: InstanceNode) -> Iterator[tuple[str, InitRule]]:
    if node.op:
        role = None if node.role in OPS else node.role
        for key in filter(None, (node.op.name, role)):
            if key in network.init:
                yield key, network.init[key]


def _weights(network: Network, instance: Instance, node: InstanceNode) -> dict[str, Weight]:
    """The tensors of an op, by name."""
    assert node.op
    results = {each.key: each.result for each in instance.nodes}
    source = results.get(node.inputs[0]) or instance.inputs.get(node.inputs[0])
    channels = source.channels if source else 1
    weights = node.op.definition.weights(node.op.attributes, channels, network.axes)
    return {weight.name: weight for weight in weights}


def _misfit(
    key: str,
    name: str,
    call: InitCall,
    touched: Sequence[tuple[InstanceNode, Weight | None, bool]],
) -> str | None:
    """Why a rule cannot apply to what it touches; None if it can."""
    if call.name == "default":
        return None
    if name == "bias" and call.name in COUNTS_FANS:
        return f"`{call.name}` counts channels, and a bias has one dimension"
    present = [(node, weight) for node, weight, _ in touched if weight]
    if not present:
        has_none = name == "bias" and any(
            node.op and "bias" in node.op.attributes for node, *_ in touched
        )
        return None if has_none else f"no `{key}` of this network has a {name}"
    for node, weight in present:
        if call.name in COUNTS_FANS and len(weight.shape) < 2:
            return (
                f"`{call.name}` counts channels, and the {name} of `{node.key}` has one dimension"
            )
    if call.options.get("groups"):
        if any(node.op and "groups" not in node.op.attributes for node, _ in present):
            return f"`{key}` has no groups"
        if key not in OPS and not all(is_root for *_, is_root in touched):
            return "`groups` needs a rule for an op, or for a role of the network's own nodes"
    return None
