"""Choice of the back end of a run: PyTorch, or OpenVINO where it is installed, exact and worth its start."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from napari_fcn.errors import Advice, DeviceError
from napari_fcn.inference import device as devices
from napari_fcn.inference import openvino_backend
from napari_fcn.inference.backends import TorchBackend
from napari_fcn.nets.slab import supports_slabs
from napari_fcn.options import AUTO
from napari_fcn.settings import OPENVINO, TORCH

if TYPE_CHECKING:
    from napari_fcn.inference.backends import Backend
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.nets import NetSpec

MIN_PIXELS = 2**18  # from which the time that OpenVINO saves exceeds that of its start, measured
FASTER_ON = ("x86_64", "AMD64")  # processors on which OpenVINO was measured
ADVICE = Advice("Give --backend torch.", "Choose the back end torch under Advanced.")


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The back end of a run.

    Attributes
    ----------
    name : str
        ``"torch"`` or ``"openvino"``.
    compiled : bytes
        The network as OpenVINO runs it; empty for PyTorch.
    notes : tuple of str
        Sentences for the user.
    """

    name: str = TORCH
    compiled: bytes = b""
    notes: tuple[str, ...] = ()

    def label(self, device: torch.device) -> str:
        """Return device and back end for the user."""
        return devices.label(device) if self.name == TORCH else openvino_backend.OpenVinoBackend.label

    def create(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Backend:
        """Return the network of a model, ready to run."""
        if self.name == OPENVINO:
            compile_trimmed = partial(_compile_trimmed, checkpoint, dtype)
            return openvino_backend.OpenVinoBackend(checkpoint.info.spec, self.compiled, dtype, compile_trimmed)
        return TorchBackend(checkpoint.net(), device, dtype, with_distance=True)


def pick_device(device: str, backend: str) -> torch.device:
    """Return the device of these settings; ``auto`` is the CPU if OpenVINO is requested.

    Raises
    ------
    DeviceError
        If there is no such device on this machine, or OpenVINO does not run on it.
    """
    picked = devices.pick_device("cpu" if backend == OPENVINO and device == AUTO else device)
    if backend == OPENVINO and picked.type != "cpu":
        raise DeviceError(
            f"OpenVINO runs networks on the CPU; the device is {picked}.",
            Advice(
                "Give --device cpu or --backend torch.", "Choose the device cpu or the back end torch under Advanced."
            ),
        )
    return picked


def choose_backend(
    backend: str, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, pixels: int
) -> BackendChoice:
    """Return the back end of a run.

    Parameters
    ----------
    backend : str
        The setting: ``"auto"``, ``"torch"`` or ``"openvino"``.
    checkpoint : Checkpoint
        The model.
    device : torch.device
        Where it runs.
    dtype : torch.dtype
        Precision.
    pixels : int
        Pixels of the image. The choice depends on them, not on what was compiled before: a run that is repeated has
        the same back end.

    Raises
    ------
    DeviceError
        If OpenVINO is requested and is not installed, or does not run the network exactly.
    """
    if backend == TORCH or device.type != "cpu":
        return BackendChoice()
    is_auto = backend == AUTO
    if is_auto and not (pixels >= MIN_PIXELS and platform.machine() in FASTER_ON and openvino_backend.is_installed()):
        return BackendChoice()
    try:
        if problem := _precision_problem(checkpoint.info.spec, dtype):
            if is_auto:
                return BackendChoice()
            raise DeviceError(problem, ADVICE)
        return _openvino(checkpoint, dtype)
    except DeviceError as error:
        if not is_auto:
            raise
        return BackendChoice(notes=(f"{error.short} PyTorch runs it instead.",))


def _compile_trimmed(checkpoint: Checkpoint, dtype: torch.dtype, trim: tuple[bool, bool]) -> bytes | None:
    """Return the network compiled without planes on these sides, None if it cannot leave them out."""
    from napari_fcn.inference.openvino_compiler import load_or_compile

    if not supports_slabs(checkpoint.info.spec):
        return None
    net, _ = load_or_compile(checkpoint, dtype, trim)
    return None if net.problem else net.data


def _openvino(checkpoint: Checkpoint, dtype: torch.dtype) -> BackendChoice:
    from napari_fcn.inference.openvino_compiler import load_or_compile

    net, notes = load_or_compile(checkpoint, dtype)
    if net.problem:
        raise DeviceError(net.problem, ADVICE)
    return BackendChoice(OPENVINO, net.data, notes)


def _precision_problem(spec: NetSpec, dtype: torch.dtype) -> str:
    """Return why OpenVINO does not run a network in this precision; empty if it does."""
    name = str(dtype).removeprefix("torch.")
    if not openvino_backend.supports(dtype):
        return f"OpenVINO does not compute in {name} on this CPU."
    if spec.filters and dtype is not torch.float32:
        return f"OpenVINO would also compute the filters of this model in {name}, which is too coarse for them."
    return ""
