"""The part of the receptive field beyond the border, and the influence of padding."""

from itertools import pairwise

import net_contract
import numpy as np
import pytest
import torch
from net_contract import SPECS
from random_networks import probability_function, random_net
from torch import nn

from napari_fcn.events import BorderTrustDone
from napari_fcn.geometry import Region
from napari_fcn.nets import NetSpec
from napari_fcn.nets.validation import PADDINGS
from napari_fcn.receptive_fields.border import border_trust, distance_to_border, share_outside, with_padding
from napari_fcn.receptive_fields.effective import EffectiveField
from napari_fcn.receptive_fields.theoretical import analyze


def box(before: int, after: int, ndim: int) -> EffectiveField:
    """Return an effective field that is constant in its box."""
    region = Region((-before,) * ndim, (after + 1,) * ndim)
    return EffectiveField(region, np.full(region.shape, 1 / region.size, np.float32), (0,) * ndim, 0)


def trust(spec: NetSpec, shape: tuple[int, ...], used: EffectiveField) -> BorderTrustDone:
    net, image = random_net(spec), net_contract.noise(spec, shape)[0].numpy()
    answers = {padding: probability_function(with_padding(net, padding)) for padding in PADDINGS}
    *_, last = border_trust(answers, image, analyze(spec), used)
    assert isinstance(last, BorderTrustDone)
    return last


@pytest.mark.parametrize(("ndim", "shape"), [(1, (9,)), (2, (9, 4)), (3, (5, 6, 3))])
def test_the_fraction_outside_is_the_cropped_fraction(ndim: int, shape: tuple[int, ...]) -> None:
    used = box(2, 3, ndim)
    rng = np.random.default_rng(0)
    used.heat[:] = rng.random(used.heat.shape)
    result = share_outside(used, shape)
    for index in np.ndindex(shape):
        here = used.region.shift(index)
        inside = here.clip(shape).relative_to(here)
        assert result[index] == pytest.approx(1 - used.heat[inside.slices].sum() / used.heat.sum(), abs=1e-5)


def test_distance_to_the_border_is_in_pixels() -> None:
    np.testing.assert_array_equal(distance_to_border((5,)), [0, 1, 2, 1, 0])
    assert distance_to_border((9, 40))[4, 20] == 4


@pytest.mark.parametrize("name", ["unet-1d", "unet-2d", "unet-3d", "reflect", "replicate-3d"])
def test_padding_has_influence_near_the_border_only(name: str) -> None:
    spec = SPECS[name]
    field = analyze(spec).field
    shape = tuple(2 * max(field.size) + 9 for _ in range(spec.ndim)) if spec.ndim < 3 else (30, 31, 32)
    result = trust(spec, shape, box(2, 2, spec.ndim))
    far = distance_to_border(shape) > max(*field.before, *field.after)
    assert result.change[~far].max() > 1e-3
    assert not far.any() or result.change[far].max() < 1e-5
    assert 0 <= result.depth <= max(*field.before, *field.after) + 1
    assert result.outside.shape == result.change.shape == shape
    assert "is outside the image" in result.sentence


def test_all_pixels_of_an_image_smaller_than_the_field_are_near_the_border() -> None:
    result = trust(SPECS["unet-2d"], (12, 9), box(26, 26, 2))
    assert result.outside.min() > 0.5
    assert (result.change > 0).mean() > 0.9


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_changed_padding_equals_a_network_built_with_it(padding: str) -> None:
    spec = SPECS["unet-2d"]
    net = random_net(spec)
    built = random_net(NetSpec(**{**spec.to_dict(), "padding": padding}))
    x = net_contract.noise(spec, (21, 18))
    with torch.inference_mode():
        torch.testing.assert_close(with_padding(net, padding)(x), built(x))
    assert net.spec.padding == spec.padding  # type: ignore[union-attr]


def test_the_padding_of_an_external_network_can_be_changed() -> None:
    net = nn.Conv1d(1, 1, 3, padding=1)
    answers = [with_padding(net, padding)(torch.arange(1.0, 6)[None, None]) for padding in PADDINGS]
    for one, other in pairwise(answers):
        torch.testing.assert_close(one[..., 1:-1], other[..., 1:-1])
        assert not torch.equal(one, other)
    with pytest.raises(ValueError, match="circular"):
        with_padding(net, "circular")
