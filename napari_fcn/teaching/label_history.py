"""The corrections of each commit, and checks of corrections."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.pins import REMOVED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_fcn.events import Commit

MAX_BYTES = 64 * 2**20  # of complete samples, cached for recently used commits


@dataclass(frozen=True, slots=True, eq=False)
class _Delta:
    """The compressed difference between the samples of a commit and those of its base, another commit.

    Complete samples take 13 bytes per painted pixel; compressed, several pixels of a stroke share a byte.
    """

    base: Commit | None  # None: empty
    size: int
    content: bytes

    @classmethod
    def between(cls, base: Commit | None, before: Samples, after: Samples) -> Self:
        position = np.searchsorted(before.pixel_index, after.pixel_index).clip(max=max(0, len(before) - 1))
        is_new = np.ones(len(after), bool)
        if len(before):
            is_new = (
                (before.pixel_index[position] != after.pixel_index)
                | (before.class_index[position] != after.class_index)
                | (before.turn[position] != after.turn)
            )
        removed = np.setdiff1d(before.pixel_index, after.pixel_index, assume_unique=True)
        changed = after.select(is_new)
        parts = (
            np.diff(np.concatenate([changed.pixel_index, removed]), prepend=0),  # small numbers compress better
            np.concatenate([changed.turn, np.zeros(removed.size, np.int32)]),
            np.concatenate([changed.class_index, np.full(removed.size, REMOVED, np.uint8)]),
        )
        return cls(base, len(changed) + removed.size, zlib.compress(b"".join(part.tobytes() for part in parts), 1))

    def samples(self, shape: tuple[int, ...]) -> Samples:
        """Return the samples that differ; removed pixels have the class index `REMOVED`."""
        content, n = zlib.decompress(self.content), self.size
        index = np.cumsum(np.frombuffer(content, np.int64, n))
        turn = np.frombuffer(content, np.int32, n, offset=8 * n)
        return Samples(shape, index, np.frombuffer(content, np.uint8, n, offset=12 * n), turn)


class LabelHistory:
    """The samples of each commit.

    Complete samples are cached for recently used commits, up to ``max_bytes``. Each commit of this session stores the
    difference from the commit that was in use before it; other samples are rebuilt from these::

        0 start ── 1 ── 2 ── 3        samples of 4: those of 0 (empty, or loaded), then the differences 1, 2 and 4
                        └── 4

    Parameters
    ----------
    shape : tuple of int
        Length of the image axes.
    load_samples : callable, optional
        Returns the samples of a commit of an earlier session.
    max_bytes : int
        Memory for complete samples.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        load_samples: Callable[[int], Samples] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._shape, self._load_samples, self._max_bytes = shape, load_samples, max_bytes
        self._deltas: dict[int, _Delta] = {}
        self._recent: OrderedDict[int, Samples] = OrderedDict()  # the most recently used at the end
        self._recent_bytes = 0
        self._last: tuple[Commit | None, Samples] = None, Samples.empty(shape)

    @property
    def nbytes(self) -> int:
        """Memory of complete samples and of differences."""
        return self._recent_bytes + sum(len(delta.content) for delta in self._deltas.values())

    def samples_at(self, commit: Commit) -> Samples:
        """Return the samples of a commit; all samples of an earlier session have the turn of their commit."""
        if commit.number in self._recent:
            samples = self._recent[commit.number]
        elif commit.number in self._deltas:
            samples = self._rebuild(commit.number)
        else:
            samples = self._load(commit)
        self._use(commit, samples)
        return samples

    def record(self, commit: Commit, samples: Samples) -> None:
        """Store the samples of a new commit."""
        self._deltas[commit.number] = _Delta.between(*self._last, samples)
        self._use(commit, samples)

    def _use(self, commit: Commit, samples: Samples) -> None:
        self._last = commit, samples
        if self._recent.pop(commit.number, None) is None:
            self._recent_bytes += _nbytes(samples)
        self._recent[commit.number] = samples
        while self._recent_bytes > self._max_bytes:
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= _nbytes(oldest)

    def _rebuild(self, number: int) -> Samples:
        """Return the samples of a commit from the nearest complete samples and the differences since."""
        newest_first: list[Samples] = []
        while number in self._deltas and number not in self._recent:
            delta = self._deltas[number]
            newest_first.append(delta.samples(self._shape))
            if delta.base is None:
                return _latest(self._shape, newest_first)
            base, number = delta.base, delta.base.number
        newest_first.append(self._recent[number] if number in self._recent else self._load(base))
        return _latest(self._shape, newest_first)

    def _load(self, commit: Commit) -> Samples:
        """Return the samples of a commit of an earlier session."""
        empty = Samples.empty(self._shape)
        if self._load_samples is None or not commit.turn:
            return empty
        return self._load_samples(commit.number).with_turns(empty, commit.turn)


def _latest(shape: tuple[int, ...], newest_first: Iterable[Samples]) -> Samples:
    """Return each pixel as in the newest samples that contain it, without pixels that these removed."""
    parts = tuple(newest_first)
    index, first = np.unique(np.concatenate([part.pixel_index for part in parts]), return_index=True)
    classes = np.concatenate([part.class_index for part in parts])[first]
    turn = np.concatenate([part.turn for part in parts])[first]
    return Samples(shape, index, classes, turn).select(classes != REMOVED)


def _nbytes(samples: Samples) -> int:
    return samples.pixel_index.nbytes + samples.class_index.nbytes + samples.turn.nbytes


def check_samples(samples: Samples, shape: tuple[int, ...], n_classes: int) -> None:
    """Raise ImageError if samples are of another image shape, or of a class that does not exist."""
    if samples.shape != shape:
        raise ImageError(
            f"The corrections are {' x '.join(map(str, samples.shape))} px; the image is "
            f"{' x '.join(map(str, shape))} px. Paint on a layer of the size of the image."
        )
    if len(samples) and (highest := int(samples.class_index.max())) >= n_classes:
        raise ImageError(
            f"A stroke is of class {highest + 1}; the model has {n_classes} classes. Add a class, or erase the stroke."
        )
