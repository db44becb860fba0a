"""Which pixels can form objects, and a height for each: objects are its hills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.geometry.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Landscape = npt.NDArray[np.uint16]

RIM_NAMES = frozenset({"rim", "border", "boundary", "outline", "contour", "edge"})
WALL_NAMES = frozenset({"membrane", "membranes", "wall", "walls", "cell wall", "cell walls"})
FOREGROUND = 0.5  # least probability of the classes of objects, together with the rim
HEIGHTS = 255  # different heights; the class is stored above them
CLASS_STEP = HEIGHTS + 1


@dataclass(frozen=True, slots=True)
class ObjectRule:
    """Which classes form objects.

    Attributes
    ----------
    inside : tuple of int
        Classes whose pixels form objects; pixels of different classes are in different objects.
    rim : tuple of int
        Classes between objects that belong to them.
    axes : tuple of int
        Image axes along which pixels are connected; along others, such as time, each index has its own objects.
    is_flat : bool
        Whether touching pixels of one class are always one object, because nothing tells where objects touch.
    """

    inside: tuple[int, ...]
    rim: tuple[int, ...]
    axes: tuple[int, ...]
    is_flat: bool = False

    @classmethod
    def from_class_names(cls, names: Sequence[str], axes: Sequence[str], space: Sequence[str]) -> ObjectRule:
        """Return the rule for a model, from the names of its classes.

        Parameters
        ----------
        names : sequence of str
            The classes, background first. A class named rim, border, boundary, outline, contour or edge belongs to the
            objects that it separates. If all others are membranes or walls, objects are regions of background.
        axes : sequence of str
            The axes of the image, without channels.
        space : sequence of str
            The axes that the network convolves.
        """
        lower = [name.strip().lower() for name in names]
        rim = tuple(i for i, name in enumerate(lower) if i and name in RIM_NAMES)
        inside = tuple(i for i in range(1, len(lower)) if i not in rim)
        is_walled = bool(inside) and all(lower[i] in WALL_NAMES for i in inside)
        if is_walled:
            inside = (0,)
        elif not inside:
            inside, rim = rim, ()
        connected = [i for i, name in enumerate(axes) if name in SPACE or (name in space and name != "t")]
        return cls(inside, rim, tuple(connected), is_flat=not (rim or is_walled))

    def landscape(self, probabilities: npt.NDArray[Any], distance: npt.NDArray[Any] | None = None) -> Landscape:
        """Return the landscape of a tile: 0 outside of objects, else the class of the object and a height.

        A pixel is in an object if classes of objects and rims together are more probable than the others. It has the
        most probable of these classes, and the height of their joint probability without the rims, or of its
        geometric mean with the predicted distance to the border. So rims are valleys between objects.

        Parameters
        ----------
        probabilities : ndarray
            ``(classes, *shape)``, 0 to 1.
        distance : ndarray, optional
            ``shape``: distance to the border of the object, divided by the largest in it.

        Returns
        -------
        ndarray
            ``shape``, uint16: 0, or index in `inside` times `CLASS_STEP` plus a height from 1 to `HEIGHTS`.
        """
        inside = probabilities[list(self.inside)]
        joint = inside.sum(0)
        is_object = joint + probabilities[list(self.rim)].sum(0) > FOREGROUND
        if self.is_flat:
            height = np.full(joint.shape, HEIGHTS, np.uint16)
        else:
            value = joint if distance is None else np.sqrt(joint * distance.clip(0, 1))
            height = (1 + np.rint(value.clip(0, 1) * (HEIGHTS - 1))).astype(np.uint16)
        found: Landscape = np.where(is_object, inside.argmax(0).astype(np.uint16) * CLASS_STEP + height, 0)
        return found.astype(np.uint16)
