"""Device and precision of a network, decided here only, for inference and training."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from napari_fcn.errors import DeviceError
from napari_fcn.settings import DEVICES, PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

MEMORY_FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of this name; ``auto`` is the first CUDA GPU, Apple's GPU, or the CPU.

    Raises
    ------
    DeviceError
        If there is no such device on this machine.
    """
    if name == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(kind)
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in DEVICES:
        raise DeviceError(f"There is no device {name!r}. Choose {', '.join(DEVICES)} or cuda:N for the N-th GPU.")
    if device.type == "cuda":
        _check_cuda(device)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("Device mps was requested, but this machine has no Apple GPU. Choose auto or cpu.")
    return device


def _check_cuda(device: torch.device) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise DeviceError(
            "Device cuda was requested, but PyTorch finds no NVIDIA GPU here. Choose auto or cpu, or install an NVIDIA "
            "driver and a CUDA build of PyTorch."
        )
    if (device.index or 0) >= count:
        raise DeviceError(f"Device {device} was requested; this machine has cuda:0 to cuda:{count - 1}. Choose one.")


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the number type of this name; ``auto`` is float32, on a CUDA GPU bfloat16 or, if it lacks that, float16.

    Raises
    ------
    DeviceError
        If the device does not compute in this precision.
    """
    if name not in PRECISIONS:
        raise DeviceError(f"There is no precision {name!r}. Choose {', '.join(PRECISIONS)}.")
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if name == "float16" and device.type == "cpu":
        raise DeviceError("float16 is slow and inexact on a CPU. Choose bfloat16, float32 or auto.")
    if name != "float32" and device.type == "mps":
        raise DeviceError(f"{name} is not used on Apple GPUs here. Choose float32 or auto.")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def place(net: nn.Module, ndim: int, device: torch.device, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return the network on a device, in the memory format that is fastest there (channels last, in 2-D and 3-D)."""
    net = net.to(device=device, dtype=dtype)
    if ndim in MEMORY_FORMATS:
        net = net.to(memory_format=MEMORY_FORMATS[ndim])  # type: ignore[call-overload]  # missing in torch's types
    return net


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Keep a CUDA GPU from rounding float32 to TF32 in convolutions, on which exact tiling would break."""
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    same = {"enabled": cudnn.enabled, "benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic}
    with cudnn.flags(**same, allow_tf32=False):
        yield


@contextmanager
def mixed_precision(device: torch.device, precision: str = "auto") -> Iterator[None]:
    """Train convolutions in half precision if that is faster, the rest in float32.

    On a CUDA GPU in bfloat16, or float32 if it lacks that (float16 would need a scaled loss); on a CPU in bfloat16 if
    the CPU supports it natively.

    Raises
    ------
    DeviceError
        If the device does not train in this precision.
    """
    if precision == "float16":
        raise DeviceError("Training in float16 needs a scaled loss, which is not supported. Choose bfloat16 or auto.")
    if precision == "auto":
        half = torch.cuda.is_bf16_supported() if device.type == "cuda" else device.type == "cpu" and has_bfloat16()
    else:
        half = pick_precision(precision, device) is torch.bfloat16
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        yield


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices natively; torch reports it since 2.6."""
    is_supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(is_supported and is_supported())


def leave_a_core() -> None:
    """Compute on all cores but one in this thread, so that the window stays responsive.

    Two threads that share a busy core wait for each other at every step: teaching was up to a hundred times slower.
    """
    torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 2) - 1)))


def release(device: torch.device) -> None:
    """Return cached memory of a GPU to other programs."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def label(device: torch.device) -> str:
    """Return the name of a device for the user."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
