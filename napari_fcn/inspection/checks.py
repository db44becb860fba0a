"""Certificate, equivariance map and border map of a session."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import torch

from napari_fcn.errors import ImageError
from napari_fcn.events import BorderTrustDone, Certified, CheckStep, EquivarianceDone
from napari_fcn.geometry import Region
from napari_fcn.inference.memory import budget, largest_tile
from napari_fcn.inspection.influence import measure, sample_planes
from napari_fcn.inspection.plane import Plane
from napari_fcn.nets.validation import PADDINGS
from napari_fcn.receptive_fields import border, exactness
from napari_fcn.receptive_fields import equivariance as shifts
from napari_fcn.receptive_fields.effective import mean_field

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from napari_fcn.inference.backends import Backend
    from napari_fcn.session import Session

CERTIFIED_PIXELS = 2**22  # maximum number of pixels in one piece for a certificate: a few seconds
SHIFTED_PIXELS = 2**18  # maximum number of pixels that are compared for all shifts
BORDER_PIXELS = 2**25  # maximum number of pixels of an image whose border is checked
FIELD_SAMPLES = 4  # pixels whose effective receptive fields are averaged
ROUNDING_ERROR = {torch.float32: 1e-5}  # tolerance of probabilities
HALF_PRECISION_ERROR = 0.05  # in half precision


def certify(session: Session, region: Region | None) -> Iterator[CheckStep | Certified]:
    """Yield progress, then the difference between tiles and one piece; see `Session.certify`."""
    plane, part, note = _part(session, region, CERTIFIED_PIXELS)
    plan = exactness.cut_into_tiles(
        part.shape, session.analysis, session.requested_tile() if session.settings.tile else ()
    )
    tolerance = ROUNDING_ERROR.get(session.dtype, HALF_PRECISION_ERROR)
    predict = _predict_block(session.predictor.backend)
    for event in exactness.certify(predict, plane.block(part), plan, session.analysis, tolerance):
        if isinstance(event, Certified):
            image_region, difference = plane.back(event.difference, part)
            event = replace(event, region=image_region, difference=difference, reason=f"{event.reason}{note}")
        yield event


def equivariance(session: Session, region: Region | None) -> Iterator[CheckStep | EquivarianceDone]:
    """Yield progress, then the changes under a shift; see `Session.equivariance`."""
    session.require_field()
    plane, part, note = _part(session, region, SHIFTED_PIXELS)
    grid = session.spec.multiple
    context = part.grow([n + 2 * m for n, m in zip(session.field.size, grid, strict=True)]).clip(plane.shape)
    context = Region(tuple(a // m * m for a, m in zip(context.start, grid, strict=True)), context.stop)
    predict = _predict_block(session.predictor.backend)
    for event in shifts.equivariance(predict, plane.block(context), part.relative_to(context), session.analysis):
        if isinstance(event, EquivarianceDone):
            image_region, values = plane.back(event.values, part)
            event = replace(event, region=image_region, values=values, sentence=f"{event.sentence}{note}")
        yield event


def border_trust(session: Session, region: Region | None) -> Iterator[CheckStep | BorderTrustDone]:
    """Yield progress, then the dependence on padding; see `Session.border_trust`."""
    session.require_field()
    plane = Plane.within(session, region)
    if prod(plane.shape) > BORDER_PIXELS:
        size = " x ".join(map(str, plane.shape))
        raise ImageError(f"The image is too large to check its border: {size} px. Crop a corner of it.")
    whole = Region.whole(plane.shape)
    effective = mean_field([measure(pixel, None) for pixel in sample_planes(session, FIELD_SAMPLES)], session.field)
    backend = session.torch_backend
    predictors = {p: _predict_block(backend.with_net(border.with_padding(backend.net, p))) for p in PADDINGS}
    for event in border.border_trust(predictors, plane.block(whole), session.analysis, effective):
        if isinstance(event, BorderTrustDone):
            image_region, outside = plane.back(event.outside, whole)
            sentence = event.sentence + (f" Compared: {plane.name}." if plane.name else "")
            change = plane.back(event.change, whole)[1]
            event = replace(event, region=image_region, outside=outside, change=change, sentence=sentence)
        yield event


def _predict_block(backend: Backend) -> exactness.PredictBlock:
    """Return the function from a normalised block ``(C, *space)`` to probabilities."""

    def predict(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        probabilities: npt.NDArray[np.float32] = backend.probabilities(block[None])[0]
        return probabilities

    return predict


def _part(session: Session, region: Region | None, max_pixels: int) -> tuple[Plane, Region, str]:
    """Return the plane, the largest part in the middle of the region within the limits, and a note on it.

    Raises
    ------
    ImageError
        If the region shares no pixel with the image.
    """
    plane = Plane.within(session, region)
    inside = Region.whole(session.source.shape) if region is None else region.clip(session.source.shape)
    requested = Region(plane.space(inside.start), plane.space(inside.stop))
    if requested.is_empty:
        raise ImageError("The region is outside the image. Move the image into view first.")
    allowed = budget(session.device, session.settings.memory)
    longest = largest_tile(session.spec, requested.shape, session.dtype, allowed, max_pixels)
    spans = []
    for low, high, side, m in zip(requested.start, requested.stop, longest, session.spec.multiple, strict=True):
        first = (low + max(0, high - low - side) // 2) // m * m  # on the pooling grid
        spans.append((first, high if high - low <= side else first + side))
    start, stop = (tuple(ends) for ends in zip(*spans, strict=True))
    part = Region(start, stop)
    size = "" if part.shape == plane.shape else f"{' x '.join(map(str, part.shape))} px from {part.start} on"
    description = ", ".join(filter(None, [size, plane.name]))
    return plane, part, f" Compared: {description}." if description else ""
