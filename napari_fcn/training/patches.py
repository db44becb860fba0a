"""The size of training crops, from the receptive field of the network, the images and the free memory."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch

from napari_fcn.errors import ModelError
from napari_fcn.events import PatchChosen
from napari_fcn.inference.budget import largest_run_budget
from napari_fcn.inference.memory import budget
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.training.dataset import PATCH_SIDES, per_axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.nets.spec import NetSpec
    from napari_fcn.settings import TrainSettings

PROBE_SIDES = {1: 1024, 2: 64, 3: 16}  # pixels of the crop with which the memory is measured, by number of axes


def choose_patch(
    spec: NetSpec, shapes: Sequence[Sequence[int]], settings: TrainSettings, device: torch.device
) -> PatchChosen:
    """Return the size of training crops, and why.

    A crop covers the receptive field, because the network cannot learn to use what it never sees, and at least
    `PATCH_SIDES`. It is not larger than the images, and smaller if a batch does not fit into a third of the free
    memory.

    Parameters
    ----------
    spec : NetSpec
        The network.
    shapes : sequence of sequence of int
        Shape of each training image along the axes of the network.
    settings : TrainSettings
        A patch that is stated is returned unchanged.
    device : torch.device
        The device that trains.
    """
    field = _field(spec)
    if settings.patch:
        return PatchChosen(per_axis("patch", settings.patch, spec.ndim), field)
    longest = [max(lengths) for lengths in zip(*shapes, strict=True)]
    sides = [
        min(_round_up(max(PATCH_SIDES[spec.ndim], f), m), _round_up(n, m))
        for f, n, m in zip(field, longest, spec.multiple, strict=True)
    ]
    allowed = budget(device, None) if device.type == "cuda" else largest_run_budget()
    each = settings.batch * training_bytes(spec)
    wanted = tuple(sides)
    while prod(sides) * each > allowed:
        axis = max(range(len(sides)), key=lambda k: sides[k] / spec.multiple[k])
        if sides[axis] <= 2 * spec.multiple[axis]:
            break
        smaller = _round_up(sides[axis] * 7 // 8, spec.multiple[axis])
        sides[axis] = min(smaller, sides[axis] - spec.multiple[axis])
    notes = []
    if tuple(sides) != wanted:
        notes.append(
            f"Crops of {_shown(wanted)} px do not fit into the free memory in batches of {settings.batch}: they have "
            f"{_shown(sides)} px. To use larger ones, lower --batch."
        )
    return PatchChosen(tuple(sides), field, tuple(notes))


def _field(spec: NetSpec) -> tuple[int, ...]:
    """Return the receptive field along each axis in pixels; 1 if it is the whole image."""
    try:
        return theoretical(spec).size
    except ModelError:
        return (1,) * spec.ndim


def training_bytes(spec: NetSpec) -> float:
    """Return the memory in bytes that training takes for each pixel of a crop.

    Measured on a small crop: the tensors that are kept for the gradient, counted once each, and as much again for the
    gradient itself.
    """
    net = spec.build().train()
    least = PROBE_SIDES[spec.ndim]
    shape = [max(_round_up(least, m), n) for m, n in zip(spec.multiple, spec.minimum, strict=True)]
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = net(torch.zeros(2, spec.channels, *shape))
    del out
    return 2 * sum(n for pointer, n in kept.items() if pointer not in weights) / (2 * prod(shape))


def _round_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def _shown(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))
