"""A zarr store that refuses data that would not fit in memory."""

from __future__ import annotations

import struct
from math import prod
from typing import TYPE_CHECKING, Any

import zarr
from zarr.abc.store import RangeByteRequest
from zarr.storage import LocalStore

from napari_fcn.errors import ImageError
from napari_fcn.io.bounds import CHUNK_SLACK_BYTES, DECOMPRESSED_SIZES, check_decompressed_size, check_memory
from napari_fcn.storage import JsonError, check_nesting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

METADATA_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
MAX_METADATA_BYTES = 2**26  # consolidated plates of thousands of images have ten million
CHECKSUM_BYTES = 4  # after the index of a shard
MISSING_CHUNK = 2**64 - 1  # marks a missing chunk in an index


class BoundedStore(LocalStore):
    """The files of a zarr folder; absurdly large or deep metadata and chunks that decode to too much raise."""

    codec = ""  # of the chunks, once the array is open
    chunk_bytes = 0  # of a decoded chunk
    chunks_per_shard = 0  # 0 if each chunk has its own file

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the content of a file, None if there is none."""
        self._check_file_size(key)
        found = await super().get(key, prototype, byte_range)
        if found is not None:
            self._check_content(key, found, byte_range)
        return found

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the content of a file; called by newer versions of zarr."""
        self._check_file_size(key)
        found: Buffer | None = super().get_sync(key, prototype=prototype, byte_range=byte_range)
        if found is not None:
            self._check_content(key, found, byte_range)
        return found

    def _check_file_size(self, key: str) -> None:
        """Raise if a file is too large to read, before it is read."""
        path = self.root / key
        try:
            size = path.stat().st_size
        except OSError:
            return
        if is_metadata(key):
            if size > MAX_METADATA_BYTES:
                raise ImageError(f"{path} has {size} bytes, too many for a description. Export the image again.")
        elif self.chunk_bytes and not self.chunks_per_shard and size > 2 * self.chunk_bytes + CHUNK_SLACK_BYTES:
            check_memory(path, size, "A chunk")

    def _check_content(self, key: str, content: Buffer, byte_range: ByteRequest | None) -> None:
        """Raise if metadata are nested too deeply, or a chunk would decode to too much."""
        if is_metadata(key):
            try:
                check_nesting(content.to_bytes(), MAX_METADATA_BYTES)
            except JsonError as error:
                raise ImageError(f"{self.root / key} cannot be read: {error}. Export the image again.") from error
        elif self.codec and self.chunk_bytes:
            data = content.as_numpy_array().view("u1").data
            for start, end in self._chunk_spans(data, byte_range):
                check_decompressed_size(self.root / key, self.codec, data[start:end], self.chunk_bytes)

    def _chunk_spans(self, data: memoryview, byte_range: ByteRequest | None) -> Iterator[tuple[int, int]]:
        """Yield start and end of the compressed chunks in the content of a file, without its index."""
        if not self.chunks_per_shard or (isinstance(byte_range, RangeByteRequest) and byte_range.start):
            yield 0, len(data)
        elif byte_range is None:
            index = data[-16 * self.chunks_per_shard - CHECKSUM_BYTES : len(data) - CHECKSUM_BYTES]
            for at in range(0, len(index), 16):
                start, size = struct.unpack("<QQ", index[at : at + 16])
                if start != MISSING_CHUNK:
                    yield start, start + size


def is_metadata(key: str) -> bool:
    """Whether a file of a zarr describes it."""
    return key.rsplit("/", 1)[-1] in METADATA_FILES


def open_array(folder: Path, memory: float | None = None) -> zarr.Array[Any]:
    """Return a zarr array whose chunks each fit in the given memory in GiB.

    Raises
    ------
    ImageError
        If a chunk does not fit in memory.
    """
    array = zarr.open_array(BoundedStore(folder, read_only=True), mode="r")
    chunk = tuple(map(int, array.chunks))
    if 0 in chunk:
        raise ImageError(f"{folder} has chunks of {' x '.join(map(str, chunk))} pixels. Export the image again.")
    nbytes = prod(chunk) * array.dtype.itemsize
    check_memory(folder, nbytes, f"A chunk of {' x '.join(map(str, chunk))} pixels", memory)
    store: Any = array.store
    store.codec, store.chunks_per_shard, store.chunk_bytes = *_compression(array), nbytes
    return array


def open_attributes(folder: Path) -> dict[str, Any]:
    """Return the attributes of a zarr group."""
    return dict(zarr.open_group(BoundedStore(folder, read_only=True), mode="r").attrs)


def _compression(array: zarr.Array[Any]) -> tuple[str, int]:
    """Return the codec of the chunks ("" if none) and the number of chunks in a shard (0 without shards)."""
    described: Any = array.metadata.to_dict()
    if described.get("zarr_format") == 2:
        packer = described.get("compressor") or {}
        return str((packer if isinstance(packer, dict) else packer.get_config()).get("id", "")), 0
    codecs, sharded = described["codecs"], 0
    if codecs[-1]["name"] == "sharding_indexed":
        inside: Any = codecs[-1]["configuration"]
        codecs = inside["codecs"]
        if str(inside.get("index_location", "end")).endswith("end") and array.shards:
            sharded = prod(whole // part for whole, part in zip(array.shards, array.chunks, strict=True))
        if not sharded:
            return "", 0
    names = [str(codec["name"]).removeprefix("numcodecs.") for codec in codecs]
    return next((name for name in reversed(names) if name in DECOMPRESSED_SIZES), ""), sharded
