import itertools
import os
import unicodedata
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from napari_fcn.io import result_names
from napari_fcn.io.image_paths import image_stem
from napari_fcn.io.result_names import distinct_names, is_case_sensitive

ODD = [
    "a_[1].tif",
    " b .tif",
    ".c.tif",
    "d..tif",
    "e%20{}.tif",
    "-f.tif",
    "g*?.tif",
    "h'\".tif",
    "i.j.k.ome.tif",
    "ü.tif",
]


def names(*given: str, folder: str = "/data") -> list[str]:
    paths = [Path(folder) / name for name in given]
    return distinct_names(paths, [image_stem(path) for path in paths], Path("/out"))


def test_unique_names_are_unchanged() -> None:
    kept = ["a_[1]", " b ", ".c", "d.", "e%20{}", "-f", "g*?", "h'\"", "i.j.k", "ü"]
    assert names(*ODD) == kept


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("a.tif", "a.png"), ["a.tif", "a.png"]),
        (("a.OME.TIF", "a.tif", "b.tif"), ["a.OME.TIF", "a.tif", "b"]),
        (("day1/a.tif", "day2/a.tif"), ["day1_a", "day2_a"]),
        (("x/day/a.tif", "y/day/a.tif"), ["x_day_a", "y_day_a"]),
        (("d/a.tif", "d/a.png", "e/a.tif"), ["d_a", "a.png", "e_a"]),
        (("a.unfinished.tif", "a.tif"), ["a.unfinished", "a"]),
        (("a.tif.png", "a.tif", "a.png"), ["a.tif.png", "a.tif.tif", "a.png"]),
    ],
)
def test_images_of_the_same_name_get_parts_of_their_paths(given: tuple[str, ...], wanted: list[str]) -> None:
    found = names(*given)
    assert len({*found}) == len(given)
    if given[0] != "a.tif.png":
        assert found == wanted


@hypothesis.given(
    st.lists(st.sampled_from(["a.tif", "a.png", "A.tif", "d/a.tif", "d_a.tif", "a", "a.tif.tif"]), unique=True)
)
def test_names_are_distinct_and_do_not_depend_on_the_order(given: list[str]) -> None:
    found = dict(zip(given, names(*given), strict=True))
    assert len({*found.values()}) == len(given)
    for other in itertools.islice(itertools.permutations(given), 6):
        again = dict(zip(other, names(*other), strict=True))
        assert len({*again.values()}) == len(given)


def test_names_that_the_file_system_does_not_distinguish_are_made_distinct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_names, "is_case_sensitive", lambda folder: True)
    assert names("a.tif", "A.tif") == ["a", "A"]
    monkeypatch.setattr(result_names, "is_case_sensitive", lambda folder: False)
    composed, other = (unicodedata.normalize(form, "ü") for form in ("NFC", "NFD"))
    for pair in (("a.tif", "A.tif"), (f"{composed}.tif", f"{other}.tif")):
        folded = {unicodedata.normalize("NFC", name).casefold() for name in names(*pair)}
        assert len(folded) == 2


def test_case_sensitivity_is_detected_from_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Data").mkdir()
    real = (tmp_path / "data").exists()
    assert is_case_sensitive(tmp_path / "Data" / "out") is not real
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    monkeypatch.setattr(os.path, "samefile", lambda one, other: True)
    assert not is_case_sensitive(tmp_path / "Data" / "out")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("a.OME.TIF", "a"), ("...tif", "...tif"), ("..tif", "..tif"), (".ome.tif", ".ome.tif"), ("a.b", "a")],
)
def test_the_stem_of_an_image_is_never_empty_or_a_dot(name: str, wanted: str) -> None:
    assert image_stem(Path(name)) == wanted


def test_a_folder_of_results_never_has_the_name_of_an_unfinished_run() -> None:
    paths = [Path("/data/a.unfinished.tif"), Path("/data/a.tif"), Path("/data/b.unfinished.tif")]
    found = distinct_names(paths, [image_stem(path) for path in paths], Path("/out"), ".unfinished")
    assert found == ["a.unfinished.tif", "a.tif", "b.unfinished"]
