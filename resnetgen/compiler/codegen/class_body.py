"""The body of one printed class: the modules that its constructor makes, and its `forward`.

    conv1, bn1, layers.0, layers.1   ->   self.conv1 = nn.Conv2d(...)
                                          self.bn1 = nn.BatchNorm2d(...)
                                          self.layers = nn.Sequential(...)

Goes in: the statements of a class (`lowering.py`), whose modules form a tree of paths. Comes out: a
ClassPlan. Each container of the tree becomes one module:

    a chain that runs in its own order                nn.Sequential, one statement of `forward`
    modules and chains, used one by one               nn.ModuleList or nn.ModuleDict, indexed
    anything else                                     a class of its own, called once

Invariant: the keys of the state_dict are those that the spec implies, whatever holds a module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from resnetgen.compiler.analysis.statements import (
    count_readers,
    in_execution_order,
    is_sequential,
    module_tree,
)
from resnetgen.compiler.codegen import pretty
from resnetgen.compiler.codegen.class_plan import ClassPlan, Constructor, FilePlanner, constructor
from resnetgen.compiler.codegen.classes import ClassGroup, unique
from resnetgen.compiler.codegen.forward import forward_lines, return_lines, return_type
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
from resnetgen.compiler.passes.module_paths import Container


@dataclass(frozen=True, slots=True, eq=False)
class ClassPart:
    """What becomes a class: the whole body, or the modules below one path of it."""

    name: str
    doc: str
    statements: Sequence[Statement]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_whole: bool


class ClassBody:
    """Plans one class: `ClassBody(planner, group).plan()`."""

    def __init__(self, planner: FilePlanner, group: ClassGroup) -> None:
        self.planner = planner
        self.group = group
        self.scope = planner.scopes[group]
        self.instance = group.instances[0]
        self.is_root = group is planner.groups.root
        self.lowering = Lowering(planner, group)
        self.statements = list(self.lowering.statements())
        self.readers = _readers(self.statements, self.instance.outputs)
        self.counts = count_readers(self.statements, self.instance.outputs)

    def plan(self) -> ClassPlan:
        """The class."""
        name, doc = self.group.name, self.group.block.doc
        chain = None if self.is_root else self.whole_chain()
        if chain is not None:
            return self.sequential_class(name, doc, chain)
        inputs = tuple(name for name, channels in self.instance.inputs.items() if channels)
        outputs = self.instance.outputs
        return self.module_class(ClassPart(name, doc, self.statements, inputs, outputs, True))

    # --- classes

    def sequential_class(self, name: str, doc: str, chain: Brackets) -> ClassPlan:
        """A class that is an `nn.Sequential`."""
        head = self.constructor([chain])
        items = tuple(map(head.shortened, chain.items))
        init = [*head.assignments(), *pretty.lay(call("super().__init__", items), len(MARGIN))]
        return ClassPlan(
            name, "nn.Sequential", doc, head.arguments, tuple(head.signature()), tuple(init), (), ()
        )

    def module_class(self, part: ClassPart) -> ClassPlan:
        """A class with its own `forward`."""
        members: list[tuple[str, Doc]] = []
        statements = list(part.statements)
        for path, child in module_tree(part.statements).children.items():
            if path.isdigit():
                self.refuse_number(path, child)
            doc, statements = self.module_at(path, f"self.{path}", child, statements)
            members.append((path, doc))
        network = self.planner.network if self.is_root and part.is_whole else None
        several = network is not None and len(network.outputs) > 1
        comments = self.planner.comments if network else {}
        order = in_execution_order(statements)
        lines, variables = forward_lines(
            order, part.inputs, part.outputs, self.planner.taken, comments, several
        )
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
            init += init_lines(network, self.planner.groups)
        return ClassPlan(
            part.name, "nn.Module", part.doc, head.arguments, tuple(head.signature()),
            tuple(init), tuple(signature), tuple(lines),
        )  # fmt: skip

    def constructor(self, docs: Sequence[Doc]) -> Constructor:
        """The head of the constructor of a class that makes these modules."""
        return constructor(self.scope, docs, self.lowering.hoisted_arguments, is_root=self.is_root)

    # --- containers

    def whole_chain(self) -> Brackets | None:
        """`nn.Sequential(...)` where the block is nothing but a numbered chain."""
        tree = module_tree(self.statements)
        order = in_execution_order(self.statements)
        (first, *others) = self.instance.inputs
        if others or not tree.is_numbered or order != list(tree.leaves()):
            return None
        if not is_sequential(tree, order, self.counts):
            return None
        closed = self.instance.outputs == (order[-1].result_key,) and order[0].inputs == (first,)
        if not closed or self.counts[first] != 1:
            return None
        return self.sequential(tree)

    def module_at(
        self, path: str, access: str, child: Container[Statement], statements: list[Statement]
    ) -> tuple[Doc, list[Statement]]:
        """The module at a path, and the statements that use it: a chain is one statement.

        `access` is how `forward` refers to the module: `self.features[0]`.
        """
        if child.is_leaf:
            for statement in child.owners:
                statement.accessor = access
            return child.owners[0].constructor, statements
        chain = self.chain(child, statements)
        if chain is not None:
            return chain, _merge_chain(statements, list(child.leaves()), access, path)
        simple = all(self.is_simple(each, statements) for each in child.children.values())
        if not simple and not child.is_numbered:
            return self.container_class(path, access, child, statements)
        docs: dict[str, Doc] = {}
        for name, each in child.children.items():
            inner = f"{access}[{name}]" if child.is_numbered else f'{access}["{name}"]'
            make = self.module_at if self.is_simple(each, statements) else self.container_class
            docs[name], statements = make(f"{path}.{name}", inner, each, statements)
        return indexed(child, docs), statements

    def is_simple(self, child: Container[Statement], statements: list[Statement]) -> bool:
        """Whether it is one module, or a chain of them."""
        return child.is_leaf or self.chain(child, statements) is not None

    def chain(self, child: Container[Statement], statements: list[Statement]) -> Doc | None:
        """`nn.Sequential(...)` of a container that runs in its own order."""
        is_chain = is_sequential(child, in_execution_order(statements), self.counts)
        return self.sequential(child) if is_chain else None

    def sequential(self, container: Container[Statement]) -> Brackets:
        """`nn.Sequential(...)`; the members of a container inside another may have names."""
        docs = {
            name: child.owners[0].constructor if child.is_leaf else self.sequential(child)
            for name, child in container.children.items()
        }
        if container.is_numbered:
            return call("nn.Sequential", numbered(docs))
        self.planner.uses_ordered_dict = True
        pairs = [keyword(name, doc) for name, doc in docs.items()]
        return call("nn.Sequential", [call("OrderedDict", pairs)])

    # --- a container as a class

    def container_class(
        self, path: str, access: str, child: Container[Statement], statements: list[Statement]
    ) -> tuple[Doc, list[Statement]]:
        """The call of a class with the modules below a path, and the statements with one for it."""
        inside = self.container_members(path, statements)
        values = {statement.result_key for statement in inside}
        outputs = [each.result_key for each in inside if self.is_read_outside(each, inside)]
        if len(outputs) != 1 or not _is_convex(inside, statements):
            self.refuse_container(path, child, len(outputs))
        reads = (name for statement in inside for name in statement.inputs)
        inputs = tuple(dict.fromkeys(name for name in reads if name not in values))
        parameters = self.parameter_names(inputs, values)
        whole = Statement(outputs[0], inputs, path, location=path, name=path, accessor=access)
        last = max(statements.index(statement) for statement in inside)
        after = [*statements[: last + 1], whole, *statements[last + 1 :]]
        remaining = [statement for statement in after if statement not in inside]
        for statement in inside:
            statement.move(path, parameters)
        name = unique(camel_case(path), self.planner.taken)
        doc = f"the modules below `{path}`"
        plan = self.module_class(
            ClassPart(name, doc, inside, tuple(parameters.values()), (outputs[0],), False)
        )
        self.planner.classes.append(plan)
        items = [
            keyword(a.name, a.name if a.module else ExprDoc(Name(a.name))) for a in plan.arguments
        ]
        return call(name, items), remaining

    def parameter_names(self, inputs: Sequence[str], values: set[str]) -> dict[str, str]:
        """What the `forward` of a container's class calls its inputs: the first one is `x`."""
        names = {statement.result_key: statement.name for statement in self.statements}
        taken = {"x", *values}
        parameters = {inputs[0]: "x"}
        for each in inputs[1:]:
            parameters[each] = unique(_variable(names.get(each, each)), taken)
        return parameters

    def container_members(self, path: str, statements: list[Statement]) -> list[Statement]:
        """The statements below a path, and the expressions that only those read."""
        inside = [each for each in statements if each.location.startswith(f"{path}.")]
        added = True
        while added:
            new = [
                statement
                for statement in statements
                if statement.module_path is None
                and statement not in inside
                and not self.is_read_outside(statement, inside)
            ]
            inside += new
            added = bool(new)
        return [statement for statement in statements if statement in inside]

    def is_read_outside(self, statement: Statement, inside: Sequence[Statement]) -> bool:
        """Whether another statement, or the caller, reads a value."""
        readers = self.readers.get(statement.result_key, [])
        return any(reader is None or reader not in inside for reader in readers)

    # --- errors

    def refuse_number(self, path: str, child: Container[Statement]) -> NoReturn:
        """An attribute of a class cannot be a number: only members of a container are numbered."""
        message = f"the module `{path}` has a number for a name, and its block is not a chain"
        hint = "number it inside a container, `layers.0`, or give it a name"
        raise SpecError([Diagnostic("container", message, self.span_of(child), (), hint)])

    def refuse_container(self, path: str, child: Container[Statement], outputs: int) -> NoReturn:
        """A class returns one value, and is called once."""
        why = f"has {outputs} outputs" if outputs != 1 else "is left and entered again"
        message = f"the modules below `{path}` cannot be one class: the group {why}"
        hint = "give the nodes keys without dots, or number them in one container"
        raise SpecError([Diagnostic("container", message, self.span_of(child), (), hint)])

    def span_of(self, child: Container[Statement]) -> Span:
        """The position in the spec of the first module of a container."""
        key = next(child.leaves()).result_key.partition("#")[0]
        return self.scope.nodes[key].block_node.span


def _readers(
    statements: Sequence[Statement], outputs: Sequence[str]
) -> dict[str, list[Statement | None]]:
    """The readers of each value; None is the caller."""
    readers: dict[str, list[Statement | None]] = {}
    for statement in statements:
        for name in statement.inputs:
            readers.setdefault(name, []).append(statement)
    for name in outputs:
        readers.setdefault(name, []).append(None)
    return readers


def _reads(lines: Sequence[str], attribute: str) -> bool:
    """Whether a line of `forward` reads `self.ATTRIBUTE`."""
    read = re.compile(rf"\bself\.{re.escape(attribute)}\b")
    return any(read.search(line) for line in lines)


def _merge_chain(
    statements: Sequence[Statement], chain: Sequence[Statement], access: str, path: str
) -> list[Statement]:
    """The statements with a chain as one statement."""
    last = chain[-1]
    whole = Statement(
        last.result_key, chain[0].inputs, path, location=path, name=path, accessor=access
    )
    whole.training = last.training
    return [
        whole if each is last else each for each in statements if each is last or each not in chain
    ]


def _variable(name: str) -> str:
    text = name.replace(".", "_").replace("#", "_")
    return text if text[:1].isalpha() else f"value_{text}"


def _is_convex(inside: Sequence[Statement], statements: Sequence[Statement]) -> bool:
    """Whether no value leaves a container and comes back into it."""
    members = {statement.result_key for statement in inside}
    came_out: set[str] = set()  # what is computed outside from values of the container
    for statement in in_execution_order(statements):
        if statement.result_key in members:
            if any(name in came_out for name in statement.inputs):
                return False
        elif any(name in members or name in came_out for name in statement.inputs):
            came_out.add(statement.result_key)
    return True


def numbered(docs: Mapping[str, Doc]) -> list[Doc]:
    """Modules in the order of their numbers; missing numbers are filled with `nn.Identity()`."""
    last = max(int(name) for name in docs)
    return [docs.get(str(number), "nn.Identity()") for number in range(last + 1)]


def indexed(container: Container[Statement], docs: Mapping[str, Doc]) -> Doc:
    """`nn.ModuleList([...])` or `nn.ModuleDict({...})`."""
    if container.is_numbered:
        return call("nn.ModuleList", [Brackets("[", tuple(numbered(docs)), "]")])
    pairs = tuple(Prefixed(f'"{name}": ', doc) for name, doc in docs.items())
    return call("nn.ModuleDict", [Brackets("{", pairs, "}")])
