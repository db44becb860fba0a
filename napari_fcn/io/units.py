"""Units of length and time: their words, symbols and spellings in files."""

from __future__ import annotations

from napari_fcn.geometry.calibration import MICROMETRES, PIXEL, SECONDS, finite, micrometres, positive

__all__ = [
    "LENGTHS",
    "MICROMETRES",
    "PIXEL",
    "SECONDS",
    "TIMES",
    "finite",
    "is_microscopic",
    "micrometres",
    "positive",
    "unit_symbol",
    "unit_word",
]

# The word of pint, napari and OME-Zarr, and the spellings of OME-XML and ImageJ.
LENGTHS = {
    "picometer": ("pm",),
    "angstrom": ("Å", "Å", "å"),  # the letter, and the unit sign that looks the same
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
UNIT_WORDS = {
    spelling.lower(): word
    for table in (LENGTHS, TIMES)
    for word, spellings in table.items()
    for spelling in (word, f"{word}s", word.replace("meter", "metre"), *spellings)
}
MIN_PIXEL_MICROMETRES, MAX_PIXEL_MICROMETRES = 1e-6, 20.0  # plausible pixel sizes of a microscope


def unit_word(spelling: object) -> str:
    """Return the word for a spelling of a unit; ``"pixel"`` if it is empty or unknown."""
    return UNIT_WORDS.get(str(spelling).strip().lower(), PIXEL)


def unit_symbol(word: str) -> str:
    """Return the symbol of a unit, as in OME-XML: ``"µm"`` for micrometer; other words are returned unchanged."""
    return (LENGTHS | TIMES).get(word, (word,))[0]


def is_microscopic(size: float, unit: str) -> bool:
    """Whether a microscope can have pixels of this size; those of 72 or 300 dpi (353, 85 µm) are for printers."""
    return MIN_PIXEL_MICROMETRES <= size * MICROMETRES.get(unit, float("inf")) < MAX_PIXEL_MICROMETRES
