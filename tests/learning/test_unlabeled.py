"""Pseudo-labels from the prior, and random unlabelled pixels."""

import numpy as np
import torch
from teaching_examples import SHAPE, halves, model_on, samples_of, tiny, with_confident_head

from napari_fcn.cancellation import run_to_end
from napari_fcn.learning.unlabeled import MAX_PSEUDO_LABELS, MAX_RANDOM, MAX_TILES, UnlabeledPixels
from napari_fcn.models.adapt import filters_only, make_teachable

CONFIDENT = with_confident_head(make_teachable(tiny(), sigmas=(0.7, 2.0)))


def test_pseudo_labels_are_confident_predictions_of_the_prior() -> None:
    model = model_on(CONFIDENT)
    unlabeled = UnlabeledPixels(model.features, model.prior)
    X, y = unlabeled.pseudo_labeled({1}, model.reference_tile)
    assert 0 < len(X) <= MAX_PSEUDO_LABELS
    assert set(y.tolist()) == {1}
    assert (model.prior.logits(X).softmax(1)[:, 1] > 0.75).all()
    assert len(unlabeled.pseudo_labeled(set(), model.reference_tile)[0]) == 0
    untrained = model_on(filters_only(2, 1))
    no_features, _ = UnlabeledPixels(untrained.features, untrained.prior).pseudo_labeled(
        {0, 1}, untrained.reference_tile
    )
    assert no_features.shape == (0, sum(n for _, n in filters_only(2, 1).net().widths))


def test_pseudo_labels_do_not_depend_on_the_fitted_head() -> None:
    model, fitted = model_on(CONFIDENT), model_on(CONFIDENT)
    fitted.fit_without_hidden(samples_of(SHAPE, 2, (1, 0)), 0.0, 0)
    from_unfitted, from_fitted = (
        UnlabeledPixels(p.features, p.prior).pseudo_labeled({0, 1}, p.reference_tile) for p in (model, fitted)
    )
    assert all(torch.equal(a, b) for a, b in zip(from_unfitted, from_fitted, strict=True))
    predicted = model.classes(model.reference_tile.core)
    assert set(from_unfitted[1].tolist()) <= set(np.unique(predicted).tolist())


def test_random_pixels_do_not_depend_on_earlier_draws_and_are_of_the_latest_tiles() -> None:
    shape = (64, 64 * (MAX_TILES + 2))
    image = halves(shape)
    first, second = (model_on(filters_only(2, 1), image) for _ in range(2))
    samples = samples_of(shape, 1)
    first_pixels = UnlabeledPixels(first.features, first.prior)
    everywhere = samples_of(shape, 3)
    run_to_end(first_pixels.random(everywhere))
    second_pixels = UnlabeledPixels(second.features, second.prior)
    assert torch.equal(run_to_end(first_pixels.random(samples)), run_to_end(second_pixels.random(samples)))
    assert len(run_to_end(second_pixels.random(samples))) % MAX_RANDOM == 0
    assert len(run_to_end(first_pixels.random(everywhere))) <= MAX_RANDOM * MAX_TILES
