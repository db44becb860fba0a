"""Replay of a teaching session from its journal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from napari_fcn.errors import FcnError, ModelError, ProjectError
from napari_fcn.events import Commit
from napari_fcn.geometry import Region
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.history import History
from napari_fcn.learning.pins import Pin
from napari_fcn.models.adapt import filters_only, make_teachable
from napari_fcn.models.card import ClassLabel
from napari_fcn.project.blocks import region_of
from napari_fcn.project.manifest import as_settings
from napari_fcn.teaching import SavedSession, Teaching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.project import Project

MAX_THREADS = 256


@dataclass(frozen=True, slots=True)
class Replayed:
    """A commit was replayed.

    Attributes
    ----------
    commit : Commit
        The recorded commit.
    hash : str
        Hash of the replayed model.
    """

    commit: Commit
    hash: str

    @property
    def is_same(self) -> bool:
        """Whether the weights are bit-identical."""
        return self.hash == self.commit.hash


def load_samples(project: Project, commit: int) -> Samples:
    """Return the samples of a commit of a project."""
    return Samples.from_labels(project.labels_at(commit))


def saved_session(project: Project) -> SavedSession:
    """Return the session of a project, for `Teaching` to resume."""
    pins = tuple(Pin(*pin) for pin in project.original_pins())
    return SavedSession(_readable_history(project), partial(load_samples, project), pins, project.reference())


def _readable_history(project: Project) -> History:
    """Return the history of a project without unreadable present commits; the first commit is rebuilt if needed."""
    history = project.history()
    if any(commit.number == 0 for commit in history.commits):
        try:
            history.checkpoint(0)
        except ModelError:
            project.rebuild_first_commit()
            history = project.history()
    while history.commits:
        present = history.present.number
        try:
            history.checkpoint(present)
        except ModelError:
            project.skip_commit(present)
            history = project.history()
        else:
            break
    return history


def rebuild_first_commit(project: Project, classes: tuple[ClassLabel, ...], expected: str) -> Checkpoint | None:
    """Return the first commit, rebuilt from the model at the start; None if its hash is not the expected one."""
    axes, spacing = project.image.axes, project.image.spacing
    try:
        start = project.checkpoint()
    except FcnError:
        return None
    for labels in ((), classes):  # empty: the classes of the model
        model = start or filters_only(len(axes.space), axes.channels(project.image.shape), labels, spacing)
        checkpoint = make_teachable(model, labels, spacing)
        if checkpoint.hash == expected:
            return checkpoint
    return None


def replay(project: Project, image: Any) -> Iterator[Replayed]:
    """Repeat the actions of a project, and yield each commit with the hash of the replayed model.

    The recorded number of threads is used; on the same type of CPU, the weights are bit-identical.

    Parameters
    ----------
    project : Project
        The project.
    image : array-like
        Its image.

    Raises
    ------
    ProjectError
        If this is not the image of the project, or an action cannot be repeated.
    """
    project.check_image(image)
    replayer = _Replayer(project, image)
    threads = torch.get_num_threads()
    try:
        for entry in project.entries():
            handler = getattr(replayer, f"on_{entry['kind']}", None)
            try:
                yield from handler(entry) if handler is not None else ()
            except (KeyError, ValueError, TypeError) as error:
                raise ProjectError(
                    f"Entry {entry['n']} ({entry['kind']}) of the journal of {project.path} cannot be repeated: "
                    f"{error}. The journal is incomplete, or this version of napari-fcn trains "
                    "differently."
                ) from error
    finally:
        torch.set_num_threads(threads)


class _Replayer:
    """Repeats the action of each entry of a journal."""

    def __init__(self, project: Project, image: Any) -> None:
        self.project, self.image = project, image
        self.shape = project.image.image_shape
        self._teaching: Teaching | None = None
        self._classes: dict[str, Any] | None = None  # entry of a change that has no commit yet

    @property
    def teaching(self) -> Teaching:
        if self._teaching is None:
            raise ProjectError(
                f"The journal of {self.project.path} lacks the start of the session, so it cannot be repeated."
            )
        return self._teaching

    def on_open(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        record, self._classes = self.project.image, None
        torch.set_num_threads(min(int(entry.get("threads", 1)), MAX_THREADS))
        history = self._teaching.history if self._teaching else History()
        if entry.get("present") in [commit.number for commit in history.commits]:
            history.go_to(entry["present"])
        pins = self._teaching.original_pins if self._teaching else ()
        samples = partial(load_samples, self.project)
        self._teaching = Teaching(
            self.image,
            self.project.checkpoint(),
            record.axes,
            as_settings(entry["settings"]),
            rgb=record.rgb,
            spacing=record.spacing,
            saved=SavedSession(history, samples, pins, self._reference_after(entry["n"])),
        )
        yield from ()

    def _reference_after(self, n: int) -> tuple[int, ...]:
        """Return the reference pixel of the features in the next turn; empty if there is none."""
        turns = (entry for entry in self.project.entries() if entry["n"] > n and entry["kind"] == "turn")
        return tuple(next(turns, {}).get("reference", ()))

    def on_turn(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        _run(self.teaching.finetune(entry["steps"]) if entry["steps"] else ())
        pixel, samples = tuple(entry["reference"]), Samples.from_labels(self.project.labels(entry["strokes"]))
        _run(self.teaching.fit_head(samples, Region(pixel, tuple(i + 1 for i in pixel)), entry["strokes"]))
        yield from ()

    def on_settle(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        _run(self.teaching.fit_full_head())
        yield from ()

    def on_judge(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        _run(self.teaching.finetune(entry["steps"]))
        _run(self.teaching.evaluate(Region((0,) * len(self.shape), (1,) * len(self.shape))))
        yield from ()

    def on_reject(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        self.teaching.reject()
        yield from ()

    def on_commit(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        recorded = entry["commit"]
        if recorded["kind"] == "network":
            _run(self.teaching.accept())
        elif recorded["kind"] == "classes" and self._classes is not None:
            labels = tuple(ClassLabel(**label) for label in self._classes["classes"])
            _run(self.teaching.set_classes(labels, tuple(self._classes["kept"])))
            self._classes = None
        elif recorded["kind"] == "head":
            pending = list(self.teaching.commit_pending())
            _run(() if pending else self.teaching.commit())
        replayed = self.teaching.history.present
        if replayed.number != recorded["number"]:
            raise ProjectError(
                f"Replay diverged at commit {recorded['number']} (it arrived at {replayed.number}): the journal is "
                "incomplete, or this version of napari-fcn trains differently."
            )
        yield Replayed(Commit(**recorded), replayed.hash)

    def on_present(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        if entry["number"] != self.teaching.history.present.number:
            _run(self.teaching.go_to(entry["number"]))
        yield from ()

    def on_rename(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        _run(self.teaching.rename(entry["number"], entry["name"]))
        yield from ()

    def on_settings(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        self.teaching.configure(as_settings(entry["settings"]))
        yield from ()

    def on_classes(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        self._classes = entry  # applied with its commit; without one, the program ended before the change
        yield from ()

    def on_pin(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        self.teaching.pin(region_of(entry, self.shape), entry["name"])
        yield from ()

    def on_unpin(self, entry: dict[str, Any]) -> Iterator[Replayed]:
        self.teaching.unpin(entry["name"])
        yield from ()


def _run(events: Iterator[Any] | tuple[()]) -> None:
    for _ in events:
        pass
