"""The model ``general``, from which teaching starts: a trunk of several tasks, and a head for objects of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from napari_fcn.learning.labels import IGNORE
from napari_fcn.nets import layers
from napari_fcn.training.losses import cross_entropy_and_dice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from napari_fcn.nets.build import Net
    from napari_fcn.nets.spec import NetSpec
    from napari_fcn.training.plane_crops import PlaneCrops

CLASSES = ("background", "object")
RATE = 1e-2


def fit_general(spec: NetSpec, weights: Mapping[str, Tensor], crops: PlaneCrops, batch: int) -> Net:
    """Return a network with given weights below its score layer, which finds the objects of all crops.

    Only the score layer is trained, with Adam (Kingma & Ba 2015), once through the crops.

    Parameters
    ----------
    spec : NetSpec
        The network; its classes are `CLASSES`.
    weights : mapping of str to Tensor
        Its weights but those of the score layer.
    crops : PlaneCrops
        Crops of tasks with objects.
    batch : int
        Crops in a step.
    """
    net: Any = spec.build(torch.Generator().manual_seed(0)).eval()
    head = layers.CONV[spec.ndim](net.widths[-1][1], len(CLASSES), 1)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    score = {f"score.{name}": value for name, value in head.state_dict().items()}
    net.load_state_dict({**weights, **score})
    net.score = head
    optimiser = torch.optim.Adam(head.parameters(), lr=RATE)
    for x, classes, _, _ in DataLoader(crops, batch_size=batch):
        with torch.no_grad():
            features = net.levels(x)[-1].features
        loss = cross_entropy_and_dice(head(features), any_object(classes))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    taught: Net = net
    return taught


def any_object(classes: Tensor) -> Tensor:
    """Return 1 for the pixels of any object, interior or rim, 0 for the background, and `IGNORE` if unknown."""
    return torch.where(classes == IGNORE, IGNORE, (classes > 0).long())


def object_tasks(tasks: Sequence[str]) -> list[str]:
    """Return the tasks whose labels are objects."""
    from napari_fcn.training.pictures import TASKS

    return [task for task in tasks if TASKS[task].has_objects]
