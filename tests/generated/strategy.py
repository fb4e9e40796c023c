"""Random programs: valid specs of residual networks, as YAML text.

`networks()` is the hypothesis strategy, `spec_of(Drawn(random.Random(seed)))` a fixed sample. A
network is built node by node; a node that `model` refuses is left out, so that what remains is
valid. `model` knows channels and sizes; what else the language demands (every value is read, a
named container has one output) holds by how nodes are chosen.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

from generated import model
from generated.model import Context, Form, Invalid, Stages, Type, Walk

T = TypeVar("T")
# What the compiler does not do yet; True once it does.
NUMBERED_BRANCHES = False  # a numbered container inside a numbered one that is no chain

MOST_OPS = 60
MOST_ELEMENTS = 30_000  # of one value
MOST_CHANNELS = 192
STEMS = [  # the others are pools, for the slots of these
    name for name in model.library_names("stems") if "params" in (model.library_block(name) or {})
]
HEADS = model.library_names("heads")
POLICIES = (
    "none",
    "identity",
    "zero_pad",
    "projection",
    "projection_all",
    "preact_projection",
    "avg_projection",
)
RESIDUAL_BLOCKS = [
    name
    for name in model.library_names("blocks")
    if {"width", "stride"} <= (model.library_block(name) or {}).get("params", {}).keys()
]
BASES = ("resnet18", "resnet50", "resnet34_a", "preact_resnet18", "resnet50d", "resnetblur50d", "resnext50_32x4d",
         "seresnext50_32x4d", "ecaresnet50t", "plain18", "resnet110", "resnet50_gn", "resnetrs50", "r3d_18")  # fmt: skip


# Blocks that ambient slots are bound to.
OWN_BLOCKS: dict[str, Form] = {
    "separable": {
        "params": {"out": "int", "kernel": 1, "stride": 1, "dilation": 1},
        "nodes": {
            "depthwise": {"op": "convolution", "out": "in_channels", "kernel": "kernel", "stride": "stride",
                          "dilation": "dilation", "groups": "in_channels"},
            "pointwise": {"op": "convolution", "out": "out", "kernel": 1},
        },
    },
    "soft_gate": {"nodes": {"gate": {"op": "sigmoid"}, "scale": {"op": "mul", "inputs": ["x", "gate"]}}},
    "vgg_unit": {
        "params": {"width": "int", "pool": "bool"},
        "nodes": {
            "conv": {"op": "conv", "as": "features.*", "out": "width", "kernel": 3},
            "act": {"op": "act", "as": "features.*"},
            "pool": {"op": "max_pool", "as": "features.*", "kernel": 2, "when": "pool"},
        },
    },
    "own_policy": {
        "params": {"out": "int", "stride": 1},
        "when": "stride > 1 or out != in_channels",
        "nodes": {
            "pool": {"op": "max_pool", "kernel": 3, "stride": "stride", "when": "stride > 1"},
            "conv": {"op": "convolution", "out": "out", "kernel": 1},
            "norm": {"op": "batch_norm"},
        },
    },
}  # fmt: skip


class Choices(Protocol):
    """Where the decisions come from: 0 is the simplest."""

    def below(self, count: int) -> int:
        """A number from 0 to count - 1."""


@dataclass
class Drawn:
    """Decisions of a seeded generator."""

    random: random.Random

    def below(self, count: int) -> int:
        return self.random.randrange(count)


@dataclass
class Shrinkable:
    """Decisions of hypothesis."""

    draw: Callable[[Any], Any]

    def below(self, count: int) -> int:
        return self.draw(st.integers(0, count - 1))  # type: ignore[no-any-return]


@st.composite
def networks(draw: Callable[[Any], Any]) -> str:
    """Valid specs, as YAML text."""
    return spec_of(Shrinkable(draw))


def spec_of(choices: Choices) -> str:
    """One valid spec, as YAML text."""
    for _ in range(20):
        form = Program(choices).form()
        if form is not None:
            return written(form)
    raise AssertionError("twenty networks in a row came to nothing")


# --- YAML


def written(form: Form) -> str:
    """A form as YAML: block style for two levels, flow style below."""
    lines = []
    for key, value in form.items():
        if (
            isinstance(value, dict)
            and value
            and key in ("nodes", "stages", "define", "stem", "head", "init")
        ):
            lines.append(f"{key}:")
            lines += [f"  {_flow(name)}: {_flow(each)}" for name, each in value.items()]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    plain = (
        text and not set(text) & set(",:{}[]#&!|>'\"%@`") and text[0] not in "*-? "
    ) or text == "."
    return text if plain else f'"{text}"'


# --- one block, or the body of the network


@dataclass
class Builder:
    """Nodes added one by one; every walk runs the block with other arguments on another input."""

    choices: Choices
    walks: list[Walk]
    last: str
    names: Callable[[str], str]  # a fresh key
    terms: list[Any]  # output channels
    flags: list[str]
    slots: list[str]
    strides: list[Any]
    nodes: dict[str, Form] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    readable: list[str] = field(default_factory=list)
    prefix: str = ""
    numbered: bool = False
    used: set[str] = field(default_factory=set)  # blocks whose nodes stand here
    previous: str = ""  # the node written last
    ops: int = 0
    most: int = MOST_OPS

    def below(self, count: int) -> int:
        return self.choices.below(count)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def chance(self, percent: int) -> bool:
        return self.below(100) >= 100 - percent

    def types(self, name: str) -> list[Type]:
        return [walk.values[name] for walk in self.walks]  # type: ignore[misc]

    def alike(self, name: str, rule: Callable[[Type, Type], bool]) -> list[str]:
        """Values that go with a value in every walk."""
        mine = self.types(name)
        return [
            each
            for each in self.readable
            if each != name and all(rule(a, b) for a, b in zip(mine, self.types(each), strict=True))
        ]

    # --- adding

    def key(self, stem: str) -> str:
        if self.numbered:
            start = len(self.prefix) + 1
            inside = [key[start:] for key in self.nodes if key.startswith(f"{self.prefix}.")]
            numbers = [int(each.partition(".")[0]) for each in inside]
            return f"{self.prefix}.{max(numbers, default=-1) + 1}"
        return f"{self.prefix}.{self.names(stem)}" if self.prefix else self.names(stem)

    def add(
        self,
        stem: str,
        node: Form,
        inputs: Sequence[str] | None = None,
        key: str | None = None,
        *,
        always: bool = False,
    ) -> str | None:
        """Adds a node if every walk can compute it and it is not too much; its key, or None."""
        names = list(inputs or [self.last])
        found: list[Type] = []
        executed = self.walks[0].context.ops
        executed.clear()
        for walk in self.walks:
            try:
                result = walk.node(node, names)
            except Invalid:
                return None
            large = isinstance(result, Type) and (
                result.channels > MOST_CHANNELS or result.elements > MOST_ELEMENTS
            )
            if not isinstance(result, Type) or (large and not always):
                return None
            found.append(result)
        count = len(executed) // len(self.walks)
        if self.ops + count > self.most and not always:
            return None
        self.ops += count
        key = key or self.key(stem)
        written_node = dict(node)
        if names != [self.previous] or self.chance(15):
            inputs_form: Any = names if len(names) > 1 or self.chance(20) else names[0]
            head = {"op": written_node.pop("op")} if "op" in written_node else {}
            written_node = {**head, "inputs": inputs_form, **written_node}
        self.nodes[key] = written_node
        for walk, each in zip(self.walks, found, strict=True):
            walk.values[key] = each
        self.unread = [each for each in self.unread if each not in names] + [key]
        self.readable.append(key)
        self.last = self.previous = key
        return key

    # --- what may come next

    def grow(self, steps: int) -> None:
        """Random nodes, one idea a step."""
        for _ in range(steps):
            idea = self.pick(IDEAS)
            idea(self)

    def convolution(self) -> None:
        node: Form = {
            "op": self.pick(["conv", "conv", "convolution"]),
            "out": self.pick(self.terms),
        }
        axes = self.walks[0].context.axes
        node["kernel"] = self.pick(
            [3, 1, 3, 5, 2, 4, 7, [self.pick([1, 3, 2]) for _ in range(axes)]]
        )
        stride = self.pick([1, 1, 1, *self.strides, [self.pick([1, 2]) for _ in range(axes)]])
        node |= {} if stride == 1 else {"stride": stride}
        if self.chance(20):
            node["dilation"] = self.pick([2, 3, [self.pick([1, 2]) for _ in range(axes)]])
        if self.chance(25):
            node["groups"] = self.pick([2, 4, *(["in_channels"] if self.last == "x" else [])])
        if self.chance(15):
            node["padding"] = self.pick([0, 1, 2, "same"])
            if node["padding"] == "same":
                del node["padding"]
        if self.chance(20):
            node["bias"] = self.pick([True, False])
        if self.chance(15):
            node["role"] = self.pick(["special", "stemlike"])
        self.add("conv", node)

    def norm(self) -> None:
        node: Form = {"op": self.pick(["norm", "norm", "batch_norm", "group_norm"])}
        if node["op"] == "group_norm":
            node["groups"] = self.pick([1, 2, 4])
        if node["op"] == "batch_norm" and self.chance(40):
            node |= self.pick([{"eps": 0.001}, {"momentum": 0.01}, {"eps": 1e-3, "momentum": 0.2}])
        if self.chance(15):
            node["role"] = self.pick(["last_norm", "gain"])
        self.add("norm", node)

    def activation(self) -> None:
        name = self.pick(["act", "relu", "act", "relu6", "silu", "gelu", "sigmoid", "tanh"])
        node: Form = {"op": name}
        if not self.prefix and self.chance(40):
            node["as"] = f"shared_{name}"
        self.add("act", node)

    def unit(self) -> None:
        """The usual three, in the usual containers."""
        self.convolution()
        self.norm()
        self.activation()

    def pool(self) -> None:
        node: Form = {"op": self.pick(["max_pool", "avg_pool"]), "kernel": self.pick([3, 2, 2, 5])}
        if self.chance(75):
            node["stride"] = self.pick([1, 2, *self.strides])
        if self.chance(25):
            node["padding"] = self.pick([0, 1])
        if self.chance(30):
            node["ceil"] = True
        if node["op"] == "avg_pool" and self.chance(40):
            node["count_pad"] = False
        if node["op"] == "max_pool" and self.chance(15):
            node["dilation"] = 2
        self.add("pool", node)

    def drop(self) -> None:
        name = self.pick(["dropout", "drop_path"])
        self.add(
            "drop",
            {
                "op": name,
                "rate": self.pick([0.1, 0.5, 0, *(["drop"] if "drop" in self.env() else [])]),
            },
        )

    def env(self) -> dict[str, Any]:
        return dict(self.walks[0].env)

    def blur(self) -> None:
        self.add("blur", {"op": "blur", "stride": self.pick([1, 2, *self.strides])})

    def subsample(self) -> None:
        self.add("sub", {"op": "subsample", "stride": self.pick([2, *self.strides])})

    def pad(self) -> None:
        node: Form = {"op": "pad_channels"}
        node |= self.pick([{"front": 4}, {"back": 4}, {"front": 2, "back": 2}])
        self.add("pad", node)

    def resize(self) -> None:
        self.add(
            "up",
            {
                "op": "resize",
                "scale": 2,
                **self.pick([{}, {"mode": "linear"}, {"mode": "nearest"}]),
            },
        )

    def adaptive(self) -> str | None:
        return self.add("pool", {"op": "adaptive_avg_pool", "size": self.pick([2, 3])})

    def join(self) -> None:
        """Adds, multiplies or concatenates the last value and an earlier one."""
        name = self.pick(model.JOINS)
        same = (lambda a, b: a.size == b.size) if name == "concat" else (lambda a, b: a == b)
        others = self.alike(self.last, same)
        if others:
            names = [self.last, self.pick(others)]
            if self.chance(30):
                names.reverse()
            if self.chance(20):
                names.append(self.pick(others))
            self.add(name, {"op": name}, names)

    def twice(self) -> None:
        """`add(x, x)`."""
        self.add("add", {"op": "add"}, [self.last, self.last])

    def residual(self) -> None:
        """A branch of the same shape, and its sum with where it began."""
        start, types = self.last, self.types(self.last)
        for _ in range(1 + self.below(2)):
            self.pick([Builder.norm, Builder.activation, Builder.drop, Builder.same_convolution])(
                self
            )
        if self.last != start and self.types(self.last) == types:
            self.add("add", {"op": "add"}, [self.last, start])

    def same_convolution(self) -> None:
        channels = {each.channels for each in self.types(self.last)}
        term = next(
            (t for t in self.terms if all(
                model.value(t, walk.env) == each.channels
                for walk, each in zip(self.walks, self.types(self.last), strict=True))),
            channels.pop(),
        )  # fmt: skip
        self.add("conv", {"op": "conv", "out": term, "kernel": self.pick([3, 1, 5])})

    def gate(self) -> None:
        """A value times a function of its pooled self."""
        start = self.last
        if not self.types(start)[0].size or not self.add("squeeze", {"op": "global_avg_pool"}):
            return
        if self.chance(60):
            self.add(
                "mix",
                {
                    "op": "channel_conv",
                    "kernel": self.pick([3, 1, 5]),
                    **self.pick([{}, {"bias": True}]),
                },
            )
        self.add("gate", {"op": self.pick(["sigmoid", "tanh"])})
        self.add("scale", {"op": "mul"}, [start, self.last])

    def branch(self) -> None:
        """Starts again at an earlier value."""
        spatial = [each for each in self.readable if all(t.size for t in self.types(each))]
        if spatial:
            self.last = self.pick(spatial)

    def block(self) -> None:
        """A block of the library, or of `define:`."""
        makers: list[Callable[[], Form]] = [
            lambda: {"op": "conv_norm", "out": self.pick(self.terms), "kernel": self.pick([1, 3])},
            lambda: {
                "op": "conv_norm_act",
                "out": self.pick(self.terms),
                "kernel": 3,
                **self.pick([{}, {"groups": 2}]),
            },
            lambda: {"op": "squeeze_excite", **self.pick([{}, {"ratio": 0.25}, {"squeeze": 4}])},
            lambda: {"op": "eca"},
            lambda: {
                "op": "basic",
                "width": self.pick(self.terms),
                **self.pick([{}, {"stride": 2}]),
            },
            lambda: {"op": "shortcut", "out": self.pick(self.terms)},
            *(lambda name=name: self.defined_call(name) for name in self.own_blocks()),
        ]
        self.add("block", self.pick(makers)())

    def spliced(self) -> None:
        """`as: .`: the nodes of a block stand in this one. Once a block, or keys would be given twice."""
        act = self.walks[0].context.ambient["act"].target
        names = [name for name in self.own_blocks() if name not in self.used]
        if names and not self.prefix and act not in OWN_BLOCKS:
            name = self.pick(names)
            if self.add("splice", {**self.defined_call(name), "as": "."}):
                self.used.add(name)

    def own_blocks(self) -> list[str]:
        define = self.walks[0].context.define
        return [
            name
            for name, block in define.items()
            if name not in OWN_BLOCKS and "inputs" not in model.extended(block, define)
        ]

    def defined_call(self, name: str) -> Form:
        """A call of a block of `define:` with some of its arguments."""
        block = model.extended(self.walks[0].context.define[name], self.walks[0].context.define)
        node: Form = {"op": name}
        for param, default in block.get("params", {}).items():
            if default == "int":
                node[param] = self.pick(self.terms)
            elif param == "stride":
                node |= {"stride": self.pick([2, *self.strides])} if self.chance(40) else {}
            elif isinstance(default, bool):
                node |= {param: self.pick([True, False, *self.flags])} if self.chance(50) else {}
            elif isinstance(default, float) and self.chance(40):
                node[param] = self.pick([0.1, 0.2])
        for slot in block.get("slots", {}):
            if self.chance(60):
                node[slot] = self.slot_value(slot)
        return node

    def slot_value(self, slot: str) -> Any:
        """What a slot may be bound to: by its name in the library, else what keeps the shape."""
        if slot == "pool":
            strided = {"op": "max_pool", "kernel": 2}
            return self.pick(["conv_pool", "blurred_pool", strided, "identity"])
        if slot == "antialias":
            return self.pick(["avg_stride", "blur_stride"])
        inline = {"nodes": {"pool": {"op": "global_avg_pool"}, "gate": {"op": "sigmoid"},
                            "scale": {"op": "mul", "inputs": ["x", "gate"]}}}  # fmt: skip
        return self.pick(
            ["identity", "squeeze_excite", "eca", {"op": "squeeze_excite", "ratio": 0.25}, inline, *self.slots,
             "silu", {"op": "dropout", "rate": 0.2}]
        )  # fmt: skip

    def slot(self) -> None:
        if self.slots:
            self.add("slot", {"op": self.pick(self.slots)})

    def conditional(self) -> None:
        """A node that some instances leave out."""
        conditions = [
            *self.flags,
            *(
                ["stride > 1", "stride == 1 or flag"]
                if "stride" in self.env() and self.flags
                else []
            ),
        ]
        if conditions:
            op = self.pick(
                [
                    {"op": "norm"},
                    {"op": "act"},
                    {"op": "blur", "stride": 1},
                    {"op": "dropout", "rate": 0.1},
                ]
            )
            self.add("maybe", {**op, "when": self.pick(conditions)})

    def shortcut(self) -> None:
        """A residual block written out: the policy joins."""
        start = self.last
        term, stride = self.pick(self.terms), self.pick([1, *self.strides])
        if not self.add("conv", {"op": "conv", "out": term, "kernel": 3, "stride": stride}):
            return
        self.norm()
        main = self.last
        down = {"op": "shortcut", "out": term, "stride": stride}
        if self.walks[0].context.ambient["shortcut"].target is None:
            return
        if self.add("downsample", down, [start]):
            same = all(a == b for a, b in zip(self.types(main), self.types(self.last), strict=True))
            self.add("add", {"op": "add"}, [main, self.last]) if same else None

    def numbered_chain(self) -> None:
        """`seq.0`, `seq.1`, ... with whatever stands in between."""
        self.inside(self.names("seq"), True, 1 + self.below(4))

    def named_container(self) -> None:
        """`part.conv`, `part.norm`: one output, nothing inside is read from outside."""
        self.inside(self.names("part"), False, 1 + self.below(3))

    def inside(self, prefix: str, numbered: bool, steps: int) -> None:
        if self.prefix.count(".") > 1:
            return
        outer = (self.prefix, self.numbered)
        start, before, unread = self.last, list(self.readable), set(self.unread)
        self.prefix, self.numbered = prefix, numbered
        self.readable = [start]
        for _ in range(steps):
            self.pick(
                CHAIN_IDEAS if NUMBERED_BRANCHES or not (outer[1] and numbered) else MODULE_IDEAS
            )(self)
        self.readable = self.readable[1:]
        self.close(lambda name: name not in unread)
        self.prefix, self.numbered = outer
        inner = [
            key.removeprefix(f"{prefix}.") for key in self.nodes if key.startswith(f"{prefix}.")
        ]
        flat = not any("." in key for key in inner)
        tapped = numbered and flat and not outer[0] and self.chance(25)
        own = self.readable if tapped else [each for each in self.readable if each == self.last]
        self.readable = [*before, *(each for each in own if each not in before)]

    def nested(self) -> None:
        """A container inside a container."""
        if self.prefix:
            self.inside(self.key("sub"), self.chance(50), 1 + self.below(2))

    def star(self) -> None:
        """A node that takes the next number of a container."""
        before = set(self.nodes)
        self.pick([Builder.convolution, Builder.norm, Builder.activation, Builder.pool])(self)
        for key in self.nodes.keys() - before:
            self.nodes[key]["as"] = "features.*"

    def vgg(self) -> None:
        """Convolution and activation in a numbered container that all callers share."""
        before = set(self.nodes)
        self.convolution()
        self.activation()
        for key in self.nodes.keys() - before:
            self.nodes[key]["as"] = "features.*"

    def linear(self) -> None:
        """Pool, flatten, linear."""
        if self.types(self.last)[0].size and self.pick([Builder.squeeze, Builder.adaptive])(self):
            self.add("flat", {"op": "flatten"})
        self.add(
            "fc", {"op": "linear", "out": self.pick(self.terms), **self.pick([{}, {"bias": False}])}
        )

    def squeeze(self) -> str | None:
        return self.add("squeeze", {"op": "global_avg_pool"})

    def inline(self) -> None:
        """A block written where it is used."""
        walks = [
            Walk(walk.context, {"in_channels": each.channels}, {}, {"x": each})
            for walk, each in zip(self.walks, self.types(self.last), strict=True)
        ]
        inner = Builder(
            self.choices,
            walks,
            "x",
            self.names,
            [8, "in_channels"],
            [],
            [],
            [2],
            readable=["x"],
            previous="x",
            most=6,
        )
        inner.unit()
        inner.grow(self.below(3))
        inner.close()
        if not inner.nodes:
            return
        form: Form = {
            "nodes": inner.nodes,
            **({"output": inner.last} if inner.last != inner.previous else {}),
        }
        self.add("inline", form)

    def repeated(self) -> None:
        """A block several times over, inside a block."""
        calls = [
            {"op": "conv_norm_act", "out": self.pick(self.terms)},
            {"op": "basic", "width": self.pick(self.terms)},
        ]
        node = {**self.pick(calls), "blocks": self.pick([2, 3])}
        self.add("repeat", node)

    def two_inputs(self) -> None:
        """A block of two inputs."""
        context = self.walks[0].context
        names = [
            name
            for name in context.define
            if name not in OWN_BLOCKS and name not in self.own_blocks()
        ]
        others = self.alike(self.last, lambda a, b: a == b)
        if names and others:
            self.add("pair", self.defined_call(self.pick(names)), [self.last, self.pick(others)])

    def otherwise(self) -> None:
        """`else:` names what passes where the node is left out."""
        start = self.last
        if not self.flags or not self.add("act", {"op": self.pick(["act", "tanh"])}):
            return
        middle = self.last
        if self.add("maybe", {"op": "norm", "when": self.pick(self.flags), "else": start}):
            self.add("add", {"op": "add"}, [self.last, middle])

    # --- the end

    def close(self, wanted: Callable[[str], bool] = lambda name: True) -> None:
        """Joins what nothing reads with the last value."""
        for other in [each for each in self.unread if each != self.last and wanted(each)]:
            mine, theirs = self.types(self.last), self.types(other)
            name = "add" if mine == theirs and self.chance(60) else "concat"
            if not self.add(name, {"op": name}, [self.last, other], always=True):
                self.pooled(other)

    def pooled(self, other: str) -> None:
        """A join of values of different sizes: one number a channel."""
        main = self.last
        flat = any(not t.size for name in (main, other) for t in self.types(name))
        names = []
        for name in (main, other):
            self.last = name
            if self.types(name)[0].size:
                self.add("squeeze", {"op": "global_avg_pool"}, always=True)
                if flat:
                    self.add("flat", {"op": "flatten"}, always=True)
            names.append(self.last)
        self.add("concat", {"op": "concat"}, names, always=True)


MODULE_IDEAS = [Builder.convolution, Builder.norm, Builder.activation, Builder.pool, Builder.drop]
CHAIN_IDEAS = [
    Builder.unit, Builder.convolution, Builder.norm, Builder.activation, Builder.pool, Builder.drop,
    Builder.residual, Builder.gate, Builder.block, Builder.blur, Builder.slot, Builder.join,
    Builder.nested,
]  # fmt: skip
IDEAS = [
    Builder.unit, Builder.convolution, Builder.unit, Builder.residual, Builder.join, Builder.activation, Builder.norm,
    Builder.pool, Builder.gate, Builder.branch, Builder.block, Builder.block, Builder.shortcut,
    Builder.conditional, Builder.slot, Builder.numbered_chain, Builder.named_container, Builder.star,
    Builder.drop, Builder.blur, Builder.subsample, Builder.pad, Builder.resize, Builder.adaptive, Builder.twice,
    Builder.linear, Builder.inline, Builder.spliced, Builder.repeated, Builder.two_inputs, Builder.otherwise,
]  # fmt: skip


# --- the whole program


class Program:
    """One network: ambient slots, blocks, stem, stages, nodes, head, outputs."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.count = 10
        self.spliced: set[str] = set()

    def below(self, count: int) -> int:
        return self.choices.below(count)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def chance(self, percent: int) -> bool:
        return self.below(100) >= 100 - percent

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def form(self) -> Form | None:
        """The document; None where nothing came of it."""
        return self.derived() if self.chance(12) else self.network()

    def network(self) -> Form | None:
        """A network of its own."""
        axes = self.pick([2, 2, 1, 3])
        sizes = {1: [32, 16, 37, 64], 2: [16, 12, 17, 32], 3: [8, 6, 9]}[axes]
        self.size = [self.pick(sizes) for _ in range(axes)]
        self.channels = self.pick([3, 4, 8, 1])
        self.define: dict[str, Form] = {}
        self.document: Form = {
            "network": "sample",
            "input": {"channels": self.channels, "size": self.size},
        }
        if self.chance(20):
            self.document["class"] = "SampleNet"
        if self.chance(30):
            self.document["doc"] = "a drawn network; it says `nothing` to anyone"
        self.ambient(axes)
        stride = self.pick([None, None, None, 2, 4, 8])
        self.context = Context(
            axes,
            model.ambient_of({**self.document, "define": self.define}, axes),
            self.define,
            stride,
        )
        for _ in range(self.below(4)):
            self.define_block()
        env: dict[str, Any] = {"in_channels": self.channels}
        if self.chance(30):
            self.document["let"] = {"base": self.pick([4, 8]), "wide": "base * 2"}
            env |= {"base": self.document["let"]["base"], "wide": 2 * self.document["let"]["base"]}
        walk = Walk(self.context, env, {}, {"x": Type(self.channels, tuple(self.size))})
        terms = [8, 4, 16, 12, *(["base", "wide"] if "base" in env else [])]
        self.body(self.builder([walk], terms, [], [], [2]))
        if not any(key in self.document for key in ("nodes", "stages", "stem")):
            return None
        if self.define:
            self.document["define"] = self.define
        if self.context.output_stride:
            self.document["output_stride"] = stride
        return self.document

    def builder(
        self,
        walks: list[Walk],
        terms: list[Any],
        flags: list[str],
        slots: list[str],
        strides: list[Any],
    ) -> Builder:
        return Builder(
            self.choices,
            walks,
            "x",
            self.name,
            terms,
            flags,
            slots,
            strides,
            readable=["x"],
            previous="x",
            used=self.spliced,
        )

    # --- a network of the library, changed

    def derived(self) -> Form:
        """`extends` with overrides: small sizes, and what else still computes."""
        base = self.pick(BASES)
        inherited = model.library_network(base)
        axes = len(inherited["input"]["size"])
        form: Form = {
            "extends": base,
            "network": "derived",
            "input": {"size": [{2: 32, 3: 16}[axes]] * axes},
        }
        stages: Form = {}
        for number, name in enumerate(inherited["stages"]):
            width = 16 if "groups" in str(inherited["block"]) else 8
            stages[name] = {"blocks": 1 + self.chance(20), "width": width << min(number, 2)}
        form["stages"] = stages
        form["head"] = (
            self.pick([{"classes": 10}, "preact_classifier", "none"])
            if self.chance(80)
            else {"classes": 5}
        )
        if form["head"] == "none":
            form["head"] = None
        if "groups" in str(inherited.get("norm", "")):
            form["norm"] = {"groups": 4}
        stem = inherited.get("stem")
        if isinstance(stem, str) or "op" in stem:
            form["stem"] = {"width": 8}
        stride = {**stages["layer2"], "stride": 1}
        extras: list[Form] = [
            {"shortcut": self.pick(["projection", "projection_all", "none", "avg_projection"])},
            {"act": self.pick(["silu", "gelu", "relu6"])},
            {"block": {"attention": self.pick(["eca", "squeeze_excite", "identity"])}},
            {"block": {"drop_path": 0.1}},
            {"stages": {"layer2": stride}},
            {"output_stride": self.pick([8, 4])},
            {"block": "basic"},
            {"block": {"groups": 2, "base_width": 32}},
            {"init": {"convolution": {"weight": {"normal": 0.02}}}},
            {"nodes": {"extra": {"op": "conv", "out": 12, "kernel": 1}}},
        ]
        for extra in extras:
            if not self.chance(20):
                continue
            more = {
                key: {**form.get(key, {}), **each} if key == "stages" else each
                for key, each in extra.items()
            }
            if "block" in extra and (
                "block" in form or not self.takes({**inherited, **form}, extra["block"])
            ):
                continue
            try:
                model.network({**form, **more})
            except Invalid:
                continue
            form |= more
        for name in reversed(stages):
            if model.network(form) <= MOST_OPS:
                break
            form["stages"] = {**form["stages"], name: None}
        return form

    def takes(self, form: Form, block: Any) -> bool:
        """Whether a network's block has the params that an override gives."""
        if isinstance(block, str):
            return True
        here = form["block"]
        if isinstance(here, dict):
            here = here.get("op") or model.library_network(form["extends"])["block"]
        here = here["op"] if isinstance(here, dict) else here
        known = form.get("define", {}).get(here) or model.library_block(here) or {}
        return block.keys() <= known.get("params", {}).keys() | known.get("slots", {}).keys()

    # --- ambient slots

    def ambient(self, axes: int) -> None:
        drawn = {
            "conv": self.pick([None, None, None, {"op": "convolution", "bias": True}, "separable"]),
            "norm": self.pick([None, None, {"op": "batch_norm", "eps": 0.001}, {"op": "group_norm", "groups": 2},
                               {"op": "group_norm", "groups": 1}, {"op": "batch_norm", "momentum": 0.2}, "identity"]),
            "act": self.pick([None, None, "silu", "gelu", "relu6", "tanh", "soft_gate"]),
            "shortcut": self.pick(["projection", *POLICIES, "own_policy"]),
        }  # fmt: skip
        if drawn["shortcut"] == "zero_pad":
            drawn["shortcut"] = {"op": "zero_pad", "centred": self.pick([False, True])}
        for name in drawn.values():
            if isinstance(name, str) and name in OWN_BLOCKS:
                self.define[name] = OWN_BLOCKS[name]
        self.document |= {name: each for name, each in drawn.items() if each is not None}

    # --- blocks

    def define_block(self) -> None:
        """A block of random nodes that two callers can use: one strides, one does not, and so on."""
        params: Form = {"width": "int"}
        given: list[dict[str, Any]] = [{"width": 8}, {"width": 12}]
        if self.chance(60):
            params["stride"] = 1
        if self.chance(40):
            params["flag"] = self.pick([True, False])
        if self.chance(30):
            params["drop"] = self.pick([0.1, 0.0])
        if self.chance(30):
            params["inner"] = self.pick(["width * 2", "width // 2", "divisible(width * 1.5, 4)"])
        slots = (
            {"attention": self.pick(["identity", "squeeze_excite", "eca"])}
            if self.chance(40)
            else {}
        )
        hidden = [
            "width * 2 if width > 8 else width",
            "max(width, in_channels)",
            "width + 4",
            "int(sqrt(width * width))",
        ]
        let = {"hidden": self.pick(hidden)} if self.chance(40) else {}
        two = self.chance(15)
        block: Form = {"inputs": ["x", "skip"]} if two else {}
        block |= {"params": params, "slots": slots, "let": let}
        block = {key: each for key, each in block.items() if each}
        walks = []
        for index, arguments in enumerate(given):
            arguments |= {"stride": 2 - index} if "stride" in params else {}
            arguments |= {"flag": index == 0} if "flag" in params else {}
            source = Type((8, 12)[index], tuple((12, 15)[index] for _ in range(self.context.axes)))
            sources = [source, source] if two else [source]
            env = model.environment(block, arguments, sources)
            held = {slot: model.bind(form, env, {}, self.context) for slot, form in slots.items()}
            walks.append(
                Walk(
                    self.context,
                    env,
                    held,
                    dict(zip(block.get("inputs", ["x"]), sources, strict=True)),
                )
            )
        terms = [
            "width",
            "in_channels",
            *(["inner"] if "inner" in params else []),
            *let,
            "width * 2",
            8,
        ]
        flags = ["flag"] if "flag" in params else []
        strides = ["stride"] if "stride" in params else [2]
        builder = self.builder(walks, terms, flags, list(slots), strides)
        builder.most = 16
        if two:
            builder.add("add", {"op": self.pick(["add", "mul", "concat"])}, ["x", "skip"])
        self.pick([builder.unit, builder.unit, builder.vgg])()
        builder.grow(1 + self.below(5))
        builder.close()
        if not builder.nodes:
            return
        block["nodes"] = self.shuffled(builder.nodes)
        if list(block["nodes"])[-1] != builder.last:
            block["output"] = builder.last
        if self.chance(20):
            block["doc"] = "drawn: a block, with a colon"
        name = self.name("unit")
        self.define[name] = block
        if self.chance(15) and not two:
            more = {
                "extends": name,
                **self.pick([{"params": {"width": 8}}, {"doc": "the same again"}]),
            }
            self.define[self.name("unit")] = more

    def shuffled(self, nodes: dict[str, Form]) -> dict[str, Form]:
        """Another order of declaration, every read said."""
        if not self.chance(15):
            return nodes
        keys = list(nodes)
        explicit = {
            key: node if "inputs" in node else {**node, "inputs": keys[index - 1] if index else "x"}
            for index, (key, node) in enumerate(nodes.items())
        }
        at = self.below(len(keys))
        return {key: explicit[key] for key in [*keys[at:], *keys[:at]]}

    # --- the body

    def body(self, builder: Builder) -> None:
        self.stem(builder)
        self.stages(builder)
        marks = [each for each in builder.readable if each != "x"]
        builder.grow(self.below(8) + (0 if "stages" in self.document else 4))
        if builder.last == "x":
            builder.last = builder.previous
        kept: list[str] = []
        if self.chance(20):
            builder.unread, kept = (
                [builder.last],
                [each for each in builder.unread if each != builder.last],
            )
        builder.close()
        plan = self.auxiliary(builder, marks) if self.chance(12) else []
        if builder.nodes:
            self.document["nodes"] = builder.nodes
        head = self.head(builder)
        self.outputs(builder, kept, marks, plan, head)
        self.init(builder)

    def auxiliary(self, builder: Builder, marks: list[str]) -> list[str]:
        """A branch that only training computes."""
        spatial = [each for each in builder.readable if each != "x" and builder.types(each)[0].size]
        main = builder.last
        if not spatial or main == "x":
            return []
        builder.last = self.pick(spatial)
        if builder.last == main and not builder.nodes:
            return []
        keys = [
            builder.add("aux", {"op": "global_avg_pool"}),
            builder.add("aux", {"op": "flatten"}),
            builder.add("aux", {"op": "linear", "out": 5}),
        ]
        end = next((key for key in reversed(keys) if key), None)
        self.main = main
        builder.last = main
        return [end] if end else []

    def outputs(
        self, builder: Builder, kept: list[str], marks: list[str], plan: list[str], head: str | None
    ) -> None:
        last = head or builder.last
        if plan:
            self.document["train_outputs"] = plan
            self.document["outputs"] = [last, *kept]
        elif kept or self.chance(10):
            more = [each for each in marks if each != last and self.chance(40)]
            names = [*dict.fromkeys([*kept, *more, last])]
            form: Any = names
            if self.chance(40):
                form = {f"level{index}": name for index, name in enumerate(names)}
            self.document["outputs"] = form

    def init(self, builder: Builder) -> None:
        roles = {node["role"] for node in self.document.get("nodes", {}).values() if "role" in node}
        if self.chance(75):
            return
        rules: Form = {}
        for name in ["convolution", "linear", "batch_norm", "group_norm", *sorted(roles)]:
            if self.chance(40):
                weight = self.pick(
                    [
                        {"normal": 0.01},
                        {"trunc_normal": 0.02},
                        {"uniform": 0.1},
                        "default",
                        1,
                        {"constant": 0.5},
                    ]
                )
                if name in ("convolution", "linear") and self.chance(40):
                    weight = self.pick(
                        ["kaiming_uniform", "xavier_normal", "xavier_uniform", "kaiming_normal"]
                    )
                rules[name] = {"weight": weight} | (
                    {"bias": self.pick([0, {"normal": 0.1}])} if self.chance(40) else {}
                )
        if rules:
            self.document["init"] = rules

    def stem(self, builder: Builder) -> None:
        if self.chance(30):
            return
        name = self.pick([*STEMS, "inline"])
        known = model.library_block(name) or {}
        form: Form = {"op": name}
        if "width" in known.get("params", {}):
            form["width"] = self.pick([8, 4, 16])
        if "first" in known.get("params", {}) and self.chance(50):
            form["first"] = self.pick([4, 8])
        for slot in known.get("slots", {}):
            if self.chance(50):
                form[slot] = builder.slot_value(slot)
        if name == "inline":
            walk = builder.walks[0]
            inner = self.builder(
                [Walk(self.context, {"in_channels": self.channels}, {}, {"x": walk.values["x"]})],
                [8, 16],
                [],
                [],
                [2],
            )
            inner.unit()
            inner.grow(self.below(3))
            inner.close()
            if not inner.nodes:
                return
            form = {
                "nodes": inner.nodes,
                **({"output": inner.last} if inner.last != inner.previous else {}),
            }
        self.context.ops.clear()
        try:
            found = model.call(
                model.bind(form, {}, {}, self.context), [builder.walks[0].values["x"]], self.context
            )
        except Invalid:
            return
        assert isinstance(found, Type)
        builder.ops += len(self.context.ops)
        self.document["stem"] = form
        self.settle(builder, "stem", found)

    def settle(self, builder: Builder, key: str, found: Type) -> None:
        builder.walks[0].values[key] = found
        builder.last = builder.previous = key
        builder.readable = [each for each in builder.readable if each != "x"] + [key]
        builder.unread = [key]

    def stages(self, builder: Builder) -> None:
        if self.chance(30):
            return
        own = builder.own_blocks()
        name = self.pick([*RESIDUAL_BLOCKS, *own, "vgg_unit"])
        if name == "vgg_unit":
            self.define[name] = OWN_BLOCKS[name]
        known = model.block_of(name, self.context) or {}
        params = known.get("params", {})
        base: Form = {"op": name}
        if "base_width" in params and self.chance(30):
            base |= {"groups": 2, "base_width": 32}
        if "expansion" in params and self.chance(50):
            base["expansion"] = self.pick([2, 1])
        for slot in known.get("slots", {}):
            if slot == "antialias" or self.chance(50):
                base[slot] = builder.slot_value(slot)
        path = self.pick(
            [
                None,
                None,
                None,
                None,
                "<stage>.blocks.<index>",
                "trunk.*",
                "trunk.<stage>.unit<index>",
            ]
        )
        if path:
            base["as"] = path
        if name == "vgg_unit":
            path = "."
            base |= {"as": path, "pool": self.pick(["last", "first", "index == 1"])}
        counts = [1 + self.below(3) for _ in range(1 + self.below(3))]
        stages = Stages(sum(counts))
        source = builder.walks[0].values[builder.last]
        assert source is not None
        made: dict[str, Form] = {}
        found: list[Type] = []
        self.context.ops.clear()
        for number, count in enumerate(counts):
            node: Form = {"blocks": count} if count > 1 or path or self.chance(70) else {}
            node |= {"width": self.pick([4, 8, 16])}
            if "stride" in params and self.chance(60):
                node["stride"] = self.pick([2, 1])
            if "drop_path" in params and self.chance(30):
                node["drop_path"] = self.pick(
                    [
                        "0.1 * position / max(total - 1, 1)",
                        0.1,
                        "0.1 if last else 0.0",
                        "0.05 * index",
                    ]
                )
            if "drop" in params and self.chance(30):
                node["drop"] = "0.2 * (position + 1) / total"
            if "flag" in params and self.chance(40):
                node["flag"] = self.pick(["first", "last", "index % 2 == 0"])
            try:
                source = model.stage(builder.walks[0], {**base, **node}, source, stages)
            except Invalid:
                return
            if len(self.context.ops) + builder.ops > MOST_OPS:
                return
            found.append(source)
            made[f"layer{number + 1}"] = node
        builder.ops += len(self.context.ops)
        self.document |= {"block": base if len(base) > 1 else name, "stages": made}
        for key, each in zip(made, found, strict=True):
            self.settle(builder, key, each)
        if path and path.startswith("trunk.<"):  # a named container has one output
            builder.readable = [builder.last]

    def head(self, builder: Builder) -> str | None:
        if self.chance(25):
            return None
        form: Form = {"op": self.pick(HEADS), "classes": self.pick([10, 5])}
        if form["op"] == "classifier" and self.chance(50):
            form = {"classes": 7}
        if self.chance(20):
            form = {"nodes": {"headpool": {"op": "adaptive_avg_pool", "size": 2}, "headflat": {"op": "flatten"},
                              "classifier.0": {"op": "linear", "out": 12}, "classifier.1": {"op": "act"},
                              "classifier.2": {"op": "dropout", "rate": 0.5},
                              "classifier.3": {"op": "linear", "out": 6, "bias": False}}}  # fmt: skip
        form = {"op": "classifier", **form} if "nodes" not in form else form
        try:
            model.call(
                model.bind(form, {}, {}, self.context),
                [builder.walks[0].values[builder.last]],
                self.context,
            )
        except Invalid:
            return None
        if form.get("op") == "classifier":
            form = {key: each for key, each in form.items() if key != "op"}
        if "train_outputs" in self.document or (
            builder.nodes and list(builder.nodes)[-1] != builder.last
        ):
            return None
        self.document["head"] = form
        return "head"
