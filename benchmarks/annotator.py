"""Somebody who looks at the answer and paints over its errors, one stroke for each class and round.

A stroke starts in the middle of one of the largest errors of its class and runs along the inside of that class, turning
gently, as a hand would::

         truth          the answer misses      the stroke
      . . . . . . .      . . . . . . .       . . . . . . .
      . # # # # # .      . # # e e e .       . . - - - - .
      . # # # # # .      . # e e e e .       . - - - - - .
      . . . . . . .      . . . . . . .       . . . . . . .

It never leaves its class, and stays in one plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    Mask = np.ndarray
    Labels = np.ndarray
    Point = tuple[int, int]

LARGEST = 3  # the errors among which one is picked
EXAMINED = 12  # the regions, by area, whose depth is looked at
LENGTHS = (15, 60)  # of a stroke, in px
RADII = (1, 3)  # of a brush, in px
TURNS = np.deg2rad([0, -10, 10, -20, 20, -40, 40])  # that the hand may make from one pixel to the next
BEND = np.deg2rad(4)  # how much a hand keeps turning without need, standard deviation over strokes
STIFFNESS = 1.5  # what a turn of one radian costs, in px of depth
IN_ERROR = 1.0  # what it is worth to stay in the error, in px of depth
AHEAD = 4.0  # px that the eye is before the hand
IN_PLANE = np.pad(ndimage.generate_binary_structure(2, 1)[None], ((1, 1), (0, 0), (0, 0)))


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a stroke may run: distance in px from what is outside, and what it is worth to be there."""

    depth: np.ndarray
    worth: np.ndarray

    def look(self, places: np.ndarray) -> np.ndarray:
        """Return the worth at places (N, 2), minus infinity outside."""
        nearest = np.rint(places).astype(int)
        limits = np.array(self.worth.shape)
        seen = np.full(len(places), -np.inf)
        known = ((nearest >= 0) & (nearest < limits)).all(1)
        seen[known] = self.worth[tuple(nearest[known].T)]
        return seen


@dataclass(frozen=True, slots=True)
class Hand:
    """How one stroke is drawn: radius of the brush and length in px, turn at each pixel in radians."""

    brush: int
    length: int
    bend: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Hand:
        """Return a random one."""
        brush, length = rng.integers(RADII[0], RADII[1] + 1), rng.integers(LENGTHS[0], LENGTHS[1] + 1)
        return cls(int(brush), int(length), float(rng.normal(0, BEND)))


def strokes(truth: Labels, answer: Labels | None, painted: Labels, classes: int, rng: np.random.Generator) -> Labels:
    """Return what to paint in addition, (planes, Y, X): 0 nothing, k + 1 class k.

    ``truth`` and ``answer`` hold classes (255 in the truth is unknown), ``painted`` what was painted so far, in the
    same numbers as what is returned. Without an answer, and where a class has no error, the place is a random one.
    """
    added = np.zeros(truth.shape, np.uint8)
    for number in range(classes):
        inside = truth == number
        wanted = free = inside & (painted == 0)
        if not free.any():
            continue
        if answer is not None and (errors := free & (answer != number)).any():
            wanted = errors
            plane, start = worst(errors, rng)
        else:
            plane, start = anywhere(free, rng)
        added[plane][stroke(inside[plane], wanted[plane], start, rng)] = number + 1
    return added


def worst(errors: Mask, rng: np.random.Generator) -> tuple[int, Point]:
    """Return the plane and the deepest point of one of the largest errors, by area times depth."""
    regions, _ = ndimage.label(errors, IN_PLANE)
    areas = np.bincount(regions.ravel())
    areas[0] = 0
    boxes = ndimage.find_objects(regions)
    found = []
    for number in np.argsort(areas, kind="stable")[::-1][:EXAMINED]:
        if areas[number]:
            plane, rows, columns = boxes[number - 1]
            depth = depths(regions[plane.start, rows, columns] == number)
            row, column = np.unravel_index(depth.argmax(), depth.shape)
            at = (int(row) + rows.start, int(column) + columns.start)
            found.append((float(areas[number] * depth.max()), plane.start, at))
    found.sort(reverse=True)
    _, plane, at = found[rng.integers(min(LARGEST, len(found)))]
    return plane, at


def anywhere(free: Mask, rng: np.random.Generator) -> tuple[int, Point]:
    """Return the plane and a random point well inside what is free."""
    sizes = free.sum((1, 2))
    plane = int(rng.choice(len(free), p=sizes / sizes.sum()))
    depth = depths(free[plane])
    rows, columns = np.nonzero(depth >= min(RADII[1] + 1.0, 0.7 * depth.max()))
    chosen = rng.integers(len(rows))
    return plane, (int(rows[chosen]), int(columns[chosen]))


def depths(mask: Mask) -> np.ndarray:
    """Return the distance to the nearest pixel outside; beyond the edge of the mask is outside."""
    distances: np.ndarray = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return distances


def stroke(inside: Mask, wanted: Mask, start: Point, rng: np.random.Generator) -> Mask:
    """Return the pixels of one stroke through ``start``, all of them inside; (Y, X) as the masks."""
    hand = Hand.draw(rng)
    reach = hand.length + 2 * hand.brush
    around = tuple(slice(max(at - reach, 0), at + reach + 1) for at in start)
    depth = depths(inside[around])
    worth = np.minimum(depth, 2.0 * hand.brush) + IN_ERROR * wanted[around]
    ground = Ground(depth, np.where(depth > 0, worth, -np.inf))
    at = np.array([place - side.start for place, side in zip(start, around, strict=True)], float)
    forth = first_heading(ground, at, rng)
    there = walk(ground, hand, [at], forth)
    half = there[: 1 + round(len(there) * rng.uniform(0.3, 0.7))]
    path = walk(ground, hand, half[::-1], forth + np.pi)
    painted = np.zeros(inside.shape, bool)
    painted[around] = press(depth, hand.brush, path)
    return painted


def first_heading(ground: Ground, at: np.ndarray, rng: np.random.Generator) -> float:
    """Return the direction, in radians, along which the ground is worth most; a random one of equals."""
    angles = rng.uniform(0, 2 * np.pi) + np.arange(16) * np.pi / 8
    ahead = [ground.look(at + distance * compass(angles)) for distance in (1, 2, AHEAD, 2 * AHEAD)]
    return float(angles[np.maximum(ahead, 0).sum(0).argmax()])


def compass(angles: np.ndarray) -> np.ndarray:
    """Return a step of one pixel in each direction, (N, 2)."""
    return np.stack([np.sin(angles), np.cos(angles)], 1)


def walk(ground: Ground, hand: Hand, path: list[np.ndarray], heading: float) -> list[np.ndarray]:
    """Return a path with a step of one pixel after another, until it is long enough or there is no way on."""
    path = list(path)
    clear = hand.brush + 1.0
    while len(path) < hand.length:
        steps = compass(heading + TURNS)
        value = ground.look(path[-1] + steps) + np.maximum(ground.look(path[-1] + AHEAD * steps), 0)
        value -= STIFFNESS * np.abs(TURNS - hand.bend)
        older = path[: -3 * int(clear)]
        if older:
            apart = np.linalg.norm((path[-1] + steps)[:, None] - np.array(older), axis=2).min(1)
            value[apart < clear] = -np.inf
        best = int(value.argmax())
        if value[best] == -np.inf:
            break
        path.append(path[-1] + steps[best])
        heading += TURNS[best]
    return path


def press(depth: np.ndarray, brush: int, path: list[np.ndarray]) -> Mask:
    """Return what a round brush leaves; near the border of the class it is as small as it has to be."""
    rows, columns = np.ogrid[: depth.shape[0], : depth.shape[1]]
    painted = np.zeros(depth.shape, bool)
    for row, column in np.rint(path).astype(int):
        radius = min(brush, depth[row, column] - 0.5)
        near = (slice(max(row - brush, 0), row + brush + 1), slice(max(column - brush, 0), column + brush + 1))
        painted[near] |= (rows[near[0]] - row) ** 2 + (columns[:, near[1]] - column) ** 2 <= radius**2
    return painted
