"""Lowering: the nodes of a printed class to the statements of its `forward`, each with its module.

    conv1: {op: convolution, ...}     ->  x = self.conv1(x)     self.conv1 = nn.Conv2d(...)
    add: {op: add, inputs: [x, y]}    ->  x = x + y
    layer1: {blocks: 3, ...}          ->  x = self.layer1(x)    self.layer1 = nn.Sequential(...)

Statements still read values by key, not by variable: order and names are decided in `forward.py`.
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
    """One statement of `forward`: it reads values by key and computes one."""

    result_key: str  # of the value that it computes
    inputs: tuple[str, ...]
    module_path: str | None  # None: an expression
    constructor: Doc = ""  # of the module, for the pretty-printer
    # The text that computes the value: of an expression, from its inputs; or of a module that is not
    # simply called, from its accessor and inputs. By default, the call of the module.
    render_expression: Callable[[Sequence[str]], str] | None = None
    render_call: Callable[[str, Sequence[str]], str] | None = None
    accessor: str = ""  # how `forward` reads the module: `self.conv1`, `self.features[0]`
    location: str = ""  # `module_path`, or for an expression the path it would have as a module
    name: str = ""  # of the variable in `forward`
    is_shortcut: bool = False  # its value has a name, for the reader's sake
    training: bool = False
    names_operands: bool = False  # a concatenation, whose operands have names

    def move(self, path: str, names: Mapping[str, str]) -> None:
        """Moves it into the class of a container: shorter paths, inputs as that class calls them."""
        self.inputs = tuple(names.get(name, name) for name in self.inputs)
        self.location = self.location.removeprefix(f"{path}.")
        self.module_path = self.location if self.module_path else None

    @property
    def is_plain_call(self) -> bool:
        """Whether it is the plain call of a module."""
        return self.render_expression is None and self.render_call is None

    def text(self, inputs: Sequence[str]) -> str:
        """The expression that computes the value."""
        if self.render_expression is not None:
            return self.render_expression(inputs)
        if self.render_call is not None:
            return self.render_call(self.accessor, inputs)
        return f"{self.accessor}({', '.join(inputs)})"


class Lowering:
    """Lowers the nodes of one printed class; any of its instances represents the others."""

    def __init__(self, planner: FilePlanner, group: ClassGroup) -> None:
        self.planner = planner
        self.group = group
        self.scope = planner.scopes[group]
        self.representative = group.instances[0]
        inplace = frozenset.intersection(*map(overwritable, group.instances))
        self.calls = Calls(planner, group, inplace)
        self.hoisted_arguments = {  # for modules that the caller passes in, by node
            key: self.scope.module_argument(key) for key in self.scope.nodes if key in group.hoisted
        }
        self.attributes: dict[str, Expr] = {}  # of self, read by expressions in `forward`

    def statements(self) -> Iterator[Statement]:
        """The statements, in the order of the nodes."""
        paths = numbered_paths(self.representative.nodes)
        taken = {path for own in paths for path in own}
        training = self.training_only()
        for node, node_paths in zip(self.representative.nodes, paths, strict=True):
            for statement in self.lower_node(node, node_paths, taken):
                statement.location = statement.module_path or node_paths[0]
                statement.inputs = tuple(name for name in statement.inputs if name != "none")
                statement.training = node.key in training
                yield statement

    def lower_node(
        self, node: InstanceNode, paths: Sequence[str], taken: set[str]
    ) -> Iterator[Statement]:
        """The statements of a node: several for the blocks of a stage, otherwise one."""
        key = node.key
        if key in self.group.hoisted or isinstance(node.callee, PassThrough):
            yield self.lower_passed_in(node, paths[0])
        elif node.op:
            yield self.lower_op(node, node.op, paths[0])
        elif node.block_node.repeat is None and len(paths) == 1:
            yield Statement(key, node.inputs, paths[0], self.calls.child(node, 0, {}), name=key)
        else:
            yield from self.lower_stage(node, paths, taken)

    def lower_passed_in(self, node: InstanceNode, path: str) -> Statement:
        """A module that is passed in; an identity where no instance has one."""
        is_shortcut = node.block_node.target == SHORTCUT
        doc = self.hoisted_arguments.get(node.key, IDENTITY)
        name = SHORTCUT.name if is_shortcut else node.key
        return Statement(node.key, node.inputs, path, doc, name=name, is_shortcut=is_shortcut)

    def lower_op(self, node: InstanceNode, call: OpCall, path: str) -> Statement:
        """A module, or an expression if torch has only a function for the op."""
        module = call.definition.module_at(path)
        if module is None:
            assert isinstance(call.definition.torch, TorchFunction)
            return self.lower_function(node, call.definition.torch)
        statement = Statement(
            node.key, node.inputs, path, self.calls.op(node, module), name=node.key
        )
        if module.call:
            pattern = module.call
            statement.render_call = lambda module, inputs: pattern.format(
                module=module, x=inputs[0]
            )
        return statement

    def lower_function(self, node: InstanceNode, function: TorchFunction) -> Statement:
        """An expression in `forward`."""
        self.planner.uses_torch |= function.uses_torch
        texts = self.attribute_texts(node)
        axes = self.planner.network.axes
        names_operands = function.names_operands
        statement = Statement(
            node.key, node.inputs, None, name=node.key, names_operands=names_operands
        )
        statement.render_expression = lambda inputs: function.write(inputs, texts, axes)
        return statement

    def attribute_texts(self, node: InstanceNode) -> dict[str, str]:
        """Attributes of an expression in `forward`: literals, or attributes of the module."""
        texts: dict[str, str] = {}
        for name, expr in self.scope.attributes(node.key).items():
            if isinstance(expr, Const):
                texts[name] = str(expr.value)
                continue
            attribute = name
            while (
                self.attributes.setdefault(attribute, expr) != expr or attribute in self.scope.nodes
            ):
                attribute = f"{node.key.replace('.', '_')}_{attribute}"
            texts[name] = f"self.{attribute}"
        return texts

    def lower_stage(
        self, node: InstanceNode, paths: Sequence[str], taken: set[str]
    ) -> Iterator[Statement]:
        """A stage: one `nn.Sequential` where its blocks have a numbered container to themselves."""
        prefix = paths[0].rpartition(".")[0]
        alone = sum(path.startswith(f"{prefix}.") for path in taken) == len(paths)
        regular = list(paths) == [f"{prefix}.{number}" for number in range(len(paths))]
        if prefix and alone and regular and len(node.inputs) == 1:
            doc = self.calls.stage(node, len(paths))
            yield Statement(node.key, node.inputs, prefix, doc, name=prefix)
            return
        sources = node.inputs
        for number, path in enumerate(paths):
            result_key = node.key if number == len(paths) - 1 else f"{node.key}#{number}"
            values = values_at(self.representative, node, number)
            doc = self.calls.child(node, number, {k: Const(v) for k, v in values.items()})
            yield Statement(result_key, sources, path, doc, name=path)
            sources = (result_key, *node.inputs[1:])

    def training_only(self) -> set[str]:
        """The nodes that only the training outputs need."""
        network = self.planner.network
        if self.representative.block is not network.root or not network.train_outputs:
            return set()
        outputs = self.representative.outputs[: len(network.outputs)]
        inputs = {node.key: node.inputs for node in self.representative.nodes}
        return inputs.keys() - needed_for(outputs, inputs)
