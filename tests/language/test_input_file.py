"""Files that people name are regular and of a limited size, or they are not read at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from resnetgen.cli.errors import diagnose
from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.input_file import FileTooLarge, open_regular, read_regular
from resnetgen.weights.dialects import load_dialect
from resnetgen.weights.errors import WeightsError
from resnetgen.weights.read import read

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
LIMIT = 1000


@pytest.fixture
def special(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A path at which there is something else than a small regular file."""
    path = tmp_path / "x.yaml"
    with ExitStack() as stack:
        match request.param:
            case "pipe":
                os.mkfifo(path)
            case "device":
                path.symlink_to("/dev/zero")
            case "socket":
                server = stack.enter_context(socket.socket(socket.AF_UNIX))
                server.bind(str(path))
            case "folder":
                path.mkdir()
            case "large":
                path.touch()
                os.truncate(path, 1 << 40)
        yield path


KINDS = ["pipe", "device", "socket", "folder", "large"]
every_kind = pytest.mark.parametrize("special", KINDS, indirect=True)


def test_a_regular_file_is_read_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a" * LIMIT)
    (tmp_path / "link").symlink_to("x")
    assert read_regular(tmp_path / "link", LIMIT) == b"a" * LIMIT
    with open_regular(tmp_path / "link", LIMIT) as file:
        assert file.read(3) == b"aaa"


@every_kind
def test_what_is_special_is_not_read(special: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(OSError) as caught:  # noqa: PT011
        read_regular(special, LIMIT)
    assert caught.value.filename == str(special)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_is_larger_than_it_says_is_not_read() -> None:
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no files without a size")
    assert os.stat("/proc/self/status").st_size == 0
    with pytest.raises(FileTooLarge, match="it has more than 10 bytes"):
        read_regular("/proc/self/status", 10)


READERS: dict[str, tuple[Callable[[str], Any], set[str]]] = {
    "spec": (library.load, {"unreadable", "limit"}),
    "dialect": (load_dialect, {"unreadable", "limit"}),
    "weights": (read, {"unreadable-weights"}),
}


@every_kind
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_reports_a_special_file(special: Path, reader: str) -> None:
    load, codes = READERS[reader]
    with pytest.raises((OSError, SpecError, WeightsError)) as caught:
        load(str(special))
    diagnostics, status = diagnose(caught.value)
    assert {each.code for each in diagnostics} <= codes
    assert status in (1, 2)


@every_kind
def test_a_special_file_is_not_extended(special: Path) -> None:
    spec = special.with_name("net.yaml")
    spec.write_text("network: net\nextends: x\n")
    with pytest.raises(SpecError) as caught:
        library.load(spec)
    assert [each.code for each in caught.value.diagnostics] in (["limit"], ["unknown-spec"])
