"""Training from labelled images: the recipe of the shipped weights."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from napari_fcn.errors import DeviceError, ModelError, OutputError
from napari_fcn.events import AugmentationChosen, EpochDone, LabelsFound, PatchChosen, SplitChosen
from napari_fcn.inference.device import pick_device, pick_precision, place
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.header import MAX_HEADER, read_header
from napari_fcn.nets.convert import copy_weights
from napari_fcn.settings import TrainSettings
from napari_fcn.storage import parse_json, replace_file
from napari_fcn.training.curve import save_curve
from napari_fcn.training.dataset import Crops, per_axis
from napari_fcn.training.directions import choose_augmentation
from napari_fcn.training.losses import class_weights, cross_entropy_and_dice
from napari_fcn.training.patches import choose_patch
from napari_fcn.training.setup import Training, is_state
from napari_fcn.training.splits import describe_split
from napari_fcn.training.validation import validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Trainer", "Training", "train", "validate"]

WARM_UP = 0.03  # fraction of all steps in which the learning rate rises
AVERAGE_DECAY = 0.998  # per step, of the running average of the weights, which is validated and saved

# Settings that states of earlier versions lack; they are stored only if they differ from the default.
LATER_SETTINGS = ("label_values", "flips", "right_angles", "zoom", "elastic", "intensity", "groups")


def train(
    training: Training, resume: bool = False
) -> Iterator[SplitChosen | LabelsFound | AugmentationChosen | PatchChosen | EpochDone]:
    """Train a network and save the best weights to ``training.out``.

    The optimiser is AdamW (Loshchilov & Hutter 2019) with a cosine learning rate. A running average of the weights is
    validated and saved (Polyak & Juditsky 1992). The same settings give the same crops in the same order, also when
    resumed.

    Yields
    ------
    SplitChosen
        How the images were divided into training and validation images.
    LabelsFound
        The pixel counts of the training labels, then of the validation labels.
    AugmentationChosen
        Along which axes crops are mirrored, and why.
    PatchChosen
        The size of crops.
    EpochDone
        After each epoch.

    Raises
    ------
    ImageError
        If the folder lacks images, or the labels do not fit the target.
    ModelError
        If there is no state to resume, or it is of another run.
    """
    settings, inputs = training.settings, training.check_outputs()
    if not resume:
        training.check_state()
    training_images, validation_images = training.read()
    split = describe_split(training_images, validation_images, settings.validate)
    yield split
    surveys = training.survey((training_images, validation_images))
    yield from surveys
    spec, voxel_size = training.info.spec, training.info.voxel_size
    augmentation = choose_augmentation(training_images, settings, surveys[0].classes, voxel_size)
    yield augmentation
    shapes = [image.labels.shape for image in training_images]
    patch = choose_patch(spec, shapes, settings, pick_device(settings.device))
    yield patch
    crops = Crops(training_images, replace(settings, patch=patch.patch), spec.time, voxel_size, augmentation.directed)
    trainer = Trainer(training, crops, surveys[0].pixels)
    if resume:
        trainer.load_state()
    card = replace(training.info.card, validation=" ".join(filter(None, (split.method, split.warning))))
    start = time.monotonic()
    for epoch in range(trainer.epoch, settings.epochs):
        loss = trainer.run_epoch(epoch)
        scores = validate(trainer.average, validation_images, settings.target)
        score = scores.get("class_dice", scores["dice"])
        is_best = score > trainer.best
        if is_best:
            trainer.best = score
            info = replace(training.info, card=replace(card, scores=scores))
            Checkpoint.of(trainer.average, info).save(training.out, inputs)
        trainer.epoch = epoch + 1
        trainer.history.append({name: n for name, n in {"loss": loss, **scores}.items() if math.isfinite(n)})
        trainer.save_state()
        save_curve(training.curve_path, trainer.history, settings.epochs, inputs)
        yield EpochDone(epoch + 1, settings.epochs, loss, scores, is_best, time.monotonic() - start)
    if is_state(training.state_path):
        training.state_path.unlink()


class Trainer:
    """A network, its running average, its optimiser and its crops."""

    def __init__(self, training: Training, crops: Crops, pixels: Sequence[int]) -> None:
        self.training, settings, spec = training, training.settings, training.info.spec
        self.device = pick_device(settings.device)
        self.dtype = pick_precision(settings.precision, self.device)
        if self.dtype == torch.float16:
            raise DeviceError("Training in float16 loses small gradients. Choose bfloat16 or float32.")
        generator = torch.Generator().manual_seed(settings.seed)
        self.net = place(_initial_net(training, generator), spec.ndim, self.device)
        self.average = place(spec.build(), spec.ndim, self.device).eval()
        self.average.load_state_dict(self.net.state_dict())
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=settings.rate, weight_decay=settings.decay)
        self.crops = crops
        self.weights = class_weights(torch.tensor(pixels).float(), settings.rarity).to(self.device)
        self.epoch, self.best = 0, -1.0
        self.history: list[dict[str, float]] = []

    def run_epoch(self, epoch: int) -> float:
        """Run one pass over the crops and return its mean loss."""
        self.crops.epoch = epoch
        settings = self.training.settings
        loader = DataLoader(self.crops, batch_size=settings.batch, num_workers=settings.workers)
        self.net.train()
        if self.training.start:
            for norm in self.net.modules():
                norm.train(not isinstance(norm, torch.nn.modules.batchnorm._BatchNorm) and norm.training)
        total = torch.zeros((), device=self.device)
        for step, (x, target) in enumerate(loader, start=epoch * len(loader)):
            for group in self.optimiser.param_groups:
                group["lr"] = settings.rate * _learning_rate_factor(step / (settings.epochs * len(loader)))
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                logits = self.net(x.to(self.device, non_blocking=True))
            loss = cross_entropy_and_dice(logits, target.to(self.device, non_blocking=True), self.weights)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
            self.optimiser.step()
            self._update_average(min(AVERAGE_DECAY, (step + 1) / (step + 10)))
            total += loss.detach()
        return float(total) / len(loader)

    @torch.no_grad()
    def _update_average(self, decay: float) -> None:
        """Move the running average towards the current weights and statistics."""
        for average, current in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)

    def save_state(self) -> None:
        """Write the state that is needed to resume.

        Raises
        ------
        OutputError
            If it cannot be written; the state of the previous epoch is unchanged.
        """
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        metadata = {"run": self._identity(), "epoch": str(self.epoch), "best": str(self.best)}
        metadata |= {"history": json.dumps(self.history), "patch": json.dumps(self.crops.patch)}
        try:
            with replace_file(self.training.state_path) as part:
                save_file(tensors, part, metadata=metadata)
        except (OSError, SafetensorError) as error:
            raise OutputError(
                f"The state of the training cannot be written to {self.training.state_path}: {error}. "
                "Free some space, then continue with --resume."
            ) from error

    def load_state(self) -> None:
        """Restore the state that `save_state` wrote.

        Raises
        ------
        ModelError
            If there is no state, or it is of another run.
        """
        path = self.training.state_path
        try:
            metadata = read_header(path).metadata
            tensors = load_file(path)
        except (ModelError, OSError, SafetensorError) as error:
            raise ModelError(f"There is no run to resume at {path} ({error}). Train without --resume.") from error
        if metadata.get("run") != self._identity():
            raise ModelError(
                f"{path} belongs to a run with other settings. Give the same ones, or train without --resume."
            )
        try:
            self._load_tensors(tensors)
            self.epoch, self.best = int(metadata["epoch"]), float(metadata["best"])
            self.history = [dict(entry) for entry in parse_json(metadata.get("history", "[]"), MAX_HEADER)]
            patch = parse_json(metadata.get("patch", "[]"), MAX_HEADER) or self.crops.patch
            self.crops.patch = tuple(int(n) for n in per_axis("patch", patch, len(self.crops.patch)))
        except (LookupError, ValueError, TypeError, RuntimeError, OverflowError) as error:
            raise ModelError(
                f"{path} is damaged: its state is not that of this network and optimiser ({error}). "
                "Train without --resume."
            ) from error

    def _load_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Set network, average and optimiser from the tensors of a state."""
        grouped: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
        for key, tensor in tensors.items():
            owner, _, name = key.partition(".")
            grouped[owner][name] = tensor
        self.net.load_state_dict(grouped["net"])
        self.average.load_state_dict(grouped["average"])
        moments: dict[int, dict[str, torch.Tensor]] = defaultdict(dict)
        for key, tensor in grouped["optimiser"].items():
            index, _, name = key.partition(".")
            moments[int(index)][name] = tensor
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        for number, state in moments.items():
            if any(tensor.ndim and tensor.shape != parameters[number].shape for tensor in state.values()):
                raise ValueError(f"the moments of weight {number} have another shape")
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": dict(moments)})

    def _identity(self) -> str:
        """Return the settings that must be equal to resume a run, as text."""
        settings = {
            k: v for k, v in asdict(self.training.settings).items() if k not in ("device", "precision", "workers")
        }
        defaults = asdict(TrainSettings())
        settings = {k: v for k, v in settings.items() if k not in LATER_SETTINGS or v != defaults[k]}
        start = [self.training.start.hash] if self.training.start else []
        return json.dumps([self.training.info.spec.to_dict(), settings, *start], sort_keys=True)


def _initial_net(training: Training, generator: torch.Generator) -> torch.nn.Module:
    """Return the network before the first step."""
    net = training.info.spec.build(generator)
    if training.start:
        try:
            copy_weights(net, training.start.original().net())
        except ValueError as error:
            raise ModelError(f"The network does not fit the initial model: {error}.") from error
    return net


def _learning_rate_factor(progress: float) -> float:
    """Return the fraction of the peak learning rate at a progress of 0..1: a linear warm-up, then a cosine."""
    if progress < WARM_UP:
        return (progress + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
