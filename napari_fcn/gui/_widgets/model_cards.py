"""Descriptions of models as rich text: the card in the tooltip, and the line below the list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn.gui._widgets.text import css, escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_fcn.gui._controllers import ModelEntry

SWATCH = '<span style="color:{colour};">&#9632;</span>&nbsp;{name}'


def swatch(name: str, colour: str) -> str:
    """Return a coloured square with a name."""
    return SWATCH.format(colour=css(colour), name=escaped(name))


def swatches(classes: Iterable[tuple[str, str]]) -> str:
    """Return (name, colour) pairs as coloured squares with names; the first class, the background, has no colour."""
    return " &nbsp; ".join(swatch(name, colour) for name, colour in classes)


def card_line(model: ModelEntry) -> str:
    """Return the key facts of a model as rich text: summary, classes, dimensions, score, licence."""
    info = model.info
    facts = [f"{info.spec.ndim}-D", _channels(info.spec.channels), *_main_score(info.card.known_scores)]
    if info.card.licence:
        facts.append(escaped(info.card.licence))
    classes = [(label.name, label.colour) for label in info.classes[1:]]
    rows = [escaped(info.card.summary), swatches(classes), " · ".join(facts)]
    return "<br>".join(filter(None, rows))


def card(model: ModelEntry) -> str:
    """Return the whole card as rich text."""
    info, about = model.info, model.info.card
    rows = [f"<b>{escaped(model.name)}</b>", escaped(about.summary)]
    classes = [(label.name, label.colour) for label in info.classes[1:]]
    rows.append(f"Classes: {swatches(classes)}")
    rows.append(f"Network: {info.spec.ndim}-D, {_channels(info.spec.channels)}, {info.spec.depth + 1} levels")
    if info.object_size:
        rows.append(f"Works best on objects of {info.object_size:g} px: see Object size under Advanced")
    if info.voxel_size:
        rows.append(f"Pixel size of the training images: {' × '.join(f'{size:g}' for size in info.voxel_size)} µm")
    if about.known_scores:
        scores = ", ".join(
            f"{escaped(name.replace('_', ' '))} {score:.3f}" for name, score in about.known_scores.items()
        )
        rows.append(f"Scores on held-out images: {scores}")
    if about.validation:
        rows.append(f"Validation: {escaped(about.validation)}")
    if about.limits:
        rows.append(f"Limits: {escaped(about.limits)}")
    rows += [
        f"Trained on: {escaped(entry.get('name', ''))} ({escaped(entry.get('licence', ''))})" for entry in about.data
    ]
    rows.append(f"Licence: {escaped(about.licence or 'not stated')}")
    rows.append(f"File: {escaped(str(model.path))}")
    return "<qt>" + "".join(f"<p style='margin:3px 0'>{row}</p>" for row in rows if row) + "</qt>"


def _main_score(scores: Mapping[str, float]) -> list[str]:
    """Return one score, if there is one: that with Dice in its name, else the shortest name."""
    names = sorted(scores, key=lambda name: ("dice" not in name.lower(), len(name)))
    return [f"{escaped(name.replace('_', ' '))} {scores[name]:.2f}" for name in names[:1]]


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
