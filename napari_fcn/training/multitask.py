"""Trains one trunk with a head for each task, and writes a model file for each."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from napari_fcn.errors import ModelError
from napari_fcn.events import TasksEpochDone
from napari_fcn.learning.labels import IGNORE
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets import layers
from napari_fcn.storage import replace_file
from napari_fcn.training import metrics
from napari_fcn.training.general import CLASSES as GENERAL_CLASSES
from napari_fcn.training.general import fit_general, object_tasks
from napari_fcn.training.losses import cross_entropy_and_dice
from napari_fcn.training.pictures import TASKS, targets
from napari_fcn.training.plane_crops import PlaneAugmentation, PlaneCrops

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_fcn.models.card import ModelInfo
    from napari_fcn.nets.build import Net
    from napari_fcn.nets.spec import NetSpec
    from napari_fcn.training.pictures import Picture

SHARES = {"nuclei": 0.5, "cells": 0.25, "membranes": 0.1, "organelles": 0.15}  # of the crops
AVERAGE_DECAY = 0.995
WARM_UP = 0.04
DISTANCE_WEIGHT = 2.0  # of the smooth L1 loss, which is small beside the cross entropy


@dataclass(frozen=True, slots=True)
class MultitaskSettings:
    """Settings of a training with several tasks.

    Attributes
    ----------
    shares : mapping of str to float
        Share of the crops of each task.
    side, batch : int
        Side of a crop in pixels, and crops in a batch.
    diameters : (float, float)
        Range of the diameters of objects in half of the crops, in pixels.
    epochs, steps : int
        Number of epochs, and batches in each; the state is saved after each epoch.
    rate, encoder_rate, decay : float
        Peak learning rates of new and of pretrained weights, and weight decay.
    seed : int
        Of the crops and of the random weights.
    """

    shares: Mapping[str, float]
    side: int = 192
    batch: int = 8
    diameters: tuple[float, float] = (7.0, 100.0)
    epochs: int = 30
    steps: int = 100
    rate: float = 2e-3
    encoder_rate: float = 5e-4
    decay: float = 1e-4
    seed: int = 0


class MultitaskNet(nn.Module):
    """A trunk with a classifier for each task, and a distance for tasks with objects.

    Parameters
    ----------
    spec : NetSpec
        The trunk; a U-Net or ``mbconv``.
    tasks : sequence of str
        Names of the tasks.
    generator : torch.Generator
        Source of the random weights.
    """

    def __init__(self, spec: NetSpec, tasks: Sequence[str], generator: torch.Generator) -> None:
        super().__init__()
        self.spec = spec
        self.trunk = _without_score(replace(spec, classes=2, distance=False).build(generator))
        width = self.trunk.widths[-1][1]
        self.scores = nn.ModuleDict({t: layers.CONV[spec.ndim](width, len(TASKS[t].classes), 1) for t in tasks})
        self.distances = nn.ModuleDict({t: layers.CONV[spec.ndim](width, 1, 1) for t in tasks if TASKS[t].has_objects})
        for head in (*self.scores.values(), *self.distances.values()):
            nn.init.kaiming_normal_(head.weight, nonlinearity="relu", generator=generator)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return the finest features (N, width, Y, X) of images (N, channels, Y, X)."""
        features: Tensor = self.trunk.levels(x)[-1].features
        return features

    def state_of(self, task: str) -> dict[str, Tensor]:
        """Return the weights of the network of one task."""
        weights = dict(self.trunk.state_dict())
        weights |= {f"score.{k}": v for k, v in self.scores[task].state_dict().items()}
        if task in self.distances:
            weights |= {f"distance.{k}": v for k, v in self.distances[task].state_dict().items()}
        return {name: tensor.detach().float().contiguous().clone() for name, tensor in weights.items()}

    def spec_of(self, task: str) -> NetSpec:
        """Return the network of one task."""
        return replace(self.spec, classes=len(TASKS[task].classes), distance=task in self.distances)


def _without_score(trunk: Any) -> Any:
    trunk.score = None
    return trunk


class MultitaskTraining:
    """A training that can be resumed.

    Parameters
    ----------
    net : MultitaskNet
        The network, changed in place.
    pictures : sequence of Picture
        Training and validation pictures.
    settings : MultitaskSettings
        Settings.
    folder : Path
        Where the state and the models are written.
    infos : mapping of str to ModelInfo
        Description of the model of each task; its scores are added.
    """

    def __init__(
        self,
        net: MultitaskNet,
        pictures: Sequence[Picture],
        settings: MultitaskSettings,
        folder: Path,
        infos: Mapping[str, ModelInfo],
    ) -> None:
        self.settings, self.folder, self.infos = settings, folder, dict(infos)
        self.validation = [p for p in pictures if p.is_validation and p.task in settings.shares]
        self.crops = PlaneCrops(
            [p for p in pictures if not p.is_validation],
            settings.shares,
            settings.side,
            settings.batch * settings.steps,
            settings.seed,
            PlaneAugmentation(settings.diameters),
        )
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.net = net
        self.average = MultitaskNet(net.spec, list(net.scores), torch.Generator().manual_seed(0)).eval()
        self.average.load_state_dict(net.state_dict())
        encoder = [p for name, p in net.named_parameters() if name.startswith("trunk.encoder")]
        others = [p for name, p in net.named_parameters() if not name.startswith("trunk.encoder")]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": encoder, "peak": settings.encoder_rate},
                {"params": others, "peak": settings.rate},
            ],
            weight_decay=settings.decay,
        )
        self.epoch = 0
        if self.state_path.exists():
            self._load()

    @property
    def state_path(self) -> Path:
        """The file with the state of the training."""
        return self.folder / "training.state"

    def run(self) -> Iterator[TasksEpochDone]:
        """Train the remaining epochs; yield an event after each."""
        while self.epoch < self.settings.epochs:
            start = time.monotonic()
            losses = self._run_epoch()
            self.epoch += 1
            self._save()
            yield TasksEpochDone(self.epoch, self.settings.epochs, losses, time.monotonic() - start)

    def validate(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Score each model on its validation pictures, write the scores into its card, and yield task and scores."""
        for task in self.net.scores:
            scores = score(self.checkpoint(task).net(), [p for p in self.validation if p.task == task])
            info = self.infos[task]
            self.infos[task] = replace(info, card=replace(info.card, scores=scores))
            self.checkpoint(task).save(self.folder / f"{task}.safetensors")
            yield task, scores

    def write_general(self, info: ModelInfo) -> dict[str, float]:
        """Write the model ``general``, which finds the objects of all tasks, with its scores, and return these."""
        tasks = object_tasks(list(self.net.scores))
        pictures = [picture for picture in self.crops.pictures if picture.task in tasks]
        crops = PlaneCrops(
            pictures,
            {task: share for task, share in self.settings.shares.items() if task in tasks},
            self.settings.side,
            self.crops.length,
            self.settings.seed + 1,
            self.crops.augmentation,
        )
        trunk = {name: tensor.detach().float() for name, tensor in self.average.trunk.state_dict().items()}
        spec = replace(self.net.spec, classes=len(GENERAL_CLASSES), distance=False)
        model = Checkpoint.of(fit_general(spec, trunk, crops, self.settings.batch), replace(info, spec=spec))
        scores = score(model.net(), [picture for picture in self.validation if picture.task in tasks])
        info = replace(model.info, card=replace(info.card, scores=scores))
        Checkpoint(info, model.weights).save(self.folder / "general.safetensors")
        return scores

    def _run_epoch(self) -> dict[str, float]:
        settings, names = self.settings, list(TASKS)
        self.crops.epoch = self.epoch
        loader = DataLoader(self.crops, batch_size=settings.batch, num_workers=1, prefetch_factor=4)
        self.net.train()
        totals: dict[str, list[float]] = defaultdict(list)
        total_steps = settings.epochs * settings.steps
        for step, (x, classes, distances, tasks) in enumerate(loader, start=self.epoch * settings.steps):
            for group in self.optimiser.param_groups:
                group["lr"] = group["peak"] * _rate(step / total_steps)
            features = self.net(x.contiguous(memory_format=torch.channels_last))
            loss = torch.zeros(())
            for number in tasks.unique().tolist():
                chosen, name = tasks == number, names[number]
                part = cross_entropy_and_dice(self.net.scores[name](features[chosen]), classes[chosen])
                totals[name].append(float(part.detach()))
                if name in self.net.distances:
                    part = part + DISTANCE_WEIGHT * distance_loss(
                        self.net.distances[name](features[chosen])[:, 0], distances[chosen], classes[chosen]
                    )
                loss = loss + part * chosen.float().mean()
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
            self.optimiser.step()
            self._update_average(min(AVERAGE_DECAY, (step + 1) / (step + 10)))
        return {name: round(float(np.mean(values)), 4) for name, values in totals.items()}

    @torch.no_grad()
    def _update_average(self, decay: float) -> None:
        for average, current in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)

    def checkpoint(self, task: str) -> Checkpoint:
        """Return the model of one task, with the averaged weights."""
        return Checkpoint(replace(self.infos[task], spec=self.average.spec_of(task)), self.average.state_of(task))

    def _identity(self) -> str:
        return json.dumps([self.net.spec.to_dict(), asdict(self.settings)], sort_keys=True)

    def _save(self) -> None:
        """Write the state, and the model of each task."""
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        tensors = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
        with replace_file(self.state_path) as part:
            save_file(tensors, part, metadata={"run": self._identity(), "epoch": str(self.epoch)})
        for task in self.net.scores:
            self.checkpoint(task).save(self.folder / f"{task}.safetensors")

    def _load(self) -> None:
        """Restore the state.

        Raises
        ------
        ModelError
            If it is of a training with other settings.
        """
        grouped: dict[str, dict[str, Tensor]] = defaultdict(dict)
        with safe_open(self.state_path, "pt") as file:
            metadata = file.metadata()
            if metadata.get("run") != self._identity():
                raise ModelError(f"{self.state_path} belongs to a run with other settings. Choose another folder.")
            for key in file.keys():  # noqa: SIM118 - not a mapping
                owner, _, name = key.partition(".")
                grouped[owner][name] = file.get_tensor(key)
        self.net.load_state_dict(grouped["net"])
        self.average.load_state_dict(grouped["average"])
        moments: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for key, tensor in grouped["optimiser"].items():
            index, _, name = key.partition(".")
            moments[int(index)][name] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": dict(moments)})
        self.epoch = int(metadata["epoch"])


def distance_loss(prediction: Tensor, distance: Tensor, classes: Tensor) -> Tensor:
    """Return the smooth L1 loss (Girshick 2015) of the normalised distance, over the pixels with a known class."""
    known = (classes != IGNORE).float()
    loss = F.smooth_l1_loss(prediction.float(), distance, reduction="none", beta=0.1)
    return (loss * known).sum() / known.sum().clamp(min=1)


def _rate(progress: float) -> float:
    """Return the fraction of the peak learning rate at a progress of 0..1: a linear warm-up, then a cosine."""
    if progress < WARM_UP:
        return (progress + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


@torch.inference_mode()
def score(net: Net, pictures: Sequence[Picture]) -> dict[str, float]:
    """Return the mean Dice of all classes but the first, for all pictures and for each kind, in their own size."""
    scores: dict[str, list[float]] = defaultdict(list)
    for picture in pictures:
        classes = targets(picture.labels, TASKS[picture.task])
        known = classes != IGNORE
        x = torch.from_numpy(picture.image[: net.spec.channels])[None]
        predicted = net(x)[0].argmax(0).numpy()
        value = metrics.dice((predicted > 0) & known, (classes > 0) & known, known)
        scores["dice"].append(value)
        scores[f"dice_{picture.kind}"].append(value)
    return {kind: round(float(np.mean(values)), 4) for kind, values in sorted(scores.items())}
