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

    from napari_fcn.events import StepDone, Working
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.interactive_model import Pupil
    from napari_fcn.settings import TeachSettings


@dataclass(slots=True, eq=False)
class Trials:
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
    judged: int
    attempt: int = 0
    candidate: Candidate | None = None

    @property
    def winner(self) -> Candidate | None:
        """The candidate, if it has won and waits to be accepted."""
        return self.candidate if self.candidate is not None and self.candidate.pupil is not None else None

    @property
    def steps(self) -> int:
        """Steps that the candidate has learnt."""
        return self.candidate.tuner.done if self.candidate else 0

    def next_judgement(self, every: int) -> int:
        """Return after how many steps the candidate is judged next."""
        return ((self.candidate.judged if self.candidate else 0) + 1) * every

    def are_due(self, samples: Samples, turn: int, settings: TeachSettings) -> bool:
        """Whether a candidate could learn something and be examined."""
        candidate = self.candidate
        if settings.network == "off" or settings.keep == 1:
            return False
        if candidate is None and (self.judged >= turn or self.attempt >= settings.attempts):
            return False
        if self.winner is not None:
            return False  # it waits for the user
        early = samples.turn < (candidate.since if candidate else turn)
        return bool((~early).any()) and len(np.unique(samples.label[early])) > 1

    def study(
        self, pupil: Pupil, samples: Samples, turn: int, settings: TeachSettings, steps: int
    ) -> Iterator[Working | StepDone]:
        """Let a candidate learn until so many steps are done in all; without one, a copy of a pupil becomes it.

        Left before its first step is done, it is forgotten: it has learnt nothing.
        """
        if self.candidate is None:
            straight = pupil.twin()
            straight.learn(samples, settings.keep, settings.seed)
            seed = seed_of(settings.seed, turn, self.attempt)
            self.candidate = Candidate(FineTuner(straight.net, straight.view, self.weights, settings, seed), turn)
        tuner = self.candidate.tuner
        try:
            yield from tuner.steps(self.candidate.lesson(samples), steps)
        finally:
            if not tuner.done:
                self.candidate = None

    def begin_turn(self, samples: Samples) -> None:
        """Go on with other strokes."""
        self.attempt = 0
        if self.candidate is not None and self.candidate.is_lost(samples):
            self.candidate = None

    def close(self, turn: int) -> None:
        """Be done with the candidate and the strokes of this turn."""
        self.candidate, self.judged = None, turn
        self.attempt += 1

    def give_up(self, turn: int, attempts: int) -> None:
        """Be done with a candidate that did not win, after so many judgements."""
        if self.candidate is not None and self.candidate.pupil is None and self.candidate.judged >= attempts:
            self.close(turn)

    def take(self) -> None:
        """Be done with the candidate, for it is in use now."""
        self.candidate = None
        self.attempt += 1
