"""The body of one printed class: which modules and containers it holds, and its `forward`.

    conv1, bn1, layers.0, layers.1  ->  self.conv1 = ...; self.bn1 = ...; self.layers = nn.Sequential(...)

What stands below a path is one module: a chain, an indexed container, or a class of its own.

Containers: the modules of a class as a tree of paths, and what holds them in the printed class.

A chain of units that fills a numbered container becomes one `nn.Sequential`; other containers are an
`nn.ModuleList` or `nn.ModuleDict` that is indexed, or a class of their own (`body.py`). All give the
state_dict the keys that the spec says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from resnetgen.compiler.analysis.statements import (
    Container,
    containers,
    count_readers,
    in_execution_order,
    is_sequential,
)
from resnetgen.compiler.codegen import forward, pretty
from resnetgen.compiler.codegen.class_plan import ClassPlan, Constructor, FilePlanner, constructor
from resnetgen.compiler.codegen.classes import ClassGroup, unique
from resnetgen.compiler.codegen.forward import return_lines, return_type
from resnetgen.compiler.codegen.init_weights import init_lines
from resnetgen.compiler.codegen.lowering import Lowering, Statement
from resnetgen.compiler.codegen.pretty import (
    MARGIN,
    Brackets,
    Doc,
    ExprDoc,
    Prefixed,
    call,
    keyword,
)
from resnetgen.compiler.diagnostics.model import Diagnostic, Span, SpecError
from resnetgen.compiler.frontend.expressions import Name
from resnetgen.compiler.frontend.identifiers import camel_case


@dataclass(frozen=True, slots=True, eq=False)
class ClassPart:
    """What becomes a class: the whole body, or the modules below one path of it."""

    name: str
    doc: str
    units: Sequence[Statement]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    whole: bool


class ClassBody:
    """One class in the making: `plan` gives it."""

    def __init__(self, registry: FilePlanner, structure: ClassGroup) -> None:
        self.registry = registry
        self.structure = structure
        self.scope = registry.scope(structure)
        self.instance = structure.instances[0]
        self.is_root = structure is registry.structures.root
        self.lowering = Lowering(registry, structure)
        self.units = list(self.lowering.units())
        self.readers = _readers(self.units, self.instance.outputs)
        self.counts = count_readers(self.units, self.instance.outputs)

    def plan(self) -> ClassPlan:
        """The class."""
        name, doc = self.structure.name, self.structure.block.doc
        chain = None if self.is_root else self.whole_chain()
        if chain is not None:
            return self.sequential_class(name, doc, chain)
        inputs = tuple(name for name, flow in self.instance.inputs.items() if flow)
        return self.module(ClassPart(name, doc, self.units, inputs, self.instance.outputs, True))

    # --- containers

    def whole_chain(self) -> Brackets | None:
        """`nn.Sequential(...)` where the block is nothing but a numbered chain."""
        tree = containers(self.units)
        order = in_execution_order(self.units)
        (first, *others) = self.instance.inputs
        if others or order != list(tree.leaves()) or not is_sequential(tree, order, self.counts):
            return None
        closed = self.instance.outputs == (order[-1].value,) and order[0].inputs == (first,)
        if not closed or self.counts[first] != 1:
            return None
        return self.sequential(tree)

    def holder(
        self, path: str, access: str, child: Container[Statement], steps: list[Statement]
    ) -> tuple[Doc, list[Statement]]:
        """The module at a path, and the steps with those that it holds merged or told its name."""
        if child.is_leaf:
            for unit in child.steps:
                unit.access = access
            return child.steps[0].doc, steps
        chain = self.chain(child, steps)
        if chain is not None:
            return chain, _merged(steps, list(child.leaves()), access, path)
        simple = all(self.is_simple(each, steps) for each in child.children.values())
        if not simple and not child.is_numbered:
            return self.grouped(path, access, child, steps)
        docs: dict[str, Doc] = {}
        for name, each in child.children.items():
            inner = f"{access}[{name}]" if child.is_numbered else f'{access}["{name}"]'
            make = self.holder if self.is_simple(each, steps) else self.grouped
            docs[name], steps = make(f"{path}.{name}", inner, each, steps)
        return indexed(child, docs), steps

    def is_simple(self, child: Container[Statement], steps: list[Statement]) -> bool:
        """Whether it is one module, or a chain of them."""
        return child.is_leaf or self.chain(child, steps) is not None

    def chain(self, child: Container[Statement], steps: list[Statement]) -> Doc | None:
        """`nn.Sequential(...)` of a container that runs in its own order."""
        runs = is_sequential(child, in_execution_order(steps), self.counts)
        return self.sequential(child) if runs else None

    def sequential(self, container: Container[Statement]) -> Brackets:
        """`nn.Sequential(...)`; the members of a container inside another may have names."""
        docs = {
            name: child.steps[0].doc if child.is_leaf else self.sequential(child)
            for name, child in container.children.items()
        }
        if container.is_numbered:
            return call("nn.Sequential", numbered(docs))
        self.registry.uses_ordered_dict = True
        pairs = [keyword(name, doc) for name, doc in docs.items()]
        return call("nn.Sequential", [call("OrderedDict", pairs)])

    # --- a container as a class

    def grouped(
        self, path: str, access: str, child: Container[Statement], steps: list[Statement]
    ) -> tuple[Doc, list[Statement]]:
        """A container that is neither a chain nor flat is a class of its own."""
        inside = self.group_members(path, steps)
        values = {unit.value for unit in inside}
        outputs = [unit.value for unit in inside if self.is_read_outside(unit, inside)]
        if len(outputs) != 1 or not _is_convex(inside, steps):
            self.refuse_group(path, child, len(outputs))
        inputs = tuple(dict.fromkeys(n for unit in inside for n in unit.inputs if n not in values))
        named = {unit.value: unit.name for unit in self.units}
        taken = {"x", *values}
        renamed = {inputs[0]: "x"}
        for each in inputs[1:]:
            renamed[each] = unique(_variable(named.get(each, each)), taken)
        whole = Statement(outputs[0], inputs, path, home=path, name=path, access=access)
        last = max(steps.index(unit) for unit in inside)
        after = [*steps[: last + 1], whole, *steps[last + 1 :]]
        remaining = [step for step in after if step not in inside]
        for unit in inside:
            unit.move(path, renamed)
        name = unique(camel_case(path), self.registry.taken)
        doc = f"the modules below `{path}`"
        plan = self.module(
            ClassPart(name, doc, inside, tuple(renamed.values()), (outputs[0],), False)
        )
        self.registry.printed.append(plan)
        items = [
            keyword(a.name, a.name if a.module else ExprDoc(Name(a.name))) for a in plan.arguments
        ]
        return call(name, items), remaining

    def group_members(self, path: str, steps: list[Statement]) -> list[Statement]:
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

    def is_read_outside(self, unit: Statement, inside: Sequence[Statement]) -> bool:
        return any(
            reader is None or reader not in inside for reader in self.readers.get(unit.value, [])
        )

    def refuse_number(self, path: str, child: Container[Statement]) -> NoReturn:
        """A number is no attribute of a class: only chains are numbered without a container."""
        message = f"the module `{path}` has a number for a name, and its block is no chain"
        hint = "number it inside a container, `layers.0`, or give it a name"
        raise SpecError([Diagnostic("container", message, self.span_of(child), (), hint)])

    def refuse_group(self, path: str, child: Container[Statement], outputs: int) -> NoReturn:
        """A class gives one value, and is called once."""
        why = f"has {outputs} outputs" if outputs != 1 else "is left and entered again"
        message = f"the modules below `{path}` cannot be one class: the group {why}"
        hint = "give the nodes keys without dots, or number them in one container"
        raise SpecError([Diagnostic("container", message, self.span_of(child), (), hint)])

    def span_of(self, child: Container[Statement]) -> Span:
        """Where the first module of a container was written."""
        key = next(child.leaves()).value.partition("#")[0]
        return self.scope.placed[key].block_node.span

    # --- the class

    def module(self, part: ClassPart) -> ClassPlan:
        """A class with its own `forward`."""
        members: list[tuple[str, Doc]] = []
        steps = list(part.units)
        for path, child in containers(part.units).children.items():
            if path.isdigit():
                self.refuse_number(path, child)
            doc, steps = self.holder(path, f"self.{path}", child, steps)
            members.append((path, doc))
        network = self.registry.network if self.is_root and part.whole else None
        several = network is not None and len(network.outputs) > 1
        order = in_execution_order(steps)
        lines, variables = forward.statements(order, part.inputs, part.outputs, several)
        lines += return_lines(network, part.inputs, [variables[name] for name in part.outputs])
        attributes = self.lowering.attributes.items()
        members += [(name, ExprDoc(expr)) for name, expr in attributes if _reads(lines, name)]
        parameters = ("self", *(f"{name}: Tensor" for name in part.inputs))
        signature = pretty.lay(
            Brackets("forward(", parameters), 4, "def ", f" -> {return_type(network)}:"
        )
        head = self.constructor([doc for _, doc in members])
        init = [f"{MARGIN}super().__init__()", *head.assignments()]
        for path, doc in members:
            init += pretty.lay(head.shortened(doc), len(MARGIN), f"self.{path} = ")
        if network is not None:
            init += init_lines(network, self.registry.structures)
        return ClassPlan(
            part.name, "nn.Module", part.doc, head.arguments, tuple(head.signature()),
            tuple(init), tuple(signature), tuple(lines),
        )  # fmt: skip

    def sequential_class(self, name: str, doc: str, chain: Brackets) -> ClassPlan:
        """A class that is an `nn.Sequential`."""
        head = self.constructor([chain])
        items = tuple(map(head.shortened, chain.items))
        init = [*head.assignments(), *pretty.lay(call("super().__init__", items), len(MARGIN))]
        return ClassPlan(
            name, "nn.Sequential", doc, head.arguments, tuple(head.signature()), tuple(init), (), ()
        )

    def constructor(self, docs: Sequence[Doc]) -> Constructor:
        """The head of the constructor of a class that makes these modules."""
        return constructor(self.scope, docs, self.lowering.handed, is_root=self.is_root)


def _readers(
    units: Sequence[Statement], outputs: Sequence[str]
) -> dict[str, list[Statement | None]]:
    """Who reads each value; None stands for the caller."""
    readers: dict[str, list[Statement | None]] = {}
    for unit in units:
        for name in unit.inputs:
            readers.setdefault(name, []).append(unit)
    for name in outputs:
        readers.setdefault(name, []).append(None)
    return readers


def _reads(lines: Sequence[str], attribute: str) -> bool:
    return any(f"self.{attribute}" in line for line in lines)


def _merged(
    steps: Sequence[Statement], chain: Sequence[Statement], access: str, path: str
) -> list[Statement]:
    """The steps with a chain as one step."""
    last = chain[-1]
    unit = Statement(last.value, chain[0].inputs, path, home=path, name=path, access=access)
    unit.training = last.training
    return [unit if step is last else step for step in steps if step is last or step not in chain]


def _variable(name: str) -> str:
    text = name.replace(".", "_").replace("#", "_")
    return text if text[:1].isalpha() else f"value_{text}"


def _is_convex(inside: Sequence[Statement], steps: Sequence[Statement]) -> bool:
    """Whether no value leaves a group and comes back into it."""
    members = {unit.value for unit in inside}
    tainted: set[str] = set()
    for step in in_execution_order(steps):
        if step.value in members:
            if any(name in tainted for name in step.inputs):
                return False
        elif any(name in members or name in tainted for name in step.inputs):
            tainted.add(step.value)
    return True


def numbered(docs: Mapping[str, Doc]) -> list[Doc]:
    """Modules by number; holes keep their numbers."""
    last = max(int(name) for name in docs)
    return [docs.get(str(number), "nn.Identity()") for number in range(last + 1)]


def indexed(container: Container[Statement], docs: Mapping[str, Doc]) -> Doc:
    """`nn.ModuleList([...])` or `nn.ModuleDict({...})`."""
    if container.is_numbered:
        return call("nn.ModuleList", [Brackets("[", tuple(numbered(docs)), "]")])
    pairs = tuple(Prefixed(f'"{name}": ', doc) for name, doc in docs.items())
    return call("nn.ModuleDict", [Brackets("{", pairs, "}")])
