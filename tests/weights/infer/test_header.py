"""Shapes from the first bytes of a safetensors file; whatever is not sound is left to the reader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from resnetgen.weights.safetensors_file import header

TENSOR = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def place(folder: Path, entries: object, numbers: bytes = bytes(24)) -> Path:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    path = folder / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    return path


def test_shapes_in_the_order_of_the_file(tmp_path: Path) -> None:
    more = {"dtype": "I64", "shape": [], "data_offsets": [24, 32]}
    entries = {"__metadata__": {"format": "pt"}, "b.weight": TENSOR, "a.count": more}
    found = header(place(tmp_path, entries, bytes(32)))
    assert found == {"b.weight": (2, 3), "a.count": ()}
    assert [*found] == ["b.weight", "a.count"]


def test_it_reads_what_safetensors_writes(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "b.safetensors"
    save_file({"conv.weight": torch.zeros(4, 3, 1, 1), "n": torch.tensor(1)}, path)
    assert header(path) == {"conv.weight": (4, 3, 1, 1), "n": ()}


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"__metadata__": {}},
        {"w": 1},
        {"w": {"shape": [2, 3]}},
        {"w": {"shape": [-1], "data_offsets": [0, 24]}},
        {"w": {"shape": [True], "data_offsets": [0, 24]}},
        {"w": {"shape": [2.0], "data_offsets": [0, 24]}},
        {"w": {"shape": "23", "data_offsets": [0, 24]}},
        {"w": {"shape": [2, 3], "data_offsets": [24]}},
        b"{" + b'{"a":' * 100_000,
        b'{"w": ',
        b"\x80\x02}q",
        b'{"\xff": 1}',
    ],
)
def test_what_is_not_sound_has_no_shapes(entries: object, tmp_path: Path) -> None:
    assert header(place(tmp_path, entries)) is None


def test_a_file_that_is_cut_off_has_no_shapes(tmp_path: Path) -> None:
    path = place(tmp_path, {"w": TENSOR})
    whole = path.read_bytes()
    for length in (0, 1, 8, 9, 30, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert header(path) is None
    path.write_bytes(whole + b"\0")
    assert header(path) is None


def test_no_more_than_a_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{" + bytes(100))
    assert header(path) is None
    assert header(tmp_path) is None


def test_torch_is_not_imported(tmp_path: Path) -> None:
    path = place(tmp_path, {"w": TENSOR})
    code = (
        "import sys; from resnetgen.weights.infer.checkpoint import held_by;"
        f"held_by({str(path)!r}); print(*{{'torch', 'numpy', 'safetensors'}} & {{*sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()
