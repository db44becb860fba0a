"""Training from labelled images: the recipe of the shipped weights."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from napari_fcn.errors import DeviceError, ImageError, ModelError, OutputError
from napari_fcn.events import EpochDone, LabelsFound
from napari_fcn.file_names import wrapped
from napari_fcn.inference.device import pick_device, pick_precision, place
from napari_fcn.learning.labels import IGNORE
from napari_fcn.models.card import read_info
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.header import read_header
from napari_fcn.nets.convert import copy_weights
from napari_fcn.storage import Input, Inputs, is_link, replace_file
from napari_fcn.training import metrics
from napari_fcn.training.dataset import Crops, LabelledImage, read_folder, read_numbers
from napari_fcn.training.label_survey import read_labels, survey
from napari_fcn.training.losses import class_weights, cross_entropy_and_dice
from napari_fcn.training.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_fcn.models.card import ModelInfo
    from napari_fcn.settings import TrainSettings
    from napari_fcn.training.dataset import Reader

WARM_UP = 0.03  # fraction of all steps in which the learning rate rises
AVERAGE_DECAY = 0.998  # per step, of the running average of the weights, which is validated and saved


@dataclass(frozen=True, slots=True)
class Training:
    """A training run: network, data, settings and output.

    Attributes
    ----------
    info : ModelInfo
        The network to train, and its description.
    folder : Path
        Folder with ``NAME_image.tif`` and ``NAME_label.tif`` files.
    settings : TrainSettings
        Settings of the training.
    out : Path
        The model file; the state of an unfinished run is next to it, with the suffix ``.state``.
    start : Checkpoint, optional
        The model whose weights are copied (`copy_weights`); statistics of its norms are frozen. Without it, weights are
        random.
    other_inputs : tuple of Input
        Files outside the folder that must not be replaced.
    reader : callable
        Function that reads images, as for `read_folder`.
    """

    info: ModelInfo
    folder: Path
    settings: TrainSettings
    out: Path
    start: Checkpoint | None = None
    other_inputs: tuple[Input, ...] = ()
    reader: Reader = read_numbers

    @property
    def state_path(self) -> Path:
        """The file with the state of an unfinished run."""
        return self.out.with_name(wrapped(self.out.name, after=".state"))

    @property
    def inputs(self) -> Inputs:
        """The files that must not be replaced: images, labels, and other inputs."""
        images = [
            Input(path, "an image or its labels")
            for kind in ("image", "label")
            for path in self.folder.glob(f"*_{kind}.tif")
        ]
        return Inputs([*images, *self.other_inputs])

    def check_outputs(self) -> Inputs:
        """Return the inputs, after checking that model and state may be written.

        Raises
        ------
        OutputError
            If one of them would replace an input, or a file that is not a model.
        """
        inputs = self.inputs
        for path in (self.out, self.state_path):
            inputs.check_file(path)
        _check_replaceable(self.out, _is_model, "model")
        return inputs

    def check_state(self) -> None:
        """Raise OutputError if the state would replace a file of another kind."""
        _check_replaceable(self.state_path, _is_state, "state of a training")

    def read(self) -> tuple[list[LabelledImage], list[LabelledImage]]:
        """Return training and validation images; an image whose name matches both patterns is for validation only.

        Raises
        ------
        ImageError
            If a split has no images, or labels do not fit the target.
        ModelError
            If the network does not read one channel.
        """
        settings = self.settings
        if self.info.spec.channels != 1:
            raise ModelError(
                f"The network reads {self.info.spec.channels} channels; training here is of networks with one channel, "
                "which learn colours as luminance and one by one."
            )
        splits = []
        for include, exclude in ((settings.train, settings.validate), (settings.validate, "")):
            images = read_folder(
                self.folder, (include, exclude), settings.kinds, self.info.spec.ndim, self.info.normaliser, self.reader
            )
            splits.append([read_labels(image, settings) for image in images])
            if not splits[-1]:
                raise ImageError(
                    f"{self.folder} holds no labelled image whose name fits {include!r}. Needed are pairs such as "
                    "a_image.tif and a_label.tif; change the pattern or the folder."
                )
        return splits[0], splits[1]

    def survey(
        self, splits: tuple[Sequence[LabelledImage], Sequence[LabelledImage]]
    ) -> tuple[LabelsFound, LabelsFound]:
        """Return the pixel counts of training and validation labels; see the function `survey` for errors."""
        return survey(splits, self.settings, [label.name for label in self.info.classes])


def train(training: Training, resume: bool = False) -> Iterator[LabelsFound | EpochDone]:
    """Train a network and save the best weights to ``training.out``.

    The optimiser is AdamW (Loshchilov & Hutter 2019) with a cosine learning rate. A running average of the weights is
    validated and saved (Polyak & Juditsky 1992). The same settings give the same crops in the same order, also when
    resumed.

    Yields
    ------
    LabelsFound
        The pixel counts of the training labels, then of the validation labels.
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
    surveys = training.survey((training_images, validation_images))
    yield from surveys
    trainer = Trainer(training, training_images, surveys[0].pixels)
    if resume:
        trainer.load_state()
    start = time.monotonic()
    for epoch in range(trainer.epoch, settings.epochs):
        loss = trainer.run_epoch(epoch)
        scores = validate(trainer.average, validation_images, settings.target)
        is_best = scores["dice"] > trainer.best
        if is_best:
            trainer.best = scores["dice"]
            card = replace(training.info.card, scores=scores)
            Checkpoint.of(trainer.average, replace(training.info, card=card)).save(training.out, inputs)
        trainer.epoch = epoch + 1
        trainer.save_state()
        yield EpochDone(epoch + 1, settings.epochs, loss, scores, is_best, time.monotonic() - start)
    if _is_state(training.state_path):
        training.state_path.unlink()


def _check_replaceable(path: Path, is_ours: Callable[[Path], bool], what: str) -> None:
    if path.exists() and not is_ours(path):
        raise OutputError(f"{path} is no {what} of napari-fcn: it is not replaced.", "Choose another name with --out.")


def _is_model(path: Path) -> bool:
    """Whether a file is a model of this package."""
    try:
        read_info(path)
    except ModelError:
        return False
    return True


def _is_state(path: Path) -> bool:
    """Whether a file is the state of a training, not a link to one."""
    try:
        return not is_link(path) and {"run", "epoch", "best"} <= read_header(path).metadata.keys()
    except ModelError:
        return False


class Trainer:
    """A network, its running average and its optimiser."""

    def __init__(self, training: Training, images: Sequence[LabelledImage], pixels: Sequence[int]) -> None:
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
        self.crops = Crops(images, settings, spec.time, training.info.voxel_size)
        self.weights = class_weights(torch.tensor(pixels).float(), settings.rarity).to(self.device)
        self.epoch, self.best = 0, -1.0

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
        if not self.training.settings.label_values:  # states of earlier versions lack this setting
            del settings["label_values"]
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


@torch.inference_mode()
def validate(net: torch.nn.Module, images: Sequence[LabelledImage], target: str) -> dict[str, float]:
    """Return the mean scores over all images and for each kind of image; images without labelled pixels are skipped.

    ``dice`` compares the union of all classes but the first; ``boundary_f1`` compares the outlines of objects, or the
    centre lines of membranes, with a tolerance of 2 pixels.

    Raises
    ------
    ImageError
        If no image has a labelled pixel.
    """
    lines = metrics.centre_line if target == "membranes" else metrics.outline
    parameter = next(net.parameters())
    scores: dict[str, list[float]] = defaultdict(list)
    for image in images:
        classes = TARGETS[target](image.labels)
        is_labelled = classes != IGNORE
        if not is_labelled.any():
            continue
        logits = net(torch.from_numpy(image.views[0])[None].to(parameter.device, parameter.dtype))
        prediction = (logits[0].argmax(0) > 0).cpu().numpy()
        prediction, truth = prediction & is_labelled, (classes > 0) & is_labelled
        image_scores = {
            "dice": metrics.dice(prediction, truth, is_labelled),
            "boundary_f1": metrics.boundary_f1(lines(prediction), lines(truth), mask=is_labelled),
        }
        for name, value in image_scores.items():
            scores[name].append(value)
            if image.kind:
                scores[f"{name}_{image.kind}"].append(value)
    if not scores:
        raise ImageError("There is no labelled pixel in the validation images, so there is no score. Label some.")
    return {name: round(float(np.mean(values)), 4) for name, values in sorted(scores.items())}
