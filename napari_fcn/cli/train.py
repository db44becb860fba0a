"""The commands ``napari-fcn train`` and ``napari-fcn recipe``."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from napari_fcn.cli.flags import collect
from napari_fcn.cli.sparkline import can_show_bars, sparkline
from napari_fcn.cli.terminal import put_json, say
from napari_fcn.errors import OutputExistsError
from napari_fcn.events import AugmentationChosen, EpochDone
from napari_fcn.settings import TrainSettings

if TYPE_CHECKING:
    import argparse

    from napari_fcn.models.card import ModelInfo
    from napari_fcn.training.train import Training


def train(arguments: argparse.Namespace) -> None:
    """Train a network on a folder of labelled images and report each epoch."""
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.models.zoo import path_of
    from napari_fcn.storage import Input
    from napari_fcn.training.planning import describe_network
    from napari_fcn.training.train import Training
    from napari_fcn.training.train import train as epochs

    settings = collect(TrainSettings, arguments)
    info = _description(arguments, settings)
    start_path = path_of(arguments.start) if arguments.start else None
    start = Checkpoint.load(start_path) if start_path else None
    if start:
        info = replace(info, card=replace(info.card, parent=start.hash))
    roles = {"the recipe": arguments.recipe, "the model to start from": start_path}
    inputs = tuple(Input(path, role) for role, path in roles.items() if path)
    training = Training(info, arguments.folder, settings, arguments.out, start, inputs)
    if not (arguments.resume or arguments.overwrite):
        _refuse_replacing(training)
    say(describe_network(info.spec))
    report = EpochReport()
    for event in epochs(training, arguments.resume):
        if not isinstance(event, EpochDone):
            line = () if isinstance(event, AugmentationChosen) else (event.line,)
            for text in (*line, *event.notes):
                say(text)
            continue
        say(report.line(event))
        if arguments.json:
            put_json(asdict(event))
    say(f"The best weights are in {arguments.out}, the course of the training is in {training.curve_path}.")


def _description(arguments: argparse.Namespace, settings: TrainSettings) -> ModelInfo:
    """Return the description of the model to train: a recipe or a plain one, and a network that fits the images."""
    from napari_fcn.models.recipe import plain_recipe, read_recipe, recipe_shape
    from napari_fcn.training.planning import plan_for_folder

    command = shlex.join(["napari-fcn", *(word for word in arguments.argv if word not in ("--resume", "--overwrite"))])
    stated = recipe_shape(arguments.recipe) if arguments.recipe else (0, ())
    spec, voxel_size = plan_for_folder(arguments.spec, arguments.folder, settings, *stated)
    if arguments.recipe:
        return read_recipe(arguments.recipe, spec, command)
    return replace(plain_recipe(arguments.out.stem, spec, command), voxel_size=voxel_size)


class EpochReport:
    """The lines of the epochs: loss, scores and time left; on a terminal with a small curve of the score so far."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._scores: list[float] = []
        self._has_bars = can_show_bars()

    def line(self, event: EpochDone) -> str:
        """Return the line of an epoch."""
        self._first = event.epoch if self._first is None else self._first
        self._scores.append(event.scores.get("class_dice", event.scores["dice"]))
        scores = "  ".join(f"{name} {value:.3f}" for name, value in event.scores.items())
        minutes_left = event.seconds / (event.epoch - self._first + 1) * (event.epochs - event.epoch) / 60
        curve = f"{sparkline(self._scores)}  " if self._has_bars else ""
        return (
            f"epoch {event.epoch}/{event.epochs}  {curve}loss {event.loss:.4f}  {scores}"
            f"{'  best' if event.best else ''}  {minutes_left:.0f} min left"
        )


def _refuse_replacing(training: Training) -> None:
    """Raise OutputExistsError if a model or an unfinished training would be overwritten."""
    if training.state_path.exists():
        raise OutputExistsError(
            f"{training.state_path} contains an unfinished training.",
            "Add --resume to continue it, or --overwrite to start over.",
        )
    if training.out.exists():
        raise OutputExistsError(
            f"{training.out} exists.", "Pass --overwrite to replace it, or choose another name with --out."
        )


def recipe(arguments: argparse.Namespace) -> None:
    """Write the training folder of a shipped model."""
    from napari_fcn.training.shipped_datasets import prepare

    for pair in prepare(arguments.model, arguments.data, arguments.folder):
        say(f"{pair.name}  {' x '.join(map(str, pair.image.shape))}")
    say(
        f"The images and their labels are in {arguments.folder}; "
        f"the card of {arguments.model} contains the training command."
    )
