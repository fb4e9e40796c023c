"""One block, or the body of a network: nodes added one by one, each only if `model` accepts it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from generated import model
from generated.choices import Choices, Deciding
from generated.model import BlockRun, Form, Invalid, Type

# What the compiler does not do yet; True once it does.
NUMBERED_BRANCHES = False  # a numbered container inside a numbered one that is no chain

MOST_OPS = 60
MOST_ELEMENTS = 30_000  # of one value
MOST_CHANNELS = 192
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


@dataclass
class Builder(Deciding):
    """Nodes added one by one; every run runs the block other arguments and another input."""

    choices: Choices
    runs: list[BlockRun]
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
    used: set[str] = field(default_factory=set)  # blocks whose nodes are here
    previous: str = ""  # the node written last
    ops: int = 0
    most: int = MOST_OPS

    def types(self, name: str) -> list[Type]:
        return [run.values[name] for run in self.runs]  # type: ignore[misc]

    def alike(self, name: str, rule: Callable[[Type, Type], bool]) -> list[str]:
        """Values that go with a value in every run."""
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
        """Adds a node if every run can compute it and it is not too much; its key, or None."""
        names = list(inputs or [self.last])
        found: list[Type] = []
        executed = self.runs[0].context.ops
        executed.clear()
        for run in self.runs:
            try:
                result = run.node(node, names)
            except Invalid:
                return None
            large = isinstance(result, Type) and (
                result.channels > MOST_CHANNELS or result.elements > MOST_ELEMENTS
            )
            if not isinstance(result, Type) or (large and not always):
                return None
            found.append(result)
        count = len(executed) // len(self.runs)
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
        for run, each in zip(self.runs, found, strict=True):
            run.values[key] = each
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
        axes = self.runs[0].context.axes
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
        act = self.runs[0].context.ambient["act"].target
        shareable = name != "act" or act not in OWN_BLOCKS  # a module that is a block is not shared
        if not self.prefix and self.chance(40) and shareable:
            node["as"] = f"shared_{name}"
        self.add("act", node)

    def unit(self) -> None:
        """The usual three, in the usual containers."""
        self.convolution()
        self.norm()
        self.activation()

    def pool(self) -> None:
        if self.chance(15):
            self.add("pool", {"op": "avg_pool_same", "kernel": self.pick([2, 3])})
            return
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
        return dict(self.runs[0].env)

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
                model.value(t, run.env) == each.channels
                for run, each in zip(self.runs, self.types(self.last), strict=True))),
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

    def family(self, name: str) -> set[str]:
        """The blocks with the same keys: what a block extends, and what extends it."""
        define = self.runs[0].context.define
        base = define[name].get("extends", name)
        return {base, *(each for each, block in define.items() if block.get("extends") == base)}

    def spliced(self) -> None:
        """`as: .`: the nodes of a block become nodes of this one. Once for each block: keys are unique."""
        act = self.runs[0].context.ambient["act"].target
        names = [name for name in self.own_blocks() if name not in self.used]
        if names and not self.prefix and act not in OWN_BLOCKS:
            name = self.pick(names)
            if self.add("splice", {**self.defined_call(name), "as": "."}):
                self.used |= self.family(name)

    def own_blocks(self) -> list[str]:
        define = self.runs[0].context.define
        return [
            name
            for name, block in define.items()
            if name not in OWN_BLOCKS and "inputs" not in model.extended(block, define)
        ]

    def defined_call(self, name: str) -> Form:
        """A call of a block of `define:` with some of its arguments."""
        block = model.extended(self.runs[0].context.define[name], self.runs[0].context.define)
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
        """What a slot may be bound to: by its name in the library, otherwise what keeps the shape."""
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
        if self.runs[0].context.ambient["shortcut"].target is None:
            return
        if self.add("downsample", down, [start]):
            same = all(a == b for a, b in zip(self.types(main), self.types(self.last), strict=True))
            self.add("add", {"op": "add"}, [main, self.last]) if same else None

    def numbered_chain(self) -> None:
        """`seq.0`, `seq.1`, ... with other nodes in between."""
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
        runs = [
            BlockRun(run.context, {"in_channels": each.channels}, {}, {"x": each})
            for run, each in zip(self.runs, self.types(self.last), strict=True)
        ]
        inner = Builder(
            self.choices,
            runs,
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
        context = self.runs[0].context
        names = [
            name
            for name in context.define
            if name not in OWN_BLOCKS and name not in self.own_blocks()
        ]
        others = self.alike(self.last, lambda a, b: a == b)
        if names and others:
            self.add("pair", self.defined_call(self.pick(names)), [self.last, self.pick(others)])

    def otherwise(self) -> None:
        """`else:` names the value that is used where the node is left out."""
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
        """A join of values of different sizes: one number for each channel."""
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
