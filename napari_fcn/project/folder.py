"""A saved project: the folder of a teaching session, which can be opened after a crash."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_fcn.errors import ImageMovedError, ProjectError
from napari_fcn.geometry import Region
from napari_fcn.project import manifest
from napari_fcn.project.image import find_image
from napari_fcn.project.open_checks import folder_of, lock_folder, remove_leftovers
from napari_fcn.project.record import ProjectRecord, lost_weights_note
from napari_fcn.project.weights import CommitFolder
from napari_fcn.storage.atomic import unwritable_error, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt

    from napari_fcn.events import HistoryChanged
    from napari_fcn.learning.history import History
    from napari_fcn.learning.sparse import SparseLabels
    from napari_fcn.models.card import ClassLabel
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.project.image import ImageRecord
    from napari_fcn.project.journal import Entry
    from napari_fcn.settings import TeachSettings
    from napari_fcn.storage.lock import Lock

    Labels = npt.NDArray[np.uint8]


class Project:
    """An open project folder; made by `create`, `open` or `open_read_only`.

    ::

        NAME.fcn/
          project.json  image.json  start.safetensors    the start: settings and classes, image, model
          journal.jsonl  blocks/000012.bin               entries since then, and their large strokes
          commits/0003.safetensors                       weights
          lock                                           process that writes to the project

    Several threads may use it.

    Attributes
    ----------
    path : Path
        The folder.
    image : ImageRecord
        The image of the project.
    store : CommitFolder
        Storage for the weights of a `History`.
    is_read_only : bool
        Whether nothing can be written.
    notes : tuple of str
        Sentences for the user about losses from a crash or damage.
    """

    def __init__(self, folder: Path, lock: Lock | None) -> None:
        self.path, self._lock, self.is_read_only = folder, lock, lock is None
        self._manifest, self.image = manifest.read_manifest(folder), manifest.read_image(folder)
        self.store = CommitFolder(folder, is_writable=lock is not None)
        self._record = ProjectRecord(folder, self.image.image_shape, self.store.is_whole)
        self.notes = self._record.notes

    @classmethod
    def create(
        cls,
        path: str | Path,
        image: ImageRecord,
        checkpoint: Checkpoint | None,
        settings: TeachSettings,
        classes: Sequence[ClassLabel],
    ) -> Self:
        """Return a new project, open for writing; the folder appears only when it is complete.

        Parameters
        ----------
        path : str or Path
            Path of the folder, which must not exist.
        image : ImageRecord
            The image.
        checkpoint : Checkpoint or None
            The model at the start; None for filters only.
        settings : TeachSettings
            Settings of teaching.
        classes : sequence of ClassLabel
            The classes at the start.

        Raises
        ------
        ProjectError
            If ``path`` exists, or cannot be written.
        """
        path = Path(path).expanduser().absolute()
        manifest.write_folder(path, manifest.new_manifest(checkpoint, settings, classes), image, checkpoint)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Return the project in a folder, open for writing; incomplete entries after a crash are removed.

        Raises
        ------
        ProjectInUseError
            If another program has it open.
        ProjectError
            If it is not a project, is damaged, has a newer format, or cannot be written.
        """
        folder = folder_of(path)
        manifest.read_manifest(folder)  # raises before a lock is written into a folder that is not a project
        lock = lock_folder(folder)
        try:
            project = cls(folder, lock)
            if 0 in project._record.commits_without_weights and project.rebuild_first_commit():
                project = cls(folder, lock)
            project._record.repair()
            remove_leftovers(folder)
        except OSError as error:
            lock.release()
            raise unwritable_error(folder, error) from error
        except BaseException:
            lock.release()
            raise
        return project

    @classmethod
    def open_read_only(cls, path: str | Path) -> Self:
        """Return the project in a folder, open for reading only, even if another program has it open.

        Raises
        ------
        ProjectError
            If it is not a project, is damaged, or has a newer format.
        """
        return cls(folder_of(path), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Write all waiting entries and release the lock of the folder.

        Raises
        ------
        ProjectError
            If strokes cannot be written. The lock is released nevertheless.
        """
        if self._lock is None:
            return
        try:
            self.flush()
            with suppress(OSError):
                self._record.write_end()
        finally:
            lock, self._lock = self._lock, None
            lock.release()

    def stroke(self, region: Region, block: Labels) -> int:
        """Write a stroke to the disk and return its number, from 1.

        Parameters
        ----------
        region : Region
            The changed region on the image axes; if it is empty, nothing is written.
        block : ndarray
            ``region.shape`` uint8, the corrections in the region. Undo, erasing and filling are strokes too.

        Raises
        ------
        ProjectError
            If writing fails. The stroke is not lost: it stays in memory until `flush`.
        """
        self._check_writable()
        if region.is_empty:
            return self.strokes
        entry = self._record.add("stroke", {}, self._check_inside(region, block))
        self._record.flush()
        return int(entry["stroke"])

    def record(self, kind: str, **fields: Any) -> int:
        """Record any other action and return the number of its entry.

        If it cannot be written, the entry stays in memory (`has_unsaved`), and the next stroke reports the failure.

        Parameters
        ----------
        kind : str
            ``"turn"``, ``"steps"``, ``"progress"``, ``"commit"``, ``"present"``, ``"rename"``, ``"classes"``,
            ``"settings"``, ``"pin"`` (with name, region and class indices), ``"unpin"``, ``"save"`` or another word. A
            change of the classes must be recorded before the first stroke in the new classes.
        **fields
            Content of the entry: plain data, dataclasses, paths.
        """
        self._check_writable()
        if kind == "stroke":
            raise ValueError("A stroke is recorded by `Project.stroke`.")
        if kind == "commit":
            self.store.flush()  # the weights are written before the entry
        labels = self._check_inside(fields.pop("region"), fields.pop("classes")) if kind == "pin" else None
        entry = self._record.add(kind, fields, labels)
        with suppress(ProjectError):
            self._record.flush()
        return int(entry["n"])

    def pin(self, name: str, region: Region, classes: Labels) -> int:
        """Record a pin, the class indices that a region must keep, and return the number of its entry."""
        return self.record("pin", name=name, region=region, classes=classes)

    def record_history(self, event: HistoryChanged) -> None:
        """Record the changes of a history: commits, names, and the present commit."""
        for kind, fields in self._record.state.changes_since(event):
            self.record(kind, **fields)

    def relocate(self, path: str | Path) -> None:
        """Record a new path of the image.

        Raises
        ------
        ProjectError
            If there is no image at this path, or the record cannot be written.
        """
        self._check_writable()
        path = Path(path).expanduser().absolute()
        if not path.exists():
            raise ImageMovedError(f"There is no image {path}. Choose the image of the project {self.path}.")
        self.image = replace(self.image, path=str(path))
        try:
            write_json(self.path / manifest.IMAGE, self.image.to_dict())
        except OSError as error:
            raise unwritable_error(self.path / manifest.IMAGE, error) from error

    def flush(self) -> None:
        """Write all waiting entries and weights to the disk.

        Raises
        ------
        ProjectError
            If writing fails.
        """
        self.store.flush()
        self._record.flush()

    @property
    def has_unsaved(self) -> bool:
        """Whether entries or weights are in memory and not yet on the disk."""
        return not self.is_read_only and bool(self._record.waiting or self.store.waiting)

    @property
    def strokes(self) -> int:
        """Number of the last stroke."""
        return self._record.state.last_stroke

    @property
    def current_stroke(self) -> int:
        """Number of the last stroke in the corrections; an earlier one after going back to a commit."""
        return self._record.state.current_stroke

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in order, as plain data."""
        return self._record.entries()

    def corrections(self, until: int | None = None) -> Iterator[tuple[Region, Labels]]:
        """Yield the region and labels of each stroke, in order; written into an empty array they give the corrections.

        Parameters
        ----------
        until : int, optional
            Number of the last stroke; if not given, the current corrections.
        """
        state = self._record.state
        return self._record.corrections(state.current if until is None else state.after_stroke(until))

    def corrections_of(self, commit: int) -> Iterator[tuple[Region, Labels]]:
        """Yield the region and labels of each stroke that a commit was trained on, in the classes of the commit."""
        return self._record.corrections(self._record.state.of_commit(commit))

    def labels(self, until: int | None = None) -> SparseLabels:
        """Return the corrections on the image axes, current or after a stroke."""
        return self._to_labels(self.corrections(until))

    def labels_at(self, commit: int) -> SparseLabels:
        """Return the corrections on the image axes that a commit was trained on, in the classes of the commit."""
        return self._to_labels(self.corrections_of(commit))

    def history(self) -> History:
        """Return the history, with its weights in `store`; empty if there are no commits."""
        from napari_fcn.learning.history import History

        state, last = self._record.state, self._record.last_commit
        if not state.visited:
            return History(self.store, last)
        commits, visited = state.commits, state.visited
        history = History.restore(commits.values(), visited[-1], self.store, visited, last)
        history.lineages.update({number: state.lineage(state.of_commit(number)) for number in commits})
        return history

    def skip_commit(self, commit: int) -> None:
        """Skip a commit whose weights cannot be read; its strokes stay, and a note is added."""
        self._record.state.skip_commit(commit)
        self.notes += (lost_weights_note(commit),)

    def rebuild_first_commit(self) -> bool:
        """Rebuild the weights of the first commit from the model at the start; return whether this succeeded."""
        from napari_fcn.learning.history import History
        from napari_fcn.project.replay import rebuild_first_commit

        commits = (entry["commit"] for entry in self.entries() if entry["kind"] == "commit")
        first = next((commit for commit in commits if commit["number"] == 0), None)
        checkpoint = None if first is None else rebuild_first_commit(self, self._manifest.classes, first["hash"])
        if checkpoint is not None:
            History(self.store).add("start", 0, 0, checkpoint)
            self.store.flush()
        return checkpoint is not None

    def checkpoint(self) -> Checkpoint | None:
        """Return the model at the start; None for filters only.

        Raises
        ------
        ModelError, ProjectError
            If its file is missing, damaged, or another model.
        """
        return manifest.read_model(self.path, self._manifest)

    def settings(self) -> TeachSettings:
        """Return the latest settings."""
        return manifest.as_settings({**asdict(self._manifest.settings), **self._record.state.settings})

    def reference(self) -> tuple[int, ...]:
        """Return the pixel of the tile that set the scale of the features; empty before the first turn."""
        return self._record.state.reference

    def classes(self) -> tuple[ClassLabel, ...]:
        """Return the current classes."""
        return self._record.state.classes_at(self._record.state.current) or self._manifest.classes

    def pins(self) -> Iterator[tuple[str, Region, Labels]]:
        """Yield name, region and class indices of each pin, in the current classes; 255 is a removed class."""
        return self._record.pins()

    def original_pins(self) -> Iterator[tuple[str, Region, Labels, int | None]]:
        """Yield name, region and class indices of each pin, and the commit of its classes; None: the current ones."""
        return self._record.original_pins()

    def image_path(self) -> str:
        """Return the path of the image: as recorded, or next to the project; empty if it is not a file.

        Raises
        ------
        ImageMovedError
            If the image is in neither place.
        """
        return find_image(self.image.path, self.path)

    def image_matches(self, array: Any) -> bool:
        """Whether an array is the image of the project, by shape, type and a sample of its pixels."""
        return not self.image.difference(array)

    def check_image(self, array: Any) -> None:
        """Raise ProjectError if an array is not the image of the project."""
        if difference := self.image.difference(array):
            raise ProjectError(
                f"This is not the image of the project {self.path.name}: {difference}. Choose the image "
                f"{self.image.name} that was recorded at {self.image.path or 'no file'}, or start a new project."
            )

    def _check_inside(self, region: Region, block: Labels) -> tuple[Region, Labels]:
        if region.is_empty or not Region.whole(self.image.image_shape).contains(region):
            raise ValueError(f"{region} is not inside an image of shape {self.image.image_shape}.")
        return region, block

    def _check_writable(self) -> None:
        if self._lock is None:
            raise ProjectError(
                f"The project {self.path} is not open for writing: nothing can be added. Open it, or a copy of it."
            )

    def _to_labels(self, blocks: Iterator[tuple[Region, Labels]]) -> SparseLabels:
        from napari_fcn.learning.sparse import SparseLabels

        return SparseLabels.from_blocks(self.image.image_shape, blocks)
