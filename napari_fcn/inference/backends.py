"""What runs a network on a block, and its errors when memory runs out."""

from __future__ import annotations

import re
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Protocol

import torch

from napari_fcn.cancellation import cancel_between_layers
from napari_fcn.errors import Advice, MemoryShortage
from napari_fcn.inference import device as devices
from napari_fcn.inference.device import MEMORY_FORMATS, full_float32, place
from napari_fcn.nets.fold import fold
from napari_fcn.nets.layers import trimmed_planes
from napari_fcn.nets.slab import supports_slabs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from napari_fcn.nets.build import Net

# Texts of errors when memory ran out. Of torch: CPU on Windows, CPU elsewhere, Apple GPU and CUDA, cuDNN, cuBLAS,
# oneDNN; of OpenVINO, which adds empty lines: its own arrays, those of C++, threads, oneDNN.
OUT_OF_MEMORY_TEXT = re.compile(
    r"not enough memory|can't allocate memory|out of memory|ALLOC_FAILED|Failed to allocate|bad.alloc"
    r"|Resource temporarily unavailable|could not create a (primitive|memory object)\s*$"
)


class Backend(Protocol):
    """A network that is ready to run, on its device and in its precision."""

    @property
    def label(self) -> str:
        """Device and back end for the user."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network; probabilities are float32."""

    @property
    def classes(self) -> int:
        """Number of classes."""

    def probabilities(
        self, block: npt.NDArray[np.float32], crop: Sequence[slice] = (), trim: tuple[bool, bool] = (False, False)
    ) -> npt.NDArray[np.float32]:
        """Return the probabilities ``(N, classes, *space)`` of a scaled block ``(N, C, *space)``, or of a part of it.

        A network with a distance to the border of the object has it as one more channel.

        ``trim`` says whether the planes before and after the crop, along the first axis, are only its halo, which need
        not be computed in the layers that do not use them.

        Raises
        ------
        MemoryShortage
            If memory runs out.
        """

    def release(self) -> None:
        """Free memory that is kept for the next block."""


class TorchBackend:
    """A network in PyTorch.

    Parameters
    ----------
    net : Net
        The network, as trained; a copy with folded norms runs.
    device : torch.device
        Where to run.
    dtype : torch.dtype
        Precision of the network.
    with_distance : bool
        Whether `probabilities` has the distance to the border of the object as one more channel, if the network has it.
    """

    def __init__(self, net: Net, device: torch.device, dtype: torch.dtype, with_distance: bool = False) -> None:
        self.ndim, self.supports_slabs, self.classes = net.spec.ndim, supports_slabs(net.spec), net.spec.classes
        self.net: nn.Module = place(fold(net, with_distance), self.ndim, device, dtype)
        self.device, self.dtype = device, dtype

    @property
    def label(self) -> str:
        """Name of the device for the user."""
        return devices.label(self.device)

    def release(self) -> None:
        """Return cached memory of a GPU to other programs."""
        devices.release(self.device)

    def with_net(self, net: nn.Module) -> TorchBackend:
        """Return a back end for another network that is ready to run."""
        clone = copy(self)
        clone.net = net
        return clone

    def probabilities(
        self, block: npt.NDArray[np.float32], crop: Sequence[slice] = (), trim: tuple[bool, bool] = (False, False)
    ) -> npt.NDArray[np.float32]:
        """Return the probabilities of a block; see `Backend.probabilities`."""
        with (
            memory_errors(block.shape[2:], self.device),
            torch.inference_mode(),
            full_float32(self.device),
            cancel_between_layers(self.net),
        ):
            x = torch.from_numpy(block).to(self.device, self.dtype)
            if self.ndim in MEMORY_FORMATS:
                x = x.contiguous(memory_format=MEMORY_FORMATS[self.ndim])
            if not (self.supports_slabs and any(trim)):
                return softmax(self.net(x)[(..., *crop)], self.classes)
            with trimmed_planes(*trim):
                logits = self.net(x)
            left_out = (x.shape[2] - logits.shape[2]) * trim[0] // sum(trim)  # before those that are kept
            planes = slice(crop[0].start - left_out, crop[0].stop - left_out)
            return softmax(logits[(..., planes, *crop[1:])], self.classes)


def softmax(outputs: Tensor, classes: int) -> npt.NDArray[np.float32]:
    """Return the probabilities of logits ``(N, classes, *space)``, computed in float32.

    A further channel, the distance to the border of the object, is limited to 0..1.
    """
    outputs = outputs.float()
    probabilities = outputs[:, :classes].softmax(1)
    if outputs.shape[1] > classes:
        probabilities = torch.cat([probabilities, outputs[:, classes:].clamp(0, 1)], 1)
    found: npt.NDArray[np.float32] = probabilities.cpu().numpy()
    return found


@contextmanager
def memory_errors(shape: Sequence[int], device: torch.device) -> Iterator[None]:
    """Turn errors of a lack of memory into a sentence about a tile of this shape.

    Raises
    ------
    MemoryShortage
        If memory runs out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise out_of_memory(shape, device) from error
    except RuntimeError as error:
        if not OUT_OF_MEMORY_TEXT.search(str(error)):
            raise
        raise out_of_memory(shape, device) from error


def out_of_memory(shape: Sequence[int], device: torch.device) -> MemoryShortage:
    """Return the error for a tile of this shape that does not fit in memory."""
    other, place = ("close other programs",) * 2 if device.type == "cpu" else ("add --device cpu", "choose the CPU")
    return MemoryShortage(
        f"A tile of {' x '.join(map(str, shape))} px does not fit in the free memory of {device}.",
        Advice(
            f"Set a smaller tile (--tile) or memory limit (--memory), or {other}.",
            f"Set a smaller tile or a memory limit under Advanced, or {place}.",
        ),
    )
