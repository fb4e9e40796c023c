"""Random programs: valid specs of residual networks, as YAML text.

`networks()` is the hypothesis strategy, `spec_of(Drawn(random.Random(seed)))` a fixed sample. A
network is built node by node; a node that `model` rejects is left out, so that what remains is
valid. `model` knows channels and sizes; what else the language demands (every value is read, a
named container has one output) is true by how nodes are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from generated import model
from generated.builder import MOST_ELEMENTS, MOST_OPS, OWN_BLOCKS, Builder
from generated.choices import Choices, Deciding, Shrinkable
from generated.model import BlockRun, Context, Form, Invalid, Stages, Type
from generated.text import written

STEMS = [  # the others are pools, for the slots of these
    name for name in model.library_names("stems") if "params" in (model.library_block(name) or {})
]
HEADS = model.library_names("heads")
POLICIES = (
    "none",
    "identity",
    "zero_pad",
    "projection",
    "projection_3x3",
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


@st.composite
def networks(draw: Callable[[Any], Any]) -> str:
    """Valid specs, as YAML text."""
    return spec_of(Shrinkable(draw))


def spec_of(choices: Choices) -> str:
    """One valid spec, as YAML text."""
    return next(text for text in drafts(choices) if text is not None)


def drafts(choices: Choices) -> Iterator[str | None]:
    """Attempts at a spec; None for one that failed."""
    for _ in range(20):
        form = Program(choices).form()
        yield None if form is None else written(form)
    raise AssertionError("twenty networks in a row came to nothing")


class Program(Deciding):
    """One network: ambient slots, blocks, stem, stages, nodes, head, outputs."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.count = 10
        self.spliced: set[str] = set()

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def form(self) -> Form | None:
        """The document; None if the attempt failed."""
        return self.derived() if self.chance(16) else self.network()

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
        run = BlockRun(self.context, env, {}, {"x": Type(self.channels, tuple(self.size))})
        terms = [8, 4, 16, 12, *(["base", "wide"] if "base" in env else [])]
        self.body(self.builder([run], terms, [], [], [2]))
        if not any(key in self.document for key in ("nodes", "stages", "stem")):
            return None
        if self.define:
            self.document["define"] = self.define
        if self.context.output_stride:
            self.document["output_stride"] = stride
        return self.document

    def builder(
        self,
        runs: list[BlockRun],
        terms: list[Any],
        flags: list[str],
        slots: list[str],
        strides: list[Any],
    ) -> Builder:
        return Builder(
            self.choices,
            runs,
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
        runs = []
        for index, arguments in enumerate(given):
            arguments |= {"stride": 2 - index} if "stride" in params else {}
            arguments |= {"flag": index == 0} if "flag" in params else {}
            source = Type((8, 12)[index], tuple((12, 15)[index] for _ in range(self.context.axes)))
            sources = [source, source] if two else [source]
            env = model.environment(block, arguments, sources)
            bound = {slot: model.bind(form, env, {}, self.context) for slot, form in slots.items()}
            runs.append(
                BlockRun(
                    self.context,
                    env,
                    bound,
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
        builder = self.builder(runs, terms, flags, list(slots), strides)
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
        """Another order of declaration, with every read written out."""
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
        plan = self.auxiliary(builder) if self.chance(12) else []
        if builder.nodes:
            self.document["nodes"] = builder.nodes
        head = self.head(builder)
        self.outputs(builder, kept, marks, plan, head)
        self.init(builder)

    def auxiliary(self, builder: Builder) -> list[str]:
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
            run = builder.runs[0]
            inner = self.builder(
                [
                    BlockRun(
                        self.context, {"in_channels": self.channels}, {}, {"x": run.values["x"]}
                    )
                ],
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
                model.bind(form, {}, {}, self.context), [builder.runs[0].values["x"]], self.context
            )
        except Invalid:
            return
        assert isinstance(found, Type)
        builder.ops += len(self.context.ops)
        self.document["stem"] = form
        self.settle(builder, "stem", found)

    def settle(self, builder: Builder, key: str, found: Type) -> None:
        builder.runs[0].values[key] = found
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
        source = builder.runs[0].values[builder.last]
        assert source is not None
        made: dict[str, Form] = {}
        found: list[Type] = []
        self.context.ops.clear()
        for number, count in enumerate(counts):
            node: Form = {"blocks": count} if count > 1 or path or self.chance(70) else {}
            node |= {"width": self.pick([4, 8, 16])}
            if "stride" in params and self.chance(75):
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
            for smaller in ({}, {"blocks": 1}, {"blocks": 1, "stride": 1}):
                attempt = {**node, **{key: each for key, each in smaller.items() if key in node}}
                result = self.stage({**base, **attempt}, source, stages, MOST_OPS - builder.ops)
                if result:
                    break
            else:
                break
            node, (source, count) = attempt, result
            builder.ops += count
            found.append(source)
            made[f"layer{number + 1}"] = node
        if not made:
            return
        self.document |= {"block": base if len(base) > 1 else name, "stages": made}
        for key, each in zip(made, found, strict=True):
            self.settle(builder, key, each)
        if path and path.startswith("trunk.<"):  # a named container has one output
            builder.readable = [builder.last]

    def stage(self, node: Form, source: Type, stages: Stages, most: int) -> tuple[Type, int] | None:
        """The result of a stage and its number of ops, if it computes and is not too much."""
        after = replace(stages)
        run = BlockRun(self.context, {"in_channels": self.channels}, {}, {})
        self.context.ops.clear()
        try:
            result = model.stage(run, node, source, after)
        except Invalid:
            return None
        count = len(self.context.ops)
        if count > most or result.elements > MOST_ELEMENTS:
            return None
        stages.position, stages.dilation = after.position, after.dilation
        return result, count

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
                [builder.runs[0].values[builder.last]],
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
