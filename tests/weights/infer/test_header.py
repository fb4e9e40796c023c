"""`read_shapes`: shapes from the header of a safetensors file; None where the header is malformed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from resnetgen.weights.safetensors_file import read_shapes

TENSOR = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def place(folder: Path, entries: object, numbers: bytes = bytes(24)) -> Path:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    path = folder / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    return path


def test_shapes_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    more = {"dtype": "I64", "shape": [], "data_offsets": [24, 32]}
    entries = {"__metadata__": {"format": "pt"}, "b.weight": TENSOR, "a.count": more}
    found = read_shapes(place(tmp_path, entries, bytes(32)))
    assert found == {"b.weight": (2, 3), "a.count": ()}
    assert [*found] == ["b.weight", "a.count"]


def test_files_written_by_safetensors_are_read(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "b.safetensors"
    save_file({"conv.weight": torch.zeros(4, 3, 1, 1), "n": torch.tensor(1)}, path)
    assert read_shapes(path) == {"conv.weight": (4, 3, 1, 1), "n": ()}


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
def test_a_malformed_header_has_no_shapes(entries: object, tmp_path: Path) -> None:
    assert read_shapes(place(tmp_path, entries)) is None


def test_a_truncated_file_has_no_shapes(tmp_path: Path) -> None:
    path = place(tmp_path, {"w": TENSOR})
    whole = path.read_bytes()
    for length in (0, 1, 8, 9, 30, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert read_shapes(path) is None
    path.write_bytes(whole + b"\0")
    assert read_shapes(path) is None


def test_only_the_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{" + bytes(100))
    assert read_shapes(path) is None
    assert read_shapes(tmp_path) is None


def test_torch_is_not_imported(tmp_path: Path) -> None:
    path = place(tmp_path, {"w": TENSOR})
    code = (
        "import sys; from resnetgen.weights.infer.checkpoint import read_checkpoint;"
        f"read_checkpoint({str(path)!r}); print(*{{'torch', 'numpy', 'safetensors'}} & {{*sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()
