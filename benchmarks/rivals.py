"""Interface of methods that learn from strokes, and the methods to compare with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, cast

import numpy as np
from skimage.feature import multiscale_basic_features

from benchmarks.convpaint_worker import receive, send

if TYPE_CHECKING:
    Image = np.ndarray
    Labels = np.ndarray

HERE = Path(__file__).parent
SIGMAS = (0.7, 10.0, 7)  # smallest, largest and number of the scales, similar to ilastik


class Method(Protocol):
    """An interactive segmentation method.

    A method that computes in another process has a method ``clock() -> float``: its processor time so far in seconds.
    """

    name: str

    def start(self, image: Image, classes: int) -> None:
        """Set a new image, (planes, Y, X) or, in colour, (planes, Y, X, 3)."""

    def fit(self, labels: Labels) -> None:
        """Train on all strokes so far, (planes, Y, X): 0 is not annotated, k + 1 is class k."""

    def predict(self) -> Labels:
        """Return the class index of each pixel, (planes, Y, X), uint8."""


class RandomForest:
    """A random forest on filters at several scales (Sommer et al. 2011, ilastik), by scikit-image and scikit-learn.

    Stacks are filtered in 3-D.
    """

    name = "random forest"

    def start(self, image: Image, classes: int) -> None:
        """Compute the features, once for all rounds."""
        smallest, largest, number = SIGMAS
        scale = float(image.max()) or 1.0
        self.shape = image.shape[:3]
        features = multiscale_basic_features(
            (image[0] if len(image) == 1 else image).astype(np.float32) / scale,
            sigma_min=smallest,
            sigma_max=largest,
            num_sigma=number,
            channel_axis=-1 if image.ndim == 4 else None,
        )
        self.features = np.ascontiguousarray(features.reshape(-1, features.shape[-1]))

    def fit(self, labels: Labels) -> None:
        """Train a new forest on all strokes."""
        from sklearn.ensemble import RandomForestClassifier

        painted = np.flatnonzero(labels)
        self.forest = RandomForestClassifier(n_estimators=100, n_jobs=1, random_state=0)
        self.forest.fit(self.features[painted], labels.ravel()[painted] - 1)

    def predict(self) -> Labels:
        """Return the class index of each pixel."""
        return self.forest.predict(self.features).astype(np.uint8).reshape(self.shape)


class Convpaint:
    """napari-convpaint (Hinderling et al. 2024) with its Gaussian features, in a process and environment of its own.

    Its default features are those of a pretrained network, which has to be downloaded; Gaussian features need no
    download. Of the scales 1, 1-2-4 and 1-2-4-8, the second were the best on the images for tuning.
    """

    def __init__(self, scalings: str = "1,2,4") -> None:
        self.name = f"convpaint, gaussian {scalings}"
        python = HERE / ".venv-convpaint" / "bin" / "python"
        if not python.exists():
            raise FileNotFoundError(f"{python} is missing. Make it with: make benchmarks/.venv-convpaint/made.stamp")
        self.worker = subprocess.Popen(
            [python, HERE / "convpaint_worker.py", scalings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "QT_API": "pyqt5"},
        )
        self.seconds = 0.0
        self.receive()

    def clock(self) -> float:
        """Return the processor time of the worker so far in seconds, without the transport of data."""
        return self.seconds

    def start(self, image: Image, classes: int) -> None:
        """Send the image; features are computed at painted pixels only, when needed."""
        self.call({"do": "start", "colour": image.ndim == 4}, image)

    def fit(self, labels: Labels) -> None:
        """Train the classifier."""
        self.call({"do": "fit"}, labels)

    def predict(self) -> Labels:
        """Return the class index of each pixel."""
        segmentation = self.call({"do": "predict"})
        assert segmentation is not None
        return segmentation - 1

    def call(self, header: dict, array: np.ndarray | None = None) -> np.ndarray | None:
        """Send a message to the worker and return the array of its response."""
        send(cast("IO[bytes]", self.worker.stdin), header, array)
        return self.receive()

    def receive(self) -> np.ndarray | None:
        """Return the array of one message, and add its processor time."""
        header, array = receive(cast("IO[bytes]", self.worker.stdout))
        if not header:
            raise RuntimeError(f"{self.name} ended with {self.worker.wait()}. Run convpaint_worker.py to see why.")
        self.seconds += header.get("seconds", 0.0)
        return array
