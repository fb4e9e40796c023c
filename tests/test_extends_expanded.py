"""The spec after all inheritance, printed: it compiles to the same, alone, and reads well."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetgen.compiler.diagnostics.model import Source, Span
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.tree import ListTree, MapTree, Scalar, Tree
from resnetgen.compiler.frontend.yaml_reader import parse, parse_value
from resnetgen.compiler.frontend.yaml_scalars import ScalarError, resolve, scalar_text
from resnetgen.compiler.frontend.yaml_writer import WIDTH, to_flow, to_yaml
from resnetgen.compiler.passes.expand import expand
from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.pipeline import Compiled, compile_spec, compile_text

ROOT = Path(__file__).resolve().parents[1]
SPECS = [path.stem for path in library.network_files()]
OURS = sorted((ROOT / "tests/specs").glob("*.yaml"))


def expanded(compiled: Compiled) -> str:
    return to_yaml(expand(compiled.document, compiled.network))


def body(source: str) -> str:
    """A printed module without its docstring."""
    return source.split('"""', 2)[2]


@pytest.mark.parametrize("spec", [*SPECS, *OURS], ids=str)
def test_it_compiles_to_the_same_module_and_keys(spec: str | Path) -> None:
    compiled = compile_spec(spec)
    text = expanded(compiled)
    again = compile_text(text)
    assert body(again.source) == body(compiled.source)
    assert [*state_dict(again.checked_graph).items()] == [
        *state_dict(compiled.checked_graph).items()
    ]
    assert expanded(again) == text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "extends" not in text


def test_it_has_the_settings_and_reads_like_the_library_s() -> None:
    compiled = compile_spec("resnet50d", **{"layer3.blocks": 11, "block.groups": 2, "layer4": None})
    assert expanded(compiled) == (
        "network: resnet50d\n"
        "class: ResNet\n"
        "doc: ResNet-50-D with layer3.blocks=11, block.groups=2, layer4=null\n"
        "family: resnet\n"
        "paper: https://arxiv.org/abs/1812.01187\n"
        "input: {channels: 3, size: [224, 224]}\n"
        "stem: deep\n"
        "block: {op: bottleneck, groups: 2}\n"
        "shortcut: avg_projection\n"
        "stages:\n"
        "  layer1: {blocks: 3, width: 64}\n"
        "  layer2: {blocks: 4, width: 128, stride: 2}\n"
        "  layer3: {blocks: 11, width: 256, stride: 2}\n"
        "head: {classes: 1000}\n"
        "init: {last_norm: {weight: 0}}\n"
    )


def test_blocks_beside_the_spec_are_put_into_it(tmp_path: Path) -> None:
    """`outer` of a file calls `inner` of a file; `basic` of a file changes the library's."""
    write(
        tmp_path,
        "blocks/inner",
        "block: inner\nparams: {width: int}\n"
        "nodes: {a: {op: conv, out: width, kernel: 3}, b: {op: act}}\n",
    )
    write(
        tmp_path,
        "blocks/outer",
        "block: outer\nlanguage: 1\nclass: Outer\nextends: inner\n"
        "nodes: {c: {op: inner, width: width}}\n",
    )
    write(tmp_path, "blocks/basic", "block: basic\nextends: basic\nnodes: {conv1: {kernel: 5}}\n")
    write(tmp_path, "blocks/unused", "block: unused\nnodes: {a: {op: gone}}\n")
    path = write(tmp_path, "net", "network: net\nextends: resnet18\nnodes:\n"
                 "  last: {op: outer, inputs: layer4, width: 8}\n"
                 "  more: {inputs: last, extends: inner, params: {width: 4}, nodes: {d: {op: act}}}\n"
                 "head: none\n")  # fmt: skip
    compiled = compile_spec(path)
    text = expanded(compiled)
    again = compile_text(text)
    assert body(again.source) == body(compiled.source)
    assert {*parse(Source("x", text)).entries["define"].entries} == {"inner", "basic", "outer"}


def test_a_define_over_a_file_of_its_name_is_written_out_whole(tmp_path: Path) -> None:
    write(tmp_path, "blocks/basic", "block: basic\nextends: basic\nnodes: {conv1: {kernel: 5}}\n")
    path = write(tmp_path, "net", "network: net\nextends: resnet18\n"
                 "define: {basic: {extends: basic, nodes: {conv2: {kernel: 5}}}}\n")  # fmt: skip
    compiled = compile_spec(path)
    again = compile_text(expanded(compiled))
    assert body(again.source) == body(compiled.source)
    kernels = [
        n.attributes["kernel"] for n in again.checked_graph.nodes if n.name.startswith("layer1.0.c")
    ]
    assert kernels == [5, 5]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# --- any tree


SPAN = Span(Source("x", ""), 1, 1, 2)
KEYS = (
    "nodes",
    "stages",
    "define",
    "op",
    "0",
    "1.10",
    "null",
    "<<",
    "a b",
    "a: b",
    "#",
    "- x",
    "é",
)
TEXTS = st.one_of(
    st.sampled_from(
        ("", "null", "true", "010", "1e-3", ".inf", "0x1f", "~", "yes", "12:30", "a: b", "a #b",
         "a  b", "x:", "-1", "- x", "*a", "&a", "!t", "'", '"', "\\", "max(a, b)", "[1]", "{a: b}",
         "width * 2", "a,b", "a\nb", "tab\there", "<<", "?", "%", "@", "`", "a#b", "c:#d", "9" * 20)
    ),
    st.text("ab01 :#,[]{}\"'\\-?&*!|>%@`~.\n\t", max_size=12),
)  # fmt: skip


def plain_or_quoted(text: str) -> Scalar:
    """A scalar as the reader would give it: plain where the text has a meaning of its own."""
    try:
        value = resolve(scalar_text(text))
    except ScalarError:
        value = text
    return Scalar(value, text, SPAN, quoted=isinstance(value, str))


def as_map(entries: dict[str, Tree]) -> MapTree:
    return MapTree(entries, dict.fromkeys(entries, SPAN), SPAN)


SCALARS = TEXTS.map(plain_or_quoted) | TEXTS.map(lambda text: Scalar(text, text, SPAN, True))
TREES = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=4).map(lambda items: ListTree(tuple(items), SPAN))
        | st.dictionaries(st.sampled_from(KEYS), below, max_size=4).map(as_map)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS), TREES, min_size=1, max_size=4).map(as_map))
def test_any_tree_is_read_as_it_was(tree: MapTree) -> None:
    again = parse(Source("x", to_yaml(tree)))
    assert without_order(again) == without_order(tree)


@given(TREES)
def test_any_tree_in_one_line_is_read_as_it_was(tree: Tree) -> None:
    if not isinstance(tree, Scalar):
        assert library.canonical_text(
            parse_value(to_flow(tree), "--set x")
        ) == library.canonical_text(tree)


def without_order(tree: MapTree) -> list[tuple[str, str]]:
    """The keys of a spec may be put in order; what is below them may not, except for blocks."""
    return sorted((key, sorted_blocks(each)) for key, each in tree.entries.items())


def sorted_blocks(tree: Tree) -> str:
    if isinstance(tree, MapTree):
        pairs = [f"{key!r}:{sorted_blocks(each)}" for key, each in tree.entries.items()]
        return "{" + ",".join(sorted(pairs)) + "}"
    return library.canonical_text(tree)
