"""The commands ``napari-fcn train`` and ``napari-fcn recipe``."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from napari_fcn.cli.flags import collect
from napari_fcn.cli.terminal import put_json, say
from napari_fcn.errors import OutputExistsError
from napari_fcn.events import EpochDone, LabelsFound
from napari_fcn.settings import TrainSettings

if TYPE_CHECKING:
    import argparse

    from napari_fcn.training.train import Training


def train(arguments: argparse.Namespace) -> None:
    """Train a network on a folder of labelled images and report each epoch."""
    from napari_fcn.io.examples import read_example
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.models.recipe import parse_spec, plain_recipe, read_recipe
    from napari_fcn.models.zoo import path_of
    from napari_fcn.storage import Input
    from napari_fcn.training.targets import CLASSES
    from napari_fcn.training.train import Training
    from napari_fcn.training.train import train as epochs

    settings = collect(TrainSettings, arguments)
    defaults = {"classes": CLASSES[settings.target]} if settings.target in CLASSES else {}
    spec = parse_spec(arguments.spec, **defaults)
    command = shlex.join(["napari-fcn", *(word for word in arguments.argv if word not in ("--resume", "--overwrite"))])
    if arguments.recipe:
        info = read_recipe(arguments.recipe, spec, command)
    else:
        info = plain_recipe(arguments.out.stem, spec, command)
    start_path = path_of(arguments.start) if arguments.start else None
    start = Checkpoint.load(start_path) if start_path else None
    if start:
        info = replace(info, card=replace(info.card, parent=start.hash))
    roles = {"the recipe": arguments.recipe, "the model to start from": start_path}
    inputs = tuple(Input(path, role) for role, path in roles.items() if path)
    training = Training(info, arguments.folder, settings, arguments.out, start, inputs, read_example)
    if not (arguments.resume or arguments.overwrite):
        _refuse_replacing(training)
    first = None
    for event in epochs(training, arguments.resume):
        if not isinstance(event, EpochDone):
            for line in (event.line, *event.notes) if isinstance(event, LabelsFound) else event.notes:
                say(line)
            continue
        first = event.epoch if first is None else first
        scores = "  ".join(f"{name} {value:.3f}" for name, value in event.scores.items())
        minutes_left = event.seconds / (event.epoch - first + 1) * (event.epochs - event.epoch) / 60
        say(
            f"epoch {event.epoch}/{event.epochs}  loss {event.loss:.4f}  {scores}"
            f"{'  best' if event.best else ''}  {minutes_left:.0f} min left"
        )
        if arguments.json:
            put_json(asdict(event))
    say(f"The best weights are in {arguments.out}.")


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
