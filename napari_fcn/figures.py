"""Figures of receptive fields, written to files. They need matplotlib (extra ``figures``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import FcnError, OutputError
from napari_fcn.storage import NO_INPUTS, replace_file
from napari_fcn.system_errors import reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.events import FieldDone
    from napari_fcn.receptive_fields.theoretical import LayerField
    from napari_fcn.storage import Inputs

INK, GREY, BLUE, ORANGE = "#222222", "#999999", "#0072b2", "#e69f00"
MAX_ROWS = 26  # of the table of layers; the middle of longer tables is omitted
RADII = (("r50", "-"), ("r90", "--"), ("r99", ":"))


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The effective receptive field in a figure.

    Attributes
    ----------
    event : FieldDone
        The effective receptive field.
    axes : tuple of str
        Names of the image axes.
    background : ndarray or None
        The image in the region of the event, without channels; None for a mean over pixels.
    label : str
        Name of the class whose score was differentiated.
    """

    event: FieldDone
    axes: tuple[str, ...]
    background: npt.NDArray[Any] | None
    label: str


def save_field(
    path: Path, title: str, layers: Sequence[LayerField], scene: Scene | None, inputs: Inputs = NO_INPUTS
) -> None:
    """Write a figure: the influence on the image with box and radii, the growth by layer, the table of layers.

    Raises
    ------
    FcnError
        If matplotlib is not installed.
    OutputError
        If the file cannot be written, its suffix is unsupported, or it would replace one of the inputs.
    """
    if not path.suffix:
        raise OutputError(f"{path} has no suffix of a figure.", f"Name it {path.name}.png, .pdf or .svg.")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FcnError("Figures need matplotlib. Install it with pip install 'napari-fcn[figures]'.") from error
    panels = 3 if scene else 2
    figure = Figure(figsize=(5.4 * panels, 5.8), dpi=120, facecolor="white", layout="constrained")
    figure.suptitle(title, color=INK, fontsize=13)
    axes = figure.subplots(1, panels, squeeze=False, width_ratios=[1.15, 1, 1][-panels:])[0]
    if scene:
        _draw_heatmap(axes[0], scene)
    _draw_growth(axes[-2], layers)
    _draw_table(axes[-1], layers)
    try:
        with replace_file(path, inputs) as part:
            figure.savefig(part, format=path.suffix[1:].lower())
    except OSError as error:
        raise OutputError(f"The picture cannot be written to {path}: {reason(error)}. Choose another --out.") from error
    except ValueError as error:
        raise OutputError(f"The picture cannot be written to {path}: {error}. Choose another --out.") from error


def _draw_heatmap(ax: Any, scene: Scene) -> None:
    """Draw the effective receptive field over the image, in the plane of the last two axes of the network."""
    event = scene.event
    drawn = [axis for axis, n in enumerate(event.heat.shape) if n > 1][-2:]
    if len(drawn) < 2:
        _draw_profile(ax, scene, drawn[0] if drawn else 0)
        return
    others = tuple(axis for axis in range(event.heat.ndim) if axis not in drawn)
    heat = event.heat.sum(others)
    (top, left), (bottom, right) = ([side[axis] for axis in drawn] for side in (event.region.start, event.region.stop))
    extent = (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)
    if scene.background is not None:
        plane = tuple(
            slice(None) if axis in drawn else i - a
            for axis, (i, a) in enumerate(zip(event.index, event.region.start, strict=True))
        )
        ax.imshow(scene.background[plane], cmap="gray", extent=extent, interpolation="nearest")
    vmax = max(float(np.percentile(heat, 99.5)), 1e-12)
    values = np.sqrt(np.clip(heat / vmax, 0, 1))  # the square root makes faint values visible
    alpha = np.ones_like(values) if scene.background is None else np.clip(1.3 * values, 0, 0.9)
    ax.imshow(values, cmap="inferno", extent=extent, interpolation="nearest", alpha=alpha, vmin=0, vmax=1)
    _draw_radii(ax, event, drawn)
    ax.set(xlabel=f"{scene.axes[drawn[1]]} (px)", ylabel=f"{scene.axes[drawn[0]]} (px)")
    size = " × ".join(str(n) for n in event.size)
    ax.set_title(
        f"“{scene.label}”: box of {size} px; half of the influence within {event.r50:.0f} px,\n"
        f"90 % within {event.r90:.0f} px, 99 % within {event.r99:.0f} px; {event.used:.1%} of the box is used",
        fontsize=9,
        color=INK,
    )
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, fontsize=8, frameon=False)


def _draw_radii(ax: Any, event: FieldDone, drawn: Sequence[int]) -> None:
    from matplotlib.patches import Circle, Rectangle

    y, x = (event.index[axis] for axis in drawn)
    (top, left), (bottom, right) = ([side[axis] for axis in drawn] for side in (event.region.start, event.region.stop))
    box = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, label="theoretical")
    for patch in [box, *(Circle((x, y), getattr(event, name), ls=line, label=name) for name, line in RADII)]:
        patch.set(fill=False, edgecolor=ORANGE if patch is box else "#56b4e9", linewidth=2 if patch is box else 1.4)
        ax.add_patch(patch)
    ax.plot(x, y, "+", color="white", markersize=9, markeredgewidth=1.6)
    margin = 0.04 * max(right - left, bottom - top)
    ax.set(xlim=(left - margin, right + margin), ylim=(bottom + margin, top - margin), aspect="equal")


def _draw_profile(ax: Any, scene: Scene, axis: int) -> None:
    """Draw the effective receptive field of a 1-D network."""
    event = scene.event
    steps = np.arange(event.region.start[axis], event.region.stop[axis])
    ax.fill_between(steps, event.heat.reshape(-1), color=ORANGE, alpha=0.8, step="mid", label="influence")
    ax.axvspan(steps[0] - 0.5, steps[-1] + 0.5, color="#f0f0f0", zorder=0, label="theoretical")
    for name, line in RADII:
        for side in (-1, 1):
            ax.axvline(event.index[axis] + side * getattr(event, name), color=BLUE, ls=line, lw=1)
    ax.set(xlabel=f"{scene.axes[axis]} (px)", ylabel="fraction of the influence")
    ax.set_title(f"“{scene.label}”: r50 {event.r50:.0f}, r90 {event.r90:.0f}, r99 {event.r99:.0f} px", fontsize=9)
    ax.legend(fontsize=8)


def _draw_growth(ax: Any, layers: Sequence[LayerField]) -> None:
    """Draw the size of the receptive field by layer, a line for each group of equal axes."""
    lines: dict[tuple[int, ...], list[int]] = {}
    for axis in range(len(layers[0].size)):
        lines.setdefault(tuple(layer.size[axis] for layer in layers), []).append(axis)
    for (sizes, axes), colour in zip(lines.items(), (BLUE, ORANGE, "#009e73"), strict=False):
        values = [float(size) if size else np.nan for size in sizes]
        name = f"axis {', '.join(map(str, axes))}" if len(lines) > 1 else "size"
        ax.step(range(1, len(values) + 1), values, where="mid", color=colour, lw=2, label=name)
    jumps = [max(layer.jump) for layer in layers]
    ax.bar(range(1, len(jumps) + 1), jumps, color="#dddddd", width=0.9, label="step between outputs", zorder=0)
    ax.set(xlabel="layer", ylabel="px", title="Receptive field by layer")
    ax.title.set(fontsize=10, color=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=8, frameon=False)


def _draw_table(ax: Any, layers: Sequence[LayerField]) -> None:
    """Draw the layers with size, step and start."""
    rows = [
        (str(number), layer.name[-24:], joined(layer.size), joined(layer.jump), joined(layer.start))
        for number, layer in enumerate(layers, start=1)
    ]
    if len(rows) > MAX_ROWS:
        rows = [*rows[: MAX_ROWS // 2], ("…",) * 5, *rows[-MAX_ROWS // 2 + 1 :]]
    ax.axis("off")
    head = ("", "layer", "size", "step", "start")
    table = ax.table(
        [head, *rows], colWidths=[0.08, 0.5, 0.14, 0.12, 0.14], cellLoc="left", bbox=(0, 0, 1, 1), edges="horizontal"
    )
    table.auto_set_font_size(False)
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor("#dddddd")
        cell.set_text_props(fontsize=8, color=GREY if column == 0 or row == 0 else INK)


def joined(values: Sequence[float]) -> str:
    """Return the numbers as text; a single one if all are equal."""
    shown = [f"{value:g}" if value else "0" for value in values]
    return shown[0] if len(set(shown)) == 1 else "×".join(shown)
