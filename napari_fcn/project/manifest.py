"""The start of a project: model, classes, settings and image, in two small files."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ProjectError
from napari_fcn.file_names import wrapped
from napari_fcn.project import blocks, journal, weights
from napari_fcn.project.image import ImageRecord
from napari_fcn.project.journal_state import as_classes
from napari_fcn.project.links import check_links
from napari_fcn.project.schema import check_image, check_manifest
from napari_fcn.settings import TeachSettings
from napari_fcn.storage.atomic import (
    PART_SUFFIX,
    damaged_error,
    read_json,
    sync_folder,
    unwritable_error,
    verify_checksum,
    write_file,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_fcn.models.card import ClassLabel
    from napari_fcn.models.checkpoint import Checkpoint

FORMAT = 1
PROJECT = "project.json"
IMAGE = "image.json"
MODEL = "start.safetensors"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The start of a project.

    Attributes
    ----------
    version, created : str
        Version of napari-fcn, and time of creation (UTC).
    model, model_hash : str
        Name and hash of the model; both empty for filters only.
    classes : tuple of ClassLabel
        Classes at the start of the project.
    settings : TeachSettings
        Settings at the start of the project.
    """

    version: str
    created: str
    model: str
    model_hash: str
    classes: tuple[ClassLabel, ...]
    settings: TeachSettings

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "format": FORMAT,
            "version": self.version,
            "created": self.created,
            "model": {"name": self.model, "hash": self.model_hash} if self.model_hash else None,
            "classes": [asdict(label) for label in self.classes],
            "settings": asdict(self.settings),
        }


def new_manifest(checkpoint: Checkpoint | None, settings: TeachSettings, classes: Sequence[ClassLabel]) -> Manifest:
    """Return the manifest of a new project of this version."""
    from napari_fcn import __version__

    model = (checkpoint.info.card.name, checkpoint.hash) if checkpoint else ("", "")
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(__version__, created, *model, tuple(classes), settings)


def write_folder(path: Path, manifest: Manifest, image: ImageRecord, checkpoint: Checkpoint | None) -> None:
    """Create the folder of a new project; it appears under its name only when it is complete.

    Raises
    ------
    ProjectError
        If the path exists, or cannot be written.
    """
    if os.path.lexists(path):
        raise ProjectError(f"{path} exists already. Open it, or choose another name for the new project.")
    part = path.with_name(wrapped(path.name, ".", f"-{secrets.token_hex(4)}{PART_SUFFIX}"))
    try:
        for name in (blocks.FOLDER, weights.FOLDER):
            (part / name).mkdir(parents=True)
        write_json(part / PROJECT, manifest.to_dict())
        write_json(part / IMAGE, image.to_dict())
        write_file(part / journal.NAME, b"")
        if checkpoint is not None:
            checkpoint.save(part / MODEL)
        os.rename(part, path)
    except OSError as error:
        raise unwritable_error(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    sync_folder(path.parent)


def read_model(folder: Path, manifest: Manifest) -> Checkpoint | None:
    """Return the model at the start of a project; None for filters only.

    Raises
    ------
    ModelError, ProjectError
        If its file is missing, damaged, or another model.
    """
    if not manifest.model_hash:
        return None
    from napari_fcn.models.checkpoint import Checkpoint

    checkpoint = Checkpoint.load(folder / MODEL)
    if checkpoint.hash != manifest.model_hash:
        raise ProjectError(
            f"{folder / MODEL} is not the model with which the project started, {manifest.model}. "
            "Copy this file again from a backup."
        )
    return checkpoint


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the project in a folder.

    Raises
    ------
    ProjectError
        If the folder is not a project, is damaged, or has a newer format.
    """
    if not folder.is_dir():
        raise ProjectError(f"There is no project {folder}. Choose a folder that napari-fcn made (NAME.fcn).")
    if not os.path.lexists(folder / PROJECT):
        raise ProjectError(
            f"{folder} is not a napari-fcn project: it has no {PROJECT}. Choose a folder that "
            "napari-fcn made (NAME.fcn)."
        )
    check_links(folder)
    data = read_json(folder / PROJECT)
    number = data.get("format")
    if isinstance(number, int) and number > FORMAT:
        raise ProjectError(
            f"The project {folder} has format {number}, made by napari-fcn {data.get('version', '?')}; this napari-fcn "
            f"reads up to {FORMAT}. Update napari-fcn."
        )
    verify_checksum(folder / PROJECT, data)
    if number != FORMAT:
        raise damaged_error(folder / PROJECT, f"it has format {number}")
    try:
        check_manifest(data)
        model = data["model"] or {"name": "", "hash": ""}
        classes, settings = as_classes(data["classes"]), as_settings(data["settings"])
        return Manifest(
            str(data["version"]), str(data["created"]), str(model["name"]), str(model["hash"]), classes, settings
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged_error(folder / PROJECT, f"{type(error).__name__}: {error}") from error


def read_image(folder: Path) -> ImageRecord:
    """Return the image record of the project in a folder.

    Raises
    ------
    ProjectError
        If its file is damaged.
    """
    data = read_json(folder / IMAGE)
    verify_checksum(folder / IMAGE, data)
    try:
        check_image(data)
        return ImageRecord.from_dict(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged_error(folder / IMAGE, f"{type(error).__name__}: {error}") from error


def as_settings(data: dict[str, Any]) -> TeachSettings:
    """Return settings from plain data; unknown options are ignored."""
    return TeachSettings(**{f.name: data[f.name] for f in fields(TeachSettings) if f.name in data})
