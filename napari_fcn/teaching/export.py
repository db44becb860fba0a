"""A taught model as it leaves: with a card that says what became of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_fcn.inference import device as devices
from napari_fcn.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.learning.interactive_model import InteractiveModel
    from napari_fcn.teaching.context import TeachingContext


def export(
    context: TeachingContext,
    model: InteractiveModel,
    checkpoint: Checkpoint,
    turns: int,
    commits: Sequence[dict[str, Any]],
) -> Checkpoint:
    """Return a model with its card.

    Parameters
    ----------
    ground : Ground
        Where it was taught.
    pupil : Pupil
        Any one there: it tells which tile is looked at.
    model : Checkpoint
        The model.
    turns : int
        How many turns it took.
    commits : sequence of dict
        The path to it, as `History.log` tells it.
    """
    before = context.card
    name = before.name or "a model"
    limits = "Taught on one image: on others it may do worse than before."
    if checkpoint.info.spec.original:
        agreement = _agreement_sentence(context, model, checkpoint)
        limits += f" The head of {name} is kept (option head: original) and {agreement}."
    card = replace(
        before,
        name=f"{name} taught",
        summary=f"{name}, taught with strokes in {turns} turns.",
        limits=limits,
        scores={},
        recipe="",
        parent=context.parent_hash,
        commits=tuple(commits),
    )
    return Checkpoint(replace(checkpoint.info, card=card), checkpoint.weights)


def _agreement_sentence(context: TeachingContext, model: InteractiveModel, checkpoint: Checkpoint) -> str:
    """Return in words how far the original head still answers as it did, and how well it did."""
    dice = context.card.scores.get("dice")
    score = "" if dice is None else f"Dice {dice:.3f} on the validation images of {context.card.name}"
    now, then = checkpoint.original().weights, context.start.original().weights
    if all(torch.equal(now[name], value) for name, value in then.items()):
        return f"answers exactly as before{score and f': {score}'}"
    share = original_head_agreement(context, model, checkpoint)
    same = f"answers {share:.1%} of the pixels looked at on this image as before"
    return f"{same}{score and f'; before it was taught: {score}'}"


def original_head_agreement(context: TeachingContext, model: InteractiveModel, checkpoint: Checkpoint) -> float:
    """Return the share of a tile in which the original heads of a model and of the one at the start agree."""
    tile = model.reference_tile
    answers = []
    for one in (checkpoint, context.start):
        net = devices.place(one.original().net(), one.info.spec.ndim, context.device)
        with torch.inference_mode(), devices.full_float32(context.device):
            answers.append(net(model.extractor.read(tile.read)).argmax(1))
    return float((answers[0] == answers[1]).float().mean())
