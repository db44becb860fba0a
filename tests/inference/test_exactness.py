"""The central promise: tiled inference equals whole-image inference, for every network, in every dimension.

And it holds for the reasons given: each of them taken away breaks it.
"""

import net_contract
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from net_contract import EXACT, SPECS, VISIBLE

from napari_fcn import api
from napari_fcn.geometry import TilePlan
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import theoretical

LOOPS = st.sampled_from([(), (2,), (1, 3)])
SPATIAL = {1: "x", 2: "yx", 3: "zyx"}


@st.composite
def jobs(draw: st.DrawFn) -> tuple[NetSpec, str, tuple[int, ...], tuple[int, ...]]:
    """Draw a network, the names and lengths of the axes of an image, and a tile."""
    spec = SPECS[draw(st.sampled_from(sorted(SPECS)))]
    long, short = net_contract.LONG[spec.ndim], net_contract.SHORT[spec.ndim]
    sizes = {name: draw(st.integers(1, short)) for name in SPATIAL[spec.ndim]}
    sizes[draw(st.sampled_from(SPATIAL[spec.ndim]))] = draw(st.integers(long // 2, long))
    sizes |= dict(zip("tp", draw(LOOPS), strict=False))
    if spec.channels > 1:
        sizes["c"] = spec.channels
    names = draw(st.permutations(sorted(sizes)))
    tile = tuple(draw(st.integers(5, long // 2)) for _ in range(draw(st.sampled_from([1, spec.ndim]))))
    return spec, "".join(names), tuple(sizes[name] for name in names), tile


@settings(max_examples=40)
@given(jobs())
def test_tiled_equals_whole(job: tuple[NetSpec, str, tuple[int, ...], tuple[int, ...]]) -> None:
    spec, names, shape, tile = job
    image = np.random.default_rng(0).normal(100, 30, shape)
    model = net_contract.checkpoint(spec)
    tiled = api.predict(image, model, names, tile=tile, device="cpu")
    at_once = api.predict(image, model, names, tile=(2**10,), device="cpu")
    assert np.abs(tiled - at_once).max() <= EXACT


@pytest.mark.parametrize("ndim", [1, 2])
def test_tiled_equals_whole_far_from_the_origin(ndim: int) -> None:
    spec = NetSpec(ndim=ndim, width=2, depth=2, padding="reflect")
    image = np.random.default_rng(0).normal(size=(5001, 9)[:ndim])
    model = net_contract.checkpoint(spec)
    tiled = api.predict(image, model, tile=(600,), device="cpu")
    assert np.abs(tiled - api.predict(image, model, tile=(2**13,), device="cpu")).max() <= EXACT


def test_loop_axes_are_predicted_index_by_index() -> None:
    image = np.random.default_rng(0).normal(size=(3, 20, 2, 17))
    spec = NetSpec(width=2, depth=1, padding="reflect")
    model = net_contract.checkpoint(spec, normaliser=Normaliser("none"))  # a plane is scaled as the whole stack is
    together = api.predict(image, model, "tyzx", device="cpu")
    for t, z in np.ndindex(3, 2):
        alone = api.predict(image[t, :, z], model, "yx", device="cpu")
        np.testing.assert_allclose(together[:, t, :, z], alone, atol=EXACT, rtol=0)


def broken(spec: NetSpec, tile: tuple[int, ...], halo: tuple[tuple[int, int], ...], multiple: tuple[int, ...]) -> float:
    """Return the largest error of a plan that keeps only some of the conditions."""
    tiles = net_contract.predictor(spec, image_for(spec))
    joined = net_contract.join(tiles, TilePlan(tiles.source.shape, tile, halo, multiple))
    return float(np.abs(joined - net_contract.whole(tiles)).max())


def image_for(spec: NetSpec) -> npt.NDArray[np.float32]:
    return net_contract.random_image(spec, {1: (301,), 2: (97, 101), 3: (45, 51, 49)}[spec.ndim])


@pytest.mark.parametrize(
    "name",
    [
        *("unet-1d", "unet-2d", "reflect", "replicate", "transposed", "no-norm", "replicate-3d"),
        *("resunet-2d", "fcn-2d", "fcn-linear", "deeplab-2d", "video-2d"),
    ],
)
def test_without_grid_alignment_tiles_are_not_exact(name: str) -> None:
    spec = SPECS[name]
    halo = theoretical(spec).halo
    off = tuple(32 + before + 1 for before, _ in halo)  # so that the second read starts at 33
    assert broken(spec, off, halo, (1,) * spec.ndim) > VISIBLE
    assert broken(spec, (32,) * spec.ndim, halo, spec.multiple) <= EXACT


@pytest.mark.parametrize(
    "name",
    [
        *("unet-1d", "unet-2d", "reflect", "replicate", "transposed", "no-norm", "depth-0"),
        *("resunet-2d", "fcn-2d", "dilated-1d", "dilated-2d", "deeplab-2d", "video-2d"),
    ],
)
def test_without_the_whole_halo_tiles_are_not_exact(name: str) -> None:
    spec = SPECS[name]
    halo = tuple((a // 3, b // 3) for a, b in theoretical(spec).halo)
    assert broken(spec, (32,) * spec.ndim, halo, spec.multiple) > VISIBLE


@pytest.mark.parametrize("side", [0, 1])
def test_both_sides_of_the_halo_are_needed(side: int) -> None:
    spec = SPECS["unet-2d"]
    halo = tuple((0, b) if side == 0 else (a, 0) for a, b in theoretical(spec).halo)
    assert broken(spec, (32, 32), halo, spec.multiple) > VISIBLE
