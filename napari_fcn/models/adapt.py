"""Adapts models for teaching with strokes."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

import torch

from napari_fcn.models.card import ClassLabel, ModelCard, ModelInfo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets.sigmas import scales
from napari_fcn.nets.spec import NetSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.nets.hypercolumn import HypercolumnNet

BANK_SIGMAS = (0.7, 1.0, 2.0, 4.0, 8.0)  # of the filter bank, in pixels of the finest axis
TWO_CLASSES = (ClassLabel("background", "#1f3a5f"), ClassLabel("object", "#e69f00"))
HIDDEN_UNITS = 16  # of the nonlinear part of the head
NEW_CLASS_LOGIT = -6.0  # logit of a class without strokes, relative to the mean of the others


def filters_only(
    ndim: int, channels: int, classes: Sequence[ClassLabel] = (), spacing: Sequence[float] = ()
) -> Checkpoint:
    """Return a model without a network: a filter bank and an untrained head.

    Parameters
    ----------
    ndim, channels : int
        Number of filtered axes, and of channels of the image.
    classes : sequence of ClassLabel
        The classes; background and object if not given.
    spacing : sequence of float
        Pixel size per axis; equal if not given.
    """
    labels = tuple(classes) or TWO_CLASSES
    spec = NetSpec(
        family="filters",
        ndim=ndim,
        channels=channels,
        classes=len(labels),
        width=1,
        depth=0,
        kernel=((1,),),
        pool=(),
        filters=scales(BANK_SIGMAS, spacing or (1.0,) * ndim),
        head="levels",
        hidden=HIDDEN_UNITS,
    )
    card = ModelCard(name="filters", summary="Filter bank without a network: untrained, learns any two textures.")
    info = ModelInfo(spec, Normaliser(), labels, card=card)
    net = _blank(spec)
    return Checkpoint.of(net, info)


def new_model(spec: NetSpec, classes: Sequence[ClassLabel], spacing: Sequence[float] = (), seed: int = 0) -> Checkpoint:
    """Return a model with random weights and a filter bank, to be trained with strokes."""
    spec = replace(
        spec,
        classes=len(classes),
        filters=_scales(spec, BANK_SIGMAS, spacing),
        head="levels",
        hidden=HIDDEN_UNITS,
        original=0,
        distance=False,
    )
    net: HypercolumnNet = spec.build(torch.Generator().manual_seed(seed))  # type: ignore[assignment]
    _clear(net)
    return Checkpoint.of(net, ModelInfo(spec, Normaliser(), tuple(classes), card=ModelCard(name=f"new {spec.family}")))


def make_teachable(
    start: Checkpoint,
    classes: Sequence[ClassLabel] = (),
    spacing: Sequence[float] = (),
    sigmas: Sequence[float] = BANK_SIGMAS,
) -> Checkpoint:
    """Return a model with the predictions and the original head of ``start``, and a head on all levels and filters.

    Parameters
    ----------
    start : Checkpoint
        A model; if it was taught before, only its classes change.
    classes : sequence of ClassLabel
        The classes, matched by name; those of the model if not given.
    spacing : sequence of float
        Pixel size per axis; equal if not given.
    sigmas : sequence of float
        Scales of the filter bank in pixels of the finest axis; empty for no filters.
    """
    labels = tuple(classes) or start.info.classes
    old = [label.name for label in start.info.classes]
    old_indices = tuple(old.index(label.name) if label.name in old else None for label in labels)
    if start.info.spec.head == "levels":
        return _with_new_head(with_classes(start, labels, old_indices))
    spec = replace(
        start.info.spec,
        filters=_scales(start.info.spec, sigmas, spacing),
        head="levels",
        hidden=HIDDEN_UNITS,
        original=start.info.spec.classes,
    )
    net = _blank(spec)
    assert net.trunk is not None
    net.trunk.load_state_dict(dict(start.weights))
    with torch.no_grad():
        weight, bias = net.trunk.readout
        head_bias: Any = net.heads_of_levels[0].bias
        net.heads_of_levels[-1].weight[: len(weight)] = weight
        head_bias[: len(bias)] = bias
    info = replace(start.info, spec=spec, original=start.info.classes)
    return _with_new_head(with_classes(Checkpoint.of(net, info), labels, old_indices))


def _scales(spec: NetSpec, sigmas: Sequence[float], spacing: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    """Return the scales of the filter bank, as short as possible along time."""
    sizes = tuple(spacing) or (1.0,) * spec.ndim
    return scales(sigmas, [inf if axis == spec.time else size for axis, size in enumerate(sizes)])


def _with_new_head(model: Checkpoint) -> Checkpoint:
    """Return the model with its current classes as the classes at the start of teaching."""
    return Checkpoint(replace(model.info, origin=()), model.weights)


def to_grey(model: Checkpoint) -> Checkpoint:
    """Return a model of colours as one that reads one channel, with the same predictions on grey images.

    A grey image is read as three equal channels, so the kernels of its first convolutions may be summed over them
    before. A model that was taught, or that reads no colours, is returned unchanged.
    """
    spec = model.info.spec
    if not spec.colours or spec.head != "score":
        return model
    grey = replace(spec, channels=1, colours=False)
    shapes = {name: tensor.shape for name, tensor in grey.build().state_dict().items()}
    weights = {
        name: tensor if tensor.shape == shapes[name] else tensor.sum(1, keepdim=True)
        for name, tensor in model.weights.items()
    }
    return Checkpoint(replace(model.info, spec=grey), weights)


def inflate_to_3d(model: Checkpoint) -> Checkpoint:
    """Return a 2-D model as a 3-D model with the same predictions, plane by plane.

    Kernels and pools have length 1 across planes. A filter bank that is added later also filters across planes.
    """
    spec = model.info.spec
    if spec.ndim != 2:
        return model
    spec_3d = replace(
        spec,
        ndim=3,
        kernel=tuple((1, *level) for level in spec.kernel),
        pool=tuple((1, *level) for level in spec.pool),
        time=None if spec.time is None else spec.time + 1,
    )
    weights = {name: tensor.unsqueeze(2) if tensor.ndim == 4 else tensor for name, tensor in model.weights.items()}
    voxel = (0.0, *model.info.voxel_size) if model.info.voxel_size else ()
    return Checkpoint(replace(model.info, spec=spec_3d, voxel_size=voxel), weights)


def with_classes(model: Checkpoint, classes: Sequence[ClassLabel], old_indices: Sequence[int | None]) -> Checkpoint:
    """Return a taught model with other classes.

    Parameters
    ----------
    model : Checkpoint
        A model with a head on all levels.
    classes : sequence of ClassLabel
        The new classes.
    old_indices : sequence of int or None
        Old index of each class; None if it is new. The logit of a new class is the mean of the others minus a constant,
        so that it is predicted nowhere.
    """
    weights, kept_indices, count = (
        dict(model.weights),
        [k for k in old_indices if k is not None],
        model.info.spec.classes,
    )
    heads = {name: tensor for name, tensor in model.weights.items() if name.startswith(("heads.", "mix."))}
    new_class_logit = NEW_CLASS_LOGIT if any(tensor[kept_indices].any() for tensor in heads.values()) else 0.0
    for name, tensor in heads.items():  # first the rows of the classes, then those of the hidden units
        mean = tensor[kept_indices].mean(0) if kept_indices else torch.zeros_like(tensor[0])
        new_class_row = mean + new_class_logit if name.endswith("bias") else mean
        rows = [new_class_row if k is None else tensor[k] for k in old_indices]
        weights[name] = torch.cat([torch.stack(rows), tensor[count:]]).contiguous()
    origin_before = model.info.origin or tuple(range(len(model.info.classes)))
    origin = tuple(-1 if k is None else origin_before[k] for k in old_indices)
    spec = replace(model.info.spec, classes=len(classes))
    return Checkpoint(replace(model.info, spec=spec, classes=tuple(classes), origin=origin), weights)


def start_with_classes(start: Checkpoint, model: ModelInfo) -> Checkpoint:
    """Return the model at the start of teaching, with the classes of ``model``."""
    old_indices = tuple(None if k < 0 else k for k in model.origin or range(len(model.classes)))
    return with_classes(start, model.classes, old_indices)


def _blank(spec: NetSpec) -> HypercolumnNet:
    net: HypercolumnNet = spec.build(torch.Generator().manual_seed(0))  # type: ignore[assignment]
    _clear(net)
    return net


def _clear(net: HypercolumnNet) -> None:
    """Set the weights of the head to zero."""
    with torch.no_grad():
        for conv in (*net.heads_of_levels, net.mix):
            for parameter in conv.parameters():
                parameter.zero_()
