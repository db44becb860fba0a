"""Model files: safetensors with a description of the network."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save

from napari_fcn.errors import ModelError, OutputError
from napari_fcn.models.card import KEY, ModelInfo, read_info
from napari_fcn.models.header import MAX_HEADER, read_header
from napari_fcn.nets.size import count_parameters
from napari_fcn.storage import NO_INPUTS, replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_fcn.nets.build import Net
    from napari_fcn.storage import Inputs

UNCHECKED_WEIGHTS = 2**20  # excess of weights up to which the network is built, to name the missing weights


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A model: the weights of a network and their description.

    Attributes
    ----------
    info : ModelInfo
        Spec, normaliser, classes, voxel size, card.
    weights : mapping of str to Tensor
        The network's state, on the CPU.
    """

    info: ModelInfo
    weights: Mapping[str, Tensor]

    @classmethod
    def of(cls, net: torch.nn.Module, info: ModelInfo) -> Checkpoint:
        """Return a model with a copy of the current weights of a network."""
        state = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in net.state_dict().items()}
        return cls(info, state)

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Return the model in a file. Nothing in the file is executed.

        Raises
        ------
        ModelError
            If the file is missing, damaged, of another program or too new, or its weights do not fit its network.
        """
        info = read_info(path)
        _check_weight_count(info, read_header(Path(path)).numbers, str(path))
        try:
            weights = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} is damaged or cut off ({error}). Fetch it again.") from error
        checkpoint = cls(info, weights)
        checkpoint.net(str(path))
        return checkpoint

    def parts(self) -> tuple[str, bytes]:
        """Return the description and the weights (safetensors), to send them to another process."""
        return self.info.to_json(), save(dict(self.weights))

    @classmethod
    def from_parts(cls, text: str, data: bytes) -> Checkpoint:
        """Return the model from the result of `parts`. Nothing in it is executed."""
        return cls(ModelInfo.from_json(text), load(data))

    def original(self) -> Checkpoint:
        """Return the model with its original head; a model that was never taught is returned unchanged."""
        if not self.info.spec.original:
            return self
        weights = {k.removeprefix("trunk."): v for k, v in self.weights.items() if k.startswith("trunk.")}
        info = replace(self.info, spec=self.info.spec.trunk_spec, classes=self.info.original, original=(), origin=())
        return Checkpoint(info, weights)

    def net(self, name: str = "") -> Net:
        """Return the network with these weights, in evaluation mode.

        Raises
        ------
        ModelError
            If the weights are not those of the network in the description.
        """
        name = name or self.info.card.name
        _check_weight_count(self.info, sum(tensor.numel() for tensor in self.weights.values()), name)
        try:
            with torch.device("meta"):  # shapes only: the described network may be larger than the memory
                self.info.spec.build().load_state_dict(dict(self.weights), assign=True)
            with torch.random.fork_rng(devices=[]):  # building draws weights: keep the random state of the caller
                net = self.info.spec.build()
            net.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise ModelError(
                f"The weights in {name} do not belong to the network that it describes. "
                f"Fetch it again. ({str(error).splitlines()[-1].strip()})"
            ) from error
        return net.eval()

    def save(self, path: str | Path, inputs: Inputs = NO_INPUTS) -> None:
        """Write the model to ``path``; a crash leaves either the old file or the new one.

        Parameters
        ----------
        path : str or Path
            The file; an existing one is replaced.
        inputs : Inputs, optional
            Files that must not be replaced.

        Raises
        ------
        OutputError
            If the file cannot be written, or would overwrite one of the inputs.
        """
        path = Path(path)
        inputs.check_file(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(path, inputs) as part, part.open("xb") as file:  # closed before it is renamed
                file.write(save(dict(self.weights), metadata={KEY: _short(self.info).to_json()}))
                file.flush()
                os.fsync(file.fileno())
        except (OSError, SafetensorError) as error:
            raise OutputError(f"The model cannot be written to {path}: {error}. Choose another place.") from error

    @property
    def hash(self) -> str:
        """SHA-256 of network, normalisation, classes and weights, without the card."""
        info = replace(self.info, card=type(self.info.card)())
        digest = hashlib.sha256(info.to_json().encode())
        for name, tensor in sorted(self.weights.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            contiguous = tensor.contiguous()  # in C order, for any memory format
            digest.update((contiguous.float() if tensor.dtype == torch.bfloat16 else contiguous).numpy().tobytes())
        return digest.hexdigest()


def _short(info: ModelInfo) -> ModelInfo:
    """Return a description that fits into the header of a file: of a very long history, only the latest commits."""
    while len(info.to_json()) > MAX_HEADER // 2 and info.card.commits:
        commits = info.card.commits[len(info.card.commits) // 2 + 1 :]
        info = replace(info, card=replace(info.card, commits=commits))
    return info


def _check_weight_count(info: ModelInfo, count: int, name: str) -> None:
    """Raise ModelError if the described network has far more weights than there are, before it is built."""
    needed = count_parameters(info.spec)
    if needed > 2 * count + UNCHECKED_WEIGHTS:
        raise ModelError(
            f"The weights in {name} do not belong to the network that it describes, which has {needed:,}; there are "
            f"{count:,}. Fetch it again."
        )
