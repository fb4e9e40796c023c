"""What is right passes: the library, the examples of the pages, random specs that compile."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from generated.choices import Drawn
from generated.strategy import spec_of
from jsonschema import Draft202012Validator

from resnetgen.compiler.editor.json_schema import block_schema, network_schema, schema_text
from resnetgen.compiler.frontend import library

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = library.network_files()
BLOCKS = [path for kind in library.BLOCK_KINDS for path in library.block_files(kind)]
SCHEMAS = {"network": network_schema, "block": block_schema}

_FENCE = re.compile(r"(?:<!-- (\w+): ([^>]*) -->\n)?```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> Iterator[tuple[str, str]]:
    """The sound specs of the pages: the kind and the text of each."""
    for page in ("language", "blocks"):
        text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
        for word, said, example in _FENCE.findall(text):
            if word == "over":
                yield "network", f"network: example\nextends: {said}\n{example}"
            elif word != "error":
                kind = "network" if re.search(r"^network:", example, re.MULTILINE) else "block"
                yield kind, example


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_is_one(kind: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[kind]())


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schema_of_the_library_is_current(
    kind: str, expect: Callable[[Path, str], None]
) -> None:
    expect(library.LIBRARY / f"schema/{kind}.json", schema_text(SCHEMAS[kind]()))


def test_every_network_of_the_library_is_right(network) -> None:
    found = {path.stem: network(path.read_text(encoding="utf-8")) for path in NETWORKS}
    assert len(found) > 100
    assert {name: errors for name, errors in found.items() if errors} == {}


def test_every_block_of_the_library_is_right(block) -> None:
    found = {path.stem: block(path.read_text(encoding="utf-8")) for path in BLOCKS}
    assert len(found) > 20
    assert {name: errors for name, errors in found.items() if errors} == {}


def test_every_network_of_the_tests_is_right(network) -> None:
    for path in (ROOT / "tests/specs").glob("*.yaml"):
        assert network(path.read_text(encoding="utf-8")) == [], path.stem


def test_every_example_of_the_pages_is_right(network, block) -> None:
    found = list(examples())
    assert len(found) > 20
    for kind, text in found:
        assert {"network": network, "block": block}[kind](text) == [], text


def test_random_specs_that_compile_are_right(network) -> None:
    for seed in range(40):
        text = spec_of(Drawn(random.Random(seed)))
        assert network(text) == [], text


@pytest.mark.parametrize("path", [*NETWORKS, *BLOCKS], ids=lambda path: path.stem)
def test_the_first_line_of_a_spec_names_its_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named, "it is `# yaml-language-server: $schema=PATH`"
    kind = "network" if path in NETWORKS else "block"
    assert (path.parent / named[1]).resolve() == library.LIBRARY / f"schema/{kind}.json"
