"""Names made from other names are short enough, and different for different names."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fcn import file_names

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=300)


@pytest.mark.parametrize("name", ["a.tif", "a" * 240, "ü" * 120])
def test_a_short_name_keeps_all_its_letters(name: str) -> None:
    assert file_names.wrapped(name, ".", ".part") == f".{name}.part"


@given(names)
def test_a_wrapped_name_always_fits(name: str) -> None:
    made = file_names.wrapped(name, ".", ".ome.tif.unfinished")
    assert file_names.fits(made)
    assert made.startswith(".")
    assert made.endswith(".unfinished")
    assert made == file_names.wrapped(name, ".", ".ome.tif.unfinished")


@pytest.mark.parametrize("letter", ["a", "ü", "核"])
def test_long_names_with_the_same_start_stay_different(letter: str) -> None:
    one, other = (letter * (250 // len(letter.encode())) + end for end in "xy")
    assert file_names.wrapped(one, after=".unfinished") != file_names.wrapped(other, after=".unfinished")


@pytest.mark.skipif(os.name == "nt", reason="Windows counts units of UTF-16")
def test_names_are_measured_in_bytes() -> None:
    assert file_names.fits("核" * 85)
    assert not file_names.fits("核" * 86)
