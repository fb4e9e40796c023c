"""plan(network, root, measured) -> ModulePlan: what the printed Python looks like.

    Instance(bottleneck, width=64), Instance(bottleneck, width=128, stride=2), ...
        ->  class Bottleneck(nn.Module): def __init__(self, in_channels, width, downsample, stride=1)

Names, order, arguments, defaults and line breaks are decided here; templates hold layout only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resnetgen.codegen import forward, layout
from resnetgen.codegen.header import header
from resnetgen.codegen.init import init_lines
from resnetgen.codegen.inplace import overwritable
from resnetgen.codegen.layout import Brackets, Doc, Prefixed, Repeated, call, keyword
from resnetgen.codegen.scope import Scope
from resnetgen.codegen.structure import Structure, Structures, structures, unique
from resnetgen.codegen.units import Container, Unit, containers, indexed, is_chain, sequential
from resnetgen.graph.ir import Instance, Network, OpCall, Passes, Placed, Slot
from resnetgen.graph.measure import Measured
from resnetgen.graph.ops import OPS, TorchFunction, TorchModule
from resnetgen.graph.paths import numbered_paths
from resnetgen.language.diagnostics import Diagnostic, SpecError
from resnetgen.language.expressions import (
    Apply,
    Const,
    Expr,
    Name,
    Value,
    free_names,
    python,
    simplify,
    substitute,
)
from resnetgen.language.names import camel

SUPPORT_CLASSES = {"drop_path": "DropPath", "blur_pool": "BlurPool"}
INDEX = Name("index")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a printed class. `module` names the node whose module is handed in."""

    name: str
    type: str
    default: Value | None = None
    module: str | None = None

    def __str__(self) -> str:
        if self.default is None:
            return f"{self.name}: {self.type}"
        return f"{self.name}: {self.type} = {self.default!r}"


@dataclass(frozen=True, slots=True, eq=False)
class ClassPlan:
    """One printed class."""

    name: str
    base: str
    doc: str
    arguments: tuple[Argument, ...]
    signature: tuple[str, ...]  # lines
    init: tuple[str, ...]
    forward_signature: tuple[str, ...]
    forward: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ModulePlan:
    """The printed file."""

    header: tuple[str, ...]
    name: str  # of the network
    digest: str  # of the elaborated spec
    root: str  # the class of the network
    uses_torch: bool
    support: tuple[str, ...]
    axes: int
    classes: tuple[ClassPlan, ...]


@dataclass(frozen=True, slots=True)
class Hole:
    """An expression in a document, before it is known which subexpressions become locals."""

    expr: Expr


def plan(network: Network, root: Instance, measured: Measured) -> ModulePlan:
    """The plan of a whole module. Raises SpecError where a container cannot be printed."""
    name = root.block.class_name or camel(network.name)
    planner = _Planner(network, structures(root, name, list(SUPPORT_CLASSES.values())), measured)
    classes = planner.classes()
    return ModulePlan(
        header=tuple(header(network, measured)),
        name=network.name,
        digest=network.digest,
        root=name,
        uses_torch=planner.uses_torch,
        support=tuple(sorted(planner.support)),
        axes=network.axes,
        classes=tuple(classes),
    )


class _Planner:
    """The classes planned so far, and what the file needs beside them."""

    def __init__(self, network: Network, found: Structures, measured: Measured) -> None:
        self.network = network
        self.structures = found
        self.measured = measured
        self.uses_torch = False
        self.support: set[str] = set()
        self.taken = {each.name for each in found.all} | set(SUPPORT_CLASSES.values())
        self.kept = _kept(network, found)
        self.scopes: dict[int, Scope] = {}
        self.plans: dict[int, ClassPlan] = {}
        self.extra: list[ClassPlan] = []

    def classes(self) -> list[ClassPlan]:
        planned: list[ClassPlan] = []
        for structure in self.structures.all:
            kept = self.kept.get(id(structure), frozenset())
            self.scopes[id(structure)] = Scope(structure, kept, self.network.axes)
            body = _Body(self, structure)
            self.plans[id(structure)] = body.class_plan()
            planned += [*self.extra, self.plans[id(structure)]]
            self.extra = []
        return planned


def _kept(network: Network, found: Structures) -> dict[int, frozenset[str]]:
    """The names that stay arguments though they never vary: `num_classes`, and `in_channels` where it may."""
    kept: dict[int, frozenset[str]] = {}
    if _generic(found.root.instances[0], found, kept):
        kept[id(found.root)] = frozenset(["in_channels"])
    else:
        kept.clear()
    kept[id(found.root)] = kept.get(id(found.root), frozenset()) | frozenset(found.root.block.params)
    return kept


def _generic(instance: Instance, found: Structures, kept: dict[int, frozenset[str]]) -> bool:
    """Whether nothing but convolutions' input channels depends on the channels of the input."""
    block = instance.block
    terms = [
        *(param.default for param in block.params.values()),
        *block.let.values(),
        block.when,
        *(term for node in block.nodes for term in (*node.arguments.values(), node.when)),
    ]
    if any("in_channels" in free_names(term.expr) for term in terms if term):
        return False
    readers = [placed for placed in instance.placed if block.inputs[0] in placed.inputs]
    if block.inputs[0] in instance.outputs:
        return False
    return all(_reads_any_channels(placed, found, kept) for placed in readers)


def _reads_any_channels(placed: Placed, found: Structures, kept: dict[int, frozenset[str]]) -> bool:
    if isinstance(placed.what, OpCall):
        return placed.what.op == "convolution" and placed.what.attributes["groups"] == 1
    if isinstance(placed.what, Passes) or len(placed.inputs) > 1 or len(placed.what) > 1 or placed.what[0].count > 1:
        return False
    instance = placed.what[0].instance
    kept[id(found.of[id(instance)])] = frozenset(["in_channels"])
    return _generic(instance, found, kept)


class _Body:
    """One class: its units, containers, arguments and statements."""

    def __init__(self, planner: _Planner, structure: Structure) -> None:
        self.planner = planner
        self.structure = structure
        self.scope = planner.scopes[id(structure)]
        self.instance = structure.instances[0]
        self.is_root = structure is planner.structures.root
        self.handed = {key: self.argument_name(key) for key in self.instance_keys() if key in structure.hoisted}
        self.inplace = frozenset.intersection(*map(overwritable, structure.instances))
        self.attributes: dict[str, Any] = {}  # attributes of self that `forward` reads
        self.units = list(self.make_units())
        self.readers = self.make_readers()

    def instance_keys(self) -> list[str]:
        return [placed.key for placed in self.instance.placed]

    def argument_name(self, key: str) -> str:
        return key.replace(".", "_")

    # --- units

    def make_units(self) -> Iterator[Unit]:
        paths = numbered_paths(self.instance.placed)
        taken = {path for own in paths for path in own}
        training = self.training_only()
        for placed, own in zip(self.instance.placed, paths, strict=True):
            for unit in self.units_of(placed, own, taken):
                unit.inputs = tuple(name for name in unit.inputs if name != "none")
                unit.training = placed.key in training
                yield unit

    def units_of(self, placed: Placed, paths: Sequence[str], taken: set[str]) -> Iterator[Unit]:
        key, name = placed.key, placed.key
        if key in self.structure.hoisted or isinstance(placed.what, Passes):
            doc: Doc = self.handed.get(key, "nn.Identity()")
            is_shortcut = placed.node.target == Slot("shortcut")
            yield Unit(key, placed.inputs, paths[0], doc, name="shortcut" if is_shortcut else name, first=is_shortcut)
        elif isinstance(placed.what, OpCall):
            yield self.op_unit(placed, placed.what, paths[0])
        elif placed.node.repeat is None and len(paths) == 1:
            yield Unit(key, placed.inputs, paths[0], self.child(placed, 0, {}), name=name)
        else:
            yield from self.stage_units(placed, paths, taken)

    def op_unit(self, placed: Placed, what: OpCall, path: str) -> Unit:
        definition = OPS[what.op]
        form = definition.torch
        if isinstance(form, TorchFunction) and definition.in_container and "." in path:
            form = definition.in_container
        if isinstance(form, TorchModule):
            return self.module_unit(placed, form, path)
        self.planner.uses_torch |= form.uses_torch
        texts = self.function_attributes(placed)
        write = form.write
        axes = self.planner.network.axes
        joins = what.op == "concat"
        return Unit(
            placed.key, placed.inputs, None, name=placed.key, joins=joins,
            write=lambda inputs: write(inputs, texts, axes),
        )  # fmt: skip

    def function_attributes(self, placed: Placed) -> dict[str, str]:
        """Attributes of an expression in `forward`: literals, or attributes of the module."""
        texts: dict[str, str] = {}
        for name, expr in self.scope.attributes(placed.key).items():
            if isinstance(expr, Const):
                texts[name] = str(expr.value)
                continue
            own = name
            while self.attributes.setdefault(own, Hole(expr)).expr != expr or own in self.scope.placed:
                own = f"{placed.key.replace('.', '_')}_{own}"
            texts[name] = f"self.{own}"
        return texts

    def module_unit(self, placed: Placed, form: TorchModule, path: str) -> Unit:
        if form.support:
            self.planner.support.add(form.support)
        doc = self.module_doc(placed, form)
        apply = None
        if form.call:
            pattern = form.call
            apply = lambda module, inputs: pattern.format(module=module, x=inputs[0])  # noqa: E731
        return Unit(placed.key, placed.inputs, path, doc, name=placed.key, apply=apply)

    def module_doc(self, placed: Placed, form: TorchModule) -> Doc:
        """The constructor of an op's module; arguments that equal torch's default are left out."""
        attributes = self.scope.attributes(placed.key)
        items: list[Doc] = []
        for argument in form.arguments:
            expr = self.constructor_argument(placed, argument.attribute, attributes)
            default = argument.default(attributes) if callable(argument.default) else argument.default
            if expr == default or (isinstance(expr, Const) and _is(expr.value, default)):
                continue
            hole: Any = Hole(expr)
            items.append(keyword(argument.keyword, hole) if argument.keyword else hole)
        return call(form.callee.format(n=self.planner.network.axes), items)

    def constructor_argument(self, placed: Placed, name: str | int, attributes: Mapping[str, Expr]) -> Expr:
        if isinstance(name, int):
            return Const(name)
        if name == "in":
            return self.input_channels(placed)
        if name == "inplace":
            return Const(placed.key in self.inplace)
        return attributes[name]

    def input_channels(self, placed: Placed) -> Expr:
        source = placed.inputs[0]
        index = self.instance_keys().index(source) if source in self.scope.placed else None
        values = []
        for instance in self.structure.instances:
            flow = instance.placed[index].flow if index is not None else instance.inputs[source]
            assert flow is not None
            values.append(flow.channels)
        return self.scope.settle(f"{source}_channels", self.scope.channels(source), values)

    # --- calls of other classes

    def child(self, placed: Placed, number: int, stage: Mapping[str, Expr]) -> Doc:
        """The call of the class of one block."""
        rows = [_instance_at(row[placed.key], number) for row in self.scope.rows]
        names = self.scope.callee_names(placed, rows[0], stage)
        return self.class_call(placed.key, rows, names, {})

    def class_call(
        self, hint: str, rows: Sequence[Instance], names: Mapping[str, Expr], env: Mapping[str, Value]
    ) -> Doc:
        """`Bottleneck(64, 64, downsample=...)`; `names` guesses the callee's names in ours."""
        structure = self.planner.structures.of[id(rows[0])]
        callee, scope = self.planner.plans[id(structure)], self.planner.scopes[id(structure)]
        numbers = {id(instance): row for row, instance in enumerate(structure.instances)}
        items: list[Doc] = []
        modules: list[Doc] = []
        required = sum(each.default is None and not each.module for each in callee.arguments)
        for argument in callee.arguments:
            if argument.module:
                doc = self.handed_module(argument.module, rows, scope, names, env)
                plain = not any(isinstance(item, Prefixed) for item in items)
                modules.append(doc if plain and not modules else keyword(argument.name, doc))
                continue
            own = scope.values_of(argument.name)
            values = [own[numbers[id(row)]] for row in rows]
            expr = self.scope.settle(f"{hint}_{argument.name}", names.get(argument.name), values, env)
            if argument.default is not None and isinstance(expr, Const) and _is(expr.value, argument.default):
                continue
            positional = argument.default is None and len(items) < (2 if required <= 3 else 1)
            hole: Any = Hole(expr)
            items.append(hole if positional else keyword(argument.name, hole))
        named = [item for item in items if isinstance(item, Prefixed)]
        return call(callee.name, [*(i for i in items if i not in named), *modules, *named])

    def handed_module(
        self,
        key: str,
        rows: Sequence[Instance],
        scope: Scope,
        names: Mapping[str, Expr],
        env: Mapping[str, Value],
    ) -> Doc:
        """The module that a class is handed: the shortcut, or the content of a slot."""
        placed = [next(each for each in row.placed if each.key == key) for row in rows]
        what = placed[0].what
        if isinstance(what, Passes):
            return "nn.Identity()"
        if isinstance(what, OpCall):
            return self.handed_op(placed, scope, names)
        inner = [_instance_at(each, 0) for each in placed]
        guesses = scope.callee_names(placed[0], inner[0])
        return self.class_call(key, inner, _through(guesses, names), env)

    def handed_op(self, placed: Sequence[Placed], scope: Scope, names: Mapping[str, Expr]) -> Doc:
        """An op that a slot holds, as the module that is handed in."""
        first = placed[0].what
        assert isinstance(first, OpCall)
        form = OPS[first.op].in_container or OPS[first.op].torch
        assert isinstance(form, TorchModule), "ops without a module form are not hoisted"
        if form.support:
            self.planner.support.add(form.support)
        guesses = _through(scope.attribute_guesses(placed[0]), names)
        items: list[Doc] = []
        for argument in form.arguments:
            if argument.attribute == "inplace":
                continue
            values = [_handed_value(each, argument.attribute, scope) for each in placed]
            expr = self.scope.settle(f"{placed[0].key}_{argument.attribute}", guesses.get(str(argument.attribute)), values)
            default = argument.default(first.attributes) if callable(argument.default) else argument.default
            if isinstance(expr, Const) and _is(expr.value, default):
                continue
            hole: Any = Hole(expr)
            items.append(keyword(argument.keyword, hole) if argument.keyword else hole)
        return call(form.callee.format(n=self.planner.network.axes), items)

    # --- stages

    def stage_units(self, placed: Placed, paths: Sequence[str], taken: set[str]) -> Iterator[Unit]:
        """A stage is one `nn.Sequential` where its blocks are numbered in a container of their own."""
        prefix = paths[0].rpartition(".")[0]
        inside = [path for path in taken if path.startswith(f"{prefix}.")]
        regular = [f"{prefix}.{number}" for number in range(len(paths))] == list(paths)
        if prefix and regular and len(inside) == len(paths):
            yield Unit(placed.key, placed.inputs, prefix, self.stage_doc(placed, len(paths)), name=prefix)
            return
        previous = placed.inputs
        for number, path in enumerate(paths):
            value = placed.key if number == len(paths) - 1 else f"{placed.key}#{number}"
            yield Unit(value, previous, path, self.child(placed, number, _stage_names(placed, number)), name=path)
            previous = (value, *placed.inputs[1:])

    def stage_doc(self, placed: Placed, count: int) -> Doc:
        """`nn.Sequential` of the blocks, equal ones as a comprehension."""
        plain = [self.stage_call(placed, number, symbolic=False) for number in range(count)]
        items: list[Doc] = []
        at = 0
        while at < count:
            same = _run_length(plain, at)
            indexed_calls = self.indexed_run(placed, at, count) if same == 1 else []
            if same > 1:
                items.append(Repeated(plain[at], f"for _ in range({same})"))
                at += same
            elif len(indexed_calls) > 1:
                stop = at + len(indexed_calls)
                span = f"range({stop})" if at == 0 else f"range({at}, {stop})"
                items.append(Repeated(indexed_calls[0], f"for index in {span}"))
                at = stop
            else:
                items.append(plain[at])
                at += 1
        return call("nn.Sequential", items)

    def indexed_run(self, placed: Placed, at: int, count: int) -> list[Doc]:
        """Calls from `at` on that are the same text once `index` is left in it."""
        first = self.stage_call(placed, at, symbolic=True)
        found = [first]
        if "index" not in set(_names_in(first)):
            return found
        for number in range(at + 1, count):
            if self.stage_call(placed, number, symbolic=True) != first:
                break
            found.append(first)
        return found

    def stage_call(self, placed: Placed, number: int, *, symbolic: bool) -> Doc:
        rows = [_instance_at(row[placed.key], number) for row in self.scope.rows]
        values = self.stage_values(placed, number)
        names: dict[str, Expr] = {name: Const(value) for name, value in values.items()}
        env: dict[str, Value] = {}
        if symbolic:
            offset = int(values["position"]) - number  # type: ignore[arg-type]
            names |= {"index": INDEX, "position": simplify(Apply("+", (INDEX, Const(offset))))}
            env = {"index": number}
        return self.class_call(placed.key, rows, self.scope.callee_names(placed, rows[0], names), env)

    def stage_values(self, placed: Placed, number: int) -> dict[str, Value]:
        counts = {p.key: len(p.paths) for p in self.instance.placed if p.node.stage}
        keys = list(counts)
        before = sum(counts[key] for key in keys[: keys.index(placed.key)]) if placed.key in counts else 0
        total = sum(counts.values()) if placed.key in counts else len(placed.paths)
        return {
            "index": number,
            "position": before + number,
            "total": total,
            "first": number == 0,
            "last": number == len(placed.paths) - 1,
        }

    # --- the class

    def make_readers(self) -> dict[str, list[Unit | None]]:
        readers: dict[str, list[Unit | None]] = {}
        for unit in self.units:
            for name in unit.inputs:
                readers.setdefault(name, []).append(unit)
        for name in self.instance.outputs:
            readers.setdefault(name, []).append(None)
        return readers

    def training_only(self) -> set[str]:
        count = len(self.planner.network.outputs)
        if not self.is_root or len(self.instance.outputs) == count:
            return set()
        by_key = {placed.key: placed for placed in self.instance.placed}
        needed, todo = set[str](), list(self.instance.outputs[:count])
        while todo:
            key = todo.pop()
            if key in by_key and key not in needed:
                needed.add(key)
                todo += by_key[key].inputs
        return set(by_key) - needed

    def class_plan(self) -> ClassPlan:
        block = self.structure.block
        inputs = [name for name, flow in self.instance.inputs.items() if flow]
        name, doc = self.structure.name, block.doc
        chain = None if self.is_root else self.whole_chain()
        if chain is not None:
            return self.printed(name, "nn.Sequential", doc, [("", chain)], [], [], [])
        return self.body(name, doc, containers(self.units), self.units, inputs, list(self.instance.outputs))

    def whole_chain(self) -> Doc | None:
        """`nn.Sequential(...)` where the block is nothing but a numbered chain."""
        tree = containers(self.units)
        order = list(tree.leaves())
        first = self.instance.block.inputs[0]
        if not order or len(order) != len(self.units) or not tree.is_numbered or len(self.instance.inputs) > 1:
            return None
        steps = forward.schedule(self.units)
        if order != steps or order[0].inputs != (first,) or not is_chain(order, self.readers):
            return None
        if len(self.readers.get(first, [])) != 1 or self.instance.outputs != (order[-1].value,):
            return None
        return sequential(tree)

    def body(
        self,
        name: str,
        doc: str,
        tree: Container,
        units: Sequence[Unit],
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> ClassPlan:
        """A class with its own `forward`."""
        members: list[tuple[str, Doc]] = []
        steps = list(units)
        for path, child in tree.children.items():
            steps = self.member(path, child, steps, members, outputs)
        lines, variables = forward.statements(forward.schedule(steps), inputs, outputs, self.several(outputs))
        extra = [(own, hole) for own, hole in self.attributes.items() if any(f"self.{own}" in line for line in lines)]
        result = self.results(variables, inputs, outputs)
        return self.printed(name, "nn.Module", doc, members, extra, inputs, [*lines, *result])

    def member(
        self,
        path: str,
        child: Container,
        steps: list[Unit],
        members: list[tuple[str, Doc]],
        outputs: Sequence[str],
    ) -> list[Unit]:
        """Adds one attribute of the class; gives the steps with those of a container merged."""
        if child.is_leaf:
            members.append((path, child.units[0].doc))
            for unit in child.units:
                unit.access = f"self.{path}"
            return steps
        order = list(child.leaves())
        chain = self.chain(child, order, steps)
        if chain is not None:
            members.append((path, chain))
            return _merged(steps, order, f"self.{path}", path)
        docs, inner = self.indexed_members(path, child, steps)
        if docs is not None:
            members.append((path, indexed(child, docs)))
            return inner
        return self.grouped(path, child, order, steps, members)

    def chain(self, child: Container, order: list[Unit], steps: list[Unit]) -> Doc | None:
        own = [step for step in forward.schedule(steps) if step in order]
        if own != order or not is_chain(order, self.readers) or any(len(leaf.units) > 1 for leaf in _leaves(child)):
            return None
        return sequential(child)

    def indexed_members(
        self, path: str, child: Container, steps: list[Unit]
    ) -> tuple[dict[str, Doc] | None, list[Unit]]:
        """The members of a list or dict of modules; None where one is a container that is no chain."""
        docs: dict[str, Doc] = {}
        merged = steps
        for name, each in child.children.items():
            access = f"self.{path}[{name}]" if child.is_numbered else f'self.{path}["{name}"]'
            order = list(each.leaves())
            if each.is_leaf:
                docs[name] = each.units[0].doc
                for unit in each.units:
                    unit.access = access
                continue
            chain = self.chain(each, order, merged)
            if chain is None:
                return None, steps
            docs[name] = chain
            merged = _merged(merged, order, access, f"{path}.{name}")
        return docs, merged

    def grouped(
        self,
        path: str,
        child: Container,
        order: list[Unit],
        steps: list[Unit],
        members: list[tuple[str, Doc]],
    ) -> list[Unit]:
        """A container that is neither a chain nor flat is a class of its own."""
        inside = self.group_members(order, steps)
        values = {unit.value for unit in inside}
        outputs = [
            unit.value for unit in inside if any(r is None or r not in inside for r in self.readers.get(unit.value, []))
        ]
        if len(outputs) != 1 or not _is_convex(inside, steps):
            self.not_printable(path, len(outputs))
        inputs = list(dict.fromkeys(name for unit in inside for name in unit.inputs if name not in values))
        renamed = {name: _variable(name, self.variable_name(name)) for name in inputs}
        renamed[inputs[0]] = "x"
        local = [replace_inputs(unit, renamed) for unit in inside]
        tree = containers([_inner(unit, path) for unit in local])
        name = unique(camel(path), self.planner.taken)
        flat_units = [unit for unit in local]
        group = self.body(name, f"The modules below `{path}`.", tree, flat_units, list(renamed.values()), outputs)
        self.planner.extra.append(group)
        items: list[Doc] = [keyword(a.name, Hole(Name(a.name)) if not a.module else a.name) for a in group.arguments]  # type: ignore[arg-type]
        members.append((path, call(name, items)))
        unit = Unit(outputs[0], tuple(inputs), path, name=path, access=f"self.{path}")
        at = max(steps.index(each) for each in inside)
        return [each for each in [*steps[: at + 1], unit, *steps[at + 1 :]] if each not in inside]

    def group_members(self, order: list[Unit], steps: list[Unit]) -> list[Unit]:
        """The modules of a container and the expressions that only they read."""
        inside = set(map(id, order))
        changed = True
        while changed:
            changed = False
            for step in steps:
                readers = self.readers.get(step.value, [])
                held = step.path is None and readers and all(r is not None and id(r) in inside for r in readers)
                if held and id(step) not in inside:
                    inside.add(id(step))
                    changed = True
        return [step for step in steps if id(step) in inside]

    def variable_name(self, value: str) -> str:
        return next((unit.name for unit in self.units if unit.value == value), value)

    def not_printable(self, path: str, outputs: int) -> None:
        node = next(p.node for p in self.instance.placed if any(x.startswith(f"{path}.") for x in p.paths))
        why = f"has {outputs} outputs" if outputs != 1 else "is left and entered again"
        message = f"the modules below `{path}` cannot be one class: the group {why}"
        hint = "give the nodes keys without dots, or number them in one container"
        raise SpecError([Diagnostic("container", message, node.span, (), hint)])

    def several(self, outputs: Sequence[str]) -> bool:
        """Whether the network returns more than one value in evaluation."""
        whole = self.is_root and list(outputs) == list(self.instance.outputs)
        return whole and len(self.planner.network.outputs) > 1

    def results(
        self, variables: Mapping[str, str], inputs: Sequence[str], outputs: Sequence[str]
    ) -> list[str]:
        """The `return` statements."""
        if not self.is_root or outputs != list(self.instance.outputs):
            return self.single(variables[outputs[0]], inputs)
        network = self.planner.network
        count = len(network.outputs)
        names = [variables[name] for name in outputs]
        if count == 1 and not network.named_outputs:
            before = self.single(names[0], inputs)[:-1]
            names[0] = names[0] if not before else inputs[0]
            return [*before, *self.returns_all(names, count)]
        return self.returns_all(names, count)

    def single(self, name: str, inputs: Sequence[str]) -> list[str]:
        """`return x`: a parameter, because its type is declared."""
        margin = forward.MARGIN
        if name in inputs:
            return [f"{margin}return {name}"]
        return [f"{margin}{inputs[0]} = {name}", f"{margin}return {inputs[0]}"]

    def returns_all(self, names: Sequence[str], count: int) -> list[str]:
        network = self.planner.network
        keys = [name or key for name, key, _ in (*network.outputs, *network.train_outputs)]
        lines = []
        if count < len(names):
            lines = [f"{forward.MARGIN}if self.training:", *self.returned(keys, names, 12)]
        return [*lines, *self.returned(keys[:count], names[:count], 8)]

    def returned(self, keys: Sequence[str], names: Sequence[str], indent: int) -> list[str]:
        if self.planner.network.named_outputs:
            pairs = tuple(f'"{key}": {name}' for key, name in zip(keys, names, strict=True))
            return layout.lay(Brackets("{", pairs, "}"), indent, "return ")
        text = f"{' ' * indent}return {', '.join(names)}"
        if len(names) == 1 or len(text) <= layout.WIDTH:
            return [text]
        return layout.lay(Brackets("(", tuple(names), ")"), indent, "return ")

    def returns(self) -> str:
        network = self.planner.network
        if not self.is_root:
            return "Tensor"
        if network.named_outputs:
            return "dict[str, Tensor]"
        count, extra = len(network.outputs), len(network.train_outputs)
        plain = "Tensor" if count == 1 else "tuple[Tensor, ...]"
        return plain if not extra or count > 1 else f"{plain} | tuple[Tensor, ...]"

    # --- arguments, locals, lines

    def printed(
        self,
        name: str,
        base: str,
        doc: str,
        members: Sequence[tuple[str, Doc]],
        extra: Sequence[tuple[str, Any]],
        inputs: Sequence[str],
        body: Sequence[str],
    ) -> ClassPlan:
        """The class with its arguments: the names that are still free in what is printed."""
        docs: list[Doc] = [each for _, each in members] + [each for _, each in extra]
        exprs = [hole.expr for each in docs for hole in _holes(each)]
        local = self.locals(exprs)
        shorter = {expr: Name(own) for own, expr in local}
        assigned = [(own, _replace(expr, {k: v for k, v in shorter.items() if v.id != own})) for own, expr in local]
        free = {n for expr in exprs for n in free_names(_replace(expr, shorter))}
        free |= {n for _, expr in assigned for n in free_names(expr)}
        arguments = self.arguments(free - {own for own, _ in local} - {"index"}, docs)
        margin = forward.MARGIN
        lines = [f"{margin}{own} = {python(expr)}" for own, expr in assigned]
        filled = [(path, _filled(each, shorter)) for path, each in members]
        if base == "nn.Sequential":
            assert isinstance(filled[0][1], Brackets)
            lines += layout.lay(Brackets("super().__init__(", filled[0][1].items), 8)
        else:
            lines.insert(0, f"{margin}super().__init__()")
            for path, each in [*filled, *((p, _filled(e, shorter)) for p, e in extra)]:
                lines += layout.lay(each, 8, f"self.{path} = ")
        if self.is_root and base != "nn.Sequential" and outputs_are_root(self, inputs):
            lines += init_lines(self.planner.network, self.planner.structures)
        parameters = ["self", *(str(argument) for argument in arguments)]
        signature = layout.lay(Brackets("__init__(", tuple(parameters)), 4, "def ", " -> None:")
        own = ["self", *(f"{name}: Tensor" for name in inputs)]
        forward_signature = layout.lay(Brackets("forward(", tuple(own)), 4, "def ", f" -> {self.returns_of(inputs)}:")
        return ClassPlan(
            name, base, doc, tuple(arguments), tuple(signature),
            tuple(lines), tuple(forward_signature), tuple(body),
        )  # fmt: skip

    def returns_of(self, inputs: Sequence[str]) -> str:
        return self.returns() if outputs_are_root(self, inputs) else "Tensor"

    def locals(self, exprs: Sequence[Expr]) -> list[tuple[str, Expr]]:
        """The derived names that stand at least twice in what is printed."""
        block = self.structure.block
        found = []
        for name in (*block.params, *block.let):
            expr = self.scope.expand(name)
            count = sum(_count(each, expr) for each in exprs) if isinstance(expr, Apply) else 0
            if isinstance(expr, Apply) and count > 1 and python(expr) and expr not in [e for _, e in found]:
                found.append((name, expr))
        return found

    def arguments(self, free: set[str], docs: Sequence[Doc]) -> list[Argument]:
        """Required arguments first: channels, parameters, handed modules; then those with defaults."""
        block = self.structure.block
        channels = [name for name in self.instance.values if name.endswith("in_channels") or name.endswith("_channels")]
        order = [*channels, *block.params, *block.let, *self.scope.promoted]
        if self.is_root:
            order = [*block.params, *channels]
        scalars = [self.argument(name) for name in dict.fromkeys(order) if name in free]
        texts = {text for doc in docs for text in _texts(doc)}
        modules = [Argument(own, "nn.Module", None, key) for key, own in self.handed.items() if own in texts]
        required = [argument for argument in scalars if argument.default is None]
        return [*required, *modules, *(argument for argument in scalars if argument.default is not None)]

    def argument(self, name: str) -> Argument:
        values = self.scope.values_of(name)
        kinds = {type(value) for value in values}
        type_name = "bool" if kinds == {bool} else "float" if float in kinds else "int"
        if self.is_root:
            return Argument(name, type_name, values[0])
        param = self.structure.block.params.get(name)
        default = param.default.expr if param and param.default else None
        if isinstance(default, Const) and type_name == "float":
            default = Const(float(default.value))  # type: ignore[arg-type]
        if isinstance(default, Const) and any(_is(value, default.value) for value in values):
            return Argument(name, type_name, default.value)
        return Argument(name, type_name)


# --- small pieces


def outputs_are_root(body: _Body, inputs: Sequence[str]) -> bool:
    """Whether this is the class of the network, not a group inside it."""
    return body.is_root and list(inputs) == list(body.structure.block.inputs)


def _is(value: Any, default: Any) -> bool:
    return bool(type(value) is type(default) and value == default) or (
        isinstance(value, int | float) and isinstance(default, int | float)
        and not isinstance(value, bool) and not isinstance(default, bool) and value == default
    )  # fmt: skip


def _instance_at(placed: Placed, number: int) -> Instance:
    assert isinstance(placed.what, tuple)
    for run in placed.what:
        if number < run.count:
            return run.instance
        number -= run.count
    raise IndexError(number)


def _handed_value(placed: Placed, name: str | int, scope: Scope) -> Value:
    assert isinstance(placed.what, OpCall)
    if isinstance(name, int):
        return name
    if name == "in":
        for instance, row in zip(scope.instances, scope.rows, strict=True):
            if row[placed.key] is placed:
                source = placed.inputs[0]
                flow = row[source].flow if source in row else instance.inputs[source]
                assert flow is not None
                return flow.channels  # type: ignore[no-any-return]
    found: Value = placed.what.attributes[str(name)]
    return found


def _through(guesses: Mapping[str, Expr], names: Mapping[str, Expr]) -> dict[str, Expr]:
    """Expressions in a callee's names, in ours; those that say more than we know are dropped."""
    found = {}
    for name, expr in guesses.items():
        if all(each in names for each in free_names(expr)):
            found[name] = substitute(expr, names)
    return found


def _stage_names(placed: Placed, number: int) -> dict[str, Expr]:
    count = len(placed.paths)
    return {"index": Const(number), "first": Const(number == 0), "last": Const(number == count - 1)}


def _run_length(docs: Sequence[Doc], at: int) -> int:
    length = 1
    while at + length < len(docs) and docs[at + length] == docs[at]:
        length += 1
    return length


def _merged(steps: Sequence[Unit], order: Sequence[Unit], access: str, path: str) -> list[Unit]:
    """The steps with a chain as one step."""
    last = order[-1]
    unit = Unit(last.value, order[0].inputs, path, name=path, access=access, training=last.training)
    kept = {id(each) for each in order}
    return [unit if each is last else each for each in steps if each is last or id(each) not in kept]


def replace_inputs(unit: Unit, names: Mapping[str, str]) -> Unit:
    """The unit with some of its inputs renamed."""
    return replace(unit, inputs=tuple(names.get(name, name) for name in unit.inputs))


def _inner(unit: Unit, path: str) -> Unit:
    if unit.path and unit.path.startswith(f"{path}."):
        unit.path = unit.path[len(path) + 1 :]
    return unit


def _variable(value: str, name: str) -> str:
    text = (name or value).replace(".", "_").replace("#", "_")
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


def _leaves(container: Container) -> Iterator[Container]:
    if container.is_leaf:
        yield container
    for child in container.children.values():
        yield from _leaves(child)


def _holes(doc: Any) -> Iterator[Hole]:
    match doc:
        case Hole():
            yield doc
        case Brackets(_, items, _):
            for item in items:
                yield from _holes(item)
        case Prefixed(_, inner) | Repeated(inner, _):
            yield from _holes(inner)


def _texts(doc: Any) -> Iterator[str]:
    match doc:
        case str():
            yield doc
        case Brackets(_, items, _):
            for item in items:
                yield from _texts(item)
        case Prefixed(_, inner) | Repeated(inner, _):
            yield from _texts(inner)


def _names_in(doc: Doc) -> Iterator[str]:
    for hole in _holes(doc):
        yield from free_names(hole.expr)


def _filled(doc: Any, shorter: Mapping[Expr, Name]) -> Doc:
    match doc:
        case Hole(expr):
            text = python(_replace(expr, shorter))
            assert text is not None
            return text
        case Brackets(open, items, close):
            return Brackets(open, tuple(_filled(item, shorter) for item in items), close)
        case Prefixed(prefix, inner):
            return Prefixed(prefix, _filled(inner, shorter))
        case Repeated(inner, clause):
            return Repeated(_filled(inner, shorter), clause)
    assert isinstance(doc, str)
    return doc


def _replace(expr: Expr, shorter: Mapping[Expr, Name]) -> Expr:
    if expr in shorter:
        return shorter[expr]
    if isinstance(expr, Apply):
        return Apply(expr.function, tuple(_replace(each, shorter) for each in expr.operands))
    return expr


def _count(expr: Expr, part: Expr | None) -> int:
    if expr == part:
        return 1
    return sum(_count(each, part) for each in expr.operands) if isinstance(expr, Apply) else 0
