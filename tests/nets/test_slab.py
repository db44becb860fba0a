"""Few planes of a volume, computed without the planes that later layers do not need."""

import numpy as np
import pytest
import torch
from net_contract import EXACT, SPECS, trained

from napari_fcn.nets.fold import fold
from napari_fcn.nets.layers import trimmed_planes
from napari_fcn.nets.slab import slab_work, supports_slabs
from napari_fcn.nets.spec import NetSpec
from napari_fcn.receptive_fields.theoretical import theoretical

VOLUMES = {
    "unet": NetSpec(ndim=3, width=2, depth=2, pool=((1, 2, 2), (1, 2, 2))),
    "unet-anisotropic": NetSpec(ndim=3, width=2, depth=1, pool=((1, 2, 2),), kernel=((1, 3, 3), (5, 3, 3))),
    "unet-transposed": NetSpec(ndim=3, width=2, depth=1, pool=((1, 2, 2),), up="transposed", norm="none"),
    "unet-reflect": NetSpec(ndim=3, width=2, depth=1, pool=((1, 2, 2),), padding="reflect"),
    "unet-replicate": NetSpec(ndim=3, width=2, depth=1, pool=((1, 2, 2),), padding="replicate"),
    "resunet": NetSpec("resunet", ndim=3, width=2, depth=1, pool=((1, 2, 2),)),
    "video": NetSpec("video", ndim=3, width=2, depth=2, pool=((1, 2, 2), (1, 2, 2))),
}


@pytest.mark.parametrize("place", ["middle", "first", "last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", VOLUMES)
def test_trimmed_planes_equal_those_of_the_whole_volume(name: str, dtype: torch.dtype, place: str) -> None:
    spec = VOLUMES[name]
    before, after = theoretical(spec).halo[0]
    planes = before + after + 4
    volume = torch.rand(1, 1, planes, 12, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    core = {"middle": (before + 1, before + 3), "first": (0, 2), "last": (planes - 2, planes)}[place]
    start, stop = max(0, core[0] - before), min(planes, core[1] + after)
    net = fold(trained(spec)).to(dtype)
    with torch.inference_mode():
        whole = net(volume)
        with trimmed_planes(start > 0, stop < planes):
            trimmed = net(volume[:, :, start:stop])
    first = core[0] if start else 0
    assert trimmed.shape[2] == (stop - start) - (before if start else 0) - (after if stop < planes else 0)
    difference = trimmed - whole[:, :, first : first + trimmed.shape[2]]
    assert difference.abs().max() <= EXACT


@pytest.mark.parametrize("name", VOLUMES)
def test_the_fewer_planes_are_right_the_more_work_is_left_out(name: str) -> None:
    spec = VOLUMES[name]
    halo = sum(theoretical(spec).halo[0])
    shares = [slab_work(spec, planes + halo, (True, True)) for planes in (1, 10, 1000)]
    assert 0 < shares[0] < shares[1] < shares[2] < 1
    assert shares[2] > 0.9
    assert shares[0] < slab_work(spec, 1 + halo, (False, True)) < slab_work(spec, 1 + halo, (False, False)) == 1


@pytest.mark.parametrize("name", ["unet-2d", "unet-3d", "fcn-3d", "dilated-3d", "deeplab-3d", "unet-1d"])
def test_other_networks_are_computed_whole(name: str) -> None:
    assert not supports_slabs(SPECS[name])
    assert slab_work(SPECS[name], 20, (True, True)) == 1


def test_a_network_is_not_trimmed_outside_of_the_context() -> None:
    spec = VOLUMES["unet"]
    net, volume = fold(trained(spec)), torch.rand(1, 1, 9, 8, 8)
    with torch.inference_mode():
        whole = net(volume)
        with pytest.raises(RuntimeError, match="cancelled"), trimmed_planes(True, True):
            raise RuntimeError("cancelled")
        np.testing.assert_array_equal(net(volume), whole)
