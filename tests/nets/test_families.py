"""Every network passes the contract of `net_contract`."""

from pathlib import Path

import net_contract
import pytest
from net_contract import SPECS

from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import theoretical

every_net = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


@every_net
def test_gradients_reach_all_weights(spec: NetSpec) -> None:
    net_contract.check_gradients(spec)


@every_net
def test_a_few_steps_lower_the_loss(spec: NetSpec) -> None:
    net_contract.check_training(spec)


@every_net
@pytest.mark.parametrize("lengths", [(1, 1, 1), (1, 13, 2), (7, 1, 9), (17, 11, 5)])
def test_a_network_keeps_the_size_of_its_input(spec: NetSpec, lengths: tuple[int, ...]) -> None:
    net_contract.check_output_shape(spec, lengths[: spec.ndim])


@every_net
def test_a_network_is_saved_and_loaded_bit_for_bit(spec: NetSpec, tmp_path: Path) -> None:
    net_contract.check_save_and_load(spec, tmp_path / "net.safetensors")


@every_net
def test_the_same_seed_draws_the_same_weights(spec: NetSpec) -> None:
    net_contract.check_seed(spec)


@every_net
def test_folding_the_norms_keeps_the_output(spec: NetSpec) -> None:
    net_contract.check_folding(spec)


@every_net
def test_tiles_equal_the_whole_image(spec: NetSpec) -> None:
    for long in range(spec.ndim):
        shape = [net_contract.SHORT[spec.ndim] + k for k in range(spec.ndim)]
        far = max(max(side) for side in theoretical(spec).halo)
        shape[long] = max(net_contract.LONG[spec.ndim], 2 * far + 40)
        net_contract.check_tiles(spec, shape, (13,) * spec.ndim)


@every_net
def test_a_network_has_its_theoretical_receptive_field(spec: NetSpec) -> None:
    net_contract.check_receptive_field(spec)


@every_net
def test_pixels_outside_of_the_receptive_field_have_no_influence(spec: NetSpec) -> None:
    """In the network itself, with random weights and max pooling, not in the surrogate that is measured."""
    net_contract.check_no_influence_outside(spec)
