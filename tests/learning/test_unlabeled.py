"""A head learns from pixels that nobody painted, too: those that the model was sure of, and any at all."""

from typing import Any

import numpy as np
import torch
from lessons import halves, samples_of, tiny, view_of

from napari_fcn.learning import head
from napari_fcn.learning.cancellation import ended
from napari_fcn.learning.interactive_model import Pupil
from napari_fcn.learning.unlabeled import FREE, REHEARSED, TILES, Unpainted
from napari_fcn.models.adapt import filters_only, teachable
from napari_fcn.models.checkpoint import Checkpoint

SHAPE = (48, 64)
IMAGE = halves(SHAPE)


def pupil_of(model: Checkpoint, image: Any = IMAGE) -> Pupil:
    net: Any = model.net()
    shape = image.shape
    return Pupil(net, view_of(image, model.info.spec), 2**30, head.read(net), tuple(n // 2 for n in shape))


def sure() -> Checkpoint:
    """Return a model that tells the halves apart."""
    model = teachable(tiny(), sigmas=(0.7, 2.0))
    weights = {k: torch.zeros_like(w) if k.startswith("heads") else w for k, w in model.weights.items()}
    weights["heads.0.weight"][:2] = torch.tensor([-6.0, 6.0]).reshape(2, 1, 1, 1)
    return Checkpoint(model.info, weights)


def test_the_rehearsal_is_of_pixels_that_the_model_was_sure_of() -> None:
    pupil = pupil_of(sure())
    unpainted = Unpainted(pupil.features, pupil.prior)
    rows, label = unpainted.sure({1}, pupil.reference_tile)
    assert 0 < len(rows) <= REHEARSED
    assert set(label.tolist()) == {1}
    assert (pupil.prior.logits(rows).softmax(1)[:, 1] > 0.75).all()
    assert len(unpainted.sure(set(), pupil.reference_tile)[0]) == 0
    blank = pupil_of(filters_only(2, 1))
    nothing, _ = Unpainted(blank.features, blank.prior).sure({0, 1}, blank.reference_tile)
    assert nothing.shape == (0, sum(n for _, n in filters_only(2, 1).net().widths))


def test_the_prior_answers_as_it_does_in_use_whatever_the_head_has_learnt() -> None:
    pupil, used = pupil_of(sure()), pupil_of(sure())
    used.learn(samples_of(SHAPE, 2, (1, 0)), 0.0, 0)
    one, other = (Unpainted(p.features, p.prior).sure({0, 1}, p.reference_tile) for p in (pupil, used))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    inside = pupil.classes(pupil.reference_tile.core)
    assert set(one[1].tolist()) <= set(np.unique(inside).tolist())


def test_free_pixels_are_the_same_whenever_they_are_drawn_and_of_the_latest_tiles() -> None:
    shape = (64, 64 * (TILES + 2))
    image = halves(shape)
    first, second = (pupil_of(filters_only(2, 1), image) for _ in range(2))
    samples = samples_of(shape, 1)
    one = Unpainted(first.features, first.prior)
    everywhere = samples_of(shape, 3)
    ended(one.free(everywhere))
    other = Unpainted(second.features, second.prior)
    assert torch.equal(ended(one.free(samples)), ended(other.free(samples)))
    assert len(ended(other.free(samples))) % FREE == 0
    assert len(ended(one.free(everywhere))) <= FREE * TILES
