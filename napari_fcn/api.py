"""The public functions: prediction, teaching, receptive field and exactness of tiles in one call each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from napari_fcn.events import Certified, TileDone
from napari_fcn.inspection.external_models import certify_module
from napari_fcn.models import zoo
from napari_fcn.models.binding import bind_array
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings, TeachSettings
from napari_fcn.teaching.finetune import NEW_PREFIX, FinetuneLimit, initial_model, network_shape
from napari_fcn.teaching.finetune import finetune as teach

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.geometry import ReceptiveField


def load(model: str | Path | Checkpoint) -> Checkpoint:
    """Return a model by its name or its file.

    Raises
    ------
    ModelError
        If there is no such model, or its file is damaged or foreign.
    """
    return model if isinstance(model, Checkpoint) else Checkpoint.load(zoo.path_of(model))


def predict(
    image: Any,
    model: str | Path | Checkpoint,
    axes: Sequence[str] = "",
    rgb: bool | None = None,
    spacing: Sequence[float] = (),
    **settings: Any,
) -> npt.NDArray[np.float32]:
    """Return the probability of each class at each pixel, of the whole image or a region of it.

    Parameters
    ----------
    image : array-like
        Any number of axes; integers, floats or booleans.
    model : str, Path or Checkpoint
        Name of a shipped model, file, or loaded model.
    axes : str or sequence of str
        A letter or name for each axis, such as ``"tzyx"`` or ``"yxc"``; guessed from the shape if empty.
    rgb : bool, optional
        Whether the channels are colours; if not given, three or four channels along the last axis are.
    spacing : sequence of float
        Pixel size per axis of the network in micrometres, for ``resample``.
    **settings
        Fields of `PredictSettings`: ``device``, ``precision``, ``tile``, ``channel``, ``memory``, ``resample``;
        ``roi="0:512,100:612"`` or ``roi="z=3:5"`` for a region, which equals this part of the whole prediction.

    Returns
    -------
    ndarray
        ``(classes, *image axes)`` float32, without the image's channel axis; sums to one over the classes. With
        ``roi``, the axes have the length of the region.

    Raises
    ------
    FcnError
        If image, model, device and settings are incompatible.
    """
    session = Session(image, load(model), axes, PredictSettings(**settings), rgb, spacing)
    out = np.empty((session.spec.classes, *session.area.shape), np.float32)
    for event in session.predict():
        if isinstance(event, TileDone):
            out[(slice(None), *event.region.relative_to(session.area).slices)] = event.probabilities
    return out


def classes(
    image: Any, model: str | Path | Checkpoint, axes: Sequence[str] = "", rgb: bool | None = None, **settings: Any
) -> npt.NDArray[np.uint8]:
    """Return the index of the most probable class at each pixel; parameters and errors as for `predict`."""
    indices: npt.NDArray[np.intp] = predict(image, model, axes, rgb, **settings).argmax(0)
    return indices.astype(np.uint8)


def finetune(
    image: Any,
    labels: npt.ArrayLike,
    model: str | Path | Checkpoint,
    axes: Sequence[str] = "",
    rgb: bool | None = None,
    steps: int | None = None,
    spacing: Sequence[float] = (),
    label_values: Sequence[int] = (),
    **settings: Any,
) -> Checkpoint:
    """Return a model taught from an image and a few labels.

    First, a new head is fitted to all labels. Then the whole network is fine-tuned on nine tenths of them, which is
    kept only if it is better on the last tenth. The original head is kept in addition to the new one.

    Parameters
    ----------
    image : array-like
        Any number of axes; integers, floats or booleans.
    labels : array-like
        Integers on the image axes, without channels: 0 or NaN is not annotated, 1 is the first class, 2 the second.
    model : str, Path or Checkpoint
        Name of a shipped model, file, loaded model, or ``"new:unet width=16"`` for random weights.
    axes : str or sequence of str
        A letter or name for each axis; guessed from the shape if empty.
    rgb : bool, optional
        Whether the channels are colours; if not given, three or four channels along the last axis are.
    steps : int, optional
        Maximum number of fine-tuning steps; 0 to fit the head only.
    spacing : sequence of float
        Pixel size per axis in space; if not given, the same along all axes.
    label_values : sequence of int
        Label value of each class, in order, such as ``(0, 255)`` for a mask; if not given, 1, 2, 3 and so on.
    **settings
        Fields of `TeachSettings`: ``keep``, ``device``, ``rate``, ``seed`` and so on.

    Raises
    ------
    FcnError
        If image, labels, model and settings are incompatible.
    """
    shape = np.shape(image)
    base = str(model) if str(model).startswith(NEW_PREFIX) else load(model)
    bound = bind_array(shape, network_shape(base, shape, tuple(axes)), axes, rgb)
    space = [shape[bound.axes.names.index(name)] for name in bound.axes.space]
    options = TeachSettings(**settings)
    start = initial_model(base, space, spacing, bound.axes.channels(shape), options.seed)
    sizes = tuple(spacing)
    for event in teach(image, labels, start, bound, options, FinetuneLimit(steps), rgb, sizes, label_values):
        last = event
    result: Checkpoint = last.checkpoint
    return result


def receptive_field(model: str | Path | Checkpoint | nn.Module) -> ReceptiveField:
    """Return the receptive field of a model, in pixels along each axis of its network.

    Parameters
    ----------
    model : str, Path, Checkpoint or torch.nn.Module
        Name of a shipped model, file, loaded model; or any network of torch layers.

    Raises
    ------
    ModelError
        If there is no such model, or its receptive field is unbounded or cannot be computed.
    """
    return theoretical(model if isinstance(model, nn.Module) else load(model).info.spec)


def certify(
    model: str | Path | Checkpoint | nn.Module,
    image: Any,
    axes: Sequence[str] = "",
    rgb: bool | None = None,
    spacing: Sequence[float] = (),
    **settings: Any,
) -> Certified:
    """Compare the prediction in tiles with the prediction in one piece.

    If an image is too large for one piece, its centre is compared; `Certified.reason` then says so.

    Parameters
    ----------
    model : str, Path, Checkpoint or torch.nn.Module
        Name of a shipped model, file, loaded model; or any torch module that maps ``(N, C, *space)`` to
        ``(N, classes, *space)``.
    image : array-like
        As for `predict`; for a torch module, ``(C, *space)`` or ``(*space)``, normalised as the module expects.
    axes, rgb, spacing
        As for `predict`; ignored for a torch module.
    **settings
        Fields of `PredictSettings`; for a torch module, only ``tile``.

    Raises
    ------
    FcnError
        If image, model, device and settings are incompatible.
    """
    if isinstance(model, nn.Module):
        events = certify_module(model, np.asarray(image), **settings)
    else:
        events = Session(image, load(model), axes, PredictSettings(**settings), rgb, spacing).certify()
    return next(event for event in events if isinstance(event, Certified))
