"""Runs a network on tiles and returns probabilities."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_fcn.events import PreviewDone, TileDone
from napari_fcn.inference.backends import out_of_memory
from napari_fcn.inference.constant_blocks import ConstantBlockCache, constant_values
from napari_fcn.inference.partly_constant import divide, part_of
from napari_fcn.inference.prefetch import BLOCKS_AHEAD, prefetch
from napari_fcn.inference.previews import Preview, trimmable_sides

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from napari_fcn.geometry import Tile, TilePlan
    from napari_fcn.inference.backends import Backend
    from napari_fcn.inference.resampling import ResampledSource, ResampledTiling
    from napari_fcn.inference.source import ImageSource
    from napari_fcn.models.normalise import AnyScaling


class Predictor:
    """A network on an image, tile by tile.

    Parameters
    ----------
    backend : Backend
        The network, ready to run.
    source : ImageSource
        The image.
    scaling : Scaling or FrameScaling
        How its intensities are scaled.
    """

    def __init__(self, backend: Backend, source: ImageSource | ResampledSource, scaling: AnyScaling) -> None:
        self.backend, self.source, self.scaling = backend, source, scaling
        self.resampled_tiling: ResampledTiling | None = None
        self.plan: TilePlan | None = None

    def with_resampling(self, tiling: ResampledTiling | None) -> Predictor:
        """Return a predictor for an image whose grid is not that of the network."""
        clone = copy(self)
        clone.resampled_tiling = tiling
        return clone

    def with_plan(self, plan: TilePlan) -> Predictor:
        """Return a predictor that may divide tiles of a plan that are partly of one constant value."""
        clone = copy(self)
        clone.plan = plan
        return clone

    def with_backend(self, backend: Backend) -> Predictor:
        """Return a predictor of the same image with another back end."""
        clone = copy(self)
        clone.backend = backend
        return clone

    def read(self, tile: Tile) -> npt.NDArray[np.float32]:
        """Return the scaled block of a tile as the network takes it, ``(N, C, *space)``."""
        tile = tile if self.resampled_tiling is None else self.resampled_tiling.network_tile(tile.core)
        try:
            block = self.scaling.apply(self.source.read(tile.read), tile.read)
            return np.ascontiguousarray(self.source.axes.to_net(block))
        except MemoryError as error:
            raise out_of_memory(tile.read.shape, torch.device("cpu")) from error

    def tile(self, tile: Tile) -> npt.NDArray[np.float32]:
        """Return the probabilities ``(classes, *tile.core.shape)`` of one tile; they depend on the tile alone."""
        return self.split(self.predict(tile, self.read(tile)))[0]

    def run(self, tiles: Iterable[Tile], total: int, ahead: int = BLOCKS_AHEAD) -> Iterator[TileDone | PreviewDone]:
        """Yield the probabilities of each tile in order, prefetching ``ahead`` blocks; previews are not counted.

        Tiles of one constant value, and such parts of tiles, are predicted once.
        """
        done, caching = 0, self.with_backend(ConstantBlockCache(self.backend))
        for tile, block in prefetch(self.read, tiles, ahead):
            if isinstance(tile, Preview):
                yield PreviewDone(tile.core, self.split(caching.preview(tile, block))[0])
                continue
            done += 1
            probabilities, distance = self.split(caching.predict_parts(tile, block))
            yield TileDone(tile.core, probabilities, done, total, distance=distance)

    def split(
        self, prediction: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Return the probabilities in a prediction, and the distance to the border of the object, if it has one."""
        classes = self.backend.classes
        return prediction[:classes], prediction[classes] if len(prediction) > classes else None

    def predict_parts(self, tile: Tile, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what `predict` returns, to 1e-5; constant parts are predicted apart, which a caching back end uses."""
        axes = self.source.axes
        parts: list[Tile] = []
        if self.plan is not None and self.resampled_tiling is None and constant_values(block) is None:
            parts = divide(tile, block, self.plan, axes.space_positions)
        if not parts:
            return self.predict(tile, block)
        whole: npt.NDArray[np.float32] | None = None
        for part in parts:
            predicted = self.predict(part, part_of(block, part, tile, axes.space_positions))
            if whole is None:
                whole = np.empty((len(predicted), *tile.core.shape), np.float32)
            whole[(slice(None), *part.core.relative_to(tile.core).slices)] = predicted
        assert whole is not None
        return whole

    def predict(
        self, tile: Tile, block: npt.NDArray[np.float32], trim: tuple[bool, bool] = (False, False)
    ) -> npt.NDArray[np.float32]:
        """Return the prediction ``(classes, *tile.core.shape)`` of a tile from its block, with the distance, if any.

        ``trim`` is as for `Backend.probabilities`.
        """
        tiling, axes = self.resampled_tiling, self.source.axes
        network_tile = tile if tiling is None else tiling.network_tile(tile.core)
        crop = [network_tile.crop.slices[position] for position in axes.space_positions]
        predicted = axes.from_net(self.backend.probabilities(block, crop, trim), network_tile.core.shape)
        probabilities = np.ascontiguousarray(predicted)
        return probabilities if tiling is None else tiling.back(probabilities, network_tile, tile.core)

    def preview(self, tile: Tile, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what `predict` returns; planes of a volume that only the first layers need are left out after them."""
        sides = trimmable_sides(tile, self.source.axes.space_positions[0], self.source.shape)
        return self.predict(tile, block, sides if self.resampled_tiling is None else (False, False))
