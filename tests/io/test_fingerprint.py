"""Fingerprints of image files from sizes and times."""

import os
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_fcn.io import ImageLocation, read_image
from napari_fcn.io.fingerprint import FileSummary, files_for, fingerprint, size_and_mtime


def test_the_files_of_a_part_of_a_zarr_are_its_chunks(tmp_path: Path) -> None:
    for version, names in ((3, ["c/0/1", "c/0/2", "c/1/1", "c/1/2"]), (2, ["0.1", "0.2", "1.1", "1.2"])):
        path = tmp_path / f"v{version}.zarr"
        zarr.create_array(path, shape=(20, 30), chunks=(8, 10), dtype="u1", zarr_format=version)[:] = 7
        found = files_for(read_image(path), (slice(6, 9), slice(19, 21)))
        assert [file.relative_to(path).as_posix() for file in found] == names
        assert all(file.exists() for file in found)


def test_the_files_of_a_sharded_zarr_are_its_shards(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, shape=(32, 32), chunks=(4, 4), shards=(16, 16), dtype="u1")[:] = 7
    found = files_for(read_image(path), (slice(0, 17), slice(0, 16)))
    assert [file.relative_to(path).as_posix() for file in found] == ["c/0/0", "c/1/0"]


def test_the_files_of_a_part_of_a_stack_are_those_of_its_planes(tmp_path: Path) -> None:
    for number in range(5):
        np.save(tmp_path / f"{number}.npy", np.zeros((3, 4)))
    image = ImageLocation.from_stack(sorted(tmp_path.iterdir()), "z").read()
    assert [file.name for file in files_for(image, (slice(1, 3), slice(0, 3), slice(0, 4)))] == ["1.npy", "2.npy"]


@pytest.mark.parametrize("change", ["written", "removed", "longer"])
def test_the_fingerprint_changes_only_for_parts_in_changed_files(change: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, shape=(20, 30), chunks=(10, 10), dtype="u1")[:] = 7
    image, chunk = read_image(path), path / "c" / "1" / "2"
    inside, outside = (slice(9, 11), slice(19, 21)), (slice(0, 20), slice(0, 20))
    before = [fingerprint(image, part) for part in (inside, outside)] + [FileSummary.of(image).fingerprint]
    if change == "written":
        os.utime(chunk, ns=(1, 1))
    elif change == "removed":
        chunk.unlink()
    else:
        chunk.write_bytes(chunk.read_bytes() + b"0")
    after = [fingerprint(image, part) for part in (inside, outside)] + [FileSummary.of(image).fingerprint]
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, True, False]


def test_a_missing_file_has_a_state(tmp_path: Path) -> None:
    assert size_and_mtime(tmp_path / "nothing" / "here") == (-1, 0)
