"""Fine-tuning: a copy of a network is trained for a few steps on patches around strokes."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from napari_fcn.cancellation import Cancelled, cancel_between_layers, with_heartbeat
from napari_fcn.events import StepDone
from napari_fcn.geometry import Region
from napari_fcn.inference.device import mixed_precision, place
from napari_fcn.learning.annotations import is_inside
from napari_fcn.learning.labels import IGNORE
from napari_fcn.learning.linear_fit import balance_classes

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from torch import Tensor

    from napari_fcn.events import Heartbeat
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.features import FeatureExtractor
    from napari_fcn.nets.hypercolumn import HypercolumnNet
    from napari_fcn.settings import TeachSettings

NEWEST_FRACTION = 0.5  # fraction of the patches around strokes of the latest turn
L2SP_STRENGTH = 0.02  # fraction of the way back to the original weights per step, at a prior strength of 0.5
INTERPOLATION = 0.3  # fraction of the way from the start weights to the trained ones, at a prior strength of 0.5
PATCH_IN_FIELDS = {1: 4.0, 2: 2.75, 3: 2.0}  # side of a patch in receptive fields, by number of axes
MAX_GRADIENT_NORM = 1.0  # gradients are clipped to this norm
MAX_CONTRAST_CHANGE = MAX_BRIGHTNESS_CHANGE = 0.1  # of the intensity augmentation


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Input and target of one step.

    Attributes
    ----------
    image : Tensor
        ``(N, C, *space)``, normalised.
    target : Tensor
        ``(N, *space)`` int64, `IGNORE` where nothing is painted.
    """

    image: Tensor
    target: Tensor


class FineTuner:
    """Trains a copy of a network step by step.

    The optimiser is AdamW (Loshchilov & Hutter 2019) on the trunk, with frozen batch norms; the loss is cross entropy
    on the painted pixels with balanced classes. Two methods limit forgetting, in proportion to the prior strength: each
    step decays the weights towards the original ones (L2-SP, Li et al. 2018), and the result is an interpolation
    between start weights and trained weights (WiSE-FT, Wortsman et al. 2022).

    Parameters
    ----------
    net : HypercolumnNet
        The network to start from; it is copied. The loss uses the linear part of its head only.
    extractor : FeatureExtractor
        Reads the image.
    start_weights : mapping of str to Tensor
        The original weights; parameters that are missing there do not decay.
    settings : TeachSettings
        Learning rate, prior strength and patch size.
    seed : int
        Seed of all random numbers.
    """

    def __init__(
        self,
        net: HypercolumnNet,
        extractor: FeatureExtractor,
        start_weights: Mapping[str, Tensor],
        settings: TeachSettings,
        seed: int,
    ) -> None:
        self.extractor, self.settings = extractor, settings
        self.start_net = net
        self.net: HypercolumnNet = place(deepcopy(net.linear()), net.spec.ndim, extractor.device).eval()  # type: ignore[assignment]
        assert self.net.trunk is not None
        self.parameters = dict(self.net.trunk.named_parameters(prefix="trunk"))
        frozen = {id(p) for p in (getattr(self.net.trunk.score, "parameters", tuple)())}
        self.parameters = {k: p for k, p in self.parameters.items() if id(p) not in frozen}
        self.start_weights = {k: start_weights[k].to(extractor.device) for k in self.parameters if k in start_weights}
        rate = settings.rate * 2 * (1 - settings.keep)
        self.optimiser = torch.optim.AdamW(self.parameters.values(), lr=rate, weight_decay=0.0)
        self.decay = L2SP_STRENGTH * 2 * settings.keep
        # a new network has no original weights
        self.interpolation = INTERPOLATION * 2 * (1 - settings.keep) if self.start_weights else 1.0
        self.rng = np.random.default_rng(seed)
        self.steps_done = 0
        self.start_time = time.monotonic()
        self.loss = float("nan")

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Side of a patch per axis in space: as set, else a multiple of the receptive field, rounded up to the grid."""
        shape = [self.extractor.source.shape[p] for p in self.extractor.source.axes.space_positions]
        sizes = [self.settings.patch or round(PATCH_IN_FIELDS[len(shape)] * n) for n in self.extractor.field.size]
        on_grid = (-(-n // m) * m for n, m in zip(sizes, self.extractor.multiple, strict=True))
        return tuple(
            min(n, -(-length // m) * m) for n, length, m in zip(on_grid, shape, self.extractor.multiple, strict=True)
        )

    def run_until(self, samples: Samples, total_steps: int) -> Iterator[Heartbeat | StepDone]:
        """Train until ``total_steps`` are done; yield within and after each step.

        An unfinished step changes nothing.
        """
        self.net.requires_grad_(False)
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        while self.steps_done < total_steps:
            self.loss = yield from with_heartbeat("step", self._step(samples))
            self.steps_done += 1
            yield StepDone(self.steps_done, total_steps, self.loss, time.monotonic() - self.start_time)

    def copy(self) -> HypercolumnNet:
        """Return a network with interpolated start weights and trained weights, and with the full head."""
        net = deepcopy(self.start_net)
        net.trunk = deepcopy(self.net.trunk)
        assert net.trunk is not None
        assert self.start_net.trunk is not None
        with torch.no_grad():
            for start, trained in zip(self.start_net.trunk.parameters(), net.trunk.parameters(), strict=True):
                trained.copy_(torch.lerp(start.to(trained.device), trained, self.interpolation))
        return net.requires_grad_(False)

    def _step(self, samples: Samples) -> Generator[None, None, float]:
        """Do a step and return its loss; if the generator is closed early, nothing has changed."""
        rng_state = self.rng.bit_generator.state
        loss: Tensor | None = None
        while loss is None:
            try:
                loss = self._backward(samples)
            except Cancelled:
                self.rng.bit_generator.state = rng_state
                yield
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        with torch.no_grad():
            for name, original in self.start_weights.items():
                self.parameters[name].lerp_(original, self.decay)
        return float(loss.detach())

    def _backward(self, samples: Samples) -> Tensor:
        """Return the loss on a random patch, after backpropagation."""
        self.optimiser.zero_grad(set_to_none=True)
        with cancel_between_layers(self.net):
            loss = self._loss(self._draw_patch(samples))
            loss.backward()
        return loss

    def _loss(self, patch: Patch) -> Tensor:
        with mixed_precision(self.extractor.device, self.settings.precision):
            levels = self.net.levels(self.net.fill(patch.image))
            whole: list[Any] = [slice(0, n) for n in patch.image.shape[2:]]
            return partial_cross_entropy(self.net.score(levels)[(..., *whole)].float(), patch.target)

    def _draw_patch(self, samples: Samples) -> Patch:
        """Return a patch around a random painted pixel: classes equally often, new strokes more often than old ones."""
        axes, rng = self.extractor.source.axes, self.rng
        subset = samples
        newest = samples.turn == samples.turn.max()
        if rng.random() < NEWEST_FRACTION:
            subset = samples.select(newest)
        class_index = rng.choice(np.unique(subset.class_index))
        pixel = subset.coordinates()[rng.choice(np.flatnonzero(subset.class_index == class_index))]
        start, stop = list(pixel), list(pixel + 1)
        for position, length, multiple in zip(
            axes.space_positions, self.patch_shape, self.extractor.multiple, strict=True
        ):
            n = self.extractor.source.shape[position]
            centre = int(pixel[position])
            low = centre - int(rng.integers(length // 4, length - length // 4))
            # in periods of the grid: the last patch, and the range of patches that contain the pixel
            last = -(-max(0, n - length) // multiple)
            lowest, highest = max(0, -(-(centre - length + 1) // multiple)), centre // multiple
            low = max(lowest, min(low // multiple, highest, last)) * multiple
            start[position], stop[position] = low, min(low + length, n)
        region = Region(tuple(map(int, start)), tuple(map(int, stop)))
        target = self._target(samples, region)
        return self._augment(self.extractor.read(region), target)

    def _target(self, samples: Samples, region: Region) -> Tensor:
        inside = samples.select(is_inside(samples, region))
        positions = self.extractor.sample_positions(inside, region)
        space = [region.shape[p] for p in self.extractor.source.axes.space_positions]
        target = torch.full((1, *space), IGNORE, dtype=torch.int64, device=self.extractor.device)
        target[tuple(positions.unbind(1))] = torch.from_numpy(inside.class_index.astype(np.int64)).to(
            self.extractor.device
        )
        return target

    def _augment(self, image: Tensor, target: Tensor) -> Patch:
        """Return a patch with random flips, transposition of equal axes, contrast and brightness."""
        flips = [axis for axis in range(image.ndim - 2) if self.rng.random() < 0.5 and axis != self.net.spec.time]
        image = image.flip([2 + axis for axis in flips])
        target = target.flip([1 + axis for axis in flips])
        lengths, spec = image.shape[2:], self.net.spec
        is_square = len(lengths) > 1 and lengths[-1] == lengths[-2]
        if is_square and spec.axis_spec(spec.ndim - 1) == spec.axis_spec(spec.ndim - 2) and self.rng.random() < 0.5:
            image, target = image.transpose(-1, -2), target.transpose(-1, -2)
        contrast = 1 + self.rng.uniform(-MAX_CONTRAST_CHANGE, MAX_CONTRAST_CHANGE)
        brightness = self.rng.uniform(-MAX_BRIGHTNESS_CHANGE, MAX_BRIGHTNESS_CHANGE)
        return Patch(image * contrast + brightness, target)


def partial_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross entropy over the painted pixels, with balanced classes.

    Parameters
    ----------
    logits : Tensor
        ``(N, classes, *space)``.
    target : Tensor
        ``(N, *space)`` class indices, `IGNORE` where nothing is painted.
    """
    is_labelled = target != IGNORE
    y = target[is_labelled]
    sample_weight = balance_classes(y, torch.ones(len(y), device=y.device), logits.shape[1])
    values = F.cross_entropy(logits.movedim(1, -1)[is_labelled], y, reduction="none")
    return (values * sample_weight).sum() / sample_weight.sum()


def candidate_seed(seed: int, turn: int, attempt: int) -> int:
    """Return a different seed for each candidate."""
    return int(np.random.SeedSequence([seed, turn, attempt]).generate_state(1)[0])
