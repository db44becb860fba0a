"""Names and files of the results of image layers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fcn.errors import OutputError
from napari_fcn.io.image_paths import image_stem, result_suffix, results_folder
from napari_fcn.storage import unused_path

if TYPE_CHECKING:
    from napari_fcn.settings import OutputSettings


def unused_paths(output: OutputSettings, image: str, source: str) -> dict[str, Path]:
    """Return a new file for each kind of result.

    Parameters
    ----------
    output : OutputSettings
        Kinds, folder and format.
    image : str
        Name of the image.
    source : str
        File of the image; empty if it has none.

    Raises
    ------
    OutputError
        If there is no folder to write to.
    """
    if not output.save:
        return {}
    folder = output.folder_for(results_folder(Path(source)) if source else None)
    if folder is None:
        raise OutputError(
            f"The results of {image} cannot be saved next to it, because it did not come from a file. Choose a folder "
            "under Save to."
        )
    name, suffix = file_name(image, source), output.suffix_for(result_suffix(Path(source)) if source else ".ome.tif")
    return {kind: unused_path(folder, f"{name}_{kind}", suffix) for kind in output.save}


def file_name(layer: str, source: str | Path = "") -> str:
    """Return the base name of the results of a layer: its own if it is named after its file, else a portable one.

    Parameters
    ----------
    layer : str
        Name of the layer.
    source : str or Path, optional
        File of the layer.
    """
    path = Path(source)
    if source and layer in (image_stem(path), path.stem):
        return layer
    return re.sub(r"[^\w.+-]+", "_", layer).strip("._") or "image"
