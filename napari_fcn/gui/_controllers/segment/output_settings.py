"""What a run writes to files, and where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from napari_fcn.errors import OutputError
from napari_fcn.io.image_paths import image_stem, results_folder
from napari_fcn.settings import option
from napari_fcn.storage import unused_path

NOTHING = "nothing"
ZARR = ".ome.zarr"
SAVABLE = {
    NOTHING: (),
    "classes": ("classes",),
    "probabilities": ("probabilities",),
    "both": ("classes", "probabilities"),
}


@dataclass(frozen=True, slots=True)
class SaveSettings:
    """What to write to files while a network runs."""

    results: str = option(
        NOTHING,
        "Save",
        "What is written to files while the network runs: class indices (uint8), probabilities (float32), or both. "
        "Files that exist are never replaced.",
        choices=tuple(SAVABLE),
    )
    folder: str = option("", "Save to", "Folder for the files. Empty: beside the image.")
    suffix: str = option(
        ".ome.tif",
        "Format",
        "OME-TIFF for most programs, OME-Zarr for very large results.",
        choices=(".ome.tif", ZARR),
    )

    def paths(self, image: str, source: str) -> dict[str, Path]:
        """Return an unused file for each kind of result.

        Parameters
        ----------
        image : str
            Name of the image.
        source : str
            The file that it came from; empty if none.

        Raises
        ------
        OutputError
            If there is no folder to write to.
        """
        kinds = SAVABLE[self.results]
        if not kinds:
            return {}
        if not self.folder and not source:
            raise OutputError(
                f"The results of {image} are to be written, but it did not come from a file, so there is no folder "
                "beside it. Choose a folder under Save to."
            )
        folder = Path(self.folder).expanduser() if self.folder else results_folder(Path(source))
        name = file_name(image, source)
        return {kind: unused_path(folder, f"{name}_{kind}", self.suffix) for kind in kinds}


def file_name(layer: str, source: str | Path = "") -> str:
    """Return what the results of a layer are called: as the file that it is named after, else in letters for all disks.

    Parameters
    ----------
    layer : str
        Its name.
    source : str or Path, optional
        The file that it came from.
    """
    path = Path(source)
    if source and layer in (image_stem(path), path.stem):
        return layer
    return re.sub(r"[^\w.+-]+", "_", layer).strip("._") or "image"
