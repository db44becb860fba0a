"""The header of a safetensors file must describe its tensors exactly."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from napari_fcn.errors import ModelError
from napari_fcn.models.header import MAX_HEADER, MAX_TENSORS, read_header

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def written(path: Path, head: Any, data: bytes = bytes(8)) -> Path:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_shapes_are_read_without_tensors(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    tensors = {"a": torch.zeros(2, 3), "b": torch.zeros((), dtype=torch.int64), "c": torch.zeros(0, 4)}
    safetensors.torch.save_file(tensors, path, metadata={"note": "x"})
    header = read_header(path)
    assert header.shapes == {"a": (2, 3), "b": (), "c": (0, 4)}
    assert header.metadata == {"note": "x"}
    assert header.numbers == 7


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"a": {**ONE, "shape": [2**40, 2**40]}}, "bytes for a tensor"),
        ({"a": {**ONE, "shape": [3]}}, "8 bytes for a tensor of 3 numbers"),
        ({"a": {**ONE, "shape": [-2]}}, "greater than or equal to 0"),
        ({"a": {**ONE, "shape": [1e999]}}, "too large|not a JSON number"),
        ({"a": {**ONE, "shape": [1] * 9}}, "at most 8"),
        ({"a": {**ONE, "dtype": "F128"}}, "another type"),
        ({"a": {**ONE, "data_offsets": [4, 12]}}, "overlap or leave gaps"),
        ({"a": {**ONE, "data_offsets": [8, 0]}}, "-8 bytes"),
        ({"a": ONE, "b": ONE}, "overlap or leave gaps"),
        ({"a": {**ONE, "shape": [1], "data_offsets": [0, 4]}}, "4 bytes of weights where the file has 8"),
        ({"a": {"dtype": "F32"}}, "required"),
        ({"a": "tensor"}, "damaged"),
        ({str(i): ONE for i in range(MAX_TENSORS + 1)}, "up to 10000 are read"),
    ],
)
def test_an_invalid_header_is_rejected(tmp_path: Path, head: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_header(written(tmp_path / "t.safetensors", head))


@pytest.mark.parametrize(
    "head",
    [
        b"[" * 200_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"a": 1' + b" " * MAX_HEADER + b"}",
        b'{"a": {}, "a": {}}',
    ],
)
def test_a_header_that_is_too_deep_or_long_or_ambiguous_is_rejected(tmp_path: Path, head: bytes) -> None:
    with pytest.raises(ModelError, match="not a safetensors file"):
        read_header(written(tmp_path / "t.safetensors", head))


def test_a_header_longer_than_the_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(struct.pack("<Q", MAX_HEADER - 1) + b"{}")
    with pytest.raises(ModelError, match="cut off"):
        read_header(path)
