"""The body of one printed class: its modules, containers, arguments, locals and `forward`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnetgen.codegen import forward, layout
from resnetgen.codegen.calls import IDENTITY, Calls, values_at
from resnetgen.codegen.init import init_lines
from resnetgen.codegen.layout import Brackets, Doc, Hole, call, keyword
from resnetgen.codegen.registry import Argument, ClassPlan, Registry
from resnetgen.codegen.results import return_lines, return_type
from resnetgen.codegen.structure import SHORTCUT, Structure, unique
from resnetgen.codegen.units import Container, Unit, containers, indexed, is_chain, sequential
from resnetgen.graph.inplace import overwritable
from resnetgen.graph.ir import OpCall, Passes, Placed
from resnetgen.graph.opdef import TorchFunction
from resnetgen.graph.ops import OPS
from resnetgen.graph.paths import numbered_paths
from resnetgen.language.diagnostics import Diagnostic, Span, SpecError
from resnetgen.language.expressions import (
    Apply,
    Const,
    Expr,
    Name,
    Value,
    free_names,
    occurrences,
    python,
    replaced,
)
from resnetgen.language.names import camel

Members = list[tuple[str, Doc]]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What becomes a class: the whole body, or the modules below one path of it."""

    name: str
    doc: str
    units: Sequence[Unit]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    whole: bool


class Body:
    """One class in the making: `plan` gives it."""

    def __init__(self, registry: Registry, structure: Structure) -> None:
        self.registry = registry
        self.structure = structure
        self.scope = registry.scope(structure)
        self.instance = structure.instances[0]
        self.is_root = structure is registry.structures.root
        inplace = frozenset.intersection(*map(overwritable, structure.instances))
        self.calls = Calls(registry, structure, inplace)
        self.handed = {
            key: key.replace(".", "_") for key in self.scope.placed if key in structure.hoisted
        }
        self.attributes: dict[str, Expr] = {}  # of self, read by expressions in `forward`
        self.units = list(self.make_units())
        self.readers = _readers(self.units, self.instance.outputs)

    def plan(self) -> ClassPlan:
        """The class."""
        name, doc = self.structure.name, self.structure.block.doc
        chain = None if self.is_root else self.whole_chain()
        if chain is not None:
            return self.sequence(name, doc, chain)
        inputs = tuple(name for name, flow in self.instance.inputs.items() if flow)
        return self.module(Part(name, doc, self.units, inputs, self.instance.outputs, True))

    # --- units

    def make_units(self) -> Iterator[Unit]:
        paths = numbered_paths(self.instance.placed)
        taken = {path for own in paths for path in own}
        training = self.training_only()
        for placed, own in zip(self.instance.placed, paths, strict=True):
            for unit in self.units_of(placed, own, taken):
                unit.home = unit.path or own[0]
                unit.inputs = tuple(name for name in unit.inputs if name != "none")
                unit.training = placed.key in training
                yield unit

    def units_of(self, placed: Placed, paths: Sequence[str], taken: set[str]) -> Iterator[Unit]:
        key = placed.key
        if key in self.structure.hoisted or isinstance(placed.what, Passes):
            shortcut = placed.node.target == SHORTCUT
            name = "shortcut" if shortcut else key
            yield Unit(
                key,
                placed.inputs,
                paths[0],
                self.handed.get(key, IDENTITY),
                name=name,
                first=shortcut,
            )
        elif isinstance(placed.what, OpCall):
            yield self.op_unit(placed, placed.what, paths[0])
        elif placed.node.repeat is None and len(paths) == 1:
            yield Unit(key, placed.inputs, paths[0], self.calls.child(placed, 0, {}), name=key)
        else:
            yield from self.stage_units(placed, paths, taken)

    def op_unit(self, placed: Placed, what: OpCall, path: str) -> Unit:
        definition = OPS[what.op]
        form = definition.torch
        if isinstance(form, TorchFunction) and definition.in_container and "." in path:
            form = definition.in_container
        if isinstance(form, TorchFunction):
            return self.function_unit(placed, form)
        unit = Unit(placed.key, placed.inputs, path, self.calls.op(placed, form), name=placed.key)
        if form.call:
            pattern = form.call
            unit.apply = lambda module, inputs: pattern.format(module=module, x=inputs[0])
        return unit

    def function_unit(self, placed: Placed, form: TorchFunction) -> Unit:
        self.registry.uses_torch |= form.uses_torch
        texts = self.attribute_texts(placed)
        axes = self.registry.network.axes
        joins = form.names_operands
        unit = Unit(placed.key, placed.inputs, None, name=placed.key, joins=joins)
        unit.write = lambda inputs: form.write(inputs, texts, axes)
        return unit

    def attribute_texts(self, placed: Placed) -> dict[str, str]:
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

    def stage_units(self, placed: Placed, paths: Sequence[str], taken: set[str]) -> Iterator[Unit]:
        """A stage is one `nn.Sequential` where its blocks are numbered in a container of their own."""
        prefix = paths[0].rpartition(".")[0]
        alone = sum(path.startswith(f"{prefix}.") for path in taken) == len(paths)
        regular = list(paths) == [f"{prefix}.{number}" for number in range(len(paths))]
        if prefix and alone and regular and len(placed.inputs) == 1:
            yield Unit(
                placed.key, placed.inputs, prefix, self.calls.stage(placed, len(paths)), name=prefix
            )
            return
        sources = placed.inputs
        for number, path in enumerate(paths):
            value = placed.key if number == len(paths) - 1 else f"{placed.key}#{number}"
            values = values_at(self.instance, placed, number)
            doc = self.calls.child(placed, number, {k: Const(v) for k, v in values.items()})
            yield Unit(value, sources, path, doc, name=path)
            sources = (value, *placed.inputs[1:])

    def training_only(self) -> set[str]:
        """The nodes that only the training outputs need."""
        count = len(self.registry.network.outputs)
        if not self.is_root or len(self.instance.outputs) == count:
            return set()
        placed = self.scope.placed
        needed, todo = set[str](), list(self.instance.outputs[:count])
        while todo:
            key = todo.pop()
            if key in placed and key not in needed:
                needed.add(key)
                todo += placed[key].inputs
        return set(placed) - needed

    # --- containers

    def whole_chain(self) -> Brackets | None:
        """`nn.Sequential(...)` where the block is nothing but a numbered chain."""
        tree = containers(self.units)
        order = list(tree.leaves())
        (first, *others) = self.instance.inputs
        if not order or others or order != forward.schedule(self.units) or not tree.is_numbered:
            return None
        closed = self.instance.outputs == (order[-1].value,) and order[0].inputs == (first,)
        if not closed or len(self.readers.get(first, [])) != 1 or not is_chain(order, self.readers):
            return None
        doc = sequential(tree)
        return doc if isinstance(doc, Brackets) else None

    def holder(
        self, path: str, access: str, child: Container, steps: list[Unit]
    ) -> tuple[Doc, list[Unit]]:
        """The module at a path, and the steps with those that it holds merged or told its name."""
        if child.is_leaf:
            for unit in child.units:
                unit.access = access
            return child.units[0].doc, steps
        chain = self.chain(child, steps)
        if chain is not None:
            return chain, _merged(steps, list(child.leaves()), access, path)
        simple = all(
            each.is_leaf or self.chain(each, steps) is not None for each in child.children.values()
        )
        if not simple and not child.is_numbered:
            return self.grouped(path, access, child, steps)
        docs: dict[str, Doc] = {}
        for name, each in child.children.items():
            inner = f"{access}[{name}]" if child.is_numbered else f'{access}["{name}"]'
            make = self.holder if self.is_simple(each, steps) else self.grouped
            docs[name], steps = make(f"{path}.{name}", inner, each, steps)
        return indexed(child, docs), steps

    def is_simple(self, child: Container, steps: list[Unit]) -> bool:
        return child.is_leaf or self.chain(child, steps) is not None

    def chain(self, child: Container, steps: list[Unit]) -> Doc | None:
        order = list(child.leaves())
        executed = [step for step in forward.schedule(steps) if step in order]
        if executed != order or not is_chain(order, self.readers):
            return None
        return sequential(child)

    def grouped(
        self, path: str, access: str, child: Container, steps: list[Unit]
    ) -> tuple[Doc, list[Unit]]:
        """A container that is neither a chain nor flat is a class of its own."""
        inside = self.group_members(path, steps)
        values = {unit.value for unit in inside}
        outputs = [unit.value for unit in inside if self.is_read_outside(unit, inside)]
        if len(outputs) != 1 or not _is_convex(inside, steps):
            self.not_printable(path, child, len(outputs))
        inputs = tuple(dict.fromkeys(n for unit in inside for n in unit.inputs if n not in values))
        named = {unit.value: unit.name for unit in self.units}
        taken = {"x", *values}
        renamed = {inputs[0]: "x"}
        for each in inputs[1:]:
            renamed[each] = unique(_variable(named.get(each, each)), taken)
        whole = Unit(outputs[0], inputs, path, home=path, name=path, access=access)
        last = max(steps.index(unit) for unit in inside)
        after = [*steps[: last + 1], whole, *steps[last + 1 :]]
        remaining = [step for step in after if step not in inside]
        for unit in inside:
            unit.move(path, renamed)
        name = unique(camel(path), self.registry.taken)
        doc = f"the modules below `{path}`"
        plan = self.module(Part(name, doc, inside, tuple(renamed.values()), (outputs[0],), False))
        self.registry.printed.append(plan)
        items = [
            keyword(a.name, a.name if a.module else Hole(Name(a.name))) for a in plan.arguments
        ]
        return call(name, items), remaining

    def group_members(self, path: str, steps: list[Unit]) -> list[Unit]:
        """What stands below a path, and the expressions that only its modules read."""
        inside = [step for step in steps if step.home.startswith(f"{path}.")]
        grown = True
        while grown:
            fresh = [
                step
                for step in steps
                if step.path is None
                and step not in inside
                and not self.is_read_outside(step, inside)
            ]
            inside += fresh
            grown = bool(fresh)
        return [step for step in steps if step in inside]

    def is_read_outside(self, unit: Unit, inside: Sequence[Unit]) -> bool:
        return any(
            reader is None or reader not in inside for reader in self.readers.get(unit.value, [])
        )

    def numbered(self, path: str, child: Container) -> None:
        """A number is no attribute of a class: only chains are numbered without a container."""
        message = f"the module `{path}` has a number for a name, and its block is no chain"
        hint = "number it inside a container, `layers.0`, or give it a name"
        raise SpecError([Diagnostic("container", message, self.span_of(child), (), hint)])

    def not_printable(self, path: str, child: Container, outputs: int) -> None:
        why = f"has {outputs} outputs" if outputs != 1 else "is left and entered again"
        message = f"the modules below `{path}` cannot be one class: the group {why}"
        hint = "give the nodes keys without dots, or number them in one container"
        raise SpecError([Diagnostic("container", message, self.span_of(child), (), hint)])

    def span_of(self, child: Container) -> Span:
        """Where the first module of a container was written."""
        key = next(child.leaves()).value.partition("#")[0]
        return self.scope.placed[key].node.span

    # --- the class

    def module(self, part: Part) -> ClassPlan:
        """A class with its own `forward`."""
        members: Members = []
        steps = list(part.units)
        for path, child in containers(part.units).children.items():
            if path.isdigit():
                self.numbered(path, child)
            doc, steps = self.holder(path, f"self.{path}", child, steps)
            members.append((path, doc))
        network = self.registry.network if self.is_root and part.whole else None
        several = network is not None and len(network.outputs) > 1
        lines, variables = forward.statements(
            forward.schedule(steps), part.inputs, part.outputs, several
        )
        lines += return_lines(network, part.inputs, [variables[name] for name in part.outputs])
        read = [(name, Hole(expr)) for name, expr in self.attributes.items() if _reads(lines, name)]
        docs = [*members, *read]
        local = self.locals([doc for _, doc in docs])
        arguments = self.arguments([doc for _, doc in docs], local)
        init = [f"{forward.MARGIN}super().__init__()", *self.local_lines(local)]
        shorter = {expr: Name(name) for name, expr in local}
        for path, doc in docs:
            init += layout.lay(layout.shortened(doc, shorter), 8, f"self.{path} = ")
        if network is not None:
            init += init_lines(network, self.registry.structures)
        parameters = tuple(f"{name}: Tensor" for name in part.inputs)
        signature = layout.lay(
            Brackets("forward(", ("self", *parameters)), 4, "def ", f" -> {return_type(network)}:"
        )
        return ClassPlan(
            part.name, "nn.Module", part.doc, tuple(arguments), tuple(_signature(arguments)),
            tuple(init), tuple(signature), tuple(lines),
        )  # fmt: skip

    def sequence(self, name: str, doc: str, chain: Brackets) -> ClassPlan:
        """A class that is an `nn.Sequential`."""
        local = self.locals([chain])
        arguments = self.arguments([chain], local)
        whole = layout.shortened(chain, {expr: Name(own) for own, expr in local})
        assert isinstance(whole, Brackets)
        init = [*self.local_lines(local), *layout.lay(call("super().__init__", whole.items), 8)]
        return ClassPlan(
            name,
            "nn.Sequential",
            doc,
            tuple(arguments),
            tuple(_signature(arguments)),
            tuple(init),
            (),
            (),
        )

    # --- arguments and locals

    def locals(self, docs: Sequence[Doc]) -> list[tuple[str, Expr]]:
        """The derived names that stand at least twice in what is printed, in order."""
        block = self.structure.block
        printed = [expr for doc in docs for expr in layout.expressions(doc)]
        found: dict[Expr, str] = {}
        for name in (*block.params, *block.let):
            expr = self.scope.expand(name)
            if not isinstance(expr, Apply) or expr in found or not python(expr):
                continue
            if sum(occurrences(each, expr) for each in printed) > 1:
                found[expr] = name
        return [(name, expr) for expr, name in found.items()]

    def local_lines(self, local: Sequence[tuple[str, Expr]]) -> Iterator[str]:
        for name, expr in local:
            others = {each: Name(own) for own, each in local if own != name}
            yield f"{forward.MARGIN}{name} = {python(replaced(expr, others))}"

    def arguments(self, docs: Sequence[Doc], local: Sequence[tuple[str, Expr]]) -> list[Argument]:
        """The names that are free in what is printed: required ones, modules, those with defaults."""
        shorter = {expr: Name(name) for name, expr in local}
        free = {name for doc in docs for name in layout.names(layout.shortened(doc, shorter))}
        free |= {name for _, expr in local for name in free_names(expr)}
        free -= {name for name, _ in local}
        order = self.argument_order()
        scalars = [self.argument(name) for name in order if name in free]
        texts = {part for doc in docs for part in layout.parts(doc) if isinstance(part, str)}
        modules = [
            Argument(own, "nn.Module", None, key)
            for key, own in self.handed.items()
            if own in texts
        ]
        required = [argument for argument in scalars if argument.default is None]
        return [*required, *modules, *(each for each in scalars if each.default is not None)]

    def argument_order(self) -> list[str]:
        block = self.structure.block
        channels = [name for name in self.instance.values if name.endswith("_channels")]
        order = [*channels, *block.params, *block.let, *self.scope.promoted]
        if self.is_root:
            order = [*block.params, *channels]
        return list(dict.fromkeys(order))

    def argument(self, name: str) -> Argument:
        values = self.scope.values_of(name, self.scope.instances)
        kind = _type_name(values)
        if self.is_root:
            return Argument(name, kind, values[0])
        param = self.structure.block.params.get(name)
        default = param.default.expr if param and param.default else None
        if isinstance(default, Const) and default.value in values:
            return Argument(name, kind, float(default.value) if kind == "float" else default.value)  # type: ignore[arg-type]
        return Argument(name, kind)


def _readers(units: Sequence[Unit], outputs: Sequence[str]) -> dict[str, list[Unit | None]]:
    """Who reads each value; None stands for the caller."""
    readers: dict[str, list[Unit | None]] = {}
    for unit in units:
        for name in unit.inputs:
            readers.setdefault(name, []).append(unit)
    for name in outputs:
        readers.setdefault(name, []).append(None)
    return readers


def _reads(lines: Sequence[str], attribute: str) -> bool:
    return any(f"self.{attribute}" in line for line in lines)


def _type_name(values: Sequence[Value]) -> str:
    """The annotation of an argument that has these values."""
    kinds = {type(value) for value in values}
    axes = next((len(value) for value in values if isinstance(value, tuple)), 0)
    names = ["bool"] if kinds == {bool} else ["float"] if float in kinds else []
    names += ["int"] if int in kinds and not names else []
    names += [f"tuple[{', '.join(['int'] * axes)}]"] if axes else []
    return " | ".join(names) or "int"


def _signature(arguments: Sequence[Argument]) -> list[str]:
    parameters = ("self", *(str(argument) for argument in arguments))
    return layout.lay(Brackets("__init__(", parameters), 4, "def ", " -> None:")


def _merged(steps: Sequence[Unit], chain: Sequence[Unit], access: str, path: str) -> list[Unit]:
    """The steps with a chain as one step."""
    last = chain[-1]
    unit = Unit(
        last.value,
        chain[0].inputs,
        path,
        home=path,
        name=path,
        access=access,
        training=last.training,
    )
    return [unit if step is last else step for step in steps if step is last or step not in chain]


def _variable(name: str) -> str:
    text = name.replace(".", "_").replace("#", "_")
    return text if text[:1].isalpha() else f"value_{text}"


def _is_convex(inside: Sequence[Unit], steps: Sequence[Unit]) -> bool:
    """Whether no value leaves a group and comes back into it."""
    members = {unit.value for unit in inside}
    tainted: set[str] = set()
    for step in forward.schedule(steps):
        if step.value in members:
            if any(name in tainted for name in step.inputs):
                return False
        elif any(name in members or name in tainted for name in step.inputs):
            tainted.add(step.value)
    return True
