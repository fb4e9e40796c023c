"""The units of a class: what each placed node is in the printed class, and a step of its `forward`.

conv1: {op: convolution, ...}        ->  the module `self.conv1`, called
add: {op: add, inputs: [x, y]}       ->  the expression `x + y`
layer1: {blocks: 3, ...}             ->  the module `self.layer1`, one `nn.Sequential`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnetgen.compiler.analysis.inplace import overwritable
from resnetgen.compiler.codegen.calls import IDENTITY, Calls, values_at
from resnetgen.compiler.codegen.class_plan import FilePlanner
from resnetgen.compiler.codegen.classes import ClassGroup
from resnetgen.compiler.codegen.pretty import Doc
from resnetgen.compiler.frontend.expressions import Const, Expr
from resnetgen.compiler.ir.nodes import SHORTCUT, InstanceNode, OpCall, PassThrough
from resnetgen.compiler.ir.op_def import TorchFunction
from resnetgen.compiler.ir.schedule import needed_for
from resnetgen.compiler.passes.module_paths import numbered_paths


@dataclass(slots=True, eq=False)
class Statement:
    """One step of `forward`: it reads values by key and gives one."""

    value: str
    inputs: tuple[str, ...]
    path: str | None  # None: an expression
    doc: Doc = ""  # the constructor of the module
    write: Callable[[Sequence[str]], str] | None = None  # how the module or expression is applied
    apply: Callable[[str, Sequence[str]], str] | None = None  # a module that is not simply called
    access: str = ""  # `self.conv1`, `self.features[0]`
    home: str = ""  # the path, also of an expression
    name: str = ""  # of its value in `forward`
    early: bool = False  # executed as soon as it can be: the shortcut
    training: bool = False
    names_operands: bool = False  # a concatenation, whose operands have names

    def move(self, path: str, names: Mapping[str, str]) -> None:
        """Into the class of a container: shorter paths, inputs as that class calls them."""
        self.inputs = tuple(names.get(name, name) for name in self.inputs)
        self.home = self.home.removeprefix(f"{path}.")
        self.path = self.home if self.path else None

    @property
    def is_call(self) -> bool:
        """Whether it is the plain call of a module."""
        return self.write is None and self.apply is None

    def text(self, inputs: Sequence[str]) -> str:
        """The expression that computes the value."""
        if self.write is not None:
            return self.write(inputs)
        if self.apply is not None:
            return self.apply(self.access, inputs)
        return f"{self.access}({', '.join(inputs)})"


class Lowering:
    """The placed nodes of one class on their way to units."""

    def __init__(self, registry: FilePlanner, structure: ClassGroup) -> None:
        self.registry = registry
        self.structure = structure
        self.scope = registry.scope(structure)
        self.instance = structure.instances[0]
        inplace = frozenset.intersection(*map(overwritable, structure.instances))
        self.calls = Calls(registry, structure, inplace)
        self.handed = {  # the arguments that hold the modules that are handed in
            key: key.replace(".", "_") for key in self.scope.placed if key in structure.hoisted
        }
        self.attributes: dict[str, Expr] = {}  # of self, read by expressions in `forward`

    def units(self) -> Iterator[Statement]:
        """The units in the order of their declaration."""
        paths = numbered_paths(self.instance.nodes)
        taken = {path for own in paths for path in own}
        training = self.training_only()
        for placed, own in zip(self.instance.nodes, paths, strict=True):
            for unit in self.units_of(placed, own, taken):
                unit.home = unit.path or own[0]
                unit.inputs = tuple(name for name in unit.inputs if name != "none")
                unit.training = placed.key in training
                yield unit

    def units_of(
        self, placed: InstanceNode, paths: Sequence[str], taken: set[str]
    ) -> Iterator[Statement]:
        key = placed.key
        if key in self.structure.hoisted or isinstance(placed.callee, PassThrough):
            yield self.handed_unit(placed, paths[0])
        elif placed.op:
            yield self.op_unit(placed, placed.op, paths[0])
        elif placed.block_node.repeat is None and len(paths) == 1:
            yield Statement(key, placed.inputs, paths[0], self.calls.child(placed, 0, {}), name=key)
        else:
            yield from self.stage_units(placed, paths, taken)

    def handed_unit(self, placed: InstanceNode, path: str) -> Statement:
        """A module that the class is handed; where every instance passes, an identity."""
        shortcut = placed.block_node.target == SHORTCUT
        name = SHORTCUT.name if shortcut else placed.key
        doc = self.handed.get(placed.key, IDENTITY)
        return Statement(placed.key, placed.inputs, path, doc, name=name, early=shortcut)

    def op_unit(self, placed: InstanceNode, what: OpCall, path: str) -> Statement:
        definition = what.definition
        form = definition.torch
        if isinstance(form, TorchFunction) and definition.container_module and "." in path:
            form = definition.container_module
        if isinstance(form, TorchFunction):
            return self.function_unit(placed, form)
        unit = Statement(
            placed.key, placed.inputs, path, self.calls.op(placed, form), name=placed.key
        )
        if form.call:
            pattern = form.call
            unit.apply = lambda module, inputs: pattern.format(module=module, x=inputs[0])
        return unit

    def function_unit(self, placed: InstanceNode, form: TorchFunction) -> Statement:
        self.registry.uses_torch |= form.uses_torch
        texts = self.attribute_texts(placed)
        axes = self.registry.network.axes
        joins = form.names_operands
        unit = Statement(placed.key, placed.inputs, None, name=placed.key, names_operands=joins)
        unit.write = lambda inputs: form.write(inputs, texts, axes)
        return unit

    def attribute_texts(self, placed: InstanceNode) -> dict[str, str]:
        """Attributes of an expression in `forward`: literals, or attributes of the module."""
        texts: dict[str, str] = {}
        for name, expr in self.scope.attributes(placed.key).items():
            if isinstance(expr, Const):
                texts[name] = str(expr.value)
                continue
            own = name
            while self.attributes.setdefault(own, expr) != expr or own in self.scope.placed:
                own = f"{placed.key.replace('.', '_')}_{own}"
            texts[name] = f"self.{own}"
        return texts

    def stage_units(
        self, placed: InstanceNode, paths: Sequence[str], taken: set[str]
    ) -> Iterator[Statement]:
        """A stage is one `nn.Sequential` where its blocks are numbered in a container of their own."""
        prefix = paths[0].rpartition(".")[0]
        alone = sum(path.startswith(f"{prefix}.") for path in taken) == len(paths)
        regular = list(paths) == [f"{prefix}.{number}" for number in range(len(paths))]
        if prefix and alone and regular and len(placed.inputs) == 1:
            doc = self.calls.stage(placed, len(paths))
            yield Statement(placed.key, placed.inputs, prefix, doc, name=prefix)
            return
        sources = placed.inputs
        for number, path in enumerate(paths):
            value = placed.key if number == len(paths) - 1 else f"{placed.key}#{number}"
            values = values_at(self.instance, placed, number)
            doc = self.calls.child(placed, number, {k: Const(v) for k, v in values.items()})
            yield Statement(value, sources, path, doc, name=path)
            sources = (value, *placed.inputs[1:])

    def training_only(self) -> set[str]:
        """The nodes that only the training outputs need."""
        network, placed = self.registry.network, self.instance.nodes
        if self.instance.block is not network.root or not network.train_outputs:
            return set()
        outputs = self.instance.outputs[: len(network.outputs)]
        inputs = {each.key: each.inputs for each in placed}
        return inputs.keys() - needed_for(outputs, inputs)
