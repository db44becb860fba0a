"""Conversion of networks to OpenVINO, checked against PyTorch and stored on the disk for the next run."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_fcn.errors import FORWARD_ERRORS
from napari_fcn.inference.backends import softmax
from napari_fcn.inference.openvino_backend import compile_options, import_openvino, openvino_core, versions
from napari_fcn.nets.fold import fold
from napari_fcn.nets.layers import trimmed_planes
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.storage.atomic import write_file
from napari_fcn.system_errors import reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.nets import NetSpec
    from napari_fcn.nets.build import Net

TOLERANCE = 1e-5  # largest difference of a probability from PyTorch in float32
CACHE_BYTES = 2**29  # of compiled networks that are stored; those used longest ago are removed
CHECKSUM_BYTES = 16
SUFFIX = ".blob"


@dataclass(frozen=True, slots=True)
class CompiledNet:
    """A network as OpenVINO runs it, or why it cannot.

    Attributes
    ----------
    data : bytes
        The compiled network; empty if there is a problem.
    problem : str
        A sentence on why OpenVINO is not used for this network; empty if it is.
    """

    data: bytes = b""
    problem: str = ""


def load_or_compile(
    checkpoint: Checkpoint, dtype: torch.dtype, trim: tuple[bool, bool] = (False, False)
) -> tuple[CompiledNet, tuple[str, ...]]:
    """Return the compiled network of a model, and notes for the user on the folder where it is stored.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    dtype : torch.dtype
        Precision to compile for.
    trim : (bool, bool)
        Sides on which planes are left out, as in `nets.layers.trimmed_planes`.

    Raises
    ------
    DeviceError
        If OpenVINO is not installed.
    """
    outputs = ("distance",) if checkpoint.info.spec.distance else ()
    left_out = trim if any(trim) else ()
    facts = (checkpoint.hash, str(dtype), version("napari-fcn"), *versions(), *left_out, *outputs)
    path = cache_folder() / "openvino" / f"{blake2b(repr(facts).encode(), digest_size=16).hexdigest()}{SUFFIX}"
    notes: list[str] = []
    try:
        stored = _read(path)
    except OSError as error:
        stored = None
        notes.append(f"The compiled network {path} cannot be read: {reason(error)}. It is compiled again.")
    except ValueError:
        stored = None
        notes.append(f"The compiled network {path} is damaged. It is compiled again.")
    if stored is not None:
        return stored, ()
    compiled = compile_net(checkpoint.net(), dtype, trim)
    try:
        _write(path, compiled)
    except OSError as error:
        notes.append(
            f"The compiled network cannot be stored in {path.parent}: {reason(error)}. Each run compiles it again; set "
            "NAPARI_FCN_CACHE to a folder that can be written."
        )
    return compiled, tuple(notes)


def compile_net(net: Net, dtype: torch.dtype, trim: tuple[bool, bool] = (False, False)) -> CompiledNet:
    """Convert and compile a network, and compare it with PyTorch in float32.

    Probabilities are compared on a small random image, whose shape is not the one of the conversion.

    Parameters
    ----------
    net : Net
        The network, as trained.
    dtype : torch.dtype
        Precision to compile for.
    trim : (bool, bool)
        As for `load_or_compile`.
    """
    folded, spec, core = fold(net, with_distance=True), net.spec, openvino_core()
    x = torch.randn(2, spec.channels, *_small_shape(spec, 1, trim), generator=torch.Generator().manual_seed(0))
    try:
        model = _convert(folded, spec, trim)
        compiled = core.compile_model(model, "CPU", compile_options(torch.float32))
        found = softmax(torch.from_numpy(compiled([x.numpy()])[0]), spec.classes)
        if dtype is not torch.float32:
            compiled = core.compile_model(model, "CPU", compile_options(dtype))
        data = compiled.export_model().getvalue()
    except FORWARD_ERRORS as error:
        return CompiledNet(problem=f"OpenVINO cannot run this network ({_cause(error)}).")
    with torch.inference_mode(), trimmed_planes(*trim):
        expected = softmax(folded(x), spec.classes)
    difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
    if not difference <= TOLERANCE:
        return CompiledNet(
            problem=f"OpenVINO runs this network inexactly: probabilities differ by up to {difference:.1g}."
        )
    return CompiledNet(data)


def _convert(folded: Net, spec: NetSpec, trim: tuple[bool, bool]) -> Any:
    """Return the OpenVINO model of a network with folded norms, for inputs of any size on the pooling grid."""
    openvino = import_openvino()
    from openvino import frontend
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(1, spec.channels, *_small_shape(spec, 0, trim))
    with warnings.catch_warnings(), torch.inference_mode(), trimmed_planes(*trim):
        warnings.simplefilter("ignore")  # on values that the trace keeps; `compile_net` compares another shape
        traced = torch.jit.freeze(torch.jit.trace(folded, example, check_trace=False))
        decoder = TorchScriptPythonDecoder(traced, skip_freeze=True)  # in use until the conversion ends
    loader = frontend.FrontEndManager().load_by_framework("pytorch")
    try:
        model = loader.convert(loader.load(decoder))
    except (frontend.GeneralFailure, frontend.NotImplementedFailure, frontend.OpConversionFailure) as error:
        raise RuntimeError(str(error)) from error
    (parameter,) = model.get_parameters()
    parameter.set_element_type(openvino.Type.f32)
    parameter.set_partial_shape(openvino.PartialShape([-1, spec.channels, *[-1] * spec.ndim]))
    model.validate_nodes_and_infer_types()
    return model


def _cause(error: Exception) -> str:
    """Return the last line of a message of OpenVINO, which says what is wrong after those that say where."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _small_shape(spec: NetSpec, more: int, trim: tuple[bool, bool]) -> list[int]:
    """Return lengths on the pooling grid, all different if ``more`` is not 0; with planes that are left out."""
    pairs = zip(spec.multiple, spec.minimum, strict=True)
    shape = [m * (ceil(low / m) + 1 + more * axis) for axis, (m, low) in enumerate(pairs, start=more)]
    if any(trim):
        shape[0] += sum(theoretical(spec).halo[0])
    return shape


def cache_folder() -> Path:
    """Return the folder for files that can be made again: NAPARI_FCN_CACHE, else that of the system for the user."""
    if folder := os.environ.get("NAPARI_FCN_CACHE"):
        return Path(folder)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path("~/AppData/Local").expanduser()) / "napari-fcn" / "Cache"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/napari-fcn").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "napari-fcn"


def _read(path: Path) -> CompiledNet | None:
    """Return what is stored in a file, None if there is no file.

    Raises
    ------
    ValueError
        If the file is damaged.
    OSError
        If the system refuses.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    body = content[CHECKSUM_BYTES:]
    if _checksum(body) != content[:CHECKSUM_BYTES]:
        raise ValueError("the checksum is of another content")
    problem, _, data = body.partition(b"\n")
    with suppress(OSError):
        os.utime(path)
    return CompiledNet(data, problem.decode())


def _write(path: Path, compiled: CompiledNet) -> None:
    """Store a compiled network; remove those that were used longest ago, where there are too many."""
    body = compiled.problem.encode() + b"\n" + compiled.data
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, _checksum(body) + body)
    with suppress(OSError):
        for old in _superfluous(path.parent):
            old.unlink(missing_ok=True)


def _superfluous(folder: Path) -> Iterator[Path]:
    """Yield the files that exceed the size of the cache, those used longest ago."""
    total = 0
    files = [(path.stat(), path) for path in folder.glob(f"*{SUFFIX}")]
    for status, path in sorted(files, key=lambda pair: pair[0].st_mtime, reverse=True):
        total += status.st_size
        if total > CACHE_BYTES:
            yield path


def _checksum(body: bytes) -> bytes:
    return blake2b(body, digest_size=CHECKSUM_BYTES).digest()
