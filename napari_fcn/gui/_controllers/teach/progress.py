"""What the Teach dock shows and the journal of a project would not say otherwise: scores, losses, notes, the model."""

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
    """How a model has learnt so far.

    Attributes
    ----------
    model : str
        What the model at the start is called.
    scores, candidate_scores : tuple of (int, float)
        Turn and score of the current model, and of candidates.
    losses : tuple of float
        Of the latest steps of the latest candidate.
    notes : tuple of str
        Sentences about the strokes.
    saved_at : float
        When the latest stroke was written, in seconds since 1970; 0 if there was none.
    """

    model: str = ""
    scores: Points = ()
    candidate_scores: Points = ()
    losses: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    saved_at: float = 0.0

    def changes_since(self, earlier: TeachProgress) -> dict[str, Any]:
        """Return what an entry must say so that `read` makes ``self`` of ``earlier``; nothing if both are the same."""
        facts: dict[str, Any] = {}
        for name, key in KEYS.items():
            before, now = getattr(earlier, name), getattr(self, name)
            if now != before:
                is_longer = now[: len(before)] == before
                facts[key if is_longer else f"all_{key}"] = now[len(before) :] if is_longer else now
        for name in ("model", "losses", "notes"):
            if getattr(self, name) != getattr(earlier, name):
                facts[name] = getattr(self, name)
        return facts

    def after(self, facts: Mapping[str, Any]) -> TeachProgress:
        """Return what the facts of an entry make of it.

        Raises
        ------
        ValueError, TypeError
            If they are none.
        """
        found = replace(
            self,
            model=str(facts.get("model", self.model)),
            scores=_longer(self.scores, facts, "exams"),
            candidate_scores=_longer(self.candidate_scores, facts, "trials"),
        )
        if "losses" in facts:
            found = replace(found, losses=tuple(map(_number, facts["losses"])))
        if "notes" in facts:
            found = replace(found, notes=tuple(map(str, facts["notes"])))
        return found

    @classmethod
    def read(cls, entries: Iterable[Mapping[str, Any]]) -> Self:
        """Return what the journal of a project says; an entry that is damaged is left out."""
        found = cls()
        for entry in entries:
            try:
                if entry["kind"] == "stroke":
                    found = replace(found, saved_at=datetime.fromisoformat(entry["time"]).timestamp())
                elif entry["kind"] == KIND:
                    found = found.after(entry)  # type: ignore[assignment]
            except (ValueError, TypeError, KeyError, OverflowError):
                continue
        return found


def _longer(before: Points, facts: Mapping[str, Any], name: str) -> Points:
    known = () if f"all_{name}" in facts else before
    new = facts.get(f"all_{name}", facts.get(name, ()))
    return (*known, *((int(turn), _number(score)) for turn, score in new))


def _number(value: Any) -> float:
    number = float(value)
    if not isfinite(number):
        raise ValueError(f"{value} is no score")
    return number
