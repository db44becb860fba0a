"""Pages are kept while a network runs, and given back afterwards."""

import sys

import numpy as np
import psutil
import pytest

from napari_fcn.inference import allocator
from napari_fcn.inference.allocator import kept_pages

MIB = 2**20
on_glibc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def use(mib: int) -> None:
    """Take memory and let go of it."""
    blocks = [np.ones(8 * MIB, np.uint8) for _ in range(mib // 8)]
    assert len(blocks) == mib // 8


@on_glibc
def test_freed_memory_stays_inside_and_goes_back_afterwards() -> None:
    before = resident()
    with kept_pages():
        use(160)
        inside = resident()
    assert inside - before > 100 * MIB
    assert resident() - before < 50 * MIB


@on_glibc
def test_large_arrays_go_back_at_once_after_a_run_that_failed() -> None:
    with pytest.raises(ZeroDivisionError), kept_pages():
        raise ZeroDivisionError
    before = resident()
    use(160)
    assert resident() - before < 50 * MIB


def test_other_systems_run_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator._glibc() is None
    with kept_pages():
        use(8)
