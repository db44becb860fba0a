"""A simulated annotator, who paints one stroke per class and round on the errors of a prediction.

A stroke starts in the middle of one of the largest errors of its class and follows the inside of that class with small
turns, like a stroke by hand::

          truth            errors (e)           stroke (-)
      . . . . . . .      . . . . . . .       . . . . . . .
      . # # # # # .      . # # e e e .       . . - - - - .
      . # # # # # .      . # e e e e .       . - - - - - .
      . . . . . . .      . . . . . . .       . . . . . . .

It stays within its class, and in one plane.
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

N_CANDIDATES = 3  # largest errors, from which one is drawn
N_REGIONS = 12  # regions of largest area, whose depth is computed
LENGTHS = (15, 60)  # of a stroke, in px
RADII = (1, 3)  # of a brush, in px
TURNS = np.deg2rad([0, -10, 10, -20, 20, -40, 40])  # possible turns from one pixel to the next
CURVATURE = np.deg2rad(4)  # standard deviation over strokes of the mean turn per pixel
TURN_COST = 1.5  # of one radian, in px of depth
ERROR_REWARD = 1.0  # for staying in the error, in px of depth
LOOKAHEAD = 4.0  # px
IN_PLANE = np.pad(ndimage.generate_binary_structure(2, 1)[None], ((1, 1), (0, 0), (0, 0)))


@dataclass(frozen=True, slots=True)
class RewardMap:
    """Reward of each pixel for a stroke, (Y, X); minus infinity outside of the class."""

    values: np.ndarray

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return the reward at points (N, 2); minus infinity outside of the map."""
        nearest = np.rint(points).astype(int)
        rewards = np.full(len(points), -np.inf)
        is_inside = ((nearest >= 0) & (nearest < np.array(self.values.shape))).all(1)
        rewards[is_inside] = self.values[tuple(nearest[is_inside].T)]
        return rewards


@dataclass(frozen=True, slots=True)
class StrokeShape:
    """Shape of a stroke: radius of the brush and length in px, mean turn per pixel in radians."""

    brush: int
    length: int
    curvature: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> StrokeShape:
        """Return a random shape."""
        brush, length = rng.integers(RADII[0], RADII[1] + 1), rng.integers(LENGTHS[0], LENGTHS[1] + 1)
        return cls(int(brush), int(length), float(rng.normal(0, CURVATURE)))


def strokes(truth: Labels, predicted: Labels | None, painted: Labels, classes: int, rng: np.random.Generator) -> Labels:
    """Return new strokes, (planes, Y, X): 0 nothing, k + 1 class k.

    ``truth`` and ``predicted`` are class indices (255 in the truth is unknown); ``painted`` are the strokes so far,
    encoded like the result. Without a prediction, or for a class without errors, the position is random.
    """
    added = np.zeros(truth.shape, np.uint8)
    for number in range(classes):
        inside = truth == number
        target = unpainted = inside & (painted == 0)
        if not unpainted.any():
            continue
        if predicted is not None and (errors := unpainted & (predicted != number)).any():
            target = errors
            plane, start = draw_error(errors, rng)
        else:
            plane, start = draw_inner_point(unpainted, rng)
        added[plane][stroke(inside[plane], target[plane], start, rng)] = number + 1
    return added


def draw_error(errors: Mask, rng: np.random.Generator) -> tuple[int, Point]:
    """Return the plane and the deepest point of one of the largest errors, by area times depth."""
    regions, _ = ndimage.label(errors, IN_PLANE)
    areas = np.bincount(regions.ravel())
    areas[0] = 0
    boxes = ndimage.find_objects(regions)
    candidates = []
    for number in np.argsort(areas, kind="stable")[::-1][:N_REGIONS]:
        if areas[number]:
            plane, rows, columns = boxes[number - 1]
            depth = depths(regions[plane.start, rows, columns] == number)
            row, column = np.unravel_index(depth.argmax(), depth.shape)
            point = (int(row) + rows.start, int(column) + columns.start)
            candidates.append((float(areas[number] * depth.max()), plane.start, point))
    candidates.sort(reverse=True)
    _, plane, point = candidates[rng.integers(min(N_CANDIDATES, len(candidates)))]
    return plane, point


def draw_inner_point(mask: Mask, rng: np.random.Generator) -> tuple[int, Point]:
    """Return a random plane and a random point far from the border of a mask."""
    sizes = mask.sum((1, 2))
    plane = int(rng.choice(len(mask), p=sizes / sizes.sum()))
    depth = depths(mask[plane])
    rows, columns = np.nonzero(depth >= min(RADII[1] + 1.0, 0.7 * depth.max()))
    drawn = rng.integers(len(rows))
    return plane, (int(rows[drawn]), int(columns[drawn]))


def depths(mask: Mask) -> np.ndarray:
    """Return the distance to the nearest pixel outside; all pixels beyond the edge of the mask are outside."""
    distances: np.ndarray = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return distances


def stroke(inside: Mask, target: Mask, start: Point, rng: np.random.Generator) -> Mask:
    """Return the mask (Y, X) of one stroke through ``start``, within ``inside`` and preferably in ``target``."""
    shape = StrokeShape.draw(rng)
    reach = shape.length + 2 * shape.brush
    window = tuple(slice(max(i - reach, 0), i + reach + 1) for i in start)
    depth = depths(inside[window])
    values = np.minimum(depth, 2.0 * shape.brush) + ERROR_REWARD * target[window]
    rewards = RewardMap(np.where(depth > 0, values, -np.inf))
    point = np.array([i - part.start for i, part in zip(start, window, strict=True)], float)
    heading = first_heading(rewards, point, rng)
    forward = extend_path(rewards, shape, [point], heading)
    half = forward[: 1 + round(len(forward) * rng.uniform(0.3, 0.7))]
    path = extend_path(rewards, shape, half[::-1], heading + np.pi)
    painted = np.zeros(inside.shape, bool)
    painted[window] = draw_path(depth, shape.brush, path)
    return painted


def first_heading(rewards: RewardMap, point: np.ndarray, rng: np.random.Generator) -> float:
    """Return the direction with the largest reward, in radians; ties are broken at random."""
    angles = rng.uniform(0, 2 * np.pi) + np.arange(16) * np.pi / 8
    ahead = [rewards.at(point + distance * unit_steps(angles)) for distance in (1, 2, LOOKAHEAD, 2 * LOOKAHEAD)]
    return float(angles[np.maximum(ahead, 0).sum(0).argmax()])


def unit_steps(angles: np.ndarray) -> np.ndarray:
    """Return a step of one pixel in each direction, (N, 2)."""
    return np.stack([np.sin(angles), np.cos(angles)], 1)


def extend_path(rewards: RewardMap, shape: StrokeShape, path: list[np.ndarray], heading: float) -> list[np.ndarray]:
    """Return a path extended by steps of one pixel, until it is long enough or cannot be continued."""
    path = list(path)
    clearance = shape.brush + 1.0
    while len(path) < shape.length:
        steps = unit_steps(heading + TURNS)
        value = rewards.at(path[-1] + steps) + np.maximum(rewards.at(path[-1] + LOOKAHEAD * steps), 0)
        value -= TURN_COST * np.abs(TURNS - shape.curvature)
        older = path[: -3 * int(clearance)]
        if older:
            distance = np.linalg.norm((path[-1] + steps)[:, None] - np.array(older), axis=2).min(1)
            value[distance < clearance] = -np.inf
        best = int(value.argmax())
        if value[best] == -np.inf:
            break
        path.append(path[-1] + steps[best])
        heading += TURNS[best]
    return path


def draw_path(depth: np.ndarray, brush: int, path: list[np.ndarray]) -> Mask:
    """Return the mask of a path drawn with a round brush, which is smaller near the border of the class."""
    rows, columns = np.ogrid[: depth.shape[0], : depth.shape[1]]
    painted = np.zeros(depth.shape, bool)
    for row, column in np.rint(path).astype(int):
        radius = min(brush, depth[row, column] - 0.5)
        near = (slice(max(row - brush, 0), row + brush + 1), slice(max(column - brush, 0), column + brush + 1))
        painted[near] |= (rows[near[0]] - row) ** 2 + (columns[:, near[1]] - column) ** 2 <= radius**2
    return painted
