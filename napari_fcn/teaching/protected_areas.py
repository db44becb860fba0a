"""Areas of the image whose prediction must not change (pins)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_fcn.errors import ImageError
from napari_fcn.learning.pins import Pin, remap_pins, remove_pin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_fcn.geometry import Region
    from napari_fcn.learning.history import History
    from napari_fcn.learning.interactive_model import InteractiveModel


class ProtectedAreas:
    """The pins of an image.

    Parameters
    ----------
    history : History
        The commits, whose classes the pins refer to.
    pins : iterable of Pin
        Pins of an earlier session; pins without a commit refer to the classes of the present commit.

    Attributes
    ----------
    original : tuple of Pin
        The pins with the class indices of their commits.
    """

    def __init__(self, history: History, pins: Iterable[Pin]) -> None:
        self._history, present = history, history.present.number
        self.original = tuple(replace(pin, commit=present) if pin.commit is None else pin for pin in pins)

    @property
    def current(self) -> tuple[Pin, ...]:
        """The pins with current class indices."""
        present, mapping = self._history.present.number, self._history.class_mapping
        return tuple(pin for old in self.original for pin in remap_pins([old], mapping(old.commit or 0, present)))

    def add(self, model: InteractiveModel, region: Region, name: str) -> Pin:
        """Add a pin with the current prediction of a region and return it; a pin of the same name is replaced.

        Raises
        ------
        ImageError
            If the region is outside the image.
        """
        region = region.clip(model.extractor.source.shape)
        if region.is_empty:
            raise ImageError("The region to pin lies outside the image. Move the view onto the image.")
        pin = Pin(name, region, model.classes(region), self._history.present.number)
        self.original = (*remove_pin(self.original, name), pin)
        return pin

    def remove(self, name: str) -> None:
        """Remove the pin of this name."""
        self.original = remove_pin(self.original, name)
