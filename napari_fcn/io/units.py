"""Units of length and time, from the spellings that files use to one word each."""

from __future__ import annotations

PIXEL = "pixel"  # the unit of an axis whose spacing nobody stated
# The word that pint, napari and OME-Zarr know, and how OME-XML and ImageJ write it.
LENGTHS = {
    "picometer": ("pm",),
    "angstrom": ("Å", "Å", "å"),  # the letter, and the sign that looks the same
    "nanometer": ("nm",),
    "micrometer": ("µm", "μm", "um", "\\u00b5m", "micron", "microns"),
    "millimeter": ("mm",),
    "centimeter": ("cm",),
    "meter": ("m",),
    "inch": ("in", "inches"),
}
TIMES = {
    "nanosecond": ("ns",),
    "microsecond": ("µs", "μs", "us"),
    "millisecond": ("ms", "msec"),
    "second": ("s", "sec"),
    "minute": ("min",),
    "hour": ("h", "hr"),
    "day": ("d",),
}
WORDS = {
    spelling.lower(): word
    for table in (LENGTHS, TIMES)
    for word, spellings in table.items()
    for spelling in (word, f"{word}s", word.replace("meter", "metre"), *spellings)
}
METRES = {
    "picometer": 1e-12,
    "angstrom": 1e-10,
    "nanometer": 1e-9,
    "micrometer": 1e-6,
    "millimeter": 1e-3,
    "centimeter": 1e-2,
    "meter": 1.0,
    "inch": 0.0254,
}


def unit_word(spelling: object) -> str:
    """Return the word for a unit as a file spells it, ``"pixel"`` if there is none or it is unknown."""
    return WORDS.get(str(spelling).strip().lower(), PIXEL)


def unit_symbol(word: str) -> str:
    """Return how OME-XML writes a unit: ``"µm"`` for micrometer, ``"pixel"`` for what it does not know."""
    return (LENGTHS | TIMES).get(word, (PIXEL,))[0]


def is_microscopic(size: float, unit: str) -> bool:
    """Whether a pixel is small enough to be measured: 72 or 300 dpi (353, 85 µm) are meant for printers."""
    return size > 0 and size * METRES.get(unit, float("inf")) < 20e-6


def micrometres(size: float, unit: str) -> float:
    """Return a length in micrometres, 0 where the unit is none of length."""
    return float(size) * METRES.get(unit, 0.0) * 1e6


def positive(value: object) -> float | None:
    """Return a number above zero, None for anything else that a file may state."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float("inf") else None
