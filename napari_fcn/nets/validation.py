"""Checks the fields of a `NetSpec`."""

from __future__ import annotations

from math import isfinite, prod
from typing import TYPE_CHECKING, Any, TypeGuard

from napari_fcn.nets.size import REPEATS, min_receptive_field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_fcn.nets.spec import NetSpec

FAMILIES: Mapping[str, str] = {
    "unet": "Fine outlines and a large receptive field: the first to try.",
    "resunet": "A U-Net with residual blocks: trains well when it is deep.",
    "fcn": "Sums the scores of several levels: small and fast, with rounder outlines.",
    "dilated": "No pooling and few weights: thin lines, small objects, few labels.",
    "deeplab": "Combines several dilations: small and large objects; outlines are coarser.",
    "mbconv": "The encoder of a small classifier, pretrained on photographs if wished: fast, with much context.",
    "video": "Movies: convolves space, then time.",
    "filters": "No network: filters of several sizes, for textures.",
}
NETWORKS = tuple(family for family in FAMILIES if family != "filters")
WITH_DISTANCE = ("unet", "resunet", "video", "mbconv")
HEADS = ("score", "levels")
UPSAMPLINGS = ("linear", "transposed")
NORMS = ("batch", "none")
PADDINGS = ("zeros", "reflect", "replicate")
POOLS = (1, 2, 4, 8)
MAX_DILATION = 64  # pixels of the deepest grid
MAX_RATES = 16
MAX_KERNEL = 255  # taps along one axis
SIGMA_RANGE = (0.1, 256.0)  # pixels; derivatives of smaller sigmas vanish in rounding, larger ones exceed MAX_FIELD
MAX_SCALES = 64
MAX_FIELD = 4096  # pixels along an axis, the largest receptive field that `receptive_fields.probe` can measure
MAX_MULTIPLE = 512  # pixels along an axis between two points of the pooling grid
MAX_MINIMUM_PIXELS = 2**24  # of the smallest input: a volume of 256 x 256 x 256


def check_names_and_numbers(spec: NetSpec) -> None:
    """Raise ValueError if a name is not one of its choices or a number is out of range."""
    for name, allowed in (
        ("family", FAMILIES),
        ("up", UPSAMPLINGS),
        ("norm", NORMS),
        ("padding", PADDINGS),
        ("head", HEADS),
    ):
        if not isinstance(getattr(spec, name), str) or getattr(spec, name) not in allowed:
            raise ValueError(f"{name} is {shortened(getattr(spec, name))}; it can be {', '.join(allowed)}.")
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
        if not is_whole(value) or not low <= value <= high:
            raise ValueError(f"{name} is {shortened(value)}; it can be {low} to {high}, a whole number.")


def check_levels(spec: NetSpec) -> None:
    """Raise ValueError if a kernel, a pool or a rate cannot be built."""
    if any(k < 1 or k % 2 == 0 for level in spec.kernel for k in level):
        raise ValueError(f"kernel is {spec.kernel}; lengths must be odd and positive.")
    if any(k > MAX_KERNEL for level in spec.kernel for k in level):
        raise ValueError(f"kernel is {spec.kernel}; lengths can be up to {MAX_KERNEL}.")
    if any(p not in POOLS for level in spec.pool for p in level):
        raise ValueError(f"pool is {spec.pool}; factors can be {', '.join(map(str, POOLS))}.")
    rates: tuple[Any, ...] = spec.rates
    if not 0 < len(rates) <= MAX_RATES or any(not is_whole(r) or not 1 <= r <= MAX_DILATION for r in rates):
        raise ValueError(
            f"rates is {shortened(spec.rates)}; it needs one number or more, whole, of 1 to {MAX_DILATION}, and "
            f"{MAX_RATES} at most."
        )


def check_reach(spec: NetSpec) -> None:
    """Raise ValueError if the network would need tiles that are too large."""
    if max(spec.grids[-1]) > MAX_MULTIPLE or prod(spec.minimum) > MAX_MINIMUM_PIXELS:
        sizes = " x ".join(map(str, spec.minimum))
        raise ValueError(
            f"pool is {spec.pool}; the smallest image of such a network has {sizes} pixels. Steps of the pooling grid "
            f"can be up to {MAX_MULTIPLE} pixels, the smallest image up to {MAX_MINIMUM_PIXELS} pixels. Pool less."
        )
    field = 2 * max(min_receptive_field(spec)) + 1
    if field > MAX_FIELD:
        raise ValueError(
            f"The receptive field would be {field} pixels or more along an axis; at most "
            f"{MAX_FIELD} are supported. Use shorter kernels, fewer levels, or smaller pools."
        )


def check_head(spec: NetSpec) -> None:
    """Raise ValueError if filters, head and original head do not fit each other."""
    smallest, largest = SIGMA_RANGE
    if any(len(scale) != spec.ndim or not all(s > 0 for s in scale) for scale in spec.filters):
        raise ValueError(f"filters is {shortened(spec.filters)}; each scale needs {spec.ndim} positive numbers.")
    if len(spec.filters) > MAX_SCALES or any(not smallest <= s <= largest for scale in spec.filters for s in scale):
        raise ValueError(
            f"filters is {shortened(spec.filters)}; sigmas can be {smallest:g} to {largest:g} pixels, in {MAX_SCALES} "
            "scales at most."
        )
    if spec.head == "score" and (spec.filters or spec.hidden or spec.original or spec.family == "filters"):
        raise ValueError("Filters, hidden units and an original head go with a head of kind levels, not score.")
    if spec.family == "filters" and (spec.depth or spec.original or not spec.filters):
        raise ValueError("A network of filters alone has depth 0, scales of filters, and no original head.")


def check_family(spec: NetSpec) -> None:
    """Raise ValueError if an option does not apply to the family, or an axis or step does not exist."""
    for name, last in (("time", spec.ndim - 1), ("dilate", spec.depth)):
        value = getattr(spec, name)
        if value is not None and not (is_whole(value) and 0 <= value <= last):
            raise ValueError(f"{name} is {shortened(value)}; it can be 0 to {last}, a whole number, or left out.")
    if spec.family == "mbconv" and spec.depth >= len(REPEATS):
        raise ValueError(f"depth is {spec.depth}; mbconv has up to {len(REPEATS) - 1} steps, as the classifier has.")
    for name in ("distance", "colours"):
        if not isinstance(getattr(spec, name), bool):
            raise ValueError(f"{name} is {shortened(getattr(spec, name))}; it can be true or false.")
    if spec.colours and spec.channels != len("RGB"):
        raise ValueError(f"The network has {spec.channels} channels; with colours it needs 3: red, green and blue.")
    if spec.distance and (spec.family not in WITH_DISTANCE or (spec.head == "levels" and not spec.original)):
        raise ValueError(
            f"A distance is predicted by networks of the families {', '.join(WITH_DISTANCE)}, not by heads."
        )
    if spec.family == "dilated" and spec.dilate not in (None, spec.depth):
        raise ValueError(f"dilate is {spec.dilate}; a dilated network never pools. Leave it out, or use deeplab.")
    if spec.family in ("dilated", "deeplab") and spec.up != "linear":
        raise ValueError(f"up is {spec.up!r}; {spec.family} has no learnt upsampling. Leave it out.")


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number; ``True`` is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def as_whole(name: str, value: object) -> int:
    """Return an untrusted length as a whole number.

    Raises
    ------
    ValueError
        If it is not a whole number.
    """
    if isinstance(value, float) and isfinite(value) and value == int(value):
        return int(value)
    if not is_whole(value):
        raise ValueError(f"{name} holds {shortened(value)}; whole numbers are needed.")
    return value


def shortened(value: object) -> str:
    """Return the text of a value, shortened for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a recursive list
        text = f"a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}..."
