"""What a spec means, defined a second time: channels and sizes of every value, or `Invalid`.

The generator builds networks node by node and keeps a node only if this model accepts it, so that
specs are valid by construction. It is written from the language's definition and PyTorch's shape
formulas and shares no code with the compiler: where the two disagree, one of them is wrong.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

SPECS = Path(__file__).resolve().parents[2] / "specs"
RESERVED = ("op", "inputs", "when", "else", "as", "role", "blocks", "after")
ACTIVATIONS = ("relu", "relu6", "silu", "gelu", "sigmoid", "tanh")
JOINS = ("add", "mul", "concat")
PASS = "identity"  # a call that does nothing
Form = dict[str, Any]


class Invalid(Exception):
    """The compiler must reject this."""


@dataclass(frozen=True)
class Type:
    """A value: channels, spatial size (empty once flattened), how many positions are known to be left."""

    channels: int
    size: tuple[int, ...]
    positions: int | None = None
    reduction: float = field(default=1.0, compare=False)  # against the network's input

    @property
    def elements(self) -> int:
        return self.channels * math.prod(self.size)


@dataclass(frozen=True)
class Bound:
    """The content of a slot."""

    target: str | Form | None  # an op's or block's name, an inline block, None for `none`
    arguments: Mapping[str, Any] = field(default_factory=dict)
    slots: Mapping[str, Bound] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """The network around a block."""

    axes: int
    ambient: Mapping[str, Bound]
    define: Mapping[str, Form]
    output_stride: int | None = None
    ops: list[str] = field(default_factory=list, compare=False)  # every op that was ever evaluated


# --- expressions


def _divisible(value: float, by: int, keep: float = 0.0) -> int:
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < keep * value else rounded


_FUNCTIONS = {
    "min": min, "max": max, "abs": abs, "int": int, "round": round, "floor": math.floor,
    "ceil": math.ceil, "log2": math.log2, "sqrt": math.sqrt, "divisible": _divisible,
    "true": True, "false": False,
}  # fmt: skip


def value(term: Any, env: Mapping[str, Any]) -> Any:
    """The value of a term: a number, a list, or an expression as text."""
    if isinstance(term, list):
        return tuple(value(each, env) for each in term)
    if not isinstance(term, str):
        return term
    return eval(term, {"__builtins__": {}}, {**_FUNCTIONS, **env})


# --- the library


def library_names(kind: str) -> tuple[str, ...]:
    """The names of the library's `blocks`, `shortcuts`, `stems` or `heads`."""
    return tuple(sorted(path.stem for path in (SPECS / kind).glob("*.yaml")))


@functools.cache
def library_block(name: str) -> Form | None:
    """A block, policy, stem or head of the library, after `extends`."""
    for kind in ("blocks", "shortcuts", "stems", "heads"):
        path = SPECS / kind / f"{name}.yaml"
        if path.is_file():
            return extended(yaml.load(path.read_text(), yaml.BaseLoader), {})
    return None


def extended(block: Form, define: Mapping[str, Form]) -> Form:
    """A block over the block that it extends."""
    if "extends" not in block:
        return block
    name = block["extends"]
    base = define[name] if name in define else library_block(name)
    assert base is not None
    return merged(extended(base, define), {k: v for k, v in block.items() if k != "extends"})


def merged(base: Form, later: Form) -> Form:
    """Maps merge deeply, None deletes, `after` places, the rest replaces."""
    result = dict(base)
    for key, each in later.items():
        if each in (None, "null"):
            result.pop(key, None)
        elif isinstance(each, dict) and key in result and "op" not in each:
            here = result[key]
            result[key] = merged(here if isinstance(here, dict) else {"op": here}, each)
        else:
            fresh = key not in result
            result[key] = each
            if fresh and isinstance(each, dict) and "after" in each:
                order = [k for k in result if k != key]
                order.insert(order.index(each["after"]) + 1, key)
                result = {k: result[k] for k in order}
    return result


# --- ops


def per_axis(number: Any, axes: int) -> tuple[int, ...]:
    return number if isinstance(number, tuple) else (int(number),) * axes


def _need(condition: bool, why: str = "") -> None:
    if not condition:
        raise Invalid(why)


def _window(source: Type, a: Mapping[str, Any], ceil: bool = False) -> tuple[int, ...]:
    _need(bool(source.size), "flattened")
    axes, sizes = len(source.size), []
    columns = (per_axis(a[name], axes) for name in ("kernel", "stride", "padding", "dilation"))
    for size, kernel, stride, padding, dilation in zip(source.size, *columns, strict=True):
        room = size + 2 * padding - dilation * (kernel - 1) - 1
        _need(room >= 0, "a kernel beyond its input")
        out = (-(-room // stride) if ceil else room // stride) + 1
        if ceil and (out - 1) * stride >= size + padding:
            out -= 1
        sizes.append(out)
    return tuple(sizes)


def _sees_something(source: Type, a: Mapping[str, Any], size: tuple[int, ...]) -> bool:
    """Whether every window of a dilated pool has a position that is not padding.

    Torch does not ask; its backward pass writes outside the tensor where one does not.
    """
    axes = len(size)
    columns = (per_axis(a[name], axes) for name in ("kernel", "stride", "padding", "dilation"))
    return all(
        any(0 <= place * stride - padding + tap * dilation < before for tap in range(kernel))
        for before, after, kernel, stride, padding, dilation in zip(
            source.size, size, *columns, strict=True
        )
        for place in range(after)
    )


def _default_padding(kernel: Any, dilation: Any) -> Any:
    if isinstance(kernel, tuple) or isinstance(dilation, tuple):
        axes = max(len(each) for each in (kernel, dilation) if isinstance(each, tuple))
        pairs = zip(per_axis(kernel, axes), per_axis(dilation, axes), strict=True)
        return tuple(_default_padding(k, d) for k, d in pairs)
    return dilation * (kernel - 1) // 2 if kernel % 2 else 0


def _truth(flag: Any) -> bool:
    return flag in (True, "true")


def op(name: str, a: dict[str, Any], sources: Sequence[Type], axes: int) -> Type:
    """The result of an op of the table."""
    source = sources[0]
    far = max(each.reduction for each in sources)
    if name in ("convolution", "max_pool", "avg_pool"):
        a.setdefault("dilation", 1)
        a.setdefault("stride", 1 if name == "convolution" else a["kernel"])
        a.setdefault("padding", _default_padding(a["kernel"], a["dilation"]))
    far *= max(per_axis(a.get("stride", 1), axes))
    if name == "convolution":
        groups = a.get("groups", 1)
        _need(a["out"] >= 1 and groups >= 1)
        _need(source.channels % groups == 0 and a["out"] % groups == 0, "groups")
        pointwise = a["kernel"] == 1 and a["stride"] == 1 and a["padding"] == 0
        return Type(a["out"], _window(source, a), source.positions if pointwise else None, far)
    if name in ("max_pool", "avg_pool"):
        pairs = zip(per_axis(a["kernel"], axes), per_axis(a["padding"], axes), strict=True)
        _need(all(2 * p <= k for k, p in pairs), "padding of a pool")
        if name == "avg_pool" and len(source.size) == 3:  # torch's own rule
            _need(
                all(
                    size >= k
                    for size, k in zip(source.size, per_axis(a["kernel"], axes), strict=True)
                )
            )
        size = _window(source, a, _truth(a.get("ceil")))
        _need(name == "avg_pool" or _sees_something(source, a, size), "a window of padding")
        return Type(source.channels, size, None, far)
    if name == "linear":
        _need(not source.size and a["out"] >= 1)
        return Type(a["out"], (), 1, far)
    if name == "channel_conv":
        same = 2 * a.get("padding", _default_padding(a["kernel"], 1)) == a["kernel"] - 1
        _need(math.prod(source.size) == 1 and same)
        return source
    if name == "batch_norm":
        _need(bool(source.size))
        return source
    if name == "group_norm":
        groups = a.get("groups", 32)
        _need(source.channels % groups == 0 and source.channels * math.prod(source.size) > groups)
        return source
    if name in ACTIVATIONS or name in ("dropout", "drop_path"):
        return source
    if name == "avg_pool_same":
        _need(bool(source.size) and (axes < 3 or min(source.size) >= a["kernel"]))
        return Type(source.channels, source.size, None, far)
    if name == "adaptive_avg_pool":
        _need(bool(source.size))
        size = per_axis(a["size"], axes)
        return Type(source.channels, size, math.prod(size), far)
    if name == "global_avg_pool":
        _need(bool(source.size))
        return Type(source.channels, (1,) * axes, 1, far)
    if name == "flatten":
        _need(source.positions is not None)
        return Type(source.elements, (), 1, far)
    if name == "blur":
        _need(bool(source.size) and min(source.size) >= 2)
        window = {"kernel": 3, "padding": 1, "dilation": 1, **a}
        return Type(source.channels, _window(source, window), None, far)
    if name == "subsample":
        _need(bool(source.size))
        steps = zip(source.size, per_axis(a["stride"], axes), strict=True)
        return Type(source.channels, tuple(-(-size // stride) for size, stride in steps), None, far)
    if name == "pad_channels":
        _need(bool(source.size), "flattened")
        more = a.get("front", 0) + a.get("back", 0)
        _need(min(a.get("front", 0), a.get("back", 0)) >= 0)
        return replace(source, channels=source.channels + more)
    if name == "resize":
        _need(bool(source.size))
        size = tuple(each * a["scale"] for each in source.size)
        return Type(source.channels, size, None, far / a["scale"])
    return _join(name, sources, far)


def _join(name: str, sources: Sequence[Type], far: float) -> Type:
    first = sources[0]
    for other in sources[1:]:
        _need(len(other.size) == len(first.size))
        if name == "add":
            _need((other.channels, other.size) == (first.channels, first.size))
        elif name == "concat":
            _need(other.size == first.size)
        else:
            pairs = zip((other.channels, *other.size), (first.channels, *first.size), strict=True)
            _need(all(b in (a, 1) for b, a in pairs))
    if name == "concat":
        return Type(sum(each.channels for each in sources), first.size, first.positions, far)
    return replace(first, reduction=far)


_ATTRIBUTES = {
    "convolution": ("out", "kernel", "stride", "dilation", "groups", "padding", "bias"),
    "linear": ("out", "bias"),
    "channel_conv": ("kernel", "padding", "bias"),
    "batch_norm": ("eps", "momentum"),
    "group_norm": ("groups", "eps"),
    "max_pool": ("kernel", "stride", "dilation", "padding", "ceil"),
    "avg_pool": ("kernel", "stride", "padding", "ceil", "count_pad"),
    "avg_pool_same": ("kernel",),
    "adaptive_avg_pool": ("size",),
    "dropout": ("rate",),
    "drop_path": ("rate",),
    "blur": ("stride",),
    "subsample": ("stride",),
    "pad_channels": ("front", "back"),
    "resize": ("scale", "mode"),
}
OPS = (*_ATTRIBUTES, *ACTIVATIONS, *JOINS, "global_avg_pool", "flatten")


# --- blocks


def bind(form: Any, env: Mapping[str, Any], slots: Mapping[str, Bound], context: Context) -> Bound:
    """The content of a slot: a name, a call, an inline block."""
    if isinstance(form, str):
        form = {"op": form}
    if "nodes" in form:
        inline = ("nodes", "params", "slots", "let", "output")
        return Bound({key: each for key, each in form.items() if key in inline})
    name = form["op"]
    if name == "none":
        return Bound(None)
    given = {k: v for k, v in form.items() if k not in RESERVED}
    base = slots.get(name) or context.ambient.get(name) or Bound(name)
    arguments, inner = dict(base.arguments), dict(base.slots)
    known = block_of(base.target, context)
    for key, each in given.items():
        if known and key in known.get("slots", {}):
            inner[key] = bind(each, env, slots, context)
        else:
            arguments[key] = each if key == "mode" else value(each, env)
    return Bound(base.target, arguments, inner)


def block_of(target: Any, context: Context) -> Form | None:
    """The block of a name, or None for an op."""
    if isinstance(target, dict):
        return target
    if target in context.define:
        return extended(context.define[target], context.define)
    return library_block(target) if isinstance(target, str) and target not in OPS else None


def call(bound: Bound, sources: Sequence[Type | None], context: Context) -> Type | str | None:
    """The result of what is bound; PASS, or None for no value."""
    if bound.target is None:
        return None
    if bound.target == PASS:
        return PASS
    block = block_of(bound.target, context)
    if block is not None:
        known = block.get("params", {})
        arguments = {k: v for k, v in bound.arguments.items() if k in known}
        return run_block(block, arguments, bound.slots, sources, context)
    assert isinstance(bound.target, str)
    present = [each for each in sources if each is not None]
    if bound.target in JOINS and len(present) < 2:
        return present[0] if present else None
    _need(len(present) == len(sources) or bound.target in JOINS, "no value")
    context.ops.append(bound.target)
    known_names = _ATTRIBUTES.get(bound.target, ())
    return op(
        bound.target,
        {k: v for k, v in bound.arguments.items() if k in known_names},
        present,
        context.axes,
    )


def environment(
    block: Form, arguments: Mapping[str, Any], sources: Sequence[Type | None]
) -> dict[str, Any]:
    """The names that expressions of a block may use."""
    env: dict[str, Any] = {}
    for index, (name, source) in enumerate(zip(block.get("inputs", ["x"]), sources, strict=True)):
        env["in_channels" if index == 0 else f"{name}_channels"] = source.channels if source else 0
    for name, default in block.get("params", {}).items():
        if name not in arguments and default in ("int", "float", "bool"):
            raise Invalid(f"{name} is missing")
        env[name] = arguments[name] if name in arguments else value(default, env)
    for name, term in block.get("let", {}).items():
        env[name] = value(term, env)
    return env


def run_block(
    block: Form,
    arguments: Mapping[str, Any],
    slots: Mapping[str, Bound],
    sources: Sequence[Type | None],
    context: Context,
) -> Type | str | None:
    """The result of a block."""
    env = environment(block, arguments, sources)
    if not value(block.get("when", True), env):
        return PASS
    bound = {
        name: slots.get(name) or bind(form, env, {}, context)
        for name, form in block.get("slots", {}).items()
    }
    run = BlockRun(context, env, bound, dict(zip(block.get("inputs", ["x"]), sources, strict=True)))
    run.nodes(block["nodes"])
    found = run.values[block.get("output", list(block["nodes"])[-1])]
    _need(found is not None, "no output")
    return found


@dataclass
class BlockRun:
    """The values of one block, node by node."""

    context: Context
    env: Mapping[str, Any]
    slots: Mapping[str, Bound]
    values: dict[str, Type | None]
    paths: set[str] = field(default_factory=set)  # of modules that are blocks

    def nodes(self, nodes: Mapping[str, Form]) -> None:
        """All nodes, in an order in which they can be computed."""
        keys, first = list(nodes), next(iter(self.values))
        waiting = {
            key: reads(nodes[key], keys[index - 1] if index else first)
            for index, key in enumerate(keys)
        }
        while waiting:
            ready = [
                key
                for key, names in waiting.items()
                if not {*names, nodes[key].get("else", names[0])} & waiting.keys()
            ]
            _need(bool(ready), "a cycle")
            for key in ready:
                self.values[key] = self.node(nodes[key], waiting.pop(key))

    def node(
        self, node: Form, names: Sequence[str], extra: Mapping[str, Any] | None = None
    ) -> Type | None:
        """One node, once."""
        env = {**self.env, **(extra or {})}
        sources = [None if name == "none" else self.values[name] for name in names]
        passes = self.values[node.get("else", names[0])]
        if not value(node.get("when", True), env):
            return passes
        if "blocks" in node:
            return self.repeated(node, sources, value(node["blocks"], env))
        bound = bind(node, env, self.slots, self.context)
        found = call(bound, sources, self.context)
        if isinstance(found, Type) and block_of(bound.target, self.context):
            self.own_path(str(node.get("as", "")))
        return passes if found == PASS else found  # type: ignore[return-value]

    def own_path(self, path: str) -> None:
        """A module that is a block is not shared; only ops are."""
        if path and not set(path) & set("*<."):
            _need(path not in self.paths, "a shared block")
            self.paths.add(path)

    def repeated(self, node: Form, sources: list[Type | None], count: int) -> Type | None:
        """`blocks: N` inside a block."""
        for index in range(count):
            env = {
                **self.env,
                "index": index,
                "position": index,
                "total": count,
                "first": index == 0,
                "last": index == count - 1,
            }
            bound = bind(node, env, self.slots, self.context)
            if index and "stride" in bound.arguments:
                bound = replace(bound, arguments={**bound.arguments, "stride": 1})
            found = call(bound, sources, self.context)
            _need(isinstance(found, Type), "the blocks of a stage do nothing")
            sources = [found, *sources[1:]]  # type: ignore[list-item]
        return sources[0]


def reads(node: Form, previous: str) -> list[str]:
    """The names of the values that a node reads."""
    names = node.get("inputs", previous)
    return names if isinstance(names, list) else [names]


@dataclass
class Stages:
    """What one stage passes to the next under `output_stride`, and the position of a stage."""

    total: int
    position: int = 0
    dilation: int = 1


def stage(run: BlockRun, node: Form, source: Type, stages: Stages) -> Type:
    """A stage: its stride goes to the first block; a stride beyond `output_stride` becomes dilation."""
    env = {**run.env, **_stage_values(0, 1, stages)}
    count = value(node.get("blocks", 1), env)
    stride = value(node["stride"], env) if "stride" in node else None
    first_dilation, limit = stages.dilation, run.context.output_stride
    _need(
        not limit or stages.dilation > 1 or source.reduction <= limit,
        "the stride is beyond the limit already",
    )
    if limit and isinstance(stride, int) and source.reduction * stride > limit:
        stages.dilation, stride = stages.dilation * stride, 1
    for index in range(count):
        env = {**run.env, **_stage_values(index, count, stages)}
        bound = bind(node, env, run.slots, run.context)
        instead: dict[str, Any] = {}
        if "stride" in node:
            instead["stride"] = stride if index == 0 else 1
        if limit and stages.dilation > 1:
            instead["dilation"] = stages.dilation
            instead |= {"first_dilation": first_dilation} if index == 0 else {}
        block = block_of(bound.target, run.context)
        _need(block is not None, "a stage repeats a block")
        assert block is not None
        _need(instead.keys() <= block.get("params", {}).keys(), "the block has no such parameter")
        found = call(
            replace(bound, arguments={**bound.arguments, **instead}), [source], run.context
        )
        _need(isinstance(found, Type), "the blocks of a stage do nothing")
        source = found  # type: ignore[assignment]
    stages.position += count
    return source


def _stage_values(index: int, count: int, stages: Stages) -> dict[str, Any]:
    return {
        "index": index,
        "position": stages.position + index,
        "total": stages.total,
        "first": index == 0,
        "last": index == count - 1,
    }


# --- networks


@functools.cache
def library_network(name: str) -> Form:
    """A network of the library, after `extends`."""
    form = yaml.load((SPECS / f"{name}.yaml").read_text(), yaml.BaseLoader)
    if "extends" not in form:
        return form  # type: ignore[no-any-return]
    return merged(
        library_network(form["extends"]), {k: v for k, v in form.items() if k != "extends"}
    )


def ambient_of(form: Form, axes: int) -> dict[str, Bound]:
    """The ambient slots of a network."""
    defaults = {"conv": "convolution", "norm": "batch_norm", "act": "relu", "shortcut": "none"}
    empty = Context(axes, {}, form.get("define", {}))
    return {
        name: bind(form.get(name, default), {}, {}, empty) for name, default in defaults.items()
    }


def network(form: Form) -> int:
    """How many ops a network of stem, stages and head has. Raises Invalid."""
    if "extends" in form:
        form = merged(
            library_network(form["extends"]), {k: v for k, v in form.items() if k != "extends"}
        )
    size = tuple(int(each) for each in form["input"]["size"])
    limit = form.get("output_stride")
    context = Context(
        len(size), ambient_of(form, len(size)), form.get("define", {}), limit and int(limit)
    )
    source = Type(int(form["input"]["channels"]), size)
    run = BlockRun(context, {"in_channels": source.channels}, {}, {"x": source})
    found: Any = source
    if "stem" in form:
        found = call(bind(form["stem"], run.env, {}, context), [found], context)
    stages = Stages(sum(value(each.get("blocks", 1), run.env) for each in form["stages"].values()))
    for node in form["stages"].values():
        found = stage(
            run, merged({"block": form["block"]}, {"block": node})["block"], found, stages
        )
    if "head" in form:
        head = form["head"] if isinstance(form["head"], dict) else {"op": form["head"]}
        found = call(
            bind(head if "nodes" in head else {"op": "classifier", **head}, run.env, {}, context),
            [found],
            context,
        )
    _need(isinstance(found, Type))
    return len(context.ops)
