"""A training run: network, data, settings and output, checked before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_fcn.errors import ImageError, ModelError, OutputError
from napari_fcn.file_names import wrapped
from napari_fcn.models.card import read_info
from napari_fcn.models.header import read_header
from napari_fcn.storage import Input, Inputs, is_link
from napari_fcn.training.dataset import LabelledImage, read_folder, read_numbers
from napari_fcn.training.label_survey import read_labels, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_fcn.events import LabelsFound
    from napari_fcn.models.card import ModelInfo
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.settings import TrainSettings
    from napari_fcn.training.dataset import Reader


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
        _check_replaceable(self.state_path, is_state, "state of a training")

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
