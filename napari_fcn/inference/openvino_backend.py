"""A network in OpenVINO, which is faster than PyTorch on a CPU."""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from napari_fcn.errors import Advice, DeviceError
from napari_fcn.inference.backends import memory_errors, softmax
from napari_fcn.nets import layers
from napari_fcn.receptive_fields.theoretical import theoretical

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from napari_fcn.nets import NetSpec

PRECISION_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}
TELEMETRY = "openvino_telemetry"
INSTALL = "Install it with pip install 'napari-fcn[openvino]'"


class OpenVinoBackend:
    """A network in OpenVINO on the CPU.

    One compilation serves all shapes: tiles of another shape than the last one cost a few milliseconds.

    Parameters
    ----------
    spec : NetSpec
        The network.
    compiled : bytes
        The network, as `openvino_compiler.compile_net` returns it.
    dtype : torch.dtype
        Precision that it is compiled for.
    compile_trimmed : callable, optional
        Returns the network compiled without planes on these sides, or None if that fails; called when it is needed.
    """

    label = "cpu, OpenVINO"

    def __init__(
        self,
        spec: NetSpec,
        compiled: bytes,
        dtype: torch.dtype,
        compile_trimmed: Callable[[tuple[bool, bool]], bytes | None] = lambda trim: None,
    ) -> None:
        self.device, self.dtype, self.classes = torch.device("cpu"), dtype, spec.classes
        self._spec, self._compiled = spec, compiled
        self._compile_trimmed = compile_trimmed
        self._trimmed: dict[tuple[bool, bool], OpenVinoBackend | None] = {}
        self._model: Any = None
        self._request: Any = None

    def probabilities(
        self, block: npt.NDArray[np.float32], crop: Sequence[slice] = (), trim: tuple[bool, bool] = (False, False)
    ) -> npt.NDArray[np.float32]:
        """Return the probabilities of a block; see `Backend.probabilities`."""
        trimmed = self._trimmed_backend(trim) if any(trim) else None
        return self._compute(block, crop) if trimmed is None else trimmed._compute(block, crop, trim)

    def _trimmed_backend(self, trim: tuple[bool, bool]) -> OpenVinoBackend | None:
        """Return the back end that leaves out planes on these sides, None if there is none."""
        if trim not in self._trimmed:
            compiled = self._compile_trimmed(trim)
            self._trimmed[trim] = None if compiled is None else OpenVinoBackend(self._spec, compiled, self.dtype)
        return self._trimmed[trim]

    def _compute(
        self, block: npt.NDArray[np.float32], crop: Sequence[slice], trim: tuple[bool, bool] = (False, False)
    ) -> npt.NDArray[np.float32]:
        """Return the probabilities of a crop, from a network that leaves out planes on these sides."""
        before, after = _left_out(self._spec, trim)
        with memory_errors(block.shape[2:], self.device), torch.inference_mode():
            x = layers.fill(torch.from_numpy(block), self._spec.multiple, self._spec.minimum)
            try:
                logits: Any = torch.from_numpy(self._infer(x.contiguous().numpy()))
                if logits.shape[2:] != (x.shape[2] - before - after, *x.shape[3:]):
                    raise MemoryError  # on one thread, its errors are lost
            except (RuntimeError, MemoryError):
                self._model = self._request = None  # unusable, also for smaller blocks
                raise
            inside = [slice(0, block.shape[2] - before - after), *(slice(0, n) for n in block.shape[3:])]
            if crop:
                crop = [slice(crop[0].start - before, crop[0].stop - before), *crop[1:]]
            return softmax(logits[(..., *inside)][(..., *crop)], self.classes)

    def release(self) -> None:
        """Free the memory of the activations."""
        for backend in (self, *self._trimmed.values()):
            if backend is not None and backend._model is not None:
                backend._request = None
                backend._model.release_memory()

    def _infer(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._model is None:
            self._model = openvino_core().import_model(io.BytesIO(self._compiled), "CPU", compile_options(self.dtype))
        if self._request is None:
            self._request = self._model.create_infer_request()
        logits: npt.NDArray[np.float32] = self._request.infer([x], share_inputs=True, share_outputs=True)[0]
        return logits


def _left_out(spec: NetSpec, trim: tuple[bool, bool]) -> tuple[int, int]:
    """Return the planes that a trimmed network leaves out, before and after."""
    if not any(trim):
        return 0, 0
    before, after = theoretical(spec).halo[0]
    return before * trim[0], after * trim[1]


def is_installed() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def import_openvino() -> Any:
    """Return the package of OpenVINO, imported without its telemetry, which reports imports and conversions.

    Raises
    ------
    DeviceError
        If it is not installed, or cannot be loaded.
    """
    is_first = TELEMETRY not in sys.modules
    if is_first:
        sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # its import fails, which OpenVINO allows for
    try:
        import openvino
    except (ImportError, OSError) as error:
        raise DeviceError(
            f"OpenVINO cannot be loaded ({error}).",
            Advice(f"{INSTALL}, or give --backend torch.", f"{INSTALL}, or choose the back end torch under Advanced."),
        ) from error
    finally:
        if is_first:
            del sys.modules[TELEMETRY]
    return openvino


def supports(dtype: torch.dtype) -> bool:
    """Whether OpenVINO computes in this precision on this CPU."""
    if dtype is torch.float32:
        return True
    return dtype is torch.bfloat16 and "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def versions() -> tuple[str, ...]:
    """Return what a compiled network is valid for: the versions of the libraries, and the processor."""
    name = openvino_core().get_property("CPU", "FULL_DEVICE_NAME")
    return import_openvino().__version__, torch.__version__, name


def openvino_core() -> Any:
    """Return a new entry to OpenVINO; errors as of `import_openvino`."""
    return import_openvino().Core()


def compile_options(dtype: torch.dtype) -> dict[str, Any]:
    """Return how a network is compiled: for one request at a time, on as many threads as PyTorch uses."""
    return {
        "INFERENCE_PRECISION_HINT": PRECISION_HINTS[dtype],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # pinned threads of several processes would share cores
    }
