"""Convpaint in an environment of its own; runs there and imports nothing of ours.

    python convpaint_worker.py SCALINGS

``SCALINGS`` is the pyramid of its Gaussian features, such as 1,2,4. Reads and writes messages: a line of JSON, whose
``bytes`` says how many bytes of a .npy file follow. Answers carry the seconds of the work alone.
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
    """Read one message; at the end an empty one."""
    header = json.loads(pipe.readline() or b"{}")
    size = header.get("bytes", 0)
    return header, np.load(io.BytesIO(pipe.read(size))) if size else None


def import_torchvision() -> None:
    """Import the torchvision that Convpaint imports but does not use for Gaussian features.

    Beside a torch for the processor alone it lacks its compiled operations, and stops at the first that it names.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        import torch

        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")
        importlib.import_module("torchvision")


class Convpaint:
    """One image and the model that is trained on it, as the plugin does with its own defaults."""

    def __init__(self, scalings: list[int]) -> None:
        from napari_convpaint.convpaint_model import ConvpaintModel

        self.make = lambda mode: ConvpaintModel(
            fe_name="gaussian_features", fe_scalings=scalings, channel_mode=mode, normalize=2
        )

    def start(self, image: np.ndarray, header: dict) -> None:
        """Take an image (planes, Y, X) or, in colour, (planes, Y, X, 3)."""
        self.model = self.make("rgb" if header["colour"] else "single")
        self.image = np.moveaxis(image, -1, 0) if header["colour"] else image

    def learn(self, labels: np.ndarray, _header: dict) -> None:
        """Train on all strokes; features of the old ones are kept, as in the plugin."""
        self.model.train(self.image, labels, memory_mode=True, img_ids="image")

    def answer(self, _array: None, _header: dict) -> np.ndarray:
        """Return the number of the class + 1 of each pixel."""
        return self.model.segment(self.image).astype(np.uint8)


def main() -> None:
    """Work until the pipe is closed."""
    pipe_in, pipe_out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the messages
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
