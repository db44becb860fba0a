"""What the fields of a `NetSpec` can be, and what is said where they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_fcn.nets.spec import NetSpec

FAMILIES: Mapping[str, str] = {
    "unet": "Fine outlines and wide surroundings: the first to try.",
    "resunet": "A U-Net whose blocks add to what they were given: learns well when it is deep.",
    "fcn": "Scores of several levels added up: light and fast, with rounder outlines.",
    "dilated": "Never makes the image coarse, and has few weights: thin lines, small objects, few labels.",
    "deeplab": "Looks at several distances at once: small and large objects; outlines are coarser.",
    "video": "Movies: looks along space, then along time.",
    "filters": "No network: filters of several sizes learn textures.",
}
NETWORKS = tuple(family for family in FAMILIES if family != "filters")
HEADS = ("score", "levels")
UPSAMPLINGS = ("linear", "transposed")
NORMS = ("batch", "none")
PADDINGS = ("zeros", "reflect", "replicate")
POOLS = (1, 2, 4, 8)
FARTHEST = 64  # dilation in pixels of the deepest grid


def check_names_and_numbers(spec: NetSpec) -> None:
    """Raise ValueError if a word is not among its choices or a number is out of its range."""
    for name, allowed in (
        ("family", FAMILIES),
        ("up", UPSAMPLINGS),
        ("norm", NORMS),
        ("padding", PADDINGS),
        ("head", HEADS),
    ):
        if getattr(spec, name) not in allowed:
            raise ValueError(f"{name} is {getattr(spec, name)!r}; it can be {', '.join(allowed)}.")
    for name, low, high in (
        ("ndim", 1, 3),
        ("channels", 1, 4096),
        ("classes", 1, 255),
        ("width", 1, 4096),
        ("depth", 0, 8),
        ("hidden", 0, 4096),
        ("original", 0, 255),
        ("skips", 0, 8),
    ):
        value = getattr(spec, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} is {value}; it can be {low} to {high}, a whole number.")


def check_levels(spec: NetSpec) -> None:
    """Raise ValueError if a kernel, a pool or a rate cannot be built."""
    if any(k < 1 or k % 2 == 0 for level in spec.kernel for k in level):
        raise ValueError(f"kernel is {spec.kernel}; lengths must be odd and positive.")
    if any(p not in POOLS for level in spec.pool for p in level):
        raise ValueError(f"pool is {spec.pool}; factors can be {', '.join(map(str, POOLS))}.")
    rates: tuple[Any, ...] = spec.rates
    if not rates or any(not isinstance(r, int) or not 1 <= r <= FARTHEST for r in rates):
        raise ValueError(f"rates is {spec.rates}; it needs one number or more, whole, of 1 to {FARTHEST}.")


def check_head(spec: NetSpec) -> None:
    """Raise ValueError if filters, head and original head do not fit each other."""
    if any(len(scale) != spec.ndim or min(scale) <= 0 for scale in spec.filters):
        raise ValueError(f"filters is {spec.filters}; each scale needs {spec.ndim} positive numbers.")
    if spec.head == "score" and (spec.filters or spec.hidden or spec.original or spec.family == "filters"):
        raise ValueError("Filters, hidden units and an original head go with a head of kind levels, not score.")
    if spec.family == "filters" and (spec.depth or spec.original or not spec.filters):
        raise ValueError("A network of filters alone has depth 0, scales of filters, and no original head.")


def check_family(spec: NetSpec) -> None:
    """Raise ValueError if the family has no use for an option, or there is no such axis or step."""
    for name, most in (("time", spec.ndim - 1), ("dilate", spec.depth)):
        value = getattr(spec, name)
        if value is not None and not (isinstance(value, int) and 0 <= value <= most):
            raise ValueError(f"{name} is {value}; it can be 0 to {most}, a whole number, or left out.")
    if spec.family == "dilated" and spec.dilate not in (None, spec.depth):
        raise ValueError(f"dilate is {spec.dilate}; a dilated network never pools. Leave it out, or use deeplab.")
    if spec.family in ("dilated", "deeplab") and spec.up != "linear":
        raise ValueError(f"up is {spec.up!r}; {spec.family} has nothing to learn there. Leave it out.")
