"""Whole networks that learn in the background, one candidate after the other, and when another one is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.learning.candidate import Candidate
from napari_fcn.learning.finetune import FineTuner, seed_of

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

    weights: Mapping[str, Tensor]
    last_evaluated_round: int
    attempt: int = 0
    current: Candidate | None = None

    @property
    def winner(self) -> Candidate | None:
        """The candidate, if it has won and waits to be accepted."""
        return self.current if self.current is not None and self.current.winner is not None else None

    @property
    def steps(self) -> int:
        """Steps that the candidate has learnt."""
        return self.current.tuner.steps_done if self.current else 0

    def next_evaluation(self, every: int) -> int:
        """Return after how many steps the candidate is judged next."""
        return ((self.current.n_evaluations if self.current else 0) + 1) * every

    def is_due(self, samples: Samples, turn: int, settings: TeachSettings) -> bool:
        """Whether a candidate could learn something and be examined."""
        candidate = self.current
        if settings.network == "off" or settings.keep == 1:
            return False
        if candidate is None and (self.last_evaluated_round >= turn or self.attempt >= settings.attempts):
            return False
        if self.winner is not None:
            return False  # it waits for the user
        early = samples.turn < (candidate.since if candidate else turn)
        return bool((~early).any()) and len(np.unique(samples.label[early])) > 1

    def run_steps(
        self, pupil: InteractiveModel, samples: Samples, turn: int, settings: TeachSettings, steps: int
    ) -> Iterator[Heartbeat | StepDone]:
        """Let a candidate learn until so many steps are done in all; without one, a copy of a pupil becomes it.

        Left before its first step is done, it is forgotten: it has learnt nothing.
        """
        if self.current is None:
            straight = pupil.clone()
            straight.fit_quick(samples, settings.keep, settings.seed)
            seed = seed_of(settings.seed, turn, self.attempt)
            self.current = Candidate(FineTuner(straight.net, straight.extractor, self.weights, settings, seed), turn)
        tuner = self.current.tuner
        try:
            yield from tuner.steps(self.current.training_samples(samples), steps)
        finally:
            if not tuner.steps_done:
                self.current = None

    def start_round(self, samples: Samples) -> None:
        """Go on with other strokes."""
        self.attempt = 0
        if self.current is not None and self.current.has_no_training_samples(samples):
            self.current = None

    def close(self, turn: int) -> None:
        """Be done with the candidate and the strokes of this turn."""
        self.current, self.last_evaluated_round = None, turn
        self.attempt += 1

    def discard(self, turn: int, attempts: int) -> None:
        """Be done with a candidate that did not win, after so many judgements."""
        if self.current is not None and self.current.winner is None and self.current.n_evaluations >= attempts:
            self.close(turn)

    def promote(self) -> None:
        """Be done with the candidate, for it is in use now."""
        self.current = None
        self.attempt += 1
