"""Networks with random weights whose predictions vary between pixels, for tests of receptive fields."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from napari_fcn.nets import NetSpec


def random_net(spec: NetSpec, seed: int = 1) -> nn.Module:
    """Return a network with its initial weights and larger biases, so that most units are active."""
    net = spec.build(torch.Generator().manual_seed(seed)).eval()
    with torch.no_grad():
        for name, values in net.named_parameters():
            if name.endswith("bias"):
                values.add_(0.1)
    return net


def probability_function(net: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from a block ``(C, *space)`` to probabilities."""

    def predict(block: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return net(torch.from_numpy(block)[None])[0].softmax(0).numpy()

    return predict
