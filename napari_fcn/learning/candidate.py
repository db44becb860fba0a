"""A whole network that learns in the background, and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.errors import Advice, Note
from napari_fcn.events import PinScore, UpdateReady, Working
from napari_fcn.learning import evaluation
from napari_fcn.learning.interactive_model import Pupil
from napari_fcn.learning.pins import agreement

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_fcn.geometry import Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.finetune import FineTuner
    from napari_fcn.learning.pins import Pin

JUDGED_ENOUGH = 10**9  # attempts that no settings allow
LONG = 10  # samples that half of an examination needs to tell something
SLOWER = Advice("Set a smaller --rate.", "Set a smaller learning rate under Advanced.")


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
    rival : Pupil or None
        What is or was examined last.
    marks : dict of str to float
        The last examination.
    """

    tuner: FineTuner
    since: int
    judged: int = 0
    pupil: Pupil | None = None
    rival: Pupil | None = None
    marks: dict[str, float] = field(default_factory=dict)
    _examined: int = 0  # steps after which the rival was taken
    _known: Samples | None = None

    def lesson(self, samples: Samples) -> Samples:
        """Return the strokes that it learns from."""
        return samples.where(samples.turn < self.since)

    def exam(self, samples: Samples) -> Samples:
        """Return the strokes on which it is examined."""
        return samples.where(samples.turn >= self.since)

    def is_lost(self, samples: Samples) -> bool:
        """Whether what it learnt from was erased, so that it can never be judged."""
        return self.pupil is None and len(np.unique(self.lesson(samples).label)) < 2

    def knows(self, samples: Samples) -> bool:
        """Whether what won has learnt from just these strokes."""
        return self._known is samples

    def judge(
        self, accepted: Pupil, samples: Samples, learn: tuple[float, int], pins: Sequence[Pin], view: Region
    ) -> Generator[Working, None, UpdateReady]:
        """Examine it and the accepted network on strokes that neither has learnt from, and return what came out.

        Both get a linear head that was fitted to the earlier strokes alone; then the head of the new network learns
        from all. Nothing is decided if it is stopped before the end.

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
        rival = self._rival(accepted)
        if rival is None:
            return self._diverged(view)
        for pupil in (accepted, rival):
            for _ in pupil.look(samples, view):
                yield Working("judge")
        marks = []
        for pupil in (accepted.twin(), rival):
            marks.append((yield from self._marks(pupil, samples, learn)))
        for _ in rival.settle(samples, *learn):
            yield Working("judge")
        scores = tuple(_pin_score(pin, accepted, rival) for pin in pins)
        is_better, reason = evaluation.verdict(list(zip(*marks, strict=True)), scores)
        ours, its = (found[0] for found in marks)
        before = accepted.classes(view)
        yield Working("judge")
        after = rival.classes(view)
        yield Working("judge")
        changed = np.where(before != after, after + 1, 0).astype(np.uint8)
        places = evaluation.changes(before, after, view.start)
        self.judged += 1
        self.pupil, self._known = rival if is_better else None, samples
        self.marks = {"accepted": ours.right, "candidate": its.right}
        return UpdateReady(ours.right, its.right, scores, is_better, reason, places, view, changed)

    def _rival(self, accepted: Pupil) -> Pupil | None:
        """Return the network as it is now, with the features of an examination cut short; None if it is lost."""
        if self.rival is None or self._examined != self.tuner.done:
            net = self.tuner.copy()
            if not all(bool(weight.isfinite().all()) for weight in net.state_dict().values()):
                return None
            self.rival = Pupil(net, accepted.view, accepted.budget, accepted.prior, accepted.reference)
            self._examined = self.tuner.done
        return self.rival

    def _diverged(self, view: Region) -> UpdateReady:
        """Return the judgement of a network whose weights are no numbers any more; it can never be used."""
        self.judged, self.pupil = JUDGED_ENOUGH, None
        unchanged = np.zeros(view.shape, np.uint8)
        reason = Note("Its weights grew without bound.", SLOWER)
        return UpdateReady(0.0, 0.0, (), False, reason, (), view, unchanged)

    def _marks(
        self, pupil: Pupil, samples: Samples, learn: tuple[float, int]
    ) -> Generator[Working, None, list[evaluation.Marks]]:
        """Return the examination of a network whose head knows the earlier strokes, and then half of the new ones."""
        exam = self.exam(samples)
        pupil.learn(self.lesson(samples), *learn)
        found = [evaluation.examine(pupil.logits(exam), pupil.labels(exam))]
        yield Working("judge")
        halves = evaluation.halves(exam)
        if all(len(half) >= LONG for half in halves):
            crossed = []
            for unseen in halves:
                pupil.learn(samples.where(~np.isin(samples.index, unseen.index)), *learn)
                crossed.append(evaluation.examine(pupil.logits(unseen), pupil.labels(unseen)))
                yield Working("judge")
            found.append(evaluation.mean(crossed))
        return found


def _pin_score(pin: Pin, accepted: Pupil, rival: Pupil) -> PinScore:
    now, then = (agreement(pupil.classes(pin.region), pin.classes) for pupil in (accepted, rival))
    return PinScore(pin.name, now, then)
