"""A model file with any description either works or is rejected with a message."""

import copy
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import net_contract
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_fcn.api import predict
from napari_fcn.cli.models import _text
from napari_fcn.errors import FcnError, ModelError
from napari_fcn.models.card import KEY, read_whole_info
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets import NetSpec

SPECS = (
    NetSpec(width=2, depth=2),
    NetSpec(width=2, depth=1, head="levels", filters=((1.0, 1.0), (2.0, 2.0)), hidden=2),
    NetSpec("fcn", width=2, depth=2),
    NetSpec("deeplab", width=2, depth=2),
)
ODD = (
    *(None, True, 0, 1, -1, 2, 5, 8, 255, 4096, 2**31, 2**62, 10**30, 0.5, 1e-300, 1e300),
    *(float("inf"), float("-inf"), float("nan"), "", "1", "unet", "filters", "reflect", "levels", "x" * 200_000),
    *("\x00\x1b[31m", "\ud800", "\U0001f600", "#zzzzzz", [], [[]], {}, {"a": 1}, [1] * 10_000, [[8]], [[8, 8]]),
    *([1, 1], [[255]], json.loads("[" * 300 + "]" * 300)),
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to each part of plain data."""
    inside: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield (*above, key)
        yield from places(part, (*above, key))


def with_head(content: bytes, head: Any) -> bytes:
    """Return a model file with another header."""
    length = struct.unpack("<Q", content[:8])[0]
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def head_of(content: bytes) -> dict[str, Any]:
    return dict(json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]]))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    found = []
    for spec in SPECS:
        net_contract.checkpoint(spec).save(path)
        found.append(path.read_bytes())
    return found


def uses(path: Path) -> None:
    """Use a model as the command line does."""
    info = read_whole_info(path)
    _text(str(path), info)
    model = Checkpoint.load(path)
    predict(np.zeros((16, 16), np.float32), model, axes="yx")
    model.save(path)
    assert Checkpoint.load(path).hash == model.hash


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_model_with_any_description_works_or_is_rejected(
    files: list[bytes], tmp_path: Path, data: st.DataObject
) -> None:
    content = data.draw(st.sampled_from(files))
    head = head_of(content)
    said = json.loads(head["__metadata__"][KEY])
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(list(places(said))))
        part = said
        for key in way:
            part = part[key]
        if data.draw(st.integers(0, 7)) == 0:
            del part[last]
        else:
            part[last] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
    head["__metadata__"][KEY] = json.dumps(said)
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_head(content, head))
    try:
        uses(path)
    except FcnError as error:
        assert len(str(error)) < 2000  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        (("spec", "filters"), [[1e9, 1e9], [2, 2]], "sigmas can be 0.1 to 256"),
        (("spec", "filters"), [[1e999, 1], [2, 2]], "too large|not a JSON number"),
        (("spec", "kernel"), [["3", 3]], "whole numbers"),
        (("spec", "kernel"), [[257, 257]], "lengths can be up to 255"),
        (("spec", "width"), True, "width is True"),
        (("spec", "width"), 4096, "do not belong"),
        (("card", "scores"), {"iou": "high"}, "card.scores.iou: .*valid"),
        (("card", "scores"), [1], "card.scores: .*dict"),
        (("card", "name"), 5, "card.name: .*string"),
        (("card", "summary"), "x" * 200_000, "card.summary: .*at most"),
        (("card", "commits"), [1], "card.commits"),
        (("classes",), [{"name": "a", "colour": "#000000"}] * 256, "classes: .*at most 255"),
        (("classes", 0, "colour"), "#zzzzzz", "classes.0.colour"),
        (("classes", 0, "colour"), 'red"><img src="x">', "classes.0.colour"),
        (("classes", 0, "name"), "a\x1b[31m", "classes.0.name: a text without control characters"),
        (("voxel_size",), [None, 1], "voxel_size.0"),
        (("voxel_size",), [0, 1], "a number above zero"),
        (("voxel_size",), [1, 1, 1], "voxel_size has 3 entries; it needs 2"),
        (("normaliser", "limit"), "x", "normaliser.limit"),
        (("normaliser", "low"), 99.9, "must rise"),
        (("origin",), [0], "origin has 1 entries"),
        (("origin",), [300, 0], "origin.0"),
        (("format",), True, "state its format"),
        (("format",), 0, "state its format"),
    ],
)
def test_the_error_names_the_wrong_field(
    files: list[bytes], tmp_path: Path, way: tuple[Any, ...], value: Any, message: str
) -> None:
    head = head_of(files[1])
    said = json.loads(head["__metadata__"][KEY])
    part = said
    for key in way[:-1]:
        part = part[key]
    part[way[-1]] = value
    head["__metadata__"][KEY] = json.dumps(said)
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_head(files[1], head))
    with pytest.raises(ModelError, match=message) as caught:
        read_whole_info(path)
    assert str(caught.value).isprintable()


def test_a_score_may_be_undefined(files: list[bytes], tmp_path: Path) -> None:
    head = head_of(files[0])
    said = json.loads(head["__metadata__"][KEY])
    said["card"]["scores"] = {"dice": None, "boundary_f1": 0.5}
    head["__metadata__"][KEY] = json.dumps(said)
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_head(files[0], head))
    assert "boundary_f1 0.500" in _text(str(path), read_whole_info(path))
