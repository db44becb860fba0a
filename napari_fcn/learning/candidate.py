"""A whole network that learns in the background, and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.events import PinScore, UpdateReady
from napari_fcn.learning import guard
from napari_fcn.learning.pupil import Pupil

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.geometry import Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.finetune import FineTuner

JUDGED_ENOUGH = 10**9  # attempts that no settings allow
LONG = 10  # samples that half of an examination needs to tell something


@dataclass(slots=True, eq=False)
class Candidate:
    """A copy of the accepted network that learns from earlier strokes, to be examined on the latest.

    Attributes
    ----------
    tuner : FineTuner
        What makes it.
    since : int
        It learns from strokes of earlier turns; those of this turn on are its examination.
    judged : int
        How often it was judged.
    pupil : Pupil or None
        What won, once something did.
    marks : dict of str to float
        The last examination.
    """

    tuner: FineTuner
    since: int
    judged: int = 0
    pupil: Pupil | None = None
    marks: dict[str, float] = field(default_factory=dict)

    def lesson(self, samples: Samples) -> Samples:
        """Return the strokes that it learns from."""
        return samples.where(samples.turn < self.since)

    def exam(self, samples: Samples) -> Samples:
        """Return the strokes on which it is examined."""
        return samples.where(samples.turn >= self.since)

    def is_lost(self, samples: Samples) -> bool:
        """Whether what it learnt from was erased, so that it can never be judged."""
        return self.pupil is None and len(np.unique(self.lesson(samples).label)) < 2

    def judge(
        self, accepted: Pupil, samples: Samples, learn: tuple[float, int], pins: Sequence[guard.Pin], view: Region
    ) -> UpdateReady:
        """Examine it and the accepted network on strokes that neither has learnt from.

        Both get a head that was fitted to the earlier strokes alone; the network that wins is then fitted to all.

        Parameters
        ----------
        accepted : Pupil
            The network in use.
        samples : Samples
            All strokes.
        learn : (float, int)
            Slider and seed for the heads.
        pins : sequence of Pin
            What must stay right.
        view : Region
            Where to tell what changes.
        """
        net = self.tuner.copy()
        if not all(bool(weight.isfinite().all()) for weight in net.state_dict().values()):
            return self._diverged(view)
        rival = Pupil(net, accepted.view, accepted.budget, accepted.prior, accepted.reference)
        marks = list(zip(*(self._marks(pupil, samples, learn) for pupil in (accepted.twin(), rival)), strict=True))
        rival.learn(samples, *learn)
        scores = tuple(_pin_score(pin, accepted, rival) for pin in pins)
        is_better, reason = guard.verdict(marks, scores)
        ours, its = marks[0]
        self.judged += 1
        self.pupil = rival if is_better else None
        self.marks = {"accepted": ours.right, "candidate": its.right}
        before, after = accepted.classes(view), rival.classes(view)
        changed = np.where(before != after, after + 1, 0).astype(np.uint8)
        places = guard.changes(before, after, view.start)
        return UpdateReady(ours.right, its.right, scores, is_better, reason, places, view, changed)

    def _diverged(self, view: Region) -> UpdateReady:
        """Return the judgement of a network whose weights are no numbers any more; it can never be used."""
        self.judged, self.pupil = JUDGED_ENOUGH, None
        unchanged = np.zeros(view.shape, np.uint8)
        reason = "Its weights grew without bound. Set a smaller learning rate under Advanced."
        return UpdateReady(0.0, 0.0, (), False, reason, (), view, unchanged)

    def _marks(self, pupil: Pupil, samples: Samples, learn: tuple[float, int]) -> list[guard.Marks]:
        """Return the examination of a network whose head knows the earlier strokes, and then half of the new ones."""
        exam = self.exam(samples)
        pupil.learn(self.lesson(samples), *learn)
        found = [guard.examine(pupil.logits(exam), pupil.labels(exam))]
        halves = guard.halves(exam)
        if all(len(half) >= LONG for half in halves):
            crossed = []
            for unseen in halves:
                pupil.learn(samples.where(~np.isin(samples.index, unseen.index)), *learn)
                crossed.append(guard.examine(pupil.logits(unseen), pupil.labels(unseen)))
            found.append(guard.mean(crossed))
        return found


def _pin_score(pin: guard.Pin, accepted: Pupil, rival: Pupil) -> PinScore:
    now, then = (guard.agreement(pupil.classes(pin.region), pin.classes) for pupil in (accepted, rival))
    return PinScore(pin.name, now, then)
