"""Twists: what people write that the generator does not, applied to the specs that it draws.

    twisted(choices)  ->  the text of a spec, in which

    names         have been replaced by words of the printed file, of PyTorch and of Python
    when          leaves a node out in some calls of its block
    numbers       modules are members of a numbered container, whatever it begins with
    rates, slots  are zero or empty in one stage, and not in another
    init          every rule, with its options

Unlike a drawn spec, a twisted one may be wrong: then it has to be refused with a code, and the same
text that is accepted has to be right. `split` writes a spec as one that extends another.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import names
import yaml

from generated.choices import Choices, Deciding
from generated.model import Form
from generated.strategy import spec_of
from generated.text import written
from resnetgen.compiler.frontend.identifiers import identifier_error, node_key_error
from resnetgen.compiler.ir.init_rules import COUNTS_FANS, INIT_RULES

_DRAWN = re.compile(r"\b[a-z]+[0-9]{2,}\b")  # the generator numbers its names: conv11, unit22
_YAML = ("true", "false", "yes", "no", "on", "off", "y", "n", "Y", "N")  # not text in YAML 1.1
_WORDS = [
    *(each for each in (*names.PRINTED, *names.OF_TORCH, *names.SINGLE) if each not in _YAML),
    *("last_norm", "conv1", "layer1", "Unit"),
]
_ACCEPTED = [each for each in _WORDS if not node_key_error(each) and not identifier_error(each)]
_WHENS = ("not last", "index > 0", "first", "width > 4", "in_channels < 8", "flag", "true", "1 > 2")


def twisted(choices: Choices) -> tuple[str, list[str]]:
    """A spec with one to three twists, and which."""
    form = yaml.safe_load(spec_of(choices))
    twister = Twister(choices, form)
    applied = [name for name in TWISTS if twister.chance(30)]
    for name in applied or [twister.pick(list(TWISTS))]:
        TWISTS[name](twister)
    text = written(form)
    if "names" in applied or not applied:
        text = twister.renamed(text)
    return text, applied


class Twister(Deciding):
    """Changes the form of a spec in place."""

    def __init__(self, choices: Choices, form: Form) -> None:
        self.choices = choices
        self.form = form

    def bodies(self) -> Iterator[Form]:
        """The maps of nodes: of the network, and of its blocks."""
        blocks = [self.form, *(each for each in self.form.get("define", {}).values())]
        stem = self.form.get("stem")
        blocks += [stem] if isinstance(stem, dict) else []
        yield from (each["nodes"] for each in blocks if isinstance(each.get("nodes"), dict))

    def staged(self) -> Form | None:
        """The block of `define` that every stage calls."""
        block = self.form.get("block")
        name = block.get("op") if isinstance(block, dict) else block
        own = self.form.get("define", {}).get(name)
        stages = self.form.get("stages", {}).values()
        alike = not any(set(each or {"op": 0}) & {"op", "nodes"} for each in stages)
        return own if stages and alike and own and "nodes" in own else None

    def blocks(self) -> list[Form]:
        """The blocks of `define`."""
        return [each for each in self.form.get("define", {}).values() if "nodes" in each]

    def renamed(self, text: str) -> str:
        """The text with some of its names replaced, each by the same word throughout."""
        words: dict[str, str] = {}
        taken = ["width", "stride"]  # names of one kind may be names of another
        for name in dict.fromkeys(_DRAWN.findall(text)):
            if self.chance(35):
                own = _WORDS if self.chance(2) else _ACCEPTED
                words[name] = self.pick(taken if self.chance(10) else own)
                taken.append(words[name])
        return _DRAWN.sub(lambda found: words.get(found[0], found[0]), text)

    def add_when(self) -> None:
        """A node of a block is left out in some calls; perhaps another value replaces it."""
        for block in self.blocks():
            keys = list(block["nodes"])
            if not keys or not self.chance(60):
                continue
            at = self.below(len(keys))
            node = block["nodes"][keys[at]]
            condition = self.pick(_WHENS)
            if condition.split()[-1] in ("last", "first") or "index" in condition:
                if block is not self.staged():
                    continue
                block.setdefault("params", {})["gone"] = False
                node["when"] = "not gone"
                for stage in self.form.get("stages", {}).values():
                    stage["gone"] = condition
            else:
                node["when"] = condition
            if at and self.chance(40):
                node["else"] = self.pick([*keys[:at], "x", "none"])

    def add_numbers(self) -> None:
        """Some nodes in a row, or here and there, are members of a container."""
        for nodes in self.bodies():
            keys = [key for key in nodes if "." not in str(key)]
            if not keys or not self.chance(60):
                continue
            start = self.below(len(keys))
            form = self.pick(
                ["body.*", "body.*", "body.inner.*", "body.{}", "body.m{}", "seq.*.part"]
            )
            for number, key in enumerate(keys[start : start + 1 + self.below(5)]):
                if self.chance(85) and nodes[key].get("as") != ".":
                    nodes[key]["as"] = form.format(number)

    def add_operation(self) -> None:
        """A container begins with something that is printed as an expression, or with nothing."""
        first = self.pick(
            [
                {"op": "add", "inputs": ["x", "x"]},
                {"op": "mul", "inputs": ["x", "x"]},
                {"op": "subsample", "stride": self.pick([1, 2])},
                {"op": "pad_channels", "front": self.pick([0, 1])},
                {"op": "drop_path", "rate": 0},
                {"op": "identity"},
                {"op": "resize", "scale": 2},
                {"op": "concat", "inputs": ["x", "x"]},
            ]
        )
        for block in self.blocks():
            nodes = block["nodes"]
            if not self.chance(50) or any("inputs" in each for each in list(nodes.values())[:1]):
                continue
            inside = {"odd.0" if self.chance(50) else "odd.a": dict(first)}
            rest = list(nodes.items())
            block["nodes"] = {**inside, **dict(rest)}
            for key, node in rest[1:3]:
                if "as" not in node and "." not in str(key) and self.chance(60):
                    node["as"] = "odd.*" if "odd.0" in inside else f"odd.{key}"

    def vary_stages(self) -> None:
        """Rates and slots differ between stages: zero in one, full in another."""
        rates, gates = ["0", "0.0", "0.1", "0.2 * index", "0.1 * position / total"], ["identity", "eca", "squeeze_excite", "relu", "none"]  # fmt: skip
        block = self.staged()
        if block is None:
            return
        nodes = block["nodes"]
        block.setdefault("params", {})["fall"] = 0.0
        block.setdefault("slots", {})["gap"] = "identity"
        for number, (key, node) in enumerate(
            {
                "fall_node": {"op": "drop_path", "rate": "fall"},
                "gap_node": {"op": "gap"},
                "end_node": {"op": "norm"},
            }.items()
        ):
            nodes[key] = {**node, "as": self.pick(["tail.*", key, f"tail.{number}"])}
        block.pop("output", None)
        for stage in self.form["stages"].values():
            if self.chance(70):
                stage["fall"] = self.pick(rates)
                stage["gap"] = self.pick(gates)
            if self.chance(20):
                stage["as"] = self.pick(
                    ["trunk.<position>", "<stage>.<index / 2>", "<stage>.<2 * index>"]
                )

    def add_init(self) -> None:
        """Any rule for any op with weights, or for a role."""
        rules: Form = {}
        roles = {
            each["role"] for nodes in self.bodies() for each in nodes.values() if "role" in each
        }
        for key in ("convolution", "linear", "batch_norm", "group_norm", *sorted(roles)):
            if self.chance(60 if key not in roles else 15):
                is_matrix = key in ("convolution", "linear")
                rules[key] = {
                    "weight": self.rule(counts_fans=is_matrix, groups=key == "convolution")
                }
                if self.chance(30):
                    rules[key]["bias"] = self.rule()
        self.form["init"] = rules or {"convolution": {"weight": self.rule(counts_fans=True)}}

    def rule(self, *, counts_fans: bool = False, groups: bool = False) -> Any:
        """A rule of initialisation, nearly always a sound one."""
        is_odd = self.chance(2)
        name = self.pick(
            [each for each in INIT_RULES if counts_fans or is_odd or each not in COUNTS_FANS]
        )
        known = INIT_RULES[name]
        if name in COUNTS_FANS:
            mode = self.pick(["fan_in", "fan_out"])
            options: Form = {
                "mode": mode,
                "nonlinearity": self.pick(["relu", "tanh", "leaky_relu", "selu", "linear"]),
                "groups": groups and mode == "fan_out" and self.chance(50),
                "gain": self.pick([0, 0.5, 2]),
            }
            if options["nonlinearity"] == "leaky_relu" or is_odd:
                options["slope"] = self.pick([0.1, 1])
            given = {key: value for key, value in options.items() if key in known}
            return {name: given} if self.chance(70) else name
        if not known:
            return name
        number = self.pick([0, -1, 2.5, 1e39, "1 / 0"] if is_odd else [0.02, 1, 2, "0.1 * 2"])
        return {name: number} if self.chance(70) else {name: {next(iter(known)): number}}


TWISTS: dict[str, Callable[[Twister], None]] = {
    "names": lambda twister: None,  # of the text, at the end
    "when": Twister.add_when,
    "numbers": Twister.add_numbers,
    "operation": Twister.add_operation,
    "stages": Twister.vary_stages,
    "init": Twister.add_init,
}


def split(choices: Choices, text: str, doc: str) -> tuple[str, str]:
    """A spec as two: a base, and one that extends it, deletes from it and sets the rest."""
    form = yaml.safe_load(text)
    base, own = copy.deepcopy(form), {"network": form["network"], "doc": doc, "extends": "base"}
    decide = Twister(choices, form)
    for key in ("stages", "nodes", "define", "init", "let"):
        for name, value in (
            list(form.get(key, {}).items()) if isinstance(form.get(key), dict) else ()
        ):
            if not isinstance(value, dict) or key == "nodes" or not decide.chance(40):
                continue
            mine = own.setdefault(key, {})
            mine[name] = {}
            for part, each in value.items():
                if part in ("op", "nodes", "extends", "inputs") or not decide.chance(50):
                    continue
                mine[name][part] = each  # the same in the end
                if decide.chance(50):
                    base[key][name].pop(part)
            if key == "stages" and decide.chance(30):
                base[key][name]["surplus"] = 1  # deleted again
                mine[name]["surplus"] = None
            if not mine[name]:
                del mine[name]
        if key in own and not own[key]:
            del own[key]
    base["network"] = "base"
    return written(base), written(own)
