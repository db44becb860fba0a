"""Upload of a part of a layer to the graphics card, for which napari has no function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.gui._layers.layer_image import displayed_axes
from napari_fcn.gui._layers.napari_private import is_upload_pending, layer_node, texture_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_fcn.geometry import Region


def upload_region(viewer: ViewerModel, layer: Layer, region: Region) -> bool:
    """Show the pixels of a region that were changed in ``layer.data``; return False if that is not possible.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that shows the layer.
    layer : Layer
        An Image or Labels layer of uint8 on a numpy array.
    region : Region
        Region on the axes of the layer, one pixel long on axes that are not displayed.
    """
    node = layer_node(viewer, layer)
    if node is None or getattr(layer, "contour", False):
        return False
    shown = displayed_axes(viewer, layer)
    if len(shown) != viewer.dims.ndisplay:  # the texture has more axes than the layer
        return False
    index = tuple(
        slice(a, b) if axis in shown else a for axis, (a, b) in enumerate(zip(region.start, region.stop, strict=True))
    )
    block = layer.data[index]
    order = np.argsort(np.argsort(shown))  # the displayed axes in drawing order
    block = block.transpose(*order, *range(len(shown), block.ndim))
    offset = tuple(region.start[axis] for axis in shown)
    lengths = tuple(layer.data.shape[axis] for axis in shown)
    done = [_upload_part(part, block, tuple(np.subtract(offset, origin))) for part, origin in _textures(node, lengths)]
    if not done or not all(done):
        return False
    node.update()
    return True


def _textures(node: Any, lengths: tuple[int, ...]) -> list[tuple[Any, tuple[int, ...]]]:
    """Return the textures of a node and their origins; empty if their pixels are not those of the layer."""
    if hasattr(node, "adopted_children"):  # planes too large for one texture
        return [(part, (y, x)) for part, (x, y) in zip(node.adopted_children, node.offsets, strict=True)]
    whole = texture_of(node)
    if whole is None or tuple(whole.shape[: len(lengths)]) != lengths:
        return []
    return [(node, (0,) * len(lengths))]


def _upload_part(node: Any, block: np.ndarray, offset: tuple[int, ...]) -> bool:
    """Upload the part of a block on one texture; the block starts at ``offset`` of the texture."""
    if is_upload_pending(node):
        return True  # the whole texture is read from our array and uploaded with the next frame
    texture = texture_of(node)
    if texture is None:
        return False
    spans = [(max(0, -i), min(n, length - i)) for i, n, length in zip(offset, block.shape, texture.shape, strict=False)]
    if any(a >= b for a, b in spans):
        return True
    part = np.ascontiguousarray(block[tuple(slice(a, b) for a, b in spans)])
    start = tuple(int(i + a) for i, (a, _) in zip(offset, spans, strict=True))
    texture.scale_and_set_data(part, offset=start, copy=False)
    return True
