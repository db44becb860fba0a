"""Memory that a run needs, and the largest tiles that fit."""

from __future__ import annotations

import sys
import weakref
from functools import cache
from math import ceil, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch
from torch.overrides import TorchFunctionMode

from napari_fcn.errors import Advice, Note
from napari_fcn.inference.allocator import MAPPED_SLOWDOWN
from napari_fcn.inference.budget import FREE_MEMORY_SHARE, run_budget
from napari_fcn.inference.constant_blocks import MAX_CONSTANT_BLOCKS, MAX_CONSTANT_BYTES, constant_bytes
from napari_fcn.inference.device import place
from napari_fcn.inference.prefetch import BLOCKS_AHEAD
from napari_fcn.inference.source import SAMPLE_PIXELS
from napari_fcn.nets.fold import fold
from napari_fcn.settings import OPENVINO, TORCH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_fcn.geometry import TilePlan
    from napari_fcn.inference.source import ImageSource
    from napari_fcn.nets import NetSpec

PROBE_PIXELS = 2**14  # input on which the memory of a network is measured
MMAP_COST = 0.3  # measured, see `cost`
START_BYTES = 10 * 2**20  # of PyTorch itself at the first tile, measured
BYTES_PER_SHAPE = 2 * 2**20  # for each further shape of tile, for which convolutions are compiled; measured
MEMORY_FACTORS = {TORCH: 1.0, OPENVINO: 1.15}  # of the activations, measured on all shipped models
PIXELS_PER_TILE = 2**15  # pixels that take as long as the overhead of a tile


class TensorMemoryTracker(TorchFunctionMode):
    """Counts the bytes of all live tensors created while it is active, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.current = self.peak = 0
        self.storages: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function and count the tensor that it returned."""
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self._count(out.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self.storages:
            return
        self.storages.add(key)
        size = storage.nbytes()
        self.current += size
        self.peak = max(self.peak, self.current)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self.storages.discard(key)
        self.current -= size


def process_peak() -> int:
    """Return the peak memory of this process so far, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform.startswith("linux"):  # getrusage counts the program that started this one, if that was larger
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines())
        if "VmHWM" in lines:
            return int(lines["VmHWM"].split()[0]) * 1024
    import resource  # not on Windows

    kilobytes = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobytes)


@cache
def bytes_per_pixel(spec: NetSpec) -> float:
    """Return the peak of float32 activations in a network, in bytes per input pixel.

    Measured on a small input, which takes milliseconds; every activation grows in proportion to the input.
    """
    side: float = PROBE_PIXELS ** (1 / spec.ndim)
    shape = [m * ceil(side / m) for m in spec.minimum]
    with torch.random.fork_rng(devices=[]):  # building draws weights: the random state of the caller must not change
        net = place(fold(spec.build()), spec.ndim, torch.device("cpu"))
    return living_bytes(net, torch.zeros(1, spec.channels, *shape)) / prod(shape)


def living_bytes(net: torch.nn.Module, x: torch.Tensor) -> int:
    """Return the peak of the activations of a forward pass in bytes, its input included."""
    with torch.no_grad(), TensorMemoryTracker() as tracker:
        net(x)
    return int(tracker.peak + x.nbytes)


def net_bytes(spec: NetSpec, read: Sequence[int], dtype: torch.dtype) -> int:
    """Return the memory that a network needs for one block of this shape, in bytes: activations and logits."""
    return int(prod(read) * (bytes_per_pixel(spec) * dtype.itemsize / 4))


def run_bytes(spec: NetSpec, plan: TilePlan, dtype: torch.dtype, device: torch.device, backend: str = TORCH) -> int:
    """Return the memory that a run needs in addition to what is in use, on the device of the network, in bytes.

    On a GPU that is the memory of the network for the largest tile. On a CPU prefetched blocks, the probabilities of
    the previous tile and of constant blocks, and the kernels that PyTorch keeps for each shape of tile come on top.
    """
    network = int(net_bytes(spec, plan.largest_read, dtype) * MEMORY_FACTORS[backend])
    if device.type == "cuda":
        return network
    several = len(plan) > 1
    blocks = min(BLOCKS_AHEAD, len(plan) - 1) + (dtype is not torch.float32)  # the block of float32 is the input itself
    waiting = 4 * spec.channels * prod(plan.largest_read) * blocks
    prediction = 4 * (spec.classes + spec.distance) * prod(plan.tile)
    predictions = (prediction + constant_bytes(prediction)) * several
    if backend == OPENVINO:
        predictions += prediction  # its activations stay while the probabilities are copied
    return network + waiting + predictions + START_BYTES + BYTES_PER_SHAPE * (plan.shapes - 1)


def statistics_bytes(source: ImageSource) -> int:
    """Return the memory that the statistics of an image need: its sample twice, its channels as float64 twice."""
    pixels = min(prod(source.shape), SAMPLE_PIXELS)
    itemsize = int(np.dtype(source.array.dtype).itemsize)
    channels = 3 if isinstance(source.channels, str) else len(source.channels)
    fitted = 1 if isinstance(source.channels, str) else len(set(source.channels))
    return pixels * (2 * channels * itemsize + 17 * fitted)


def budget(device: torch.device, limit: float | None, processes: int = 1) -> int:
    """Return the bytes that a run may take in each process: the limit in GiB, or a part of the free memory."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * FREE_MEMORY_SHARE if limit is None else limit * 2**30)
    return run_budget(limit, processes)


def memory_note(peak: int, allowed: int) -> Iterator[str]:
    """Yield a note if the tiles need more memory than the run may take."""
    if peak > allowed:
        yield Note(
            f"The run may need {peak / 2**30:.2f} GiB, more than the {allowed / 2**30:.2f} GiB that it may take. "
            "If it runs out of memory,",
            Advice(
                "set a smaller --tile or close other programs.",
                "set a smaller tile under Advanced or close other programs.",
            ),
        )


def cost(plan: TilePlan, device: torch.device, keeps_memory: bool = False) -> float:
    """Return the cost of a plan, in units of the time that the network takes for a pixel.

    Small tiles read more pixels in their halos. On a CPU large tiles take longer per pixel, and all take longer whose
    arrays are mapped again at each layer, because memory is too scarce to keep what is freed (see `allocator`).

    Parameters
    ----------
    plan : TilePlan
        The tiles.
    device : torch.device
        Where the network runs.
    keeps_memory : bool
        Whether freed memory is kept.
    """
    if device.type != "cpu":
        return plan.read_pixels + PIXELS_PER_TILE * len(plan)
    reads = plan.read_pixels * (1.0 if keeps_memory else MAPPED_SLOWDOWN)
    return reads + MMAP_COST * prod(plan.largest_read) + PIXELS_PER_TILE * len(plan)


def largest_tile(
    spec: NetSpec, shape: Sequence[int], dtype: torch.dtype, allowed: int, max_tile: int | None
) -> tuple[int, ...]:
    """Return the largest read that fits in memory: the whole image if possible, else nearly equal sides.

    Parameters
    ----------
    spec : NetSpec
        The network.
    shape : sequence of int
        Length of the image along the axes that the network convolves.
    dtype : torch.dtype
        Number type of the activations.
    allowed : int
        Bytes that the run may take.
    max_tile : int, optional
        Most pixels in a read, for an early first prediction.
    """
    per_pixel = net_bytes(spec, [10**6], dtype) / 10**6 + 4 * (spec.channels * (BLOCKS_AHEAD + 1) + spec.classes)
    fixed = START_BYTES + BYTES_PER_SHAPE * (3**spec.ndim - 1)  # reads at both borders and between them
    available = max(allowed - fixed, allowed / 2)
    constant = 4 * spec.classes * MAX_CONSTANT_BLOCKS  # per pixel, up to a limit
    pixels = max(available / (per_pixel + constant), (available - MAX_CONSTANT_BYTES) / per_pixel)
    if max_tile is not None:
        pixels = min(max_tile, pixels)
    sides = [0] * len(shape)
    left = sorted(range(len(shape)), key=lambda axis: shape[axis])
    for count, axis in enumerate(left):  # short axes stay whole and leave their share to the long ones
        side = (pixels / prod(sides[a] for a in left[:count])) ** (1 / (len(left) - count))
        m = spec.multiple[axis]
        sides[axis] = min(ceil(shape[axis] / m) * m, max(m, int(side) // m * m))
    return tuple(sides)
