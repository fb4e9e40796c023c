"""Hostile plans: mutations of good ones and some by hand, with digests made right again.

    {"op": "relu", "inputs": ["x"], ...}  ->  {"op": "subsample", "inputs": ["y"], "module": "forward", ...}

Each is loaded under an audit hook, in a child that has loaded one good plan before. It must end in a
PlanError, or in a module that computes what the same steps compute in plain functions of torch; and
nothing may be compiled, executed, imported, written or started.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz.forked import DONE, MEGABYTE, Limits, Outcome, run
from fuzz.tally import Tally, share, watched

KIND = "plans"
LIMITS = Limits(memory=4096 * MEGABYTE, cpu=60)
BYTES = 256 * MEGABYTE  # beyond a good plan's
LARGEST = 10**7  # elements of all values, up to which an accepted plan is run
EVENTS = ("compile", "exec", "import", "socket.", "subprocess.", "os.")

# Every op that a plan may have, at sizes at which a call takes a moment.
EVERYTHING = """
network: everything
input: {channels: 4, size: [16, 16]}
nodes:
  c1: {op: conv, inputs: x, out: 8, kernel: 3}
  n1: {op: norm}
  r1: {op: relu}
  c2: {op: conv, out: 8, kernel: 3, groups: 2}
  n2: {op: norm}
  a1: {op: add, inputs: [n2, r1]}
  r2: {op: relu}
  n3: {op: norm}
  bl: {op: blur, stride: 2}
  up: {op: resize, scale: 2, mode: linear}
  ca: {op: concat, inputs: [up, r2]}
  gn: {op: group_norm, groups: 4}
  si: {op: silu}
  pc: {op: pad_channels, front: 1, back: 3}
  su: {op: subsample, stride: 2}
  mp: {op: max_pool, kernel: 3, stride: 1, padding: 1}
  ap: {op: avg_pool_same, kernel: 2}
  gp: {op: global_avg_pool}
  ch: {op: channel_conv, kernel: 3}
  sg: {op: sigmoid}
  mu: {op: mul, inputs: [ap, sg]}
  aa: {op: adaptive_avg_pool, size: 2}
  fl: {op: flatten}
  fc: {op: linear, out: 5}
outputs: {logits: fc, gate: mu}
"""
LIBRARY: dict[str, dict[str, object]] = {
    "resnet20": {"input.size": [16, 16]},
    "resnet18_1d": {"input.size": [64]},
}


def good_plans(folder: Path) -> list[Path]:
    """Writes the plans that are mutated."""
    import torch

    import resnetgen
    from resnetgen.pipeline import compile_spec, compile_text
    from resnetgen.runtime.inference import inference_module
    from resnetgen.runtime.load import build
    from resnetgen.runtime.plans import plan_key, save_plan

    torch.manual_seed(0)
    paths = []
    for compiled in [
        compile_text(EVERYTHING),
        *(compile_spec(name, **more) for name, more in LIBRARY.items()),
    ]:
        name = compiled.network.name
        network = build(compiled.source, name)
        for buffer in network.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
        state = network.state_dict()
        module = inference_module(compiled.inference_plan, compiled.inference_source, state)
        key = plan_key(compiled.network, state, next(network.parameters()))
        path = folder / name / "net.plan.json"
        path.parent.mkdir()
        save_plan(path, key, module, compiled.inference_source, compiled.inference_plan.forward)
        resnetgen.load_plan(path)
        paths.append(path)
    return paths


# --- mutations


Plan = dict[str, Any]
NUMBERS = (0, -1, 1, 2, 3, 4, 5, 7, 8, 16, 64, 999, 4096, 65_536, 10**6, 2**31 - 1, 2**31, 10**18, 10**400, 0.5, -0.0, 1e308,
           math.nan, math.inf, True, None)  # fmt: skip
TEXTS = ("x", "y", "z", "input", "", ".", "a.b", "forward", "training", "_modules", "_steps", "_slots", "__class__", "__init__", "__dict__",
         "state_dict", "load_state_dict", "conv1", "self", "None", "é", "a b", "../x", "/dev/zero", "x" * 300, "os.system", "nn.Module",
         "nearest", "linear", "dropout", "drop_path")  # fmt: skip


def mutated(plan: Plan, rng: random.Random) -> Plan:
    """A plan with one to four mutations; in half of the cases with types that follow from the steps."""
    plan = copy.deepcopy(plan)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        rng.choice(_MUTATIONS)(plan, rng)
    return plan


def _step(plan: Plan, rng: random.Random) -> dict[str, Any]:
    given = plan.get("steps")
    steps = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return rng.choice(steps) if steps else {}


def _anything(plan: Plan, rng: random.Random) -> None:
    """Replaces, deletes or adds a value somewhere."""
    places: list[tuple[Any, Any]] = []
    todo: list[Any] = [plan]
    while todo:
        value = todo.pop()
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in pairs:
            places.append((value, key))
            if isinstance(each, dict | list):
                todo.append(each)
    home, key = rng.choice(places)
    match rng.randrange(4):
        case 0:
            del home[key]
        case 1:
            home[key] = rng.choice((*NUMBERS, *TEXTS, [], {}, [1], ["x"], {"a": 1}))
        case 2:
            home[key] = copy.deepcopy(rng.choice(places)[0])
        case _ if isinstance(home, dict):
            home[rng.choice(TEXTS)] = rng.choice((*NUMBERS, *TEXTS))
        case _:
            home.insert(key, rng.choice((*NUMBERS, *TEXTS)))


def _attribute(plan: Plan, rng: random.Random) -> None:
    attributes = _step(plan, rng).get("attributes")
    if isinstance(attributes, dict) and attributes:
        name = rng.choice([*attributes])
        value = rng.choice(NUMBERS)
        attributes[name] = rng.choice((value, [value, 1], [value, value], rng.choice(TEXTS)))


def _small_attribute(plan: Plan, rng: random.Random) -> None:
    """A value that is likely to be valid."""
    attributes = _step(plan, rng).get("attributes")
    if isinstance(attributes, dict) and attributes:
        name = rng.choice([*attributes])
        flag = isinstance(attributes[name], bool)
        attributes[name] = rng.choice((True, False)) if flag else rng.randrange(6)


def _operands(plan: Plan, rng: random.Random) -> None:
    step, other = _step(plan, rng), _step(plan, rng)
    if isinstance(step.get("inputs"), list) and "value" in other:
        if step["inputs"] and rng.random() < 0.7:
            step["inputs"][rng.randrange(len(step["inputs"]))] = other["value"]
        else:
            step["inputs"].append(other["value"])


def _fusion(plan: Plan, rng: random.Random) -> None:
    step, other = _step(plan, rng), _step(plan, rng)
    match rng.randrange(4):
        case 0:
            step.pop("addend", None)
        case 1:
            step["addend"] = other.get("value", "x")
        case 2:
            step["relu"] = not step.get("relu")
        case _:
            step["value"] = other.get("value", "x")


def _op(plan: Plan, rng: random.Random) -> None:
    """Another op, with attributes of its own where it has defaults."""
    from resnetgen.compiler.ir.op_def import complete_attributes
    from resnetgen.compiler.ir.ops import OPS

    step = _step(plan, rng)
    name = rng.choice([*OPS])
    step["op"] = name
    given = {each: rng.randrange(1, 5) for each, of in OPS[name].attributes.items() if of.required}
    step["attributes"] = {
        key: [*v] if isinstance(v, tuple) else v
        for key, v in complete_attributes(OPS[name], given).items()
    }
    if rng.random() < 0.5:
        step.pop("module", None)
    else:
        step["module"] = rng.choice(
            ("m", "m", rng.choice(TEXTS), _step(plan, rng).get("module", "m"))
        )


def _order(plan: Plan, rng: random.Random) -> None:
    steps = plan.get("steps")
    if not isinstance(steps, list) or len(steps) < 2:
        return
    one, other = rng.randrange(len(steps)), rng.randrange(len(steps))
    match rng.randrange(4):
        case 0:
            steps[one], steps[other] = steps[other], steps[one]
        case 1:
            steps.insert(other, copy.deepcopy(steps[one]))
        case 2:
            del steps[one]
        case _:
            near = min(one, len(steps) - 2)
            steps[near], steps[near + 1] = steps[near + 1], steps[near]


def _deletion(plan: Plan, rng: random.Random) -> None:
    step, other = _step(plan, rng), _step(plan, rng)
    if rng.random() < 0.3:
        step.pop("delete", None)
    else:
        step["delete"] = [other.get("value", "x")] * rng.choice((1, 1, 2))


def _outputs(plan: Plan, rng: random.Random) -> None:
    values = [_step(plan, rng).get("value", "x") for _ in range(rng.randrange(4))]
    plan["outputs"] = values if rng.random() < 0.5 else {rng.choice(TEXTS): each for each in values}


def _input(plan: Plan, rng: random.Random) -> None:
    sizes = [
        rng.choice((1, 2, 3, 4, 16, 17, rng.choice(NUMBERS))) for _ in range(rng.randrange(1, 5))
    ]
    plan["input"] = {"name": rng.choice(("x", "x", rng.choice(TEXTS))), "type": sizes}


_MUTATIONS: Sequence[Callable[[Plan, random.Random], None]] = (
    _anything, _attribute, _small_attribute, _small_attribute, _operands, _operands, _fusion, _fusion, _op, _order, _deletion, _outputs, _input,
)  # fmt: skip


def by_hand(plan: Plan) -> Iterator[Plan]:
    """Plans that are long, deep or large, from a good one with the input `x`."""
    channels = plan["input"]["type"][0]
    key = {name: plan[name] for name in ("plan", "key", "weights")}

    def made(shape: list[int], steps: list[dict[str, Any]], outputs: Any = None) -> Plan:
        return {
            **key,
            "input": {"name": "x", "type": shape},
            "steps": steps,
            "outputs": outputs or [steps[-1]["value"]],
        }

    def concat(factor: int, shape: list[int]) -> dict[str, Any]:
        return {
            "value": "x",
            "op": "concat",
            "inputs": ["x"] * factor,
            "type": [factor * shape[0], *shape[1:]],
        }

    doubling, shape = list[dict[str, Any]](), [channels, 1, 1]
    for _ in range(40):
        doubling.append(concat(2, shape))
        shape = doubling[-1]["type"]
    yield made([channels, 1, 1], doubling)
    blur = {"op": "blur", "inputs": ["x"], "module": "blur", "attributes": {"stride": 1}}
    wide = [*doubling[:25], {**blur, "value": "x", "type": [channels << 25, 1, 1]}]
    yield made([channels, 2, 2], [{**each, "type": [each["type"][0], 2, 2]} for each in wide])
    relu = {"op": "relu", "module": "relu", "inputs": ["x"]}
    alive = [{**relu, "value": f"v{index}", "type": [1, 8, 8]} for index in range(1 << 14)]
    yield made([1, 8, 8], alive)
    yield made([1, 8, 8], [{**each, "module": f"m{index}"} for index, each in enumerate(alive)])
    yield made([1, 8, 8], [*alive, {**alive[0], "value": "more"}])
    yield made(
        [1, 8, 8], [{"value": "x", "op": "add", "inputs": ["x"] * 100_000, "type": [1, 8, 8]}]
    )
    yield made([1, 8, 8], alive[:1], {f"o{index}": "v0" for index in range(100_000)})
    pool = {"kernel": 2**30, "stride": 1, "padding": 2**29, "dilation": 3, "ceil": False}
    yield made(
        [1, 8, 8], [{**relu, "op": "max_pool", "attributes": pool, "value": "x", "type": [1, 8, 8]}]
    )
    nested: Any = "x"
    for _ in range(900):
        nested = [nested]
    yield made([1, 8, 8], [{**alive[0], "attributes": {"a": nested}}])
    yield made([1, 8, 8], alive[:1], nested)


def sealed(plan: Plan) -> bytes:
    """The bytes of a plan with the digest that its loader computes."""
    plan = {name: value for name, value in plan.items() if name != "digest"}
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
    return json.dumps({**plan, "digest": digest}).encode()


# --- one case in a child


@dataclass(frozen=True)
class Case:
    """A plan to load beside the weights of a good one."""

    good: Path
    content: bytes


@dataclass(frozen=True)
class Ended:
    """What loading a plan came to; `wrong` is empty if it is as it must be."""

    accepted: bool
    wrong: str
    seconds: float
    peak: int  # bytes, beyond what was resident before


_armed: list[str] | None = None
_warm = False


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _armed is None:
        return
    writes = event == "open" and any(flag in str(arguments[1] or "r") for flag in "wax+")
    if (
        writes
        or event in EVENTS
        or event.startswith(tuple(each for each in EVENTS if each.endswith(".")))
    ):
        _armed.append(f"{event} {arguments[:1]!r}")


def load(case: Case) -> Ended:
    """Loads a plan under the hook, and compares what it computes."""
    global _armed, _warm
    import torch

    import resnetgen
    from resnetgen.weights.plan_file import PlanError

    torch.set_num_threads(1)
    x = torch.randn(2, *json.loads(case.good.read_bytes())["input"]["type"])
    if not _warm:
        resnetgen.load_plan(case.good)(x)
        sys.addaudithook(_hook)
        _warm = True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.plan.json")
        path.write_bytes(case.content)
        path.with_name("net.safetensors").symlink_to(case.good.with_name("net.safetensors"))
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        module, wrong = None, ""
        _armed = events = []
        try:
            module = resnetgen.load_plan(path)
        except PlanError as error:
            wrong = "" if error.reason.strip(" :") else "a message without a reason"
        finally:
            _armed = None
        seconds = time.process_time() - start
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if module is not None:
            wrong = _compared(module, json.loads(case.content), path, events)
        if events:
            wrong = f"events: {', '.join(events[:3])}"
    return Ended(module is not None, wrong, seconds, peak)


def _compared(module: Any, plan: Plan, path: Path, events: list[str]) -> str:
    """What is wrong with the results of a module; it is called under the hook, too."""
    global _armed
    import torch
    from safetensors.torch import load_file

    sizes = [math.prod(each["type"]) for each in (*plan["steps"], plan["input"])]
    if sum(sizes) > LARGEST:
        return ""
    x = torch.randn(2, *plan["input"]["type"], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        _armed = events
        try:
            results = module(x.clone())
        finally:
            _armed = None
        expected = plain(plan, load_file(path.with_name("net.safetensors")), x)
    if isinstance(results, dict) is not isinstance(plan["outputs"], dict):
        return "another kind of result"
    found = (
        [*results.values()]
        if isinstance(results, dict)
        else results
        if isinstance(results, tuple)
        else [results]
    )
    for one, other in zip(found, expected, strict=True):
        scale = other.nan_to_num(0, 0, 0).abs().max() if other.numel() else 1.0
        if one.shape != other.shape or not torch.allclose(
            one, other, 1e-3, float(1e-3 * scale), equal_nan=True
        ):
            return (
                f"computes something else: {(one - other).abs().max():.1e} of {scale:.1e}"
                if one.shape == other.shape
                else "another shape"
            )
    return ""


def plain(plan: Plan, state: dict[str, Any], x: Any) -> list[Any]:
    """The outputs by functions of torch, each step with a value of its own."""
    from fuzz.interpreter import COMPUTE, Step

    values = {plan["input"]["name"]: x}
    for entry in plan["steps"]:
        prefix = f"{entry.get('module')}."
        tensors = {
            name.removeprefix(prefix): each
            for name, each in state.items()
            if name.startswith(prefix)
        }
        attributes = {
            name: tuple(v) if isinstance(v, list) else v
            for name, v in entry.get("attributes", {}).items()
        }
        inputs = [values[name] for name in entry["inputs"]]
        if "scale" in tensors:
            result = inputs[0] * tensors["scale"] + tensors["shift"]
        else:
            result = COMPUTE[entry["op"]](Step(inputs, attributes, tensors, False))
        if "addend" in entry:
            result = result + values[entry["addend"]]
        values[entry["value"]] = result.clamp_min(0) if entry.get("relu") else result.clone()
        for name in entry.get("delete", ()):
            del values[name]
    outputs = plan["outputs"]
    return [values[name] for name in (outputs.values() if isinstance(outputs, dict) else outputs)]


# --- the search


def cases(count: int, seed: int, paths: Sequence[Path]) -> Iterator[Case]:
    """The plans by hand, then mutants."""
    rng = random.Random(seed)
    goods = [(path, json.loads(path.read_bytes())) for path in paths]
    for plan in by_hand(goods[0][1]):
        yield Case(paths[0], sealed(plan))
    for _ in range(count):
        path, plan = rng.choice(goods)
        yield Case(path, sealed(mutated(plan, rng)))


def search(count: int, seed: int, jobs: int, most: float) -> Tally:
    """The figures of so many mutants, each of which may take `most` seconds of processor time."""
    tally = Tally(f"Hostile plans ({count:,} mutants)")
    ended = Counter[str]()
    slowest, largest = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        # In a child: a process that has run torch's threads must not fork.
        (made,) = run([Path(folder)], good_plans, limits=LIMITS)
        assert made.value, made.ended
        outcomes = run(cases(count, seed, made.value), load, limits=LIMITS, jobs=jobs)
        for outcome in watched(outcomes, count, "plans"):
            why = _fault(outcome, most)
            if why:
                tally.find(KIND, why, outcome.case.content)
            if outcome.value:
                ended["accepted" if outcome.value.accepted else "refused"] += 1
                slowest, largest = (
                    max(slowest, outcome.value.seconds),
                    max(largest, outcome.value.peak),
                )
    total = sum(ended.values())
    tally.figures = {
        "refused": share(ended["refused"], total),
        "accepted, and computing what they say": share(ended["accepted"], total),
        "slowest": f"{slowest:.2f} s of processor time",
        "most memory": f"{largest / MEGABYTE:.0f} MiB",
    }
    return tally


def _fault(outcome: Outcome[Case, Ended], most: float) -> str:
    if outcome.ended != DONE or outcome.value is None:
        return f"ended by {outcome.ended}"
    if outcome.value.wrong:
        return outcome.value.wrong
    if outcome.value.seconds > most:
        return f"{outcome.value.seconds:.1f} s"
    return f"{outcome.value.peak / MEGABYTE:.0f} MiB" if outcome.value.peak > BYTES else ""
