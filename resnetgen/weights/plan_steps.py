"""The steps of a saved plan: a `ForwardPlan` as entries of JSON, and back.

    x = self.layer1_0_conv2(y, x); del y        of the printed `forward` is the entry

    {"value": "x", "op": "convolution", "inputs": ["y"], "addend": "x", "relu": true,
     "module": "layer1_0_conv2", "attributes": {"out": 64, "kernel": 3, ...},
     "type": [64, 56, 56], "delete": ["y"]}

Nothing in a file is believed: keys, types of values and sizes are checked, types are inferred again
by the rules of the op table, and what a step may overwrite is derived again. What is read in the end
can be executed, and computes what it says. Non-goal: whether the weights fit, which torch checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnetgen.compiler.diagnostics.model import Source, Span, escape_invisible
from resnetgen.compiler.frontend.expressions import Value
from resnetgen.compiler.ir.nodes import Node
from resnetgen.compiler.ir.op_def import OpDef, TorchModule, value_error
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import ShapeError, TensorType
from resnetgen.compiler.passes.fold import FoldedGraph, FusedStep, mark_overwrites
from resnetgen.compiler.passes.forward_plan import ForwardPlan
from resnetgen.compiler.passes.infer_types import INPUT

MAX_STEPS = 1 << 14  # more than a printed file has lines, which is of 1 MiB at most
MAX_NUMBER = 1 << 31  # of an attribute, and the elements of a value: what torch indexes in 32 bits
MAX_NAME = 200  # characters
MAX_READS = 100_000  # operands of all steps
_NOWHERE = Span(Source("", ""), 1, 1, 1)

# The keys of maps, and the types of their values.
_FORWARD = {"input": dict, "outputs": (list, dict), "steps": list}
_INPUT = {"name": str, "type": list}
_STEP = {"value": str, "op": str, "inputs": list, "type": list}
_OPTIONAL = {"addend": str, "relu": bool, "module": str, "attributes": dict, "delete": list}


class WrongPlan(ValueError):
    """Why the content of a file is not a plan, as the end of a sentence."""


# --- writing


def forward_entries(forward: ForwardPlan) -> dict[str, object]:
    """The input, the outputs and the steps, by the names of variables."""
    folded, variables = forward.folded, forward.variables
    outputs = [variables[name] for name in folded.outputs]
    named = dict(zip(forward.output_names, outputs, strict=False))
    return {
        "input": {"name": variables[INPUT], "type": list(folded.input.shape)},
        "outputs": named or outputs,
        "steps": [_entry(step, forward) for step in folded.steps],
    }


def _entry(step: FusedStep, forward: ForwardPlan) -> dict[str, object]:
    """A step, without what does not apply to it."""
    variables = forward.variables
    bias = {"bias": True} if step.norm else {}
    entry = {
        "value": variables[step.name],
        "op": step.node.op,
        "inputs": [variables[name] for name in step.inputs],
        "addend": step.addend and variables[step.addend],
        "relu": step.relu,
        "module": forward.modules.get(step.name),
        "attributes": {**step.node.attributes, **bias},
        "type": list(step.type.shape),
        "delete": forward.deleted.get(step.name),
    }
    return {name: value for name, value in entry.items() if value}


# --- reading


def check_map(
    value: object, what: str, required: Mapping[str, Any], optional: Mapping[str, Any] | None = None
) -> None:
    """Raises WrongPlan unless a value is a map with these keys, of values of exactly these types."""
    kinds = {**required, **(optional or {})}
    if not isinstance(value, dict) or not required.keys() <= value.keys() <= kinds.keys():
        raise WrongPlan(f"{what} is not a map of {', '.join(kinds)}")
    for name, each in value.items():
        kind = kinds[name]
        if type(each) not in (kind if isinstance(kind, tuple) else (kind,)):
            raise WrongPlan(f"`{name}` of {what} is of another type")


def read_forward(content: Mapping[str, Any]) -> ForwardPlan:
    """The steps, typed again. Raises WrongPlan if they cannot be executed as they are."""
    check_map(content, "the plan", _FORWARD)
    check_map(content["input"], "`input`", _INPUT)
    x, entries = content["input"]["name"], content["steps"]
    if len(entries) > MAX_STEPS:
        raise WrongPlan(f"it has {len(entries):,} steps; a plan has at most {MAX_STEPS:,}")
    reader = _Reader(x, _type(content["input"]["type"], "the input"))
    for number, entry in enumerate(entries):
        try:
            reader.read(number, entry)
        except (WrongPlan, ShapeError) as error:
            raise WrongPlan(f"step {number}: {error}") from None
    return reader.forward(content["outputs"])


def _type(value: Sequence[Any], what: str) -> TensorType:
    """The type of a value: channels and sizes."""
    if not 1 <= len(value) <= 4 or not all(type(each) is int and each > 0 for each in value):
        raise WrongPlan(f"the type of {what} is not a list of one to four sizes")
    return _limited(TensorType(value[0], tuple(value[1:])), what)


def _limited(type: TensorType, what: str) -> TensorType:
    if type.elements >= MAX_NUMBER:
        raise WrongPlan(f"{what} has {type.elements:,} elements; a value has fewer than 2**31")
    return type


def _name(value: object) -> str:
    """A name of a variable, or of a module."""
    if not isinstance(value, str) or not value.isidentifier() or len(value) > MAX_NAME:
        raise WrongPlan("it has a name that is not an identifier")
    return value


class _Reader:
    """The steps so far: which value is in each variable, and the types of the values."""

    def __init__(self, x: str, input: TensorType) -> None:
        self.current = {_name(x): INPUT}  # the value that is in a variable
        self.types = {INPUT: input}
        self.variables = {INPUT: x}
        self.steps: list[FusedStep] = []
        self.modules: dict[str, str] = {}
        self.deleted: dict[str, tuple[str, ...]] = {}
        self.reads = 0

    def read(self, number: int, entry: Any) -> None:
        """Adds a step."""
        check_map(entry, "it", _STEP, _OPTIONAL)
        step = self.step(str(number), entry)
        variable = _name(entry["value"])
        self.steps.append(step)
        self.types[step.name], self.variables[step.name] = step.type, variable
        self.current[variable] = step.name
        self.reads += len(step.inputs)
        if self.reads > MAX_READS:
            raise WrongPlan(f"all steps have more than {MAX_READS:,} operands")
        if isinstance(step.form, TorchModule):
            self.modules[step.name] = _name(entry.get("module"))
            if self.modules[step.name].startswith("_"):  # those of nn.Module itself
                raise WrongPlan(f"`{entry['module']}` is not a name of a module")
        elif "module" in entry:
            raise WrongPlan(f"`{step.node.op}` has no module")
        if "delete" in entry:
            self.deleted[step.name] = tuple(map(_name, entry["delete"]))
            for each in self.deleted[step.name]:
                self.read_variable(each)
                del self.current[each]

    def step(self, name: str, entry: Mapping[str, Any]) -> FusedStep:
        definition = OPS.get(entry["op"])
        if definition is None or definition.training_only:
            raise WrongPlan(f"there is no op `{escape_invisible(entry['op'])}`")
        inputs = tuple(map(self.read_variable, entry["inputs"]))
        if len(inputs) != definition.arity and (definition.arity or len(inputs) < 2):
            raise WrongPlan(f"`{entry['op']}` has {len(inputs)} inputs")
        types = [self.types[each] for each in inputs]
        attributes = _attributes(definition, entry.get("attributes", {}), len(types[0].size))
        result = _limited(definition.shape(attributes, types), "it")
        if list(result.shape) != entry["type"]:
            raise WrongPlan(f"it computes {result}")
        addend = self.addend(definition, entry, result)
        channels, index = types[0].channels, len(self.steps)
        node = Node(
            name, entry.get("module", ""), entry["op"], inputs, attributes, channels, index,
            _NOWHERE, type=result,
        )  # fmt: skip
        return FusedStep(name, node, inputs, addend=addend, relu=entry.get("relu", False))

    def addend(self, definition: OpDef, entry: Mapping[str, Any], result: TensorType) -> str | None:
        """The value that is added: of the type of the result, which oneDNN does not check."""
        if not {"addend", "relu"}.isdisjoint(entry) and not definition.fuses_add_relu:
            raise WrongPlan(f"`{entry['op']}` adds nothing and applies no ReLU")
        if "addend" not in entry:
            return None
        addend = self.read_variable(entry["addend"])
        if self.types[addend] != result:
            raise WrongPlan(f"it adds {self.types[addend]} to {result}")
        return addend

    def read_variable(self, name: object) -> str:
        """The value that is in a variable."""
        value = self.current.get(_name(name))
        if value is None:
            raise WrongPlan(f"there is no value in `{escape_invisible(str(name))}`")
        return value

    def forward(self, outputs: Any) -> ForwardPlan:
        """The plan of all steps."""
        names = tuple(outputs) if isinstance(outputs, dict) else ()
        values = outputs.values() if names else outputs
        results = tuple(map(self.read_variable, values))
        if not results:
            raise WrongPlan("it has no outputs")
        folded = FoldedGraph("", self.types[INPUT], tuple(self.steps), results)
        return ForwardPlan(
            mark_overwrites(folded), self.variables, self.deleted, self.modules, names
        )


def expected_tensors(forward: ForwardPlan) -> dict[str, tuple[int, ...]]:
    """The tensors of all modules, with their shapes."""
    axes = len(forward.folded.input.size)
    tensors: dict[str, tuple[int, ...]] = {}
    for attribute, step in forward.module_steps.items():
        channels = step.node.in_channels
        if step.definition.scales_channels:
            shapes = dict.fromkeys(("scale", "shift"), (channels, *(1,) * axes))
        else:
            weights = step.definition.weights(step.node.attributes, channels, axes)
            shapes = {each.name: each.shape for each in weights}
        tensors |= {f"{attribute}.{name}": shape for name, shape in shapes.items()}
    return tensors


def _attributes(definition: OpDef, given: Mapping[str, Any], axes: int) -> dict[str, Value]:
    """The attributes of an op, all of them, each of its kind."""
    if given.keys() != definition.attributes.keys():
        raise WrongPlan(f"its attributes are not {', '.join(definition.attributes) or 'empty'}")
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    for name, value in values.items():
        reason = _wrong_value(value) or value_error(definition.attributes[name], value, axes)
        if reason:
            raise WrongPlan(f"`{name}` {reason}")
    return values


def _wrong_value(value: object) -> str | None:
    """Why a value is not one of any attribute: what `value_error` expects of values."""
    numbers = value if isinstance(value, tuple) else (value,)
    if not all(type(each) in (int, float, bool, str) for each in numbers):
        return "is not a value, or a list of values"
    if any(type(each) in (int, float) and not abs(each) < MAX_NUMBER for each in numbers):
        return "is too large"
    return None
