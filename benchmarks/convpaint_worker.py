"""Worker process for Convpaint, which runs in an environment of its own without napari-fcn.

    python convpaint_worker.py SCALINGS

``SCALINGS`` are the scales of the Gaussian features, such as 1,2,4. A message is a line of JSON, followed by a .npy
file of as many bytes as its key ``bytes`` says. Responses have the processor time of the computation in ``seconds``.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import time

import numpy as np


def send(pipe: io.BufferedWriter, header: dict, array: np.ndarray | None = None) -> None:
    """Write one message."""
    packed = io.BytesIO()
    if array is not None:
        np.save(packed, array)
    content = packed.getvalue()
    pipe.write(json.dumps({**header, "bytes": len(content)}).encode() + b"\n" + content)
    pipe.flush()


def receive(pipe: io.BufferedReader) -> tuple[dict, np.ndarray | None]:
    """Read one message; empty at the end of the stream."""
    header = json.loads(pipe.readline() or b"{}")
    size = header.get("bytes", 0)
    return header, np.load(io.BytesIO(pipe.read(size))) if size else None


def import_torchvision() -> None:
    """Import torchvision, which Convpaint needs at import but not for Gaussian features.

    With a CPU-only build of torch, its compiled operations are missing, and the import fails unless they are defined.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        import torch

        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")
        importlib.import_module("torchvision")


class Convpaint:
    """A model trained on one image, with the defaults of the plugin."""

    def __init__(self, scalings: list[int]) -> None:
        from napari_convpaint.convpaint_model import ConvpaintModel

        self.make = lambda mode: ConvpaintModel(
            fe_name="gaussian_features", fe_scalings=scalings, channel_mode=mode, normalize=2
        )

    def start(self, image: np.ndarray, header: dict) -> None:
        """Set the image, (planes, Y, X) or, in colour, (planes, Y, X, 3)."""
        self.model = self.make("rgb" if header["colour"] else "single")
        self.image = np.moveaxis(image, -1, 0) if header["colour"] else image

    def fit(self, labels: np.ndarray, _header: dict) -> None:
        """Train on all strokes; the features of earlier ones are cached, as in the plugin."""
        self.model.train(self.image, labels, memory_mode=True, img_ids="image")

    def predict(self, _array: None, _header: dict) -> np.ndarray:
        """Return the class index + 1 of each pixel."""
        return self.model.segment(self.image).astype(np.uint8)


def main() -> None:
    """Process messages until the pipe is closed."""
    pipe_in, pipe_out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints of libraries must not interfere with the messages
    import_torchvision()
    convpaint = Convpaint([int(part) for part in sys.argv[1].split(",")])
    send(pipe_out, {"ready": True})
    while True:
        header, array = receive(pipe_in)
        if not header:
            return
        begin = time.process_time()
        result = getattr(convpaint, header["do"])(array, header)
        send(pipe_out, {"seconds": time.process_time() - begin}, result)


if __name__ == "__main__":
    main()
