"""The influence of pixels on a prediction, and of a stroke on predictions."""

from __future__ import annotations

import time
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_fcn.errors import ImageError, ModelError
from napari_fcn.events import CheckStep, FieldDone, ReachDone
from napari_fcn.geometry import Region
from napari_fcn.inference.backends import memory_errors
from napari_fcn.inference.device import MEMORY_FORMATS, full_float32
from napari_fcn.inspection.plane import Plane
from napari_fcn.receptive_fields.effective import block_around, effective_field, mean_field
from napari_fcn.receptive_fields.influence import influenced

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from napari_fcn.receptive_fields.effective import EffectiveField
    from napari_fcn.session import Session

FIELD_SAMPLES = 12  # pixels whose fields are averaged


def field_at(session: Session, index: Sequence[int]) -> Region:
    """Return the receptive field of a pixel; see `Session.field_at`."""
    plane = Plane.through(session, index)
    session.require_field()
    return plane.on_image(session.analysis.box(plane.index, plane.shape))


def influence_at(session: Session, index: Sequence[int], label: int | None) -> Iterator[FieldDone]:
    """Yield the influence on one pixel; see `Session.influence_at`."""
    start = time.monotonic()
    plane = Plane.through(session, index)
    yield _field_done(plane, measure(plane, label), start)


def mean_influence(session: Session, label: int | None, count: int = FIELD_SAMPLES) -> Iterator[CheckStep | FieldDone]:
    """Yield progress, then the mean influence; see `Session.mean_influence`."""
    start = time.monotonic()
    fields = []
    for done, plane in enumerate(sample_planes(session, count), start=1):
        fields.append(measure(plane, label))
        yield CheckStep(done, count)
    origin = Plane(session, (0,) * len(session.source.shape))
    yield _field_done(origin, mean_field(fields, session.field), start)


def measure(plane: Plane, label: int | None) -> EffectiveField:
    """Return the effective receptive field of the pixel of a plane, on the axes of the network.

    Raises
    ------
    ModelError
        If there is no such class, or the receptive field is not finite.
    """
    session, shape = plane.session, plane.shape
    session.require_field()
    if label is not None and not 0 <= label < session.spec.classes:
        raise ModelError(f"Class {label} was requested; the model has classes 0 to {session.spec.classes - 1}.")
    read = block_around(session.analysis, plane.index, shape)
    with memory_errors(read.shape, session.device), full_float32(session.device):
        x = torch.from_numpy(plane.block(read)[None]).to(session.device)
        if session.spec.ndim in MEMORY_FORMATS:
            x = x.contiguous(memory_format=MEMORY_FORMATS[session.spec.ndim])
        box = session.analysis.box(plane.index, shape)
        return effective_field(session.float_net, x, read, box, plane.index, label)


def sample_planes(session: Session, count: int) -> list[Plane]:
    """Return random pixels whose receptive fields are inside the image, if possible."""
    halo = session.axes.spread(session.field.halo, (0, 0))
    spans = zip(session.source.shape, halo, strict=True)
    ranges = [(before, n - after) if n > before + after else (n // 2, n // 2 + 1) for n, (before, after) in spans]
    rng = np.random.default_rng(0)  # the same pixels for every model
    return [Plane(session, tuple(int(rng.integers(*span)) for span in ranges)) for _ in range(count)]


def _field_done(plane: Plane, field: EffectiveField, start: float) -> FieldDone:
    session = plane.session
    region, heat = plane.back(field.heat, field.region)
    r50, r90, r99 = (field.radius(share) for share in (0.5, 0.9, 0.99))
    return FieldDone(
        region,
        heat,
        plane.at,
        field.label,
        size=session.axes.spread(session.field.size, 1),
        widths=session.axes.spread(field.widths, 1),
        r50=r50,
        r90=r90,
        r99=r99,
        used=field.used,
        seconds=time.monotonic() - start,
    )


def reach_of(session: Session, stroke: Region, mask: npt.NDArray[np.bool_] | None) -> ReachDone:
    """Return the pixels whose prediction a stroke can influence; see `Session.reach_of`."""
    session.require_field()
    box = stroke.clip(session.source.shape)
    painted = np.ones(stroke.shape, bool) if mask is None else np.asarray(mask, bool)
    if box.is_empty or not painted[box.relative_to(stroke).slices].any():
        raise ImageError("The stroke is empty or outside the image. Paint on the image first.")
    planes = session.axes.to_net(painted[box.relative_to(stroke).slices][None])[:, 0].astype(bool)  # (N, *space)
    plane = Plane(session, box.start)
    at = Region(plane.space(box.start), plane.space(box.stop))
    net = session.checkpoint.net()
    masks = {
        number: influenced(net, plane_mask, at, plane.shape, session.analysis)
        for number, plane_mask in enumerate(planes)
        if plane_mask.any()
    }
    union = reduce(Region.union, (region for region, _ in masks.values()))
    out = np.zeros((len(planes), 1, *union.shape), bool)
    for number, (region, reached) in masks.items():
        index: tuple[Any, ...] = (number, 0, *region.relative_to(union).slices)
        out[index] = reached
    part = plane.on_image(union)
    stops = zip(session.axes.image, box.stop, part.stop, strict=True)
    stop = tuple(box_stop if name in session.axes.loop else part_stop for name, box_stop, part_stop in stops)
    image_region = Region(part.start, stop)
    return ReachDone(image_region, np.ascontiguousarray(session.axes.from_net(out, image_region.shape)[0].astype(bool)))
