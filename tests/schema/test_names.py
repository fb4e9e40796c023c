"""Names are open: what a file, or a file beside it, calls its own may take any arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnetgen.compiler.editor.json_schema import network_schema
from resnetgen.pipeline import compile_spec

START = "network: n\ninput: {channels: 3, size: [32, 32]}\nshortcut: projection\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "block: {op: basic, twice: 2}\n"
            "stages: {a: {width: 8, twice: 1}}\n"
            "define: {basic: {extends: basic, params: {twice: int}}}",
            id="define-over-the-library",
        ),
        pytest.param(
            "nodes: {a: {op: conv, out: 8, sharpness: 2}}\n"
            "conv: sharp\n"
            "define: {sharp: {params: {out: int, sharpness: 1},"
            " nodes: {c: {op: convolution, out: out, kernel: sharpness}}}}",
            id="ambient-slot-bound-to-a-block-of-the-file",
        ),
        pytest.param(
            "nodes: {a: {op: mine, width: 8, beside: relu}}\n"
            "define: {mine: {params: {width: int}, slots: {beside: identity, eca: identity},"
            " nodes: {c: {op: conv, out: width, kernel: 1}, d: {op: eca, any: 3}, e: {op: beside}}}}",
            id="slots-of-a-block",
        ),
        pytest.param(
            "let: {w: 8}\nnodes: {a: {op: conv, out: w * 2, kernel: '[1, 1][0]'}}",
            id="expressions",
        ),
        pytest.param("nodes: {0: {op: relu}, 1.relu: {op: relu}}", id="numbers-as-names"),
    ],
)
def test_names_of_the_file_are_its_own(network, text: str) -> None:
    assert network(START + text) == []


@pytest.mark.parametrize(
    "text",
    [
        "stages: {layer4: null, layer3: {blocks: 3}}",
        "let: {depth: null}\nhead: {classes: null}\nblock: {groups: null, attention: null}",
        "define: {mine: {nodes: {conv1: {stride: 1}, drop: null}}}",
        "nodes: {a: {kernel: 3}, b: {when: null}}\nnorm: null",
        "head: {nodes: {fc: {out: 10}}}",
    ],
)
def test_a_child_may_be_partial(network, text: str) -> None:
    assert network(f"network: n\nextends: resnet50\n{text}\n") == []
    assert network(START + text) != []


def test_a_child_of_a_file_that_is_not_known_may_bind_what_it_wants(network) -> None:
    child = "network: n\nextends: {}\nstages: {{layer1: {{depth: 3}}}}\n"
    assert network(child.format("resnet50")) != []
    assert network(child.format("mine")) == []


def test_a_child_refines_what_its_base_binds(network) -> None:
    """The arguments of the block, stem, head, norm and policy that the base names."""
    child = "network: n\nextends: {}\n{}\n"
    assert network(child.format("resnet34_a", "shortcut: {centred: true}")) == []
    assert network(child.format("resnet50", "shortcut: {centred: true}")) != []
    assert network(child.format("resnet50_gn", "norm: {groups: 16}")) == []
    assert network(child.format("resnet50", "norm: {groups: 16}")) != []
    assert network(child.format("resnet50d", "stem: {first: 24}")) == []
    assert network(child.format("resnet50", "stem: {first: 24}")) != []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a block, a network, and files with errors."""
    (tmp_path / "blocks").mkdir()
    files = {
        "blocks/gated.yaml": "block: gated\ndoc: a gate\nparams: {width: int, gate: 2}\n"
        "nodes: {conv: {op: conv, out: width, kernel: 3}}\n",
        "blocks/basic.yaml": "block: basic\nparams: {width: int, own: 1}\n"
        "nodes: {conv: {op: conv, out: width, kernel: own}}\n",
        "blocks/broken.yaml": "block: [\n",
        "mine.yaml": f"{START}block: gated\nstages: {{a: {{blocks: 2, width: 8}}}}\n",
        "broken.yaml": "network: {\n",
        "compose.yaml": "services: {web: {image: nginx}}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_blocks_beside_the_specs_are_known(project: Path, validate) -> None:
    network = validate(network_schema((project,)))
    good = f"{START}block: {{op: gated, gate: 3}}\nstages: {{a: {{blocks: 2, width: 8}}}}\n"
    (project / "good.yaml").write_text(good, encoding="utf-8")
    compile_spec("good.yaml")
    assert network(good) == []
    assert network(good.replace("gate: 3", "gait: 3")) != []


def test_a_block_beside_the_specs_comes_before_that_of_the_library(
    project: Path, validate, network
) -> None:
    text = f"{START}block: {{op: basic, own: 3}}\nstages: {{a: {{width: 8}}}}\n"
    assert network(text) != []
    assert validate(network_schema((project,)))(text) == []


def test_networks_beside_the_specs_can_be_extended(project: Path, validate) -> None:
    schema = network_schema((project,))
    offered = schema["properties"]["extends"]["anyOf"][0]["enum"]
    assert {"mine", "resnet50"} <= set(offered)
    assert not {"broken", "compose"} & set(offered)
    child = "network: n\nextends: mine\nstages: {{a: {{{}: 3}}}}\n"
    assert validate(schema)(child.format("gate")) == []
    assert validate(schema)(child.format("gait")) != []
