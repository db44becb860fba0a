"""Scheduling of candidates: networks that are fine-tuned in the background, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.learning.candidate import Candidate
from napari_fcn.learning.finetune import FineTuner, candidate_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from napari_fcn.events import Heartbeat, StepDone
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.interactive_model import InteractiveModel
    from napari_fcn.settings import TeachSettings


@dataclass(slots=True, eq=False)
class CandidateScheduler:
    """The current candidate, and the state that decides when the next one is due.

    Attributes
    ----------
    start_weights : mapping of str to Tensor
        Weights of the initial model, towards which candidates are regularised.
    last_finished_turn : int
        The last turn that needs no further candidates.
    n_attempts : int
        Number of candidates of this turn that were accepted or dropped.
    current : Candidate or None
        The candidate in training, or waiting to be accepted.
    """

    start_weights: Mapping[str, Tensor]
    last_finished_turn: int
    n_attempts: int = 0
    current: Candidate | None = None

    @property
    def winner(self) -> Candidate | None:
        """The candidate, if it was better and waits to be accepted."""
        return self.current if self.current is not None and self.current.winner is not None else None

    @property
    def steps_done(self) -> int:
        """Fine-tuning steps of the candidate so far."""
        return self.current.tuner.steps_done if self.current else 0

    def next_evaluation_step(self, interval: int) -> int:
        """Return the number of steps after which the candidate is evaluated next."""
        return ((self.current.n_evaluations if self.current else 0) + 1) * interval

    def is_due(self, samples: Samples, turn: int, settings: TeachSettings) -> bool:
        """Whether a candidate should be fine-tuned: it has training strokes of two classes, and test strokes."""
        candidate = self.current
        if settings.network == "off" or settings.keep == 1:
            return False
        if candidate is None and (self.last_finished_turn >= turn or self.n_attempts >= settings.attempts):
            return False
        if self.winner is not None:
            return False  # it waits to be accepted
        is_training = samples.turn < (candidate.first_test_turn if candidate else turn)
        return bool((~is_training).any()) and len(np.unique(samples.class_index[is_training])) > 1

    def run_steps(
        self, model: InteractiveModel, samples: Samples, turn: int, settings: TeachSettings, total_steps: int
    ) -> Iterator[Heartbeat | StepDone]:
        """Fine-tune the candidate up to ``total_steps`` steps; if there is none, start from a copy of ``model``.

        The candidate is dropped if the generator is closed before the first step is done.
        """
        if self.current is None:
            initial = model.clone()
            initial.fit_without_hidden(samples, settings.keep, settings.seed)
            seed = candidate_seed(settings.seed, turn, self.n_attempts)
            self.current = Candidate(
                FineTuner(initial.net, initial.extractor, self.start_weights, settings, seed), turn
            )
        tuner = self.current.tuner
        try:
            yield from tuner.run_until(self.current.training_samples(samples), total_steps)
        finally:
            if not tuner.steps_done:
                self.current = None

    def start_round(self, samples: Samples) -> None:
        """Start a turn with new strokes; a candidate whose training strokes were erased is dropped."""
        self.n_attempts = 0
        if self.current is not None and self.current.has_no_training_samples(samples):
            self.current = None

    def finish_turn(self, turn: int) -> None:
        """Drop the candidate; this turn needs no further candidates."""
        self.current, self.last_finished_turn = None, turn
        self.n_attempts += 1

    def discard_if_exhausted(self, turn: int, max_evaluations: int) -> None:
        """Drop a candidate that was not better in ``max_evaluations`` evaluations."""
        if self.current is not None and self.current.winner is None and self.current.n_evaluations >= max_evaluations:
            self.finish_turn(turn)

    def promote(self) -> None:
        """Remove the candidate after it became the current model."""
        self.current = None
        self.n_attempts += 1
