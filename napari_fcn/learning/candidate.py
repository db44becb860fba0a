"""A network that is fine-tuned in the background, and its evaluation on test strokes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.cancellation import with_heartbeat
from napari_fcn.errors import Advice, Note
from napari_fcn.events import CandidateEvaluated, Heartbeat, PinScore
from napari_fcn.learning import evaluation
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.learning.pins import agreement

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from napari_fcn.geometry import Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.finetune import FineTuner
    from napari_fcn.learning.pins import Pin

MAX_EVALUATIONS = 10**9  # more than any settings allow
MIN_HALF_SAMPLES = 10  # halves with fewer test samples are not compared
LOWER_RATE = Advice("Set a smaller --rate.", "Set a smaller learning rate under Advanced.")


@dataclass(slots=True, eq=False)
class Candidate:
    """A copy of the current network that is fine-tuned on earlier strokes and evaluated on the latest ones.

    Attributes
    ----------
    tuner : FineTuner
        Fine-tunes the copy.
    first_test_turn : int
        Strokes of earlier turns are for training, those from this turn on are test strokes.
    n_evaluations : int
        Number of evaluations so far.
    winner : InteractiveModel or None
        The snapshot that was better than the current model.
    snapshot : InteractiveModel or None
        The latest snapshot that was evaluated.
    scores : dict of str to float
        Accuracies of the last evaluation.
    """

    tuner: FineTuner
    first_test_turn: int
    n_evaluations: int = 0
    winner: InteractiveModel | None = None
    snapshot: InteractiveModel | None = None
    scores: dict[str, float] = field(default_factory=dict)
    _snapshot_step: int = 0  # steps done when the snapshot was made
    _evaluated_on: Samples | None = None

    def training_samples(self, samples: Samples) -> Samples:
        """Return the samples of the training strokes."""
        return samples.select(samples.turn < self.first_test_turn)

    def test_samples(self, samples: Samples) -> Samples:
        """Return the samples of the test strokes."""
        return samples.select(samples.turn >= self.first_test_turn)

    def has_no_training_samples(self, samples: Samples) -> bool:
        """Whether the training strokes were erased, so that the candidate cannot be evaluated."""
        return self.winner is None and len(np.unique(self.training_samples(samples).class_index)) < 2

    def was_trained_on(self, samples: Samples) -> bool:
        """Whether the head of the winner was fitted to exactly these samples."""
        return self._evaluated_on is samples

    def evaluate(
        self,
        current: InteractiveModel,
        samples: Samples,
        fit_options: tuple[float, int],
        pins: Sequence[Pin],
        view: Region,
    ) -> Generator[Heartbeat, None, CandidateEvaluated]:
        """Evaluate the candidate and the current model on the test strokes, and return the result.

        Both get a linear head that is fitted to the training strokes only; then the head of the candidate is fitted to
        all strokes. If the generator is closed early, nothing is decided.

        Parameters
        ----------
        current : InteractiveModel
            The current model.
        samples : Samples
            All strokes.
        fit_options : (float, int)
            Prior strength and seed for fitting the heads.
        pins : sequence of Pin
            Protected areas.
        view : Region
            Part of the image in which to report changes.
        """
        candidate = self._take_snapshot(current)
        if candidate is None:
            return self._diverged(view)
        for model in (current, candidate):
            for _ in model.compute_features(samples, view):
                yield Heartbeat("judge")
        scores_by_model = []
        for model in (current.clone(), candidate):
            scores_by_model.append((yield from self._score(model, samples, fit_options)))
        for _ in candidate.fit_full(samples, *fit_options):
            yield Heartbeat("judge")
        pin_scores = tuple(_pin_score(pin, current, candidate) for pin in pins)
        is_better, reason = evaluation.decide(list(zip(*scores_by_model, strict=True)), pin_scores)
        current_scores, candidate_scores = (results[0] for results in scores_by_model)
        before = current.classes(view)
        yield Heartbeat("judge")
        after = candidate.classes(view)
        yield Heartbeat("judge")
        changed = np.where(before != after, after + 1, 0).astype(np.uint8)
        changes = evaluation.changed_regions(before, after, view.start)
        self.n_evaluations += 1
        self.winner, self._evaluated_on = candidate if is_better else None, samples
        self.scores = {"accepted": current_scores.accuracy, "candidate": candidate_scores.accuracy}
        return CandidateEvaluated(
            current_scores.accuracy, candidate_scores.accuracy, pin_scores, is_better, reason, changes, view, changed
        )

    def refit_winner(self, samples: Samples, fit_options: tuple[float, int]) -> Iterator[Heartbeat]:
        """Fit the full head of the winner to all strokes, if there are new ones since the evaluation."""
        assert self.winner is not None
        if not self.was_trained_on(samples):
            yield from with_heartbeat("settle", self.winner.fit_full(samples, *fit_options))

    def _take_snapshot(self, current: InteractiveModel) -> InteractiveModel | None:
        """Return a snapshot of the candidate, the last one if no step was done since; None if it has diverged."""
        if self.snapshot is None or self._snapshot_step != self.tuner.steps_done:
            net = self.tuner.copy()
            if not all(bool(weight.isfinite().all()) for weight in net.state_dict().values()):
                return None
            self.snapshot = InteractiveModel(net, current.extractor, current.budget, current.prior, current.reference)
            self._snapshot_step = self.tuner.steps_done
        return self.snapshot

    def _diverged(self, view: Region) -> CandidateEvaluated:
        """Return the evaluation of a candidate whose weights are NaN or infinite; it is never evaluated again."""
        self.n_evaluations, self.winner = MAX_EVALUATIONS, None
        unchanged = np.zeros(view.shape, np.uint8)
        reason = Note("Training diverged: its weights are NaN or infinite.", LOWER_RATE)
        return CandidateEvaluated(0.0, 0.0, (), False, reason, (), view, unchanged)

    def _score(
        self, model: InteractiveModel, samples: Samples, fit_options: tuple[float, int]
    ) -> Generator[Heartbeat, None, list[evaluation.Scores]]:
        """Return the scores on all test strokes, and the mean score on each half after fitting the head without it."""
        test_samples = self.test_samples(samples)
        model.fit_without_hidden(self.training_samples(samples), *fit_options)
        scores = [evaluation.evaluate(model.logits(test_samples), model.labels(test_samples))]
        yield Heartbeat("judge")
        halves = evaluation.split_halves(test_samples)
        if all(len(half) >= MIN_HALF_SAMPLES for half in halves):
            half_scores = []
            for held_out in halves:
                remaining = samples.select(~np.isin(samples.pixel_index, held_out.pixel_index))
                model.fit_without_hidden(remaining, *fit_options)
                half_scores.append(evaluation.evaluate(model.logits(held_out), model.labels(held_out)))
                yield Heartbeat("judge")
            scores.append(evaluation.mean_scores(half_scores))
        return scores


def _pin_score(pin: Pin, current: InteractiveModel, candidate: InteractiveModel) -> PinScore:
    current_agreement, candidate_agreement = (
        agreement(model.classes(pin.region), pin.classes) for model in (current, candidate)
    )
    return PinScore(pin.name, current_agreement, candidate_agreement)
