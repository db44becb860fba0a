"""Large arrays return to the system at once, small ones after the run.

What glibc does with an array depends on the holes that earlier work left in the heap, so each of these runs in a
process of its own.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_fcn.inference import allocator
from napari_fcn.inference.allocator import mmap_large_arrays

MIB = 2**20
on_glibc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")

PRELUDE = """
import json
import numpy as np
import psutil
from napari_fcn.inference.allocator import mmap_large_arrays, tuned_allocator

def resident():
    return psutil.Process().memory_info().rss

def use():
    blocks = [np.ones(8 * 2**20, np.uint8) for _ in range(20)]
    assert len(blocks) == 20
"""


def grown(script: str) -> list[int]:
    """Return what a script prints as JSON: bytes by which the process has grown."""
    done = subprocess.run([sys.executable, "-c", PRELUDE + script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@on_glibc
def test_large_arrays_go_back_at_once_also_after_still_larger_ones() -> None:
    """By itself glibc would map arrays of 8 MiB no longer, once one of 30 MiB was freed."""
    (after,) = grown("""
with mmap_large_arrays():
    np.ones(30 * 2**20, np.uint8)
    before = resident()
    use()
    after = resident()
print(json.dumps([after - before]))
""")
    assert after < 20 * MIB


@on_glibc
def test_small_arrays_stay_inside_and_go_back_afterwards() -> None:
    inside, after = grown("""
def use_small():
    blocks = [np.ones(2**20, np.uint8) for _ in range(160)]
    assert len(blocks) == 160
before = resident()
with mmap_large_arrays():
    use_small()
    inside = resident()
print(json.dumps([inside - before, resident() - before]))
""")
    assert inside > 100 * MIB
    assert after < 50 * MIB


@on_glibc
@pytest.mark.parametrize(("allowed", "is_kept"), [(2**40, True), (2**20, False)])
def test_where_memory_is_plentiful_freed_memory_is_kept_and_goes_back_afterwards(allowed: int, is_kept: bool) -> None:
    inside, after = grown(f"""
before = resident()
with tuned_allocator(2**20, {allowed}):
    use()
    inside = resident()
print(json.dumps([inside - before, resident() - before]))
""")
    assert (inside > 100 * MIB) == is_kept
    assert after < 50 * MIB


@on_glibc
def test_large_arrays_go_back_at_once_after_a_run_that_failed() -> None:
    (after,) = grown("""
try:
    with mmap_large_arrays():
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
before = resident()
use()
print(json.dumps([resident() - before]))
""")
    assert after < 50 * MIB


def test_other_systems_run_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(allocator, "_glibc", allocator._glibc.__wrapped__)  # which another test may have called
    assert allocator._glibc() is None
    with mmap_large_arrays():
        assert len(bytearray(8 * MIB)) == 8 * MIB


@on_glibc
def test_a_heap_that_grew_beyond_the_limit_is_returned_between_tiles() -> None:
    inside, after = grown("""
before = resident()
with tuned_allocator(2**20, 64 * 2**20) as trim:
    use()
    inside = resident()
    trim()
    print(json.dumps([inside - before, resident() - before]))
""")
    assert inside > 100 * MIB
    assert after < 50 * MIB


@on_glibc
def test_a_heap_within_the_limit_is_kept_between_tiles() -> None:
    (after,) = grown("""
before = resident()
with tuned_allocator(2**20, 2**40) as trim:
    use()
    trim()
    print(json.dumps([resident() - before]))
""")
    assert after > 100 * MIB


def test_a_thread_other_than_the_main_one_keeps_nothing() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(allocator.keeps_memory, 1, 2**40).result()
    assert not allocator.keeps_memory(2**30, 2**30)
