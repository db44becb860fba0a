"""Command line, docks and Python read the same axes, channels and colours of the same image with the same model."""

from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from napari.layers import Image

from napari_fcn.api import _open
from napari_fcn.errors import ImageError
from napari_fcn.geometry.calibration import Calibration
from napari_fcn.gui._layers import read_layer
from napari_fcn.inference.source import ImageSource
from napari_fcn.io import ImageFile
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets import NetSpec
from napari_fcn.runs.writer import bind_file, open_session
from napari_fcn.settings import PredictSettings
from napari_fcn.teaching.finetune import network_of

SPECS = {
    "planes": NetSpec(width=2, depth=1),
    "two channels": NetSpec(width=2, depth=1, channels=2),
    "three channels": NetSpec(width=2, depth=1, channels=3),
    "volumes": NetSpec(width=2, depth=1, ndim=3),
    "movies": NetSpec(family="video", width=2, depth=1, ndim=3),
}


@pytest.fixture(scope="module")
def models() -> dict[str, Checkpoint]:
    return {name: Checkpoint.of(spec.build(), plain_recipe(name, spec, "")) for name, spec in SPECS.items()}


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, tuple[str, ...], bool]:
    names = [*draw(st.permutations(["t", "c", "z"]))[: draw(st.integers(0, 3))], "y", "x"]
    rgb = "c" not in names and draw(st.booleans())
    shape = [draw(st.integers(2, 4)) if name in "tcz" else 16 for name in names]
    data = np.zeros((*shape, *([3] if rgb else [])), np.uint8)
    return data, (*names, *(["s"] if rgb else [])) if draw(st.booleans()) else (), rgb


def outcome(make: Any) -> Any:
    """Return the axes, channels, colours and pixel sizes that are read, or that the image is refused."""
    try:
        return make()
    except ImageError:
        return "refused"


@pytest.mark.parametrize("kind", SPECS)
@hypothesis.given(image=images())
@hypothesis.settings(max_examples=15)
def test_an_image_and_a_model_are_bound_alike_everywhere(
    models: dict[str, Checkpoint], kind: str, image: tuple[np.ndarray, tuple[str, ...], bool]
) -> None:
    data, names, rgb = image
    model, settings = models[kind], PredictSettings()
    lying = Calibration.of([0.5] * data.ndim, ["micrometer"] * data.ndim)
    file = ImageFile(Path("a.tif"), data, names, lying.named(names) if names else lying, rgb)

    def opened() -> Any:
        session = open_session(file, model, (), settings)
        return session.axes.space, session.axes.channel_position, session.source.channels, session.spacing

    def taught() -> Any:
        bound = bind_file(file, network_of(model, data.shape, file.axes), ())
        source = ImageSource.open(data, bound.axes, model.info.spec.channels, settings, bound.rgb)
        return bound.axes.space, bound.axes.channel_position, source.channels, bound.spacing

    def shown() -> Any:
        labels = tuple(names[: len(names) - rgb])
        place = {"scale": lying.scale[: data.ndim - rgb], "units": "um"}
        layer = Image(data, rgb=rgb, **place, **({"axis_labels": labels} if labels else {}))
        bound = read_layer(layer).bind(model.info.spec)
        source = ImageSource.open(data, bound.axes, model.info.spec.channels, settings, bound.rgb)
        return bound.axes.space, bound.axes.channel_position, source.channels, bound.spacing

    def called() -> Any:
        session = _open(data, model, names, rgb, {}, ())
        return session.axes.space, session.axes.channel_position, session.source.channels

    expected = outcome(opened)
    assert outcome(taught) == expected
    assert outcome(shown) == expected
    assert outcome(called) == (expected if expected == "refused" else expected[:3])
