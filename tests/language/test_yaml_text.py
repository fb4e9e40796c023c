"""Which files are read as specs, and which values are taken from the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resnetgen.compiler.diagnostics.model import Diagnostic, SpecError
from resnetgen.compiler.frontend import yaml_reader
from resnetgen.compiler.frontend.tree import python_value


def file_error(path: Path, content: bytes) -> Diagnostic:
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        yaml_reader.read(path, "mine.yaml")
    error = caught.value.diagnostics[0]
    assert str(error.span).startswith("mine.yaml:")
    return error


def test_a_file_is_read_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    assert python_value(yaml_reader.read(path)) == {"a": 1}
    assert yaml_reader.read(path).span.file == str(path)
    assert yaml_reader.read(path, "specs/a.yaml").span.file == "specs/a.yaml"


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        ("é: 1\nü: ".encode() + b"\xff", "2:4", "byte 0xff"),
        ("a: é".encode("latin-1"), "1:4", "byte 0xe9"),
        ("a: 1".encode("utf-16"), "1:1", "UTF-16"),
        ("a: 1".encode("utf-16-le"), "1:2", "U+0000"),
        (b"a: \xed\xa0\x80", "1:4", "byte 0xed"),
    ],
)
def test_a_file_is_utf_8(tmp_path: Path, content: bytes, where: str, words: str) -> None:
    error = file_error(tmp_path / "a.yaml", content)
    assert (error.code, str(error.span)) == ("yaml-encoding", f"mine.yaml:{where}")
    assert words in error.message


def test_a_large_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.touch()
    os.truncate(path, 1 << 40)  # a hole: no disk holds it, no memory either
    with pytest.raises(SpecError, match="1 MiB"):
        yaml_reader.read(path)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path(os.devnull), tmp_path / "missing"):
        with pytest.raises(OSError, match=path.name):
            yaml_reader.read(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("11", 11),
        ("", None),
        ("null", None),
        ("1e-3", 1e-3),
        ("'11'", "11"),
        ("{blocks: 3, width: [1, 2]}", {"blocks": 3, "width": [1, 2]}),
        ("[]", []),
        ("max(a, b)", "max(a, b)"),
        (" projection ", "projection"),
    ],
)
def test_a_set_value_is_yaml(text: str, value: object) -> None:
    assert python_value(yaml_reader.parse_value(text, "--set")) == value


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: b", "yaml-syntax"),
        ("- a", "yaml-syntax"),
        ("[1", "yaml-syntax"),
        ("*x", "yaml-alias"),
        ("{a: 1, a: 2}", "duplicate-key"),
        ("\x1b", "yaml-encoding"),
        ("[max(a, b)]", "unquoted-comma"),
    ],
)
def test_a_bad_set_value_is_refused(text: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        yaml_reader.parse_value(text, "--set a")
    assert [error.code for error in caught.value.diagnostics] == [code]
    assert str(caught.value).startswith("--set a:1:")
