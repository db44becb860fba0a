"""The size of training crops."""

import pytest
import torch

from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.settings import TrainSettings
from napari_fcn.training import patches
from napari_fcn.training.patches import choose_patch, training_bytes

CPU = torch.device("cpu")


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("depth", [1, 3, 4])
def test_a_crop_covers_the_receptive_field(ndim: int, depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "largest_run_budget", lambda: 2**50)
    spec = NetSpec(ndim=ndim, width=1, depth=depth)
    found = choose_patch(spec, [(2000,) * ndim], TrainSettings(), CPU)
    assert found.field == theoretical(spec).size
    assert all(p >= f and p % m == 0 for p, f, m in zip(found.patch, found.field, spec.multiple, strict=True))
    assert found.notes == ()


def test_a_crop_is_not_larger_than_the_images() -> None:
    spec = NetSpec(ndim=3, width=2, depth=2)
    assert choose_patch(spec, [(10, 30, 500), (16, 33, 400)], TrainSettings(), CPU).patch == (16, 36, 64)


def test_a_crop_that_does_not_fit_into_memory_is_smaller_and_the_user_is_informed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patches, "largest_run_budget", lambda: 50_000_000)
    found = choose_patch(NetSpec(width=8), [(1000, 1000)], TrainSettings(), CPU)
    assert max(found.patch) < 256
    assert "256 x 256 px do not fit into the free memory in batches of 4" in found.notes[0]
    assert "Crops of" in found.line
    cube = choose_patch(NetSpec(ndim=3, width=2, depth=2), [(300, 300, 300)], TrainSettings(), CPU)
    assert max(cube.patch) - min(cube.patch) <= 4  # the pooling grid


def test_a_stated_patch_is_used() -> None:
    found = choose_patch(NetSpec(ndim=3, width=2, depth=1), [(9, 9, 9)], TrainSettings(patch=(4, 8, 8)), CPU)
    assert found.patch == (4, 8, 8)


def test_the_memory_of_training_is_that_of_the_kept_tensors() -> None:
    narrow, wide = (training_bytes(NetSpec(width=width, depth=2)) for width in (4, 16))
    assert 2 < wide / narrow < 6
    net = NetSpec(width=16, depth=2).build().train()
    held = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t) or t, lambda t: t):
        net(torch.zeros(1, 1, 128, 128))
    kept = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in held}
    assert training_bytes(NetSpec(width=16, depth=2)) * 128**2 == pytest.approx(2 * sum(kept.values()), rel=0.3)
