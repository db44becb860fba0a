from pathlib import Path

import numpy as np
import pytest

from napari_fcn.geometry import Region
from napari_fcn.runs.ledger import DoneBlock, RunLedger, checksum

RUN = {"identity": {"model": "abc"}, "tile": [8, 8]}
BLOCKS = [DoneBlock(Region((n, 0), (n + 1, 8)), f"source {n}", {"classes": f"sum {n}"}) for n in range(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    ledger = RunLedger.create(tmp_path / "ledger.jsonl", RUN)
    for block in BLOCKS:
        ledger.add(block)
    return tmp_path / "ledger.jsonl"


def blocks_in(path: Path) -> list[DoneBlock]:
    ledger = RunLedger.open(path)
    assert ledger is not None
    return list(ledger.blocks.values())


def test_added_blocks_are_read_back(path: Path) -> None:
    assert RunLedger.open(path).run == RUN
    assert blocks_in(path) == BLOCKS


def test_a_truncated_file_keeps_its_complete_lines(path: Path) -> None:
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        ledger = RunLedger.open(path)
        if ledger is None:
            assert end < content.index(b"\n")
            continue
        blocks = list(ledger.blocks.values())
        assert blocks == BLOCKS[: len(blocks)]
        assert content[:end].count(b'"sums"') - len(blocks) in (0, 1)


def test_a_line_after_an_incomplete_one_is_read(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])
    RunLedger.open(path).add(BLOCKS[3])
    assert blocks_in(path) == BLOCKS


def test_a_changed_line_is_ignored(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"sum 2", b"sum 7"))
    assert blocks_in(path) == [BLOCKS[0], BLOCKS[1], BLOCKS[3]]


def test_a_file_with_a_damaged_first_line_is_not_a_ledger(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"abc"', b'"abd"'))
    assert RunLedger.open(path) is None
    assert RunLedger.open(path.with_name("nothing")) is None


def test_a_checksum_depends_on_every_bit_the_dtype_and_the_shape() -> None:
    block = np.arange(24, dtype=np.uint16).reshape(4, 6)
    flipped = block.copy()
    flipped[3, 5] ^= 1
    others = [flipped, block.astype(np.int16), block.reshape(6, 4), block.T]
    assert checksum(block) not in {checksum(other) for other in others}


def test_a_checksum_does_not_depend_on_the_memory_layout() -> None:
    block = np.arange(24.0).reshape(4, 6)
    assert checksum(np.asfortranarray(block)) == checksum(block) == checksum(np.repeat(block, 2, 1)[:, ::2])
