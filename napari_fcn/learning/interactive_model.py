"""A network on one image: cached features, predictions, and fits of its head to strokes."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_fcn.cancellation import Cancelled, cancel_between_layers, run_to_end
from napari_fcn.learning import distillation, linear_fit, sample_weights
from napari_fcn.learning.features import FeatureCache
from napari_fcn.learning.head import FeatureScaler, Head, HiddenLayer, read_head, write_head
from napari_fcn.learning.unlabeled import UnlabeledPixels

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import numpy.typing as npt
    from torch import Tensor

    from napari_fcn.geometry import Region, Tile
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.features import FeatureExtractor, FeatureTile
    from napari_fcn.nets.hypercolumn import HypercolumnNet


@dataclass(slots=True, eq=False)
class InteractiveModel:
    """A network on an image, whose head is fitted to samples.

    Attributes
    ----------
    net : HypercolumnNet
        The network.
    extractor : FeatureExtractor
        Computes the features of the image.
    budget : int
        Memory for features, in bytes.
    prior : Head
        The head before any strokes, for raw features; fits are regularised towards it.
    reference : tuple of int
        A pixel of the tile that `scaler` is fitted to.
    """

    net: HypercolumnNet
    extractor: FeatureExtractor
    budget: int
    prior: Head
    reference: tuple[int, ...]
    features: FeatureCache = field(init=False)
    _scaler: FeatureScaler | None = None
    _unlabeled: UnlabeledPixels = field(init=False)
    _hidden_logit_tiles: dict[Region, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.features = FeatureCache(self.extractor, self.net, self.budget)
        self._unlabeled = UnlabeledPixels(self.features, self.prior)

    @property
    def reference_tile(self) -> Tile:
        """The tile that `scaler` is fitted to."""
        return self.extractor.plan.at(np.asarray(self.reference) // np.asarray(self.extractor.plan.tile))

    @property
    def scaler(self) -> FeatureScaler:
        """Mean and scale of the features."""
        if self._scaler is None:
            self._scaler = FeatureScaler.fit(self.features.tile(self.reference_tile).levels)
        return self._scaler

    @property
    def head(self) -> Head:
        """The current head, for raw features."""
        return read_head(self.net)

    @property
    def _n_classes(self) -> int:
        return len(self.prior.linear.bias)

    def clone(self) -> InteractiveModel:
        """Return a model that shares trunk and features, with a copy of the head."""
        net = copy(self.net)
        net._modules = {**self.net._modules, "heads": deepcopy(self.net.heads), "mix": deepcopy(self.net.mix)}
        model = InteractiveModel(net, self.extractor, self.budget, self.prior, self.reference)
        model.features, model._scaler, model._unlabeled = self.features, self._scaler, self._unlabeled
        return model

    def focus_on(self, pixel: tuple[int, ...]) -> None:
        """Prefer the features around a pixel when tiles are evicted from the cache."""
        self.features.focus = pixel

    def logits(self, samples: Samples) -> Tensor:
        """Return the class logits ``(n, classes)`` at samples."""
        return self.head.logits(self.features.matrix(samples))

    def labels(self, samples: Samples) -> Tensor:
        """Return the class indices of samples on the device."""
        return torch.from_numpy(samples.class_index.astype(np.int64)).to(self.extractor.device)

    def probabilities(self, region: Region) -> npt.NDArray[np.float32]:
        """Return the class probabilities ``(K, *region.shape)``."""
        return run_to_end(self.predict(region))

    def predict(self, region: Region) -> Generator[None, None, npt.NDArray[np.float32]]:
        """Return the class probabilities ``(K, *region.shape)``; pauses before each tile but the first."""
        out, head = np.empty((self._n_classes, *region.shape), np.float32), self.head.relative_to_first()
        for number, tile in enumerate(self.features.tiles_in(region)):
            if number:
                yield
            part = tile.core.intersection(region)
            position = (slice(None), *part.relative_to(region).slices)
            out[position] = self.extractor.probabilities(self._predict_part(head, tile, part), part)
        return out

    def classes(self, region: Region) -> npt.NDArray[np.uint8]:
        """Return the most probable class at each pixel of a region."""
        out, head = np.empty(region.shape, np.uint8), self.head.relative_to_first()
        for tile in self.features.tiles_in(region):
            part = tile.core.intersection(region)
            probabilities = self.extractor.probabilities(self._predict_part(head, tile, part), part)
            out[part.relative_to(region).slices] = probabilities.argmax(0)
        return out

    def _predict_part(self, head: Head, tile: FeatureTile, part: Region) -> Tensor:
        """Return the logits ``(N, K - 1, *space)`` of a relative head in a part of a tile's core."""
        logits = self.extractor.logits(head.linear, tile, part)
        if head.hidden is not None:
            logits = logits + self.extractor.crop(self._hidden_logits(head.hidden, tile), tile, part)
        return logits

    def _hidden_logits(self, hidden: HiddenLayer, tile: FeatureTile) -> Tensor:
        """Return the logits of the hidden layer in a tile's core, from a cache: the hidden layer changes rarely."""
        if tile.core not in self._hidden_logit_tiles:
            self._hidden_logit_tiles = {
                core: logits for core, logits in self._hidden_logit_tiles.items() if core in self.features.tiles
            }
            self._hidden_logit_tiles[tile.core] = hidden.logits_of_units(self.extractor.logits(hidden.units, tile))
        return self._hidden_logit_tiles[tile.core]

    def compute_features(self, samples: Samples, view: Region) -> Iterator[None]:
        """Compute the features of samples and of a region; pauses after each tile."""
        plan, numbers = self.extractor.plan, np.unique(self.extractor.tiles_of(samples))
        painted = (plan.at([int(i) for i in np.unravel_index(number, plan.counts)]) for number in numbers)
        for tile in (*painted, *plan.touching(view)):
            yield from self.compute_tile(tile)
            yield

    def compute_tile(self, tile: Tile) -> Generator[None, None, None]:
        """Compute the features of a tile; pauses when cancelled, and starts again when resumed."""
        while True:
            try:
                with cancel_between_layers(self.net):
                    self.features.tile(tile)
                return
            except Cancelled:
                yield

    def fit_without_hidden(self, samples: Samples, prior_strength: float, seed: int) -> None:
        """Fit a linear head to samples, regularised towards the prior; without samples it becomes the prior.

        Parameters
        ----------
        samples : Samples
            All samples.
        prior_strength : float
            0 to fit the samples only, 1 to stay as close to the prior as possible.
        seed : int
            Seed for the choice among many samples.
        """
        run_to_end(self._fit(samples, prior_strength, seed, None, linear_fit.TOL))

    def fit_linear(self, samples: Samples, prior_strength: float, seed: int) -> None:
        """Fit the linear part of the head to samples with a larger tolerance; the hidden layer is unchanged."""
        run_to_end(self._fit(samples, prior_strength, seed, self.head.hidden, linear_fit.QUICK_TOL))

    def fit_full(self, samples: Samples, prior_strength: float, seed: int) -> Generator[None, None, None]:
        """Fit the linear part and the hidden layer to samples; pauses often, and changes the head only at the end."""
        model = self.clone()
        yield from model._fit(samples, prior_strength, seed, None, linear_fit.TOL)
        if not len(samples):
            self._set_head(model.head)
            return
        yield
        scaler = self.scaler
        batch = self._training_batch(samples, seed)
        batch = replace(batch, features=(batch.features - scaler.mean) / scaler.scale)
        yield
        unlabeled = ((yield from self._unlabeled.random(samples)) - scaler.mean) / scaler.scale
        head = model.head.to_scaled_features(scaler)
        weight = distillation.FOREST_WEIGHT * (1 - prior_strength)
        hidden = yield from distillation.distill(batch, unlabeled, head, self.net.spec.hidden, weight, seed)
        self._set_head(Head(head.linear, hidden).to_raw_features(scaler))

    def _set_head(self, head: Head) -> None:
        write_head(self.net, head)
        self._hidden_logit_tiles = {}

    def _training_batch(self, samples: Samples, seed: int) -> distillation.TrainingBatch:
        """Return a random subset of the samples, plus pseudo-labelled pixels of classes without strokes."""
        class_index = torch.from_numpy(samples.class_index.astype(np.int64))
        is_selected = np.zeros(len(samples), bool)
        is_selected[linear_fit.subsample(class_index, torch.Generator().manual_seed(seed)).numpy()] = True
        subset = samples.select(is_selected)
        missing = set(range(self._n_classes)) - set(np.unique(subset.class_index).tolist())
        pseudo_features, pseudo_labels = self._unlabeled.pseudo_labeled(missing, self.reference_tile)
        y = torch.cat([self.labels(subset), pseudo_labels])
        features = torch.cat([self.features.matrix(subset), pseudo_features])
        weight = torch.from_numpy(sample_weights.sample_weights(subset)).to(y.device)
        weight = torch.cat([weight, torch.full((len(pseudo_labels),), 1.0, device=y.device)])
        balanced = linear_fit.balance_classes(y, weight, self._n_classes)
        return distillation.TrainingBatch(features, y, balanced, self.net.handcrafted_features)

    def _fit(
        self, samples: Samples, prior_strength: float, seed: int, hidden: HiddenLayer | None, tol: float
    ) -> Generator[None, None, None]:
        """Fit the linear part of the head; without a given hidden layer, that of the scaled prior is used."""
        if not len(samples):
            self._set_head(self.prior)
            return
        scaler, batch = self.scaler, self._training_batch(samples, seed)
        prior = self.prior
        if prior_strength < 1:
            scale = sample_weights.prior_scale(prior.logits(batch.features), batch.class_index, batch.sample_weight)
            prior = prior.scaled(scale)
        hidden = hidden or prior.hidden
        X = (batch.features - scaler.mean) / scaler.scale
        offset = None if hidden is None else hidden.logits(batch.features)
        start, ridge = prior.linear.to_scaled_features(scaler), sample_weights.ridge_strength(samples, prior_strength)
        linear = yield from linear_fit.fit_steps(X, batch.class_index, batch.sample_weight, start, ridge, offset, tol)
        hidden_logits = self._hidden_logit_tiles
        self._set_head(Head(linear.to_raw_features(scaler), hidden))
        if hidden is not None and hidden is not prior.hidden:
            self._hidden_logit_tiles = hidden_logits
