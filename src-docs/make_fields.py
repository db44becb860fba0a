"""Draw what the pages on receptive fields show, from the networks themselves.

python src-docs/make_fields.py
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from napari_fcn.api import load
from napari_fcn.events import BorderTrustDone, EquivarianceDone, FieldDone
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.sample_data import cells
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

IMAGES = Path(__file__).parent / "images"
SHAPE = (384, 448)
INK, BLUE, ORANGE = "#222222", "#0072b2", "#e69f00"


def session(checkpoint=None):
    """Return the nuclei model, or another, on synthetic cells."""
    return Session(cells(SHAPE, seed=1)[0], checkpoint or load("nuclei"), settings=PredictSettings(device="cpu"))


def last(events, kind):
    """Return the last event; it must be of this kind."""
    *_, event = events
    assert isinstance(event, kind)
    return event


def untrained():
    """Return the nuclei model with the initial random weights of its training."""
    model = load("nuclei")
    return Checkpoint.of(model.info.spec.build(torch.Generator().manual_seed(0)), model.info)


def measured(names=("nuclei", "membranes")):
    """Return for each model its name, receptive field, mean radii and the share of pixels that count."""
    rows = []
    for name in names:
        found = last(session(load(name)).mean_influence(), FieldDone)
        rows.append((name, found.size, found.r50, found.r90, found.r99, found.used))
    return rows


def panels(count, height=3.9):
    """Return a figure and its empty panels."""
    figure = Figure(figsize=(3.6 * count, height), dpi=110, facecolor="white", layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]


def frame(place, title):
    """Set the title of a picture and remove its ticks."""
    place.set(xticks=[], yticks=[])
    place.set_title(title, fontsize=10, color=INK)


def glow(heat):
    """Return the square root of the heat, so that the faint rim is visible."""
    return np.sqrt(np.clip(heat / max(np.percentile(heat, 99.7), 1e-12), 0, 1))


def effective():
    """Return theoretical and effective receptive fields: at two pixels, and on average with and without training."""
    figure, places = panels(4)
    running = session()
    for place, at, name in zip(places, [(205, 222), (200, 210)], ["in a nucleus", "between nuclei"], strict=False):
        event = next(running.influence_at(at))
        (top, left), (bottom, right) = event.region.start, event.region.stop
        extent = (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)
        place.imshow(running.source.array[event.region.slices], cmap="gray", extent=extent)
        shown = glow(event.heat)
        place.imshow(shown, cmap="inferno", alpha=np.clip(1.3 * shown, 0, 0.9), extent=extent)
        place.plot(at[1], at[0], "+", color="white")
        frame(place, f"a pixel {name}:\n90 % within {event.r90:.0f} px")
    for place, model, name in zip(places[2:], [None, untrained()], ["trained", "before training"], strict=True):
        event = last(session(model).mean_influence(1), FieldDone)
        place.imshow(glow(event.heat), cmap="inferno")
        frame(place, f"mean, {name}:\n90 % within {event.r90:.0f} px")
    return figure


def supports():
    """Return the number of paths from each pixel to one output, for four stacks of three 3x3 convolutions."""
    stacks = {
        "3 × 3, three times": [(1, 1), (1, 1), (1, 1)],
        "with pooling by 2 between": [(1, 1), (1, 2), (1, 2)],
        "dilation 1, 2, 4": [(1, 1), (2, 1), (4, 1)],
        "dilation 4, 4, 4": [(4, 1)] * 3,
    }
    figure, places = panels(len(stacks), 3.6)
    for place, (name, layers) in zip(places, stacks.items(), strict=True):
        net = nn.Sequential()
        for wide, pool in layers:
            net += nn.Sequential(nn.AvgPool2d(pool), nn.Conv2d(1, 1, 3, padding=wide, dilation=wide, bias=False))
        for weights in net.parameters():
            nn.init.ones_(weights)
        x = torch.ones(1, 1, 32, 32, requires_grad=True)
        out = net(x)
        (paths,) = torch.autograd.grad(out[0, 0, out.shape[2] // 2, out.shape[3] // 2], x)
        seen = paths[0, 0].numpy()
        place.imshow(np.where(seen > 0, np.sqrt(seen), np.nan), cmap="viridis")
        place.set_facecolor("#eeeeee")
        width = np.ptp(np.nonzero(seen.any(0))[0]) + 1
        frame(place, f"{name}\n{width} × {width} px, {(seen > 0).sum()} of them seen")
    return figure


def checkerboard():
    """Return the result of three ways to upsample a constant image: with equal and with random weights."""
    ways = {
        "transposed, kernel 3, step 2": nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, bias=False),
        "transposed, kernel 2, step 2": nn.ConvTranspose2d(1, 1, 2, stride=2, bias=False),
        "linear, then convolution": nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate")
        ),
    }
    figure, places = panels(2 * len(ways), 2.9)
    for number, (name, way) in enumerate(ways.items()):
        for half, title in enumerate(("all weights alike", "random weights")):
            torch.manual_seed(3)
            for weights in way.parameters():
                nn.init.ones_(weights) if half == 0 else nn.init.normal_(weights)
            with torch.inference_mode():
                out = way(torch.ones(1, 1, 10, 10))[0, 0, 2:-2, 2:-2].numpy()
            spread = max(float(np.abs(out).max()), 1e-6)
            places[2 * number + half].imshow(out, cmap="gray", vmin=min(0, out.min()), vmax=spread)
            frame(places[2 * number + half], f"{name}\n{title}")
    return figure


def border():
    """Return an image, the share of the effective receptive field outside it, and the effect of padding."""
    running = session()
    found = last(running.border_trust(), BorderTrustDone)
    figure, places = panels(3, 3.6)
    places[0].imshow(running.source.array, cmap="gray")
    frame(places[0], "the image")
    for place, values, name in (
        (places[1], found.outside, "share of the effective field outside"),
        (places[2], found.change, "change between zero, reflect, replicate"),
    ):
        shown = place.imshow(values, cmap="inferno", vmin=0, vmax=max(0.5, float(values.max())))
        figure.colorbar(shown, ax=place, shrink=0.7)
        frame(place, name)
    return figure, found.sentence


def shifts():
    """Return the largest change of the prediction under shifts, and its mean for each shift."""
    running = session()
    found = last(running.equivariance(), EquivarianceDone)
    figure, places = panels(3, 3.6)
    places[0].imshow(running.source.array, cmap="gray")
    frame(places[0], "the image")
    shown = places[1].imshow(found.values, cmap="inferno", vmin=0)
    figure.colorbar(shown, ax=places[1], shrink=0.7)
    frame(places[1], "largest change of a probability")
    for changes, name, colour in zip(found.by_shift, "yx", (BLUE, ORANGE), strict=True):
        places[2].plot(range(1, len(changes) + 1), changes, "o-", color=colour, label=f"along {name}")
    places[2].set(xlabel="shift (px)", ylabel="mean change", ylim=(0, None))
    places[2].legend(frameon=False)
    return figure, found.sentence


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, figure in {
        "field-effective": effective(),
        "field-dilation": supports(),
        "field-checkerboard": checkerboard(),
        "field-border": border()[0],
        "field-shifts": shifts()[0],
    }.items():
        figure.savefig(memory := BytesIO())
        picture = Image.open(memory).convert("RGB").quantize(128, dither=Image.Dither.NONE)
        picture.save(IMAGES / f"{name}.png", optimize=True)
