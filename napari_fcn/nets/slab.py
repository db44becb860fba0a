"""Computes a network for few planes of a volume without the planes that its later layers do not need.

A padded convolution returns as many planes as it takes, and those near the border of a block are wrong and cut off at
the end. Here each convolution that looks across planes returns only planes that are right, so that deeper layers work
on fewer: for one plane of a network with 6 planes of halo that is a third of the work. Sides where the block ends with
the image keep their padding, as in the whole image.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from napari_fcn.nets.fold import fold
from napari_fcn.nets.layers import trimmed_planes

if TYPE_CHECKING:
    from napari_fcn.nets.spec import NetSpec

FAMILIES = ("unet", "resunet", "video", "mbconv")  # whose sums and skips are trimmed by `layers.trim`


def supports_slabs(spec: NetSpec) -> bool:
    """Whether a network can be computed for few planes: a 3-D U-Net that neither pools nor predicts by levels."""
    return spec.ndim == 3 and spec.family in FAMILIES and spec.head == "score" and spec.multiple[0] == 1


@lru_cache(maxsize=256)
def slab_work(spec: NetSpec, planes: int, sides: tuple[bool, bool]) -> float:
    """Return the work for a block of this many planes, trimmed on these sides, relative to that without trimming.

    Counted are the multiplications of a network with random weights on a block that is otherwise as small as possible.
    """
    if not supports_slabs(spec) or not any(sides):
        return 1.0
    with torch.random.fork_rng(devices=[]):
        net = fold(spec.build())
    block = torch.zeros(1, spec.channels, planes, *spec.minimum[1:])
    whole = _multiplications(net, block)
    with trimmed_planes(*sides):
        return _multiplications(net, block) / whole


def _multiplications(net: nn.Module, block: Tensor) -> int:
    counts = []

    def count(module: nn.Module, given: object, output: Tensor) -> None:
        assert isinstance(module, _ConvNd)
        counts.append(output.numel() * module.weight[0].numel())

    hooks = [module.register_forward_hook(count) for module in net.modules() if isinstance(module, _ConvNd)]
    with torch.inference_mode():
        net(block)
    for hook in hooks:
        hook.remove()
    return sum(counts)
