"""The contract of every network: each function takes a spec and fails if its network breaks the contract.

A new family adds its specs to `SPECS` and passes.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from napari_fcn.geometry import Axes, ReceptiveField, Region, Tile, TilePlan
from napari_fcn.inference.backends import TorchBackend
from napari_fcn.inference.predictor import Predictor
from napari_fcn.inference.source import ImageSource
from napari_fcn.models.card import ClassLabel, ModelInfo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets import NetSpec
from napari_fcn.nets.fold import fold
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.settings import PredictSettings

Probabilities = npt.NDArray[np.float32]

EXACT = 1e-5  # maximum difference between tiles and the whole image
VISIBLE = 1e-4  # minimum of the largest difference if a condition of exactness is violated
LONG = {1: 163, 2: 97, 3: 71}  # length of one axis, by dimension: inner tiles have the whole halo on both sides
SHORT = {1: 1, 2: 25, 3: 7}  # length of the other axes, short to save time

SPECS = {
    "unet-1d": NetSpec(ndim=1, width=4, depth=2),
    "unet-2d": NetSpec(ndim=2, width=4, depth=2),
    "unet-3d": NetSpec(ndim=3, width=2, depth=2),
    "one-d-pools-of-4-and-8": NetSpec(ndim=1, width=2, depth=2, pool=((4,), (8,)), kernel=((5,), (3,), (1,))),
    "anisotropic-kernel": NetSpec(ndim=2, width=2, depth=1, kernel=((1, 3), (3, 5))),
    "anisotropic-pool": NetSpec(ndim=2, width=2, depth=2, pool=((1, 2), (2, 4)), kernel=(3, 3)),
    "anisotropic-stack": NetSpec(ndim=3, width=2, depth=2, kernel=((1, 3, 3), (3,), (3,)), pool=((1, 2, 2), (2,))),
    "reflect": NetSpec(ndim=2, width=2, depth=2, padding="reflect"),
    "reflect-wide-kernel": NetSpec(ndim=1, width=2, depth=1, kernel=((7,), (3,)), padding="reflect"),
    "replicate": NetSpec(ndim=2, width=2, depth=2, padding="replicate"),
    "reflect-3d": NetSpec(ndim=3, width=2, depth=1, padding="reflect"),
    "replicate-3d": NetSpec(ndim=3, width=2, depth=1, padding="replicate", up="transposed"),
    "transposed": NetSpec(ndim=2, width=2, depth=2, up="transposed"),
    "transposed-1d": NetSpec(ndim=1, width=2, depth=3, up="transposed", padding="replicate"),
    "no-norm": NetSpec(ndim=2, width=2, depth=2, norm="none"),
    "depth-0": NetSpec(ndim=2, width=4, depth=0),
    "depth-0-reflect": NetSpec(ndim=1, width=4, depth=0, kernel=5, padding="reflect", norm="none"),
    "channels-and-classes": NetSpec(ndim=2, channels=3, classes=5, width=2, depth=1),
    "dilated-steps": NetSpec(ndim=2, width=2, depth=3, dilate=2),
    "resunet-1d": NetSpec("resunet", ndim=1, width=2, depth=2),
    "resunet-2d": NetSpec("resunet", ndim=2, width=2, depth=2),
    "resunet-3d": NetSpec("resunet", ndim=3, width=2, depth=1, pool=((1, 2, 2),), kernel=((1, 3, 3), (3,))),
    "resunet-no-norm": NetSpec("resunet", ndim=2, width=2, depth=1, norm="none", padding="reflect"),
    "fcn-1d": NetSpec("fcn", ndim=1, width=2, depth=3),
    "fcn-2d": NetSpec("fcn", ndim=2, width=2, depth=3, classes=3),
    "fcn-3d": NetSpec("fcn", ndim=3, width=2, depth=2, pool=((1, 2, 2), (2,)), kernel=((1, 3, 3), (3,), (3,))),
    "fcn-32s": NetSpec("fcn", ndim=1, width=1, depth=5, skips=0),
    "fcn-16s": NetSpec("fcn", ndim=1, width=1, depth=5, skips=1),
    "fcn-8s": NetSpec("fcn", ndim=1, width=1, depth=5, skips=2),
    "fcn-pools-of-4-and-2": NetSpec("fcn", ndim=2, width=2, depth=2, pool=((2, 1), (4, 2)), padding="replicate"),
    "fcn-linear": NetSpec("fcn", ndim=2, width=2, depth=3, up="linear", padding="reflect"),
    "fcn-depth-0": NetSpec("fcn", ndim=2, width=2, depth=0),
    "dilated-1d": NetSpec("dilated", ndim=1, width=2, depth=4),
    "dilated-2d": NetSpec("dilated", ndim=2, width=2, depth=3),
    "dilated-3d": NetSpec("dilated", ndim=3, width=2, depth=2, pool=((1, 2, 2), (2,)), kernel=((1, 3, 3), (3,), (3,))),
    "dilated-reflect": NetSpec("dilated", ndim=2, width=2, depth=3, padding="reflect", norm="none"),
    "dilated-by-4": NetSpec("dilated", ndim=1, width=2, depth=2, pool=4, padding="replicate"),
    "deeplab-1d": NetSpec("deeplab", ndim=1, width=2, depth=3),
    "deeplab-2d": NetSpec("deeplab", ndim=2, width=2, depth=2, rates=(1, 3)),
    "deeplab-3d": NetSpec("deeplab", ndim=3, width=2, depth=2, rates=(2,), kernel=((1, 3, 3), (3,), (3,))),
    "deeplab-reflect": NetSpec("deeplab", ndim=1, width=2, depth=2, padding="reflect"),
    "deeplab-never-pools": NetSpec("deeplab", ndim=2, width=2, depth=1, dilate=1, rates=(1, 2)),
    "video-1d": NetSpec("video", ndim=1, width=2, depth=2, time=0),
    "video-2d": NetSpec("video", ndim=2, width=2, depth=2, pool=((1, 2), (1, 2))),
    "video-3d": NetSpec("video", ndim=3, width=2, depth=2, pool=((1, 2, 2), (2,))),
    "video-time-last": NetSpec("video", ndim=3, width=2, depth=1, time=2, kernel=((3, 3, 5), (1, 3, 3))),
    "video-reflect": NetSpec("video", ndim=2, width=2, depth=2, padding="reflect", norm="none", up="transposed"),
    "mbconv-1d": NetSpec("mbconv", ndim=1, width=2, depth=3),
    "mbconv-2d": NetSpec("mbconv", ndim=2, channels=3, width=2, depth=2, kernel=((3,), (3,), (5,)), colours=True),
    "mbconv-3d": NetSpec("mbconv", ndim=3, width=2, depth=2, pool=((1, 2, 2),), kernel=((3,), (1, 3, 3), (3,))),
    "mbconv-reflect": NetSpec("mbconv", ndim=2, width=2, depth=2, padding="reflect", norm="none", up="transposed"),
    "mbconv-dilated": NetSpec("mbconv", ndim=1, width=2, depth=3, dilate=2, padding="replicate"),
    "mbconv-pools-of-1-and-4": NetSpec("mbconv", ndim=1, width=2, depth=3, pool=((4,), (1,), (2,))),
    "full-3d-video": NetSpec(ndim=3, width=2, depth=1, time=0, pool=((1, 2, 2),)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread, which is faster for small networks; active in each module that imports it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(spec: NetSpec, seed: int = 0) -> nn.Module:
    """Return a network in evaluation mode, with random weights and running statistics, as after training."""
    generator = torch.Generator().manual_seed(seed)
    net = spec.build(generator)
    with torch.no_grad():
        for name, values in net.state_dict().items():
            if name.endswith(("running_var", "weight")) and values.ndim == 1:
                values.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith(("running_mean", "bias")):
                values.normal_(0, 0.3, generator=generator)
    return net.eval()


def info(spec: NetSpec, normaliser: Normaliser | None = None) -> ModelInfo:
    classes = tuple(ClassLabel(f"class {i}", "#000000") for i in range(spec.classes))
    return ModelInfo(spec, normaliser or Normaliser(), classes)


def checkpoint(spec: NetSpec, seed: int = 0, normaliser: Normaliser | None = None) -> Checkpoint:
    return Checkpoint.of(trained(spec, seed), info(spec, normaliser))


def noise(spec: NetSpec, shape: Sequence[int], seed: int = 0) -> Tensor:
    """Return a random input ``(1, channels, *shape)``."""
    return torch.randn(1, spec.channels, *shape, generator=torch.Generator().manual_seed(seed))


def predictor(spec: NetSpec, image: npt.NDArray[np.generic], device: str = "cpu") -> Predictor:
    """Return the network on an image ``(*space)``, or ``(C, *space)`` if it has several channels."""
    names = "cpqr"[: spec.ndim + 1] if spec.channels > 1 else "pqr"[: spec.ndim]
    axes = Axes(tuple(names), tuple("pqr"[: spec.ndim]), "c" if spec.channels > 1 else None)
    source = ImageSource.open(image, axes, spec.channels, PredictSettings())
    scaling = Normaliser("standard").fit(source.sample())
    backend = TorchBackend(trained(spec), torch.device(device), torch.float32)  # type: ignore[arg-type]
    return Predictor(backend, source, scaling)


def random_image(spec: NetSpec, shape: Sequence[int], seed: int = 0) -> npt.NDArray[np.float32]:
    """Return a random image for `predictor`."""
    block = noise(spec, shape, seed)[0].numpy()
    return block if spec.channels > 1 else block[0]


def join(tiles: Predictor, plan: TilePlan) -> Probabilities:
    """Return the joined predictions of all tiles of a plan."""
    events = list(tiles.run(plan, len(plan)))
    out = np.full((len(events[0].probabilities), *plan.shape), np.nan, np.float32)
    for event in events:
        out[(slice(None), *event.region.slices)] = event.probabilities
    return out


def whole(tiles: Predictor) -> Probabilities:
    """Return the prediction of the image in one piece."""
    region = Region.whole(tiles.source.shape)
    return tiles.tile(Tile(region, region))


def check_gradients(spec: NetSpec) -> None:
    net = spec.build(torch.Generator().manual_seed(0)).train()
    logits = net(torch.cat([noise(spec, [2 * n for n in spec.minimum], seed) for seed in range(2)]))
    logits.square().mean().backward()
    gradients = {name: p.grad for name, p in net.named_parameters()}
    assert all(g is not None and torch.isfinite(g).all() for g in gradients.values())
    assert any(g.abs().max() > 0 for g in gradients.values() if g is not None)


def check_training(spec: NetSpec, steps: int = 6) -> None:
    """Fit noise to its own sign for a few steps: the loss falls, and all weights are finite."""
    torch.manual_seed(0)
    net = spec.build(torch.Generator().manual_seed(0)).train()
    shape = [max(8, 2 * n) if n > 1 else 8 for n in spec.minimum]
    x = torch.cat([noise(spec, shape, seed) for seed in range(2)])
    target = (x[:, 0] > 0).long().clamp(max=spec.classes - 1)
    optimiser = torch.optim.Adam(net.parameters(), 0.02)
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert all(torch.isfinite(values).all() for values in net.state_dict().values())
    assert min(losses) < losses[0]


def check_output_shape(spec: NetSpec, shape: Sequence[int]) -> None:
    with torch.inference_mode():
        logits = trained(spec)(noise(spec, shape))
    assert logits.shape == (1, spec.classes, *shape)
    assert torch.isfinite(logits).all()


def check_save_and_load(spec: NetSpec, path: Path) -> None:
    saved = checkpoint(spec)
    saved.save(path)
    loaded = Checkpoint.load(path)
    assert loaded.info == saved.info
    assert loaded.hash == saved.hash
    x = noise(spec, spec.minimum)
    with torch.inference_mode():
        assert torch.equal(loaded.net()(x), trained(spec)(x))


def check_seed(spec: NetSpec) -> None:
    first, second, other = (spec.build(torch.Generator().manual_seed(seed)).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def check_folding(spec: NetSpec) -> None:
    net = trained(spec)
    folded = fold(net)  # type: ignore[arg-type]
    x = noise(spec, [2 * n for n in spec.minimum])
    with torch.inference_mode():
        assert (folded(x) - net(x)).abs().max() < EXACT * max(1.0, float(net(x).abs().max()))
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in folded.modules())


def check_tiles(spec: NetSpec, shape: Sequence[int], tile: Sequence[int]) -> None:
    """Tile lengths are rounded up to the pooling grid."""
    tiles = predictor(spec, random_image(spec, shape))
    lengths = tuple(-(-t // m) * m for t, m in zip(tile, spec.multiple, strict=True))
    joined = join(tiles, TilePlan(tuple(shape), lengths, theoretical(spec).halo, spec.multiple))
    assert np.abs(joined - whole(tiles)).max() <= EXACT


def check_receptive_field(spec: NetSpec) -> None:
    sides = [support(spec, axis) for axis in range(spec.ndim)]
    assert theoretical(spec) == ReceptiveField(tuple(a for a, _ in sides), tuple(b for _, b in sides))


def check_no_influence_outside(spec: NetSpec) -> None:
    field = theoretical(spec)
    for axis in range(spec.ndim):
        for side, change in influence(spec, axis, (-field.before[axis] - 1, field.after[axis] + 1)):
            assert change < 1e-12, (axis, side)


def influence(spec: NetSpec, axis: int, sides: tuple[int, ...]) -> Iterator[tuple[int, float]]:
    """Yield the change of the output at a pixel if the input at each offset changes, for each phase of the grid."""
    field, net = theoretical(spec), trained(spec).double()
    period = spec.multiple[axis]
    middle = -(-(field.before[axis] + 1) // period) * period
    length = middle + period + -(-(field.after[axis] + 1) // period) * period
    shape = [length if k == axis else spec.multiple[k] for k in range(spec.ndim)]
    x = noise(spec, shape).double()
    with torch.inference_mode():
        expected = net(x)
        for position, side in product(range(middle, middle + period), sides):
            changed = x.clone()
            changed.select(2 + axis, position + side).add_(5.0)
            yield side, float((net(changed) - expected).select(2 + axis, position).abs().max())


def support(spec: NetSpec, axis: int) -> tuple[int, int]:
    """Return the distances before and after a pixel within which the input has influence, at the worst phase.

    The network has positive weights in float64, so that nothing cancels. Each line of pixels across ``axis`` is made
    brighter in turn, and all outputs in one period of the pooling grid in the middle are compared.
    """
    net = _positive(spec)
    field, period = theoretical(spec), spec.multiple[axis]
    margin = max(field.before[axis], field.after[axis]) + 2 * period  # more than the theoretical field
    middle = -(-margin // period) * period
    length = middle + period + margin
    shape = [length if k == axis else spec.multiple[k] for k in range(spec.ndim)]
    before = after = 0
    baseline = net(torch.ones(1, spec.channels, *shape, dtype=torch.float64))
    for position in range(length):
        x = torch.ones(1, spec.channels, *shape, dtype=torch.float64)
        x.select(2 + axis, position).fill_(2)
        change = ((net(x) - baseline) / baseline).abs().amax([k for k in range(2 + spec.ndim) if k != 2 + axis])
        affected = (change[middle : middle + period] > 1e-13).nonzero()[:, 0] + middle
        if len(affected):
            before, after = max(before, int(affected.max()) - position), max(after, position - int(affected.min()))
    return before, after


@torch.no_grad()
def _positive(spec: NetSpec) -> nn.Module:
    net = spec.build().double().eval().requires_grad_(False)
    for name, values in net.named_parameters():
        values.fill_(0.0 if name.endswith("bias") else 1.0 / values[0].numel())
    return net
