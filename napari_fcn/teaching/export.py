"""The model of a teaching session as a checkpoint, with a card that describes its training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_fcn.inference import device as devices
from napari_fcn.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    from napari_fcn.learning.history import History
    from napari_fcn.learning.interactive_model import InteractiveModel
    from napari_fcn.teaching.context import TeachingContext
    from napari_fcn.teaching.current_model import CurrentModel


def export(context: TeachingContext, current: CurrentModel, history: History, number: int | None) -> Checkpoint:
    """Return the model of a commit with a card that describes its training.

    Parameters
    ----------
    context : TeachingContext
        The image and the initial model.
    current : CurrentModel
        The current model.
    history : History
        The commits.
    number : int or None
        The commit; None for the current model, committed or not.
    """
    commit = history.present.number if number is None else number
    checkpoint = history.checkpoint(commit)
    turns = next(c.turn for c in history.commits if c.number == commit)
    if number is None and current.is_uncommitted:
        checkpoint, turns = current.checkpoint, current.turn
    initial_card = context.card
    name = initial_card.name or "a model"
    limits = "Fine-tuned on one image: it may be worse than before on others."
    if checkpoint.info.spec.original:
        agreement = _agreement_sentence(context, current.model, checkpoint)
        limits += f" The head of {name} is kept (option head: original) and {agreement}."
    card = replace(
        initial_card,
        name=f"{name} taught",
        summary=f"{name}, fine-tuned with strokes in {turns} rounds.",
        limits=limits,
        scores={},
        recipe="",
        parent=context.parent_hash,
        commits=history.log(commit),
    )
    return Checkpoint(replace(checkpoint.info, card=card), checkpoint.weights)


def _agreement_sentence(context: TeachingContext, model: InteractiveModel, checkpoint: Checkpoint) -> str:
    """Return a sentence on how well the original head agrees with the initial model, and the score of that model."""
    dice = context.card.scores.get("dice")
    score = "" if dice is None else f"Dice {dice:.3f} on the validation images of {context.card.name}"
    weights, initial_weights = checkpoint.original().weights, context.start.original().weights
    if all(torch.equal(weights[name], value) for name, value in initial_weights.items()):
        return f"predicts exactly as before{score and f': {score}'}"
    fraction = original_head_agreement(context, model, checkpoint)
    agreement = f"predicts {fraction:.1%} of the compared pixels of this image as before"
    return f"{agreement}{score and f'; before fine-tuning: {score}'}"


def original_head_agreement(context: TeachingContext, model: InteractiveModel, checkpoint: Checkpoint) -> float:
    """Return the fraction of a tile where the original heads of a model and of the initial model agree."""
    tile = model.reference_tile
    predictions = []
    for trained in (checkpoint, context.start):
        net = devices.place(trained.original().net(), trained.info.spec.ndim, context.device)
        with torch.inference_mode(), devices.full_float32(context.device):
            predictions.append(net(model.extractor.read(tile.read)).argmax(1))
    return float((predictions[0] == predictions[1]).float().mean())
