"""What is painted: whether it fits the model and its image, and what it was at each commit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_fcn.errors import ImageError
from napari_fcn.learning.annotations import Samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_fcn.events import Commit


@dataclass(frozen=True, slots=True, eq=False)
class LabelHistory:
    """The samples of each commit.

    Attributes
    ----------
    shape : tuple of int
        Of the image axes.
    load_samples : callable or None
        Returns the samples of a commit of an earlier session.
    """

    shape: tuple[int, ...]
    load_samples: Callable[[int], Samples] | None
    _samples: dict[int, Samples] = field(default_factory=dict)

    def samples_at(self, commit: Commit) -> Samples:
        """Return what was painted at a commit; of an earlier session, as if all had been painted in one turn."""
        if commit.number not in self._samples:
            found = Samples.empty(self.shape)
            if self.load_samples is not None and commit.turn:
                found = self.load_samples(commit.number).with_turns(found, commit.turn)
            self._samples[commit.number] = found
        return self._samples[commit.number]

    def record(self, commit: Commit, samples: Samples) -> None:
        """Remember what is painted at a new commit."""
        self._samples[commit.number] = samples


def check_samples(samples: Samples, shape: tuple[int, ...], n_classes: int) -> None:
    """Raise ImageError if samples are not of an image of this shape, or of more classes than these."""
    if samples.shape != shape:
        raise ImageError(
            f"The corrections are {' x '.join(map(str, samples.shape))} px; the image is "
            f"{' x '.join(map(str, shape))} px. Paint on a layer of the size of the image."
        )
    if len(samples) and (highest := int(samples.class_index.max())) >= n_classes:
        raise ImageError(
            f"A stroke is of class {highest + 1}; the model has {n_classes} classes. Add a class, or erase the stroke."
        )
