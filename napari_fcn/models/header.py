"""Reads and checks the header of a safetensors file, without its tensors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from napari_fcn.errors import ModelError
from napari_fcn.file_kinds import mistaken
from napari_fcn.storage import JsonError, parse_json
from napari_fcn.storage.schema import SchemaError, StrictModel, validate
from napari_fcn.system_errors import refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MAX_HEADER = 2**22  # bytes; shipped models have about ten thousand
MAX_TENSORS = 10_000
PICKLE_HEADS = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}

Length = Annotated[int, Field(ge=0, lt=2**48)]


class TensorPart(StrictModel):
    """The entry of a tensor in a header."""

    dtype: Annotated[str, Field(max_length=20)]
    shape: Annotated[list[Length], Field(max_length=8)]
    data_offsets: Annotated[list[Length], Field(min_length=2, max_length=2)]


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """The header of a safetensors file.

    Attributes
    ----------
    metadata : mapping of str to Any
        The metadata.
    shapes : mapping of str to tuple of int
        Shape of each tensor.
    """

    metadata: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def numbers(self) -> int:
        """Total number of values in all tensors."""
        return sum(map(prod, self.shapes.values()))


def read_header(path: Path) -> TensorHeader:
    """Return the header of a safetensors file: eight bytes of length, little-endian, then JSON.

    Raises
    ------
    ModelError
        If the file is missing, unreadable, truncated or not a safetensors file, or its header does not describe it.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(start, "little")
            text = file.read(length) if len(start) == 8 and length <= min(MAX_HEADER, size - 8) else b""
    except FileNotFoundError:
        raise ModelError(f"There is no model file {path}.") from None
    except OSError as error:
        raise refused(f"The model file {path} cannot be read", error, ModelError) from error
    head, reason = _parsed(text)
    if head is None and start[:2] in PICKLE_HEADS:
        raise ModelError(
            f"{path} is a pickle (a PyTorch .pt or .pth file), whatever its name says. Opening one can run any program "
            "on your computer, so napari-fcn reads only safetensors. Save the weights as safetensors first."
        )
    if head is None and (message := mistaken(path)):
        raise ModelError(f"{path} is not a safetensors file, or is cut off. {message[0]}", message[1])
    if head is None:
        raise ModelError(
            f"{path} is not a safetensors file, or is cut off{reason}. Fetch it again, or choose another model."
        )
    metadata = head.pop("__metadata__", {})
    try:
        shapes = _shapes(head, size - 8 - length)
    except SchemaError as error:
        raise ModelError(
            f"{path} is damaged or cut off: its head does not describe its weights ({error}). Fetch it again."
        ) from error
    return TensorHeader(metadata if isinstance(metadata, dict) else {}, shapes)


def _parsed(text: bytes) -> tuple[dict[str, Any] | None, str]:
    """Return a JSON object, or None and the reason."""
    try:
        head = parse_json(text, MAX_HEADER)
    except JsonError as error:
        return None, f" ({error})" if text[:1] == b"{" else ""
    return (head, "") if isinstance(head, dict) else (None, "")


def _shapes(head: Mapping[str, Any], size: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor, after checking that they fill the ``size`` bytes after the header.

    Raises
    ------
    SchemaError
        If they overlap, leave gaps, or have another size.
    """
    if len(head) > MAX_TENSORS:
        raise SchemaError(f"{len(head)} tensors; up to {MAX_TENSORS} are read")
    shapes, spans = {}, []
    for name, entry in head.items():
        tensor = validate(TensorPart, entry)
        if tensor.dtype not in DTYPE_BYTES:
            raise SchemaError(f"numbers of another type than {', '.join(DTYPE_BYTES)}")
        begin, end = tensor.data_offsets
        if end - begin != prod(tensor.shape) * DTYPE_BYTES[tensor.dtype]:
            raise SchemaError(f"{end - begin} bytes for a tensor of {' x '.join(map(str, tensor.shape))} numbers")
        shapes[name] = tuple(tensor.shape)
        spans.append((begin, end))
    _refuse_gaps(sorted(spans), size)
    return shapes


def _refuse_gaps(spans: Sequence[tuple[int, int]], size: int) -> None:
    """Raise SchemaError if sorted spans do not fill all bytes without gap or overlap."""
    position = 0
    for begin, end in spans:
        if begin != position:
            raise SchemaError("tensors that overlap or leave gaps")
        position = end
    if position != size:
        raise SchemaError(f"{position} bytes of weights where the file has {size}")
