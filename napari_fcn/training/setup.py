"""A training run: network, data, settings and output, checked before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_fcn.errors import ImageError, ModelError, OutputError
from napari_fcn.file_names import wrapped
from napari_fcn.models.card import read_info
from napari_fcn.models.header import read_header
from napari_fcn.storage import Input, Inputs, is_link
from napari_fcn.training.curve import is_curve
from napari_fcn.training.dataset import LabelledImage, read_folder
from napari_fcn.training.label_survey import read_labels, survey
from napari_fcn.training.pairs import training_files
from napari_fcn.training.splits import draw_validation, validation_share, with_pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_fcn.events import LabelsFound
    from napari_fcn.models.card import ModelInfo
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class Training:
    """A training run: network, data, settings and output.

    Attributes
    ----------
    info : ModelInfo
        The network to train, and its description.
    folder : Path
        Folder with ``NAME_image.EXT`` and ``NAME_label.EXT`` files (`find_pairs`).
    settings : TrainSettings
        Settings of the training.
    out : Path
        The model file; next to it are the state of an unfinished run, with the suffix ``.state``, and a picture of the
        course of the training, with the suffix ``.png``.
    start : Checkpoint, optional
        The model whose weights are copied (`copy_weights`); statistics of its norms are frozen. Without it, weights are
        random.
    other_inputs : tuple of Input
        Files outside the folder that must not be replaced.
    """

    info: ModelInfo
    folder: Path
    settings: TrainSettings
    out: Path
    start: Checkpoint | None = None
    other_inputs: tuple[Input, ...] = ()

    @property
    def state_path(self) -> Path:
        """The file with the state of an unfinished run."""
        return self.out.with_name(wrapped(self.out.name, after=".state"))

    @property
    def curve_path(self) -> Path:
        """The picture of loss and scores."""
        return self.out.with_name(wrapped(self.out.name, after=".png"))

    @property
    def inputs(self) -> Inputs:
        """The files that must not be replaced: images, labels, and other inputs."""
        images = [Input(path, "an image or its labels") for _, _, path in training_files(self.folder)]
        return Inputs([*images, *self.other_inputs])

    def check_outputs(self) -> Inputs:
        """Return the inputs, after checking that model, state and curve may be written.

        Raises
        ------
        OutputError
            If one of them would replace an input, or a file that is not a model.
        """
        inputs = self.inputs
        for path in (self.out, self.state_path, self.curve_path):
            inputs.check_file(path)
        _check_replaceable(self.out, _is_model, "model")
        _check_replaceable(self.curve_path, is_curve, "curve of a training")
        return inputs

    def check_state(self) -> None:
        """Raise OutputError if the state would replace a file of another kind."""
        _check_replaceable(self.state_path, is_state, "state of a training")

    def read(self) -> tuple[list[LabelledImage], list[LabelledImage]]:
        """Return training and validation images; an image whose name matches both patterns is for validation only.

        If the settings state a share of validation images, whole pictures are drawn for it (`draw_validation`).

        Raises
        ------
        ImageError
            If a split has no images, or labels or channels do not fit the target or the network.
        """
        settings, share = self.settings, validation_share(self.settings.validate)
        if share is not None:
            images = with_pictures(self._read(settings.train), settings.groups)
            return draw_validation(images, share, settings.seed)
        training = self._read(settings.train, settings.validate)
        images = with_pictures([*training, *self._read(settings.validate)], settings.groups)
        return images[: len(training)], images[len(training) :]

    def _read(self, include: str, exclude: str = "") -> list[LabelledImage]:
        """Return the images whose names match a pattern; raise ImageError if there are none."""
        images = read_folder(self.folder, (include, exclude), self.settings.kinds, self.info.spec, self.info.normaliser)
        if not images:
            raise ImageError(
                f"{self.folder} holds no labelled image whose name fits {include!r}. Needed are pairs such as "
                "a_image.tif and a_label.tif; change the pattern or the folder."
            )
        return [read_labels(image, self.settings) for image in images]

    def survey(
        self, splits: tuple[Sequence[LabelledImage], Sequence[LabelledImage]]
    ) -> tuple[LabelsFound, LabelsFound]:
        """Return the pixel counts of training and validation labels; see the function `survey` for errors."""
        return survey(splits, self.settings, [label.name for label in self.info.classes])


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


def is_state(path: Path) -> bool:
    """Whether a file is the state of a training, not a link to one."""
    try:
        return not is_link(path) and {"run", "epoch", "best"} <= read_header(path).metadata.keys()
    except ModelError:
        return False
