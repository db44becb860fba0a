"""What every method that learns from strokes can do, and the methods of others."""

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
SIGMAS = (0.7, 10.0, 7)  # smallest, largest and number of the scales: those of ilastik, nearly


class Method(Protocol):
    """A way to segment an image that is taught by strokes.

    A method whose work is not done in this process may have a ``clock() -> float`` of its own: seconds worked so far.
    """

    name: str

    def start(self, image: Image, classes: int) -> None:
        """Take an image, (planes, Y, X) or, in colour, (planes, Y, X, 3), and forget the one before."""

    def learn(self, labels: Labels) -> None:
        """Learn from all strokes so far, (planes, Y, X): 0 is not annotated, k + 1 is class k."""

    def answer(self) -> Labels:
        """Return the class of each pixel, (planes, Y, X), uint8."""


class RandomForest:
    """A random forest on filters at several scales (Sommer et al. 2011, ilastik), of scikit-image and scikit-learn.

    A stack is filtered in all its dimensions.
    """

    name = "random forest"

    def start(self, image: Image, classes: int) -> None:
        """Compute the features, once for all rounds."""
        smallest, largest, number = SIGMAS
        scale = float(image.max()) or 1.0
        self.shape = image.shape[:3]
        found = multiscale_basic_features(
            (image[0] if len(image) == 1 else image).astype(np.float32) / scale,
            sigma_min=smallest,
            sigma_max=largest,
            num_sigma=number,
            channel_axis=-1 if image.ndim == 4 else None,
        )
        self.features = np.ascontiguousarray(found.reshape(-1, found.shape[-1]))

    def learn(self, labels: Labels) -> None:
        """Grow a new forest on all strokes."""
        from sklearn.ensemble import RandomForestClassifier

        painted = np.flatnonzero(labels)
        self.forest = RandomForestClassifier(n_estimators=100, n_jobs=1, random_state=0)
        self.forest.fit(self.features[painted], labels.ravel()[painted] - 1)

    def answer(self) -> Labels:
        """Ask the forest about every pixel."""
        return self.forest.predict(self.features).astype(np.uint8).reshape(self.shape)


class Convpaint:
    """napari-convpaint (Hinderling et al. 2024) with its Gaussian features, in a process and environment of its own.

    Its default features are those of a pretrained network, which has to be downloaded; these need no download.
    Of the pyramids 1, 1-2-4 and 1-2-4-8 the second was the best on the images for tuning.
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
        """Return the seconds worked so far; transport does not count."""
        return self.seconds

    def start(self, image: Image, classes: int) -> None:
        """Hand over the image; features are computed where and when they are needed."""
        self.ask({"do": "start", "colour": image.ndim == 4}, image)

    def learn(self, labels: Labels) -> None:
        """Train its classifier."""
        self.ask({"do": "learn"}, labels)

    def answer(self) -> Labels:
        """Return its segmentation."""
        answer = self.ask({"do": "answer"})
        assert answer is not None
        return answer - 1

    def ask(self, header: dict, array: np.ndarray | None = None) -> np.ndarray | None:
        """Return what the worker answers."""
        send(cast("IO[bytes]", self.worker.stdin), header, array)
        return self.receive()

    def receive(self) -> np.ndarray | None:
        """Return the array of one message, and count its seconds."""
        header, array = receive(cast("IO[bytes]", self.worker.stdout))
        if not header:
            raise RuntimeError(f"{self.name} ended with {self.worker.wait()}. Run convpaint_worker.py to see why.")
        self.seconds += header.get("seconds", 0.0)
        return array
