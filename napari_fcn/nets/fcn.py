"""The fully convolutional network of Long et al. (2015): FCN-32s, 16s and 8s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fcn.nets import layers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from napari_fcn.nets.spec import NetSpec


class FCN(nn.Module):
    """A VGG-like encoder with scores on several levels; coarse scores are upsampled and added to finer ones.

    ::

        x ── block ── pool ── block ── pool ──┬── block ── pool ──┬── block ── score
                                              │                   └─── score ── + ── up ─┘
                                              └──────────────────────── score ── + ── up ─┘ then up to the image

    Parameters
    ----------
    spec : NetSpec
        The network. ``skips`` is the number of pooled levels above the deepest that are scored too; ``up`` selects
        linear upsampling or transposed convolutions that start as linear upsampling. The last step, up to the image, is
        linear, as published.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = [spec.width * 2**level for level in range(spec.depth + 1)]
        inputs = [spec.channels, *widths]
        self.encoder = nn.ModuleList(layers.block(spec, inputs[i], widths[i], i) for i in range(spec.depth + 1))
        self.pools = nn.ModuleList(layers.pool(spec, i) for i in range(spec.depth))
        self.score: Fusion | None = Fusion(spec)

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits (N, classes, *space) for an image (N, channels, *space)."""
        whole: list[Any] = [slice(0, n) for n in x.shape[2:]]
        for level in self._walk(layers.fill(x, self.spec.multiple, self.spec.minimum)):
            x = level.features
        return x[(..., *whole)]

    def levels(self, x: Tensor) -> list[layers.Level]:
        """Return the features of each level of the encoder, and the logits last if the network has scores."""
        return list(self._walk(x))

    def _walk(self, x: Tensor) -> Iterator[layers.Level]:
        """Yield the levels in order."""
        level_inputs = []
        for i, encode in enumerate(self.encoder):
            x = self.pools[i - 1](x) if i else x
            level_inputs.append(x)
            x = encode(x)
            yield layers.Level(self.spec.grids[i], x)
        if self.score is not None:
            yield layers.Level(self.spec.grids[0], self.score(x, level_inputs))

    def logits(self, levels: list[layers.Level]) -> Tensor:
        """Return class logits from the features of `levels`."""
        return levels[-1].features

    @property
    def readout(self) -> tuple[Tensor, Tensor]:
        """Weight and bias that turn the last of the `levels`, which are the logits, into logits: the identity."""
        count = self.spec.classes
        return torch.eye(count).reshape(count, count, *(1,) * self.spec.ndim), torch.zeros(count)

    @property
    def widths(self) -> list[tuple[tuple[int, ...], int]]:
        """Factor and number of features of each of the `levels`."""
        spec = self.spec
        stages = [(grid, spec.width * 2**i) for i, grid in enumerate(spec.grids)]
        return stages + ([] if self.score is None else [(spec.grids[0], spec.classes)])


class Fusion(nn.Module):
    """The score layers of an FCN, and their fusion from coarse to fine.

    Parameters
    ----------
    spec : NetSpec
        The network.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.finest = max(spec.depth - spec.skips, min(1, spec.depth))
        self.factor = spec.grids[self.finest]
        fused = range(spec.depth - 1, self.finest - 1, -1)
        self.deepest = layers.score(spec, spec.width * 2**spec.depth)
        self.skips = nn.ModuleList(layers.score(spec, spec.width * 2 ** (level - 1)) for level in fused)
        up = BilinearUp if spec.up == "transposed" else FixedUp
        self.ups = nn.ModuleList(up(spec.classes, spec.strides[level]) for level in fused)

    def forward(self, x: Tensor, level_inputs: Sequence[Tensor]) -> Tensor:
        """Return logits on the grid of the image from the deepest features and the inputs of the levels."""
        x = self.deepest(x)
        fused = reversed(level_inputs[self.finest : -1])
        for up, score, skip in zip(self.ups, self.skips, fused, strict=True):
            x = up(x) + score(skip)
        return layers.enlarge(x, self.factor)


class FixedUp(nn.Module):
    """Linear upsampling without weights."""

    def __init__(self, classes: int, factor: Sequence[int]) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Return scores enlarged by the factor."""
        return layers.enlarge(x, self.factor)


class BilinearUp(nn.Module):
    """A transposed convolution that starts as linear upsampling (Long et al. 2015, section 3.3).

    ::

        coarse     |       0       |       1       |       2       |
        kernel     .   taps that extend half a coarse pixel beyond each side: twice the factor long
        fine       | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | ...      as long as coarse times the factor

    The input is padded by one coarse pixel and the output cropped, so that the grid is unchanged and the border does
    not fade.

    Parameters
    ----------
    classes : int
        Channels of the scores.
    factor : sequence of int
        Factor per axis, 1 or even.
    """

    def __init__(self, classes: int, factor: Sequence[int]) -> None:
        super().__init__()
        self.factor = tuple(factor)
        taps: npt.NDArray[np.float64] = np.ones(())  # numpy, because torch would load its compiler on the meta device
        for f in self.factor:
            taps = taps[..., None] * (1 - np.abs((np.arange(2 * f) + 0.5) / f - 1) if f > 1 else np.ones(1))
        weight = np.eye(classes).reshape(classes, classes, *(1,) * len(self.factor)) * taps
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (N, classes, *space) enlarged by the factor."""
        ends = [n for f in reversed(self.factor) for n in (int(f > 1),) * 2]
        cut = tuple(f + f // 2 if f > 1 else 0 for f in self.factor)
        out: Tensor = layers.CONVOLVE_TRANSPOSED[len(self.factor)](
            F.pad(x, ends, mode="replicate"), self.weight, stride=self.factor, padding=cut
        )
        return out
