"""Changes of classes and protected areas during a session, and invalid input."""

import numpy as np
import pytest
from teaching_examples import (
    CLASSES,
    FAST,
    HEADS,
    IMAGE,
    RIM,
    SHAPE,
    VIEW,
    candidates_of,
    new_teaching,
    painted,
    predict_whole,
    run,
    run_turn,
    tiny,
)

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Axes, Region
from napari_fcn.learning.annotations import Samples
from napari_fcn.models.card import ClassLabel
from napari_fcn.teaching import Teaching


def test_a_pin_outside_the_image_is_rejected() -> None:
    with pytest.raises(ImageError, match="outside the image"):
        new_teaching().pin(Region((100, 0), (110, 9)), "far")


def test_classes_are_reordered_added_and_removed_at_once() -> None:
    teaching = new_teaching()
    run_turn(teaching, 2)
    before = predict_whole(teaching)
    run(teaching.set_classes((CLASSES[1], RIM, CLASSES[0]), (1, None, 0)))
    after = predict_whole(teaching)
    assert after.shape[0] == 3
    assert after[1].max() < 0.01
    np.testing.assert_allclose(after[[2, 0]], before, atol=0.01)
    assert set(teaching.samples.class_index) == {0, 2}
    assert teaching.samples.counts(3) == (8, 0, 8)
    run(teaching.set_classes((CLASSES[0],), (2,)))
    assert teaching.samples.counts(1) == (8,)
    assert [c.kind for c in teaching.history.commits] == ["start", "head", "classes", "classes"]


def test_a_new_class_is_predicted_only_while_it_has_strokes() -> None:
    teaching = new_teaching()
    run_turn(teaching, 2)
    run(teaching.set_classes((*CLASSES, RIM), (0, 1, None)))
    labels = painted(SHAPE, 2)
    before = predict_whole(teaching)
    labels[20:28, 30:34] = 3
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    assert (predict_whole(teaching).argmax(0)[20:28, 30:34] == 2).mean() > 0.8
    labels[labels == 3] = 0
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    np.testing.assert_allclose(predict_whole(teaching)[2].max(), before[2].max(), atol=0.05)


def test_undo_restores_the_classes() -> None:
    teaching = new_teaching()
    run_turn(teaching, 1)
    run(teaching.set_classes((*CLASSES, RIM), (0, 1, None)))
    run(teaching.undo())
    assert teaching.classes == CLASSES
    run(teaching.redo())
    assert teaching.classes == (*CLASSES, RIM)


def test_pins_follow_the_class_indices() -> None:
    teaching = new_teaching()
    run_turn(teaching, 1)
    teaching.pin(Region((10, 20), (20, 44)), "middle")
    run(teaching.set_classes((CLASSES[1], CLASSES[0]), (1, 0)))
    (pin,) = teaching.pins
    assert np.array_equal(pin.classes, teaching.model.classes(pin.region))


def test_pins_follow_the_class_indices_of_a_restored_commit() -> None:
    teaching = new_teaching()
    run_turn(teaching, 1)
    run(teaching.set_classes((CLASSES[1], CLASSES[0]), (1, 0)))
    teaching.pin(Region((10, 20), (20, 44)), "middle")
    run(teaching.undo())
    (pin,) = teaching.pins
    assert np.array_equal(pin.classes, teaching.model.classes(pin.region))


def test_a_pin_of_removed_classes_protects_nothing() -> None:
    teaching = new_teaching(FAST)
    run_turn(teaching, 1)
    teaching.pin(VIEW, "all")
    run(teaching.set_classes((RIM, ClassLabel("debris", "#ffffff")), (None, None)))
    evaluations = candidates_of(teaching, 3)
    assert evaluations
    assert all(pin.accepted == pin.candidate == 1 for event in evaluations for pin in event.pins)


def test_a_stroke_of_an_unknown_class_is_rejected() -> None:
    labels = painted(SHAPE, 1)
    labels[0, 0] = 5
    teaching = new_teaching()
    with pytest.raises(ImageError, match=r"A stroke is of class 5; the model has 2 classes.*Add a class"):
        run(teaching.run_round(Samples.from_labels(labels), VIEW))
    assert teaching.turn == 0


def test_corrections_of_another_size_are_rejected() -> None:
    with pytest.raises(ImageError, match=r"The corrections are 48 x 65 px; the image is 48 x 64 px"):
        run(new_teaching().run_round(Samples.empty((48, 65)), VIEW))


def test_an_image_that_does_not_fit_the_model_is_rejected() -> None:
    with pytest.raises(ImageError, match="3-D model needs 3 axes"):
        Teaching(IMAGE, tiny(3), settings=HEADS)
    with pytest.raises(ImageError, match=r"The model is 2-D; the axes in space are x"):
        Teaching(IMAGE, tiny(), Axes(("t", "x"), ("x",)), HEADS)
