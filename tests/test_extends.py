"""`extends`, alone and as a list, and that `--set` changes one thing alone as a file does."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import pytest

from resnetgen.compiler.diagnostics.model import Diagnostic, SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.inheritance import c3_linearize
from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.pipeline import Compiled, compile_spec

# --- the order of several


def test_one_order_out_of_several() -> None:
    assert c3_linearize([["a", "b"], ["a", "c"], ["b", "c"]]) == ["a", "b", "c"]
    assert c3_linearize([]) == []
    assert c3_linearize([["a", "b"], ["b", "a"]]) is None


def classes(parents: dict[str, tuple[str, ...]]) -> dict[str, list[str]] | None:
    """The resolution orders of Python's own classes, from behind; None where it refuses."""
    made: dict[str, type] = {}
    for name, bases in parents.items():
        try:
            made[name] = type(name, tuple(made[base] for base in reversed(bases)), {})
        except TypeError:
            return None
    return {name: [each.__name__ for each in cls.__mro__[-2::-1]] for name, cls in made.items()}


def orders(parents: dict[str, tuple[str, ...]]) -> dict[str, list[str]] | None:
    found: dict[str, list[str]] = {}
    for name, bases in parents.items():
        before = c3_linearize([bases, *(found[base] for base in bases)])
        if before is None:
            return None
        found[name] = [*before, name]
    return found


def test_the_order_is_that_of_python() -> None:
    """Every way in which four files can extend those before them, in either order."""
    names = "abcd"
    choices = [
        [bases for size in range(at + 1) for chosen in combinations(names[:at], size)
         for bases in {chosen, chosen[::-1]}]
        for at in range(len(names))
    ]  # fmt: skip
    cases = [dict(zip(names, bases, strict=True)) for bases in product(*choices)]
    assert len(cases) > 100
    refused = 0
    for parents in cases:
        assert orders(parents) == classes(parents), parents
        refused += orders(parents) is None
    assert refused


# --- lists


@pytest.fixture
def spec(tmp_path: Path):
    """Writes files, `NAME: the lines below network:`, and gives the path of the last."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / f"{name}.yaml"
            path.write_text(f"network: {name}\n{text}", encoding="utf-8")
        return path

    return write


def content(path: Path) -> str:
    """What a spec says after inheritance, but for its name and what describes it."""
    tree = library.load(path).tree
    entries = {key: tree.entries[key] for key in sorted(tree.entries)}
    for key in ("network", "doc"):
        entries.pop(key, None)
    return "\n".join(f"{key} {library.canonical_text(each)}" for key, each in entries.items())


def errors(path: Path | str, **settings: object) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        compile_spec(path, **settings)
    return list(caught.value.diagnostics)


def test_a_list_of_one_is_a_name(spec) -> None:
    listed = spec(one="extends: [resnet50]\nblock: {groups: 2}\n")
    assert content(listed) == content(spec(two="extends: resnet50\nblock: {groups: 2}\n"))


def test_later_ones_refine_and_the_file_comes_last(spec) -> None:
    path = spec(
        small="input: {size: [64, 64]}\nhead: {classes: 10}\n",
        grey="input: {channels: 1}\nhead: {classes: 20}\n",
        mine="extends: [resnet50, small, grey]\nhead: {classes: 30}\n",
    )
    network = compile_spec(path).network
    assert (network.name, network.input.shape) == ("mine", (1, 64, 64))
    assert "head {'op'" not in content(path)
    assert "head {'classes':30}" in content(path)
    assert "head {'classes':20}" in content(spec(other="extends: [resnet50, small, grey]\n"))
    assert "head {'classes':10}" in content(spec(third="extends: [resnet50, grey, small]\n"))


def test_what_two_share_is_not_brought_back_by_the_later(spec) -> None:
    """Both extend resnet50, which says 3 blocks and width 64 of layer1."""
    path = spec(
        left="extends: resnet50\nstages: {layer1: {blocks: 5}, layer4: null}\n",
        right="extends: resnet50\nstages: {layer1: {width: 32}}\n",
        mine="extends: [left, right]\n",
    )
    stages = library.load(path).tree.entries["stages"]
    assert list(stages.entries) == ["layer1", "layer2", "layer3"]
    assert library.canonical_text(stages.entries["layer1"]) == "{'blocks':5,'width':32}"


def test_the_d_of_one_and_the_stages_of_another_are_the_library_s_own(spec) -> None:
    path = spec(mine="extends: [resnet50d, resnet101]\ninput: {size: [256, 256]}\n")
    published = library.LIBRARY / "resnet101d.yaml"
    assert state_dict(compile_spec(path).checked_graph) == state_dict(
        compile_spec(published).checked_graph
    )
    assert content(path).replace(" ", "") == content(published).replace(" ", "")


def test_sources_name_the_file_first_and_the_base_of_all_last(spec) -> None:
    path = spec(grey="input: {channels: 1}\n", mine="extends: [resnet50d, grey]\n")
    names = [Path(source.name).stem for source in library.load(path).sources]
    assert names == ["mine", "grey", "resnet50d", "resnet50c", "resnet50"]


def test_a_file_of_the_name_that_it_extends_starts_from_the_next_of_that_name(spec) -> None:
    path = spec(
        resnet50="extends: resnet50\nblock: {groups: 2}\n",
        mine="extends: [resnet50, resnet50d]\n",
    )
    names = [Path(source.name).name for source in library.load(path).sources]
    assert names == [
        "mine.yaml", "resnet50d.yaml", "resnet50c.yaml", "resnet50.yaml", "resnet50.yaml"
    ]  # fmt: skip


def test_a_doc_is_not_inherited_from_any_of_them(spec) -> None:
    path = spec(grey="doc: grey\ninput: {channels: 1}\n", mine="extends: [resnet50, grey]\n")
    assert compile_spec(path).network.doc == ""


def test_an_error_in_a_member_points_into_it(spec) -> None:
    path = spec(grey="input: {chanels: 1}\n", mine="extends: [resnet50, grey]\n")
    (error,) = errors(path)
    assert (Path(error.span.file).name, error.span.line, error.help) == (
        "grey.yaml", 2, "did you mean `channels`?"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "words", "place"),
    [
        ("[]", "wrong-value", "must be the name of a spec, or a list of names", "[]"),
        ("null", "wrong-value", "must be the name of a spec, or a list of names", "null"),
        ("{a: 1}", "wrong-value", "must be the name of a spec, or a list of names", "{a: 1}"),
        ("[resnet50, [grey]]", "wrong-value", "must be the name of a spec", "[grey]"),
        ("[resnet50, ../grey]", "wrong-value", "must be the name of a spec", "../grey"),
        ("[resnet50, gray]", "unknown-spec", "there is no spec `gray`", "gray"),
        ("[resnet50, bottleneck]", "not-a-network", "`bottleneck` is a block", "bottleneck"),
        ("[grey, resnet50, grey]", "wrong-value", "`grey` is named twice", "grey"),
        ("[resnet50d, resnet50]", "wrong-value", "cannot refine `resnet50d`", "resnet50"),
        ("[ab, ba]", "wrong-value", "same specs in different orders", "ab"),
        ("[resnet50, mine]", "extends-cycle", "mine -> mine", "mine"),
        ("[resnet50, back]", "extends-cycle", "mine -> back -> mine", "back"),
    ],
)
def test_what_is_wrong_in_a_list_is_reported_at_its_span(spec, text, code, words, place) -> None:
    path = spec(
        grey="input: {channels: 1}\n", a="", b="", ab="extends: [a, b]\n", ba="extends: [b, a]\n",
        back="extends: [resnet50, mine]\n", mine=f"extends: {text}\n",
    )  # fmt: skip
    (error,) = errors(path)
    assert (error.code, error.span.text) == (code, place)
    assert words in error.message
    assert Path(error.span.file).name == "mine.yaml"


def test_errors_of_all_members_are_reported_together_and_once(spec) -> None:
    path = spec(
        broken="extends: nowhere\n", left="extends: broken\n", right="extends: broken\n",
        mine="extends: [left, right, gone]\n",
    )  # fmt: skip
    assert [error.message.split("`")[1] for error in errors(path)] == ["nowhere", "gone"]


def test_many_files_that_extend_each_other_in_many_ways_end_soon(spec) -> None:
    """Each extends all that follow it: there are more ways than could be walked."""
    count = library.MAX_CHAIN + 4
    texts = {
        f"n{at}": f"extends: [{', '.join(f'n{below}' for below in range(count, at, -1))}]\n"
        for at in range(count, 4, -1)
    } | {f"n{count}": "input: {channels: 1, size: [8]}\nnodes: {a: {op: relu}}\n"}
    deepest = library.load(spec(**texts))
    assert len(deepest.sources) == library.MAX_CHAIN
    (error,) = errors(
        spec(more=f"extends: [{', '.join(f'n{at}' for at in range(count, 4, -1))}]\n")
    )
    assert error.code == "limit"
    (error,) = errors(spec(over="extends: n5\n"))
    assert error.code == "limit"
    (error,) = errors(spec(long=f"extends: [{', '.join(['gone'] * 5000)}]\n"))
    assert error.code == "limit"


# --- one thing alone, in a file and by --set


FIVE = "{extends: bottleneck, nodes: {conv2: {kernel: 5}}}"
POOL = "{op: avg_pool, kernel: 3, stride: stride, after: act2}"
ALONE = {
    "a stage": ("stages: {layer3: {blocks: 11}}", {"layer3.blocks": 11}),
    "a stage less": ("stages: {layer4: null}", {"layer4": None}),
    "a stage between": (
        "stages: {mid: {blocks: 2, width: 128, after: layer2}}",
        {"stages.mid": {"blocks": 2, "width": 128, "after": "layer2"}},
    ),
    "a stage that moves": ("stages: {layer3: {after: layer1}}", {"layer3.after": "layer1"}),
    "the policy": (
        "shortcut: {op: zero_pad, centred: false}",
        {"shortcut": "{op: zero_pad, centred: false}"},
    ),
    "an argument of all blocks": ("block: {groups: 32}", {"block.groups": 32}),
    "the block": ("block: bottleneck_v1", {"block": "bottleneck_v1"}),
    "a block of the library": (f"define: {{bottleneck: {FIVE}}}", {"define.bottleneck": FIVE}),
    "a node of a block of the library": (
        f"define: {{bottleneck: {FIVE}}}",
        {"define.bottleneck.extends": "bottleneck", "define.bottleneck.nodes.conv2.kernel": 5},
    ),
    "a node less": (
        "define: {bottleneck: {extends: bottleneck, nodes: {act2: null}}}",
        {"define.bottleneck.extends": "bottleneck", "define.bottleneck.nodes.act2": None},
    ),
    "a node between": (
        f"define: {{bottleneck: {{extends: bottleneck, nodes: {{conv2: {{stride: 1}}, pool: {POOL}}}}}}}",
        {
            "define.bottleneck.extends": "bottleneck",
            "define.bottleneck.nodes.conv2.stride": 1,
            "define.bottleneck.nodes.pool": POOL,
        },
    ),
    "no head": ("head: none", {"head": "none"}),
}  # fmt: skip


@pytest.mark.parametrize("what", ALONE)
def test_one_thing_alone_is_changed_by_either_way(spec, what: str) -> None:
    text, settings = ALONE[what]
    by_file = compile_spec(spec(mine=f"extends: resnet50\n{text}\n"))
    by_setting = compile_spec("resnet50", **settings)
    assert described(by_file) == described(by_setting)
    assert described(by_file) != described(compile_spec("resnet50"))


def described(compiled: Compiled) -> list[object]:
    return [(*node_facts(node),) for node in compiled.checked_graph.nodes]


def node_facts(node) -> tuple[object, ...]:
    return (
        node.name,
        node.op,
        node.inputs,
        dict(node.attributes),
        node.type,
        node.registration_rank,
    )


@pytest.mark.parametrize(
    ("text", "settings", "words", "help"),
    [
        ("stages: {layr4: null}", {"stages.layr4": None}, "no `layr4` to delete", "`layer4`"),
        ("nodes: {fc: null}", {"nodes.fc": None}, "no `fc` to delete", None),
        ("define: {unit: {nodes: {a: null}}}", None, "no `a` to delete", None),
        (
            "stages: {mid: {blocks: 2, width: 8, after: layr2}}",
            {"stages.mid": "{blocks: 2, width: 8, after: layr2}"},
            "no node `layr2` to follow", "`layer2`",
        ),
        ("stages: {layer3: {block: 11}}", {"layer3.block": 11}, "no parameter `block`", "`blocks`"),
        ("shortcut: projektion", {"shortcut": "projektion"}, "`projektion`", "`projection`"),
        (None, {"layr3.blocks": 11}, "no stage and no key `layr3`", "`layer3`"),
        (None, {"mid": "{blocks: 2, width: 8}"}, "no stage and no key `mid`", "`stages.mid`"),
        (None, {"define.bottleneck.nodes.conv2.kernel": 5}, "defines no block `bottleneck`",
         "`define.bottleneck.extends=bottleneck`"),
        (None, {"extends": "resnet18"}, "`extends` is followed before", "a file that extends"),
    ],
)  # fmt: skip
def test_the_messages_of_wrong_ones_teach(spec, text, settings, words, help) -> None:
    reported = []
    if text:
        path = spec(mine=f"extends: resnet50\n{text}\n")
        (error,) = errors(path)
        assert Path(error.span.file).name == "mine.yaml"
        reported.append(error)
    if settings:
        (error,) = errors("resnet50", **settings)
        assert error.span.file == f"--set {next(iter(settings))}"
        reported.append(error)
    for error in reported:
        assert words in error.message
        assert (help or "") in (error.help or "")


def test_settings_go_over_all_that_a_list_says(spec) -> None:
    path = spec(grey="input: {channels: 1}\n", mine="extends: [resnet50, grey]\n")
    assert compile_spec(path, **{"input.channels": 2}).network.input.channels == 2
