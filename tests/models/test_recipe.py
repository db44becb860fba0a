"""Recipes for training: the network as text, classes and card from a file."""

import json
from pathlib import Path
from typing import Any

import pytest

from napari_fcn.errors import FcnError
from napari_fcn.models import recipe
from napari_fcn.models.recipe import parse_spec, plain_recipe, read_recipe
from napari_fcn.nets import NetSpec

RECIPE: dict[str, Any] = {
    "classes": [["background", "#000000"], ["cell", "#56b4e9"]],
    "voxel_size": [0.5, 0.5],
    "card": {"name": "cells", "summary": "Cells.", "data": [{"name": "noise", "licence": "CC0-1.0"}]},
}
SHIPPED = sorted((Path(recipe.__file__).parent / "recipes").glob("*.json"))


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("unet", NetSpec()),
        ("", NetSpec()),
        ("unet width=8 classes=3", NetSpec(width=8, classes=3)),
        ("unet kernel=5 depth=1", NetSpec(kernel=((5,),), depth=1)),
        ("unet ndim=3 depth=2 pool=[[1,2,2],[2,2,2]]", NetSpec(ndim=3, depth=2, pool=((1, 2, 2), (2, 2, 2)))),
        ("unet up=transposed padding=reflect norm=none", NetSpec(up="transposed", padding="reflect", norm="none")),
    ],
)
def test_a_network_is_parsed_from_text(text: str, spec: NetSpec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet", "family is 'resnet'"),
        ("width=8", "family is 'width=8'"),
        ("unet pool=[[1,2", r"'pool=\[\[1,2' is not name=value"),
        ("unet width=8x", "'width=8x' is not name=value"),
        ("unet width", "'width' is not name=value"),
        ("unet width=", "'width=' is not name=value"),
        ("unet width=wide", "cannot be built"),
        ("unet width=16.5", "cannot be built: width is 16.5"),
        ("unet width=-3", "cannot be built"),
        ("unet kernel=4", "odd and positive"),
        ("unet heads=8", "not known here: heads"),
        ("unet width=1e999", "not name=value"),
        ("unet kernel=" + "[" * 5000 + "]" * 5000, "not name=value"),
        ("filters head=levels filters=[[1e9,1e9]] depth=0", "sigmas can be"),
        ("unet width=4096 depth=8", "cannot be trained here: its .* weights need .* GB"),
    ],
)
def test_invalid_texts_are_rejected(text: str, message: str) -> None:
    with pytest.raises(FcnError, match=message):
        parse_spec(text)


def test_a_recipe_is_read_as_a_model_description(tmp_path: Path) -> None:
    path = tmp_path / "cells.json"
    path.write_text(json.dumps(RECIPE))
    info = read_recipe(path, NetSpec(), "napari-fcn train cells")
    assert [label.name for label in info.classes] == ["background", "cell"]
    assert info.voxel_size == (0.5, 0.5)
    assert info.card.data[0]["licence"] == "CC0-1.0"
    assert info.card.recipe == "napari-fcn train cells"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "does not fit"),
        ("[]", "does not fit"),
        (json.dumps({**RECIPE, "classes": RECIPE["classes"][:1]}), "1 classes are named for a network with 2"),
        (json.dumps({**RECIPE, "classes": ["background", "cell"]}), "does not fit"),
        (json.dumps({k: v for k, v in RECIPE.items() if k != "card"}), "does not fit"),
        (json.dumps({**RECIPE, "card": {"title": "cells"}}), "does not fit"),
        (json.dumps({**RECIPE, "card": "cells"}), "does not fit"),
        (json.dumps({**RECIPE, "voxel_size": [float("inf"), 1]}), "does not fit"),
        (json.dumps({**RECIPE, "voxel_size": ["1", 1]}), "voxel_size.0"),
        (json.dumps({**RECIPE, "classes": [["background", "black"], ["cell", "#56b4e9"]]}), "colour"),
        (json.dumps({**RECIPE, "card": {"scores": {"dice": "high"}}}), "card.scores.dice"),
        ("[" * 100_000, "nested"),
    ],
)
def test_invalid_recipes_are_rejected(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "cells.json"
    path.write_text(content)
    with pytest.raises(FcnError, match=message):
        read_recipe(path, NetSpec(), "")


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(FcnError, match=r"nothing\.json cannot be read: No such file"):
        read_recipe(tmp_path / "nothing.json", NetSpec(), "")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_recipes_can_be_read(path: Path) -> None:
    count = len(json.loads(path.read_text())["classes"])
    info = read_recipe(path, NetSpec(classes=count), "")
    assert info.classes[0].name == "background"
    assert all({"name", "licence", "credit"} <= entry.keys() for entry in info.card.data)


@pytest.mark.parametrize("count", [1, 2, 9, 20])
def test_a_plain_recipe_names_and_colours_each_class(count: int) -> None:
    info = plain_recipe("mine", NetSpec(classes=count), "command")
    assert len(info.classes) == count
    assert len({label.name for label in info.classes}) == count
    assert info.classes[0].colour not in {label.colour for label in info.classes[1:]}
