"""The scores, losses, notes and model name of a session, as the journal of its project stores them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Points = tuple[tuple[int, float], ...]

KIND = "progress"  # of an entry in the journal
KEYS = {"scores": "exams", "candidate_scores": "trials"}  # attribute -> key in the journal, as in version 0.1.0


@dataclass(frozen=True, slots=True)
class TeachProgress:
    """The progress of learning so far.

    Attributes
    ----------
    model : str
        Name of the first model.
    scores, candidate_scores : tuple of (int, float)
        Round and score of the current model, and of candidates.
    losses : tuple of float
        Losses of the latest steps of the latest candidate.
    notes : tuple of str
        Sentences about the strokes.
    saved_at : float
        Time at which the latest stroke was written, in seconds since 1970; 0 if there is none.
    """

    model: str = ""
    scores: Points = ()
    candidate_scores: Points = ()
    losses: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    saved_at: float = 0.0

    def changes_since(self, previous: TeachProgress) -> dict[str, Any]:
        """Return the facts of an entry with which `after` turns ``previous`` into ``self``; empty if both are equal."""
        facts: dict[str, Any] = {}
        for name, key in KEYS.items():
            old, new = getattr(previous, name), getattr(self, name)
            if new != old:
                is_longer = new[: len(old)] == old
                facts[key if is_longer else f"all_{key}"] = new[len(old) :] if is_longer else new
        for name in ("model", "losses", "notes"):
            if getattr(self, name) != getattr(previous, name):
                facts[name] = getattr(self, name)
        return facts

    def is_worth_writing(self, previous: TeachProgress) -> bool:
        """Whether it should be written now: the losses of steps wait until the candidate is evaluated."""
        return self.losses == previous.losses or self.candidate_scores != previous.candidate_scores

    def after(self, facts: Mapping[str, Any]) -> TeachProgress:
        """Return the progress with the facts of one more entry.

        Raises
        ------
        ValueError, TypeError
            If a fact has an invalid value.
        """
        progress = replace(
            self,
            model=str(facts.get("model", self.model)),
            scores=_extended(self.scores, facts, "exams"),
            candidate_scores=_extended(self.candidate_scores, facts, "trials"),
        )
        if "losses" in facts:
            progress = replace(progress, losses=tuple(map(_number, facts["losses"])))
        if "notes" in facts:
            progress = replace(progress, notes=tuple(map(str, facts["notes"])))
        return progress

    @classmethod
    def read(cls, entries: Iterable[Mapping[str, Any]]) -> Self:
        """Return the progress in the journal of a project; damaged entries are left out."""
        progress = cls()
        for entry in entries:
            try:
                if entry["kind"] == "stroke":
                    progress = replace(progress, saved_at=datetime.fromisoformat(entry["time"]).timestamp())
                elif entry["kind"] == KIND:
                    progress = progress.after(entry)  # type: ignore[assignment]
            except (ValueError, TypeError, KeyError, OverflowError):
                continue
        return progress


def _extended(points: Points, facts: Mapping[str, Any], name: str) -> Points:
    old = () if f"all_{name}" in facts else points
    new = facts.get(f"all_{name}", facts.get(name, ()))
    return (*old, *((int(turn), _number(score)) for turn, score in new))


def _number(value: Any) -> float:
    number = float(value)
    if not isfinite(number):
        raise ValueError(f"{value} is not a finite number")
    return number
