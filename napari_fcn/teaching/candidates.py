"""Whole networks that learn in the background, one candidate after the other, and when another one is due."""

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
    """The candidate that learns now, and how many there were before it.

    Attributes
    ----------
    weights : mapping of str to Tensor
        Those of the model at the start, which no candidate is to leave far behind.
    judged : int
        The last turn whose strokes have had their candidates.
    attempt : int
        Candidates of this turn that were decided.
    candidate : Candidate or None
        What learns now, or has won and waits.
    """

    start_weights: Mapping[str, Tensor]
    last_finished_turn: int
    n_attempts: int = 0
    current: Candidate | None = None

    @property
    def winner(self) -> Candidate | None:
        """The candidate, if it has won and waits to be accepted."""
        return self.current if self.current is not None and self.current.winner is not None else None

    @property
    def steps_done(self) -> int:
        """Steps that the candidate has learnt."""
        return self.current.tuner.steps_done if self.current else 0

    def next_evaluation_step(self, interval: int) -> int:
        """Return after how many steps the candidate is judged next."""
        return ((self.current.n_evaluations if self.current else 0) + 1) * interval

    def is_due(self, samples: Samples, turn: int, settings: TeachSettings) -> bool:
        """Whether a candidate could learn something and be examined."""
        candidate = self.current
        if settings.network == "off" or settings.keep == 1:
            return False
        if candidate is None and (self.last_finished_turn >= turn or self.n_attempts >= settings.attempts):
            return False
        if self.winner is not None:
            return False  # it waits for the user
        early = samples.turn < (candidate.first_test_turn if candidate else turn)
        return bool((~early).any()) and len(np.unique(samples.class_index[early])) > 1

    def run_steps(
        self, model: InteractiveModel, samples: Samples, turn: int, settings: TeachSettings, total_steps: int
    ) -> Iterator[Heartbeat | StepDone]:
        """Let a candidate learn until so many steps are done in all; without one, a copy of a pupil becomes it.

        Left before its first step is done, it is forgotten: it has learnt nothing.
        """
        if self.current is None:
            straight = model.clone()
            straight.fit_quick(samples, settings.keep, settings.seed)
            seed = candidate_seed(settings.seed, turn, self.n_attempts)
            self.current = Candidate(
                FineTuner(straight.net, straight.extractor, self.start_weights, settings, seed), turn
            )
        tuner = self.current.tuner
        try:
            yield from tuner.run_until(self.current.training_samples(samples), total_steps)
        finally:
            if not tuner.steps_done:
                self.current = None

    def start_round(self, samples: Samples) -> None:
        """Go on with other strokes."""
        self.n_attempts = 0
        if self.current is not None and self.current.has_no_training_samples(samples):
            self.current = None

    def finish_turn(self, turn: int) -> None:
        """Be done with the candidate and the strokes of this turn."""
        self.current, self.last_finished_turn = None, turn
        self.n_attempts += 1

    def discard_if_exhausted(self, turn: int, max_evaluations: int) -> None:
        """Be done with a candidate that did not win, after so many judgements."""
        if self.current is not None and self.current.winner is None and self.current.n_evaluations >= max_evaluations:
            self.finish_turn(turn)

    def promote(self) -> None:
        """Be done with the candidate, for it is in use now."""
        self.current = None
        self.n_attempts += 1
