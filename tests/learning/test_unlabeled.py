"""A head learns from pixels that nobody painted, too: those that the model was sure of, and any at all."""

from typing import Any

import numpy as np
import torch
from teaching_examples import halves, samples_of, tiny, view_of

from napari_fcn.learning import head
from napari_fcn.learning.cancellation import run_to_end
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.learning.unlabeled import MAX_PSEUDO_LABELS, MAX_RANDOM, MAX_TILES, UnlabeledPixels
from napari_fcn.models.adapt import filters_only, make_teachable
from napari_fcn.models.checkpoint import Checkpoint

SHAPE = (48, 64)
IMAGE = halves(SHAPE)


def pupil_of(model: Checkpoint, image: Any = IMAGE) -> InteractiveModel:
    net: Any = model.net()
    shape = image.shape
    return InteractiveModel(
        net, view_of(image, model.info.spec), 2**30, head.read_head(net), tuple(n // 2 for n in shape)
    )


def sure() -> Checkpoint:
    """Return a model that tells the halves apart."""
    model = make_teachable(tiny(), sigmas=(0.7, 2.0))
    weights = {k: torch.zeros_like(w) if k.startswith("heads") else w for k, w in model.weights.items()}
    weights["heads.0.weight"][:2] = torch.tensor([-6.0, 6.0]).reshape(2, 1, 1, 1)
    return Checkpoint(model.info, weights)


def test_the_rehearsal_is_of_pixels_that_the_model_was_sure_of() -> None:
    pupil = pupil_of(sure())
    unpainted = UnlabeledPixels(pupil.features, pupil.prior)
    rows, label = unpainted.pseudo_labeled({1}, pupil.reference_tile)
    assert 0 < len(rows) <= MAX_PSEUDO_LABELS
    assert set(label.tolist()) == {1}
    assert (pupil.prior.logits(rows).softmax(1)[:, 1] > 0.75).all()
    assert len(unpainted.pseudo_labeled(set(), pupil.reference_tile)[0]) == 0
    blank = pupil_of(filters_only(2, 1))
    nothing, _ = UnlabeledPixels(blank.features, blank.prior).pseudo_labeled({0, 1}, blank.reference_tile)
    assert nothing.shape == (0, sum(n for _, n in filters_only(2, 1).net().widths))


def test_the_prior_answers_as_it_does_in_use_whatever_the_head_has_learnt() -> None:
    pupil, used = pupil_of(sure()), pupil_of(sure())
    used.fit_without_hidden(samples_of(SHAPE, 2, (1, 0)), 0.0, 0)
    one, other = (UnlabeledPixels(p.features, p.prior).pseudo_labeled({0, 1}, p.reference_tile) for p in (pupil, used))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    inside = pupil.classes(pupil.reference_tile.core)
    assert set(one[1].tolist()) <= set(np.unique(inside).tolist())


def test_free_pixels_are_the_same_whenever_they_are_drawn_and_of_the_latest_tiles() -> None:
    shape = (64, 64 * (MAX_TILES + 2))
    image = halves(shape)
    first, second = (pupil_of(filters_only(2, 1), image) for _ in range(2))
    samples = samples_of(shape, 1)
    one = UnlabeledPixels(first.features, first.prior)
    everywhere = samples_of(shape, 3)
    run_to_end(one.random(everywhere))
    other = UnlabeledPixels(second.features, second.prior)
    assert torch.equal(run_to_end(one.random(samples)), run_to_end(other.random(samples)))
    assert len(run_to_end(other.random(samples))) % MAX_RANDOM == 0
    assert len(run_to_end(one.random(everywhere))) <= MAX_RANDOM * MAX_TILES
