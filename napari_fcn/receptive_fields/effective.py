"""The effective receptive field: the influence of each input pixel on a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    from torch import Tensor, nn

    from napari_fcn.geometry import ReceptiveField
    from napari_fcn.receptive_fields.theoretical import FieldAnalysis

USED_GRADIENT = 1 - 0.9545  # fraction of the largest gradient that counts as used (Luo et al. 2016, section 3.1)


@dataclass(frozen=True, slots=True, eq=False)
class EffectiveField:
    """The influence of each input pixel on the prediction at one pixel (Luo et al. 2016).

    Attributes
    ----------
    region : Region
        The theoretical receptive field on the axes of the network; for a mean over pixels, relative to the pixel.
    heat : ndarray
        ``region.shape`` float32, the absolute gradient summed over channels, normalised to a sum of one.
    index : tuple of int
        The predicted pixel, in the coordinates of ``region``.
    label : int
        Index of the class whose logit is differentiated.
    """

    region: Region
    heat: npt.NDArray[np.float32]
    index: tuple[int, ...]
    label: int

    def radius(self, share: float, spacing: Sequence[float] = ()) -> float:
        """Return the radius around the pixel that contains this fraction of the heat.

        Parameters
        ----------
        share : float
            Fraction, 0 to 1.
        spacing : sequence of float
            Pixel size per axis; if given, the radius is in its unit, else in pixels.
        """
        squared = np.zeros((1,) * self.region.ndim)
        for axis, (start, stop, center) in enumerate(zip(self.region.start, self.region.stop, self.index, strict=True)):
            steps = (np.arange(start, stop) - center) * (spacing[axis] if spacing else 1.0)
            squared = squared + (steps**2).reshape([-1 if a == axis else 1 for a in range(self.region.ndim)])
        order = np.argsort(squared, axis=None, kind="stable")
        sums = np.cumsum(self.heat.ravel()[order], dtype=np.float64)
        if not sums.size or sums[-1] == 0:
            return 0.0
        return float(np.sqrt(squared.ravel()[order[np.searchsorted(sums, share * sums[-1])]]))

    @property
    def widths(self) -> tuple[int, ...]:
        """Length around the pixel along each axis that contains 90 % of the heat."""
        return tuple(self._width(axis) for axis in range(self.region.ndim))

    def _width(self, axis: int) -> int:
        profile = self.heat.sum(tuple(a for a in range(self.heat.ndim) if a != axis), dtype=np.float64)
        steps = np.abs(np.arange(self.region.start[axis], self.region.stop[axis]) - self.index[axis])
        sums = np.cumsum(np.bincount(steps, profile))
        return 2 * int(np.searchsorted(sums, 0.9 * sums[-1])) + 1

    @property
    def used(self) -> float:
        """Fraction of the theoretical receptive field with more than 4.55 % of the largest gradient, 0 to 1."""
        return float((self.heat > USED_GRADIENT * self.heat.max()).mean()) if self.heat.max() > 0 else 0.0


def block_around(analysis: FieldAnalysis, index: Sequence[int], shape: Sequence[int]) -> Region:
    """Return the smallest block with the exact prediction and gradient of a pixel: its field, extended to the grid."""
    box = analysis.box(index, shape)
    return Region(tuple(a // m * m for a, m in zip(box.start, analysis.multiple, strict=True)), box.stop)


def effective_field(
    net: nn.Module, block: Tensor, read: Region, box: Region, index: Sequence[int], label: int | None = None
) -> EffectiveField:
    """Return the effective receptive field of one pixel from one backward pass through the block around it.

    Pixels outside of the theoretical receptive field have no gradient, and all features involved depend on the field
    only, so the block gives the same gradient as the whole image.

    Parameters
    ----------
    net : Module
        A network in evaluation mode that returns logits ``(1, classes, *space)``.
    block : Tensor
        The normalised image in the block, ``(1, channels, *read.shape)``.
    read, box : Region
        Position of the block (see `block_around`), and the theoretical receptive field of the pixel.
    index : sequence of int
        The pixel.
    label : int, optional
        Index of the class whose logit is differentiated; the most probable one if not given.
    """
    with torch.enable_grad():
        x = block.detach().clone().requires_grad_()
        logits = net(x)[(0, slice(None), *(i - a for i, a in zip(index, read.start, strict=True)))]
        target = int(logits.argmax()) if label is None else label
        (gradient,) = torch.autograd.grad(logits[target], x)
    heat = gradient[0].abs().float().sum(0)[box.relative_to(read).slices].cpu().numpy()
    total = heat.sum(dtype=np.float64)
    return EffectiveField(box, (heat / (total if total > 0 else 1.0)).astype(np.float32), tuple(index), target)


def mean_field(fields: Iterable[EffectiveField], theoretical: ReceptiveField) -> EffectiveField:
    """Return the mean of the fields of several pixels, each shifted to the origin.

    Parameters
    ----------
    fields : iterable of EffectiveField
        At least one field; fields cropped at the border are allowed.
    theoretical : ReceptiveField
        The theoretical receptive field at its worst phase.
    """
    canvas = Region(tuple(-before for before in theoretical.before), tuple(after + 1 for after in theoretical.after))
    total, labels = np.zeros(canvas.shape), list[int]()
    for field in fields:
        position = field.region.relative_to(canvas.shift(field.index))
        total[position.slices] += field.heat
        labels.append(field.label)
    label = max(set(labels), key=labels.count)
    return EffectiveField(canvas, (total / len(labels)).astype(np.float32), (0,) * canvas.ndim, label)
