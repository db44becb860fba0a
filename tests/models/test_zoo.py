"""Models are found by name or path."""

import subprocess
import sys
from pathlib import Path

import net_contract
import pytest

from napari_fcn.errors import ModelError
from napari_fcn.models import zoo
from napari_fcn.nets import NetSpec


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped models: membranes, nuclei and a note."""
    for name in ("nuclei", "membranes"):
        net_contract.checkpoint(NetSpec(width=1, depth=1)).save(tmp_path / f"{name}.safetensors")
    (tmp_path / "README.txt").write_text("not a model")
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    return tmp_path


def test_the_default_model_is_listed_first(shipped: Path) -> None:
    assert zoo.names() == ("nuclei", "membranes")


def test_a_shipped_model_is_found_by_its_name(shipped: Path) -> None:
    assert zoo.path_of("membranes") == shipped / "membranes.safetensors"


def test_a_model_is_found_by_its_path(shipped: Path) -> None:
    path = shipped / "nuclei.safetensors"
    assert zoo.path_of(path) == zoo.path_of(str(path)) == path


@pytest.mark.parametrize("model", ["neurons", "nothing.safetensors", ""])
def test_the_error_for_an_unknown_model_lists_the_shipped_models(shipped: Path, model: str) -> None:
    with pytest.raises(ModelError, match=rf"no model '{model}'.*nuclei, membranes"):
        zoo.path_of(model)


def test_a_folder_is_not_a_model(shipped: Path) -> None:
    with pytest.raises(ModelError, match="There is no model"):
        zoo.info(shipped)


def test_info_is_the_description_in_the_file(shipped: Path) -> None:
    assert zoo.info("nuclei").spec == NetSpec(width=1, depth=1)


def test_reading_a_description_loads_no_torch(shipped: Path) -> None:
    path = str(shipped / "nuclei.safetensors")
    program = (
        "import sys; from napari_fcn.models.zoo import info, names; "
        "from napari_fcn.models.card import parameter_count; "
        f"names(); print(info({path!r}).spec.width, parameter_count({path!r}) > 0, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True", "False"]


@pytest.mark.parametrize("name", zoo.names())
def test_a_shipped_model_is_complete_small_and_states_its_origin(name: str) -> None:
    from napari_fcn.models.checkpoint import Checkpoint

    path = zoo.path_of(name)
    card = Checkpoint.load(path).info.card
    assert path.stat().st_size <= 8e6
    assert card.name == name
    assert card.summary
    assert card.limits
    assert card.licence
    assert card.data
    assert card.scores
    assert card.recipe.startswith(("napari-fcn train", f"napari-fcn recipe {name}"))
    assert "/" not in card.recipe.replace("napari_fcn/models/recipes/", "").replace("data/", "")
