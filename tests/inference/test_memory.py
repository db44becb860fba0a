"""Memory is predicted before a run, and tiles are made to fit it."""

from math import prod

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from net_contract import SPECS

from napari_fcn.inference import memory
from napari_fcn.inference.memory import Ledger, budget, bytes_per_pixel, process_peak, run_bytes, window
from napari_fcn.nets import NetSpec

CPU = torch.device("cpu")
every_net = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def test_the_ledger_counts_what_lives_at_once() -> None:
    with Ledger() as ledger:
        a = torch.zeros(1000)
        b = a + 1
        del a
        c = b * 2
        c.relu_()
        view = c[10:]
        del b, c, view
    assert ledger.peak == 2 * 4000
    assert ledger.now == 0


@pytest.mark.parametrize(
    ("spec", "floats"),
    [
        # input, and the first and the second convolution of the block
        (NetSpec(depth=0, width=8, kernel=1, norm="none"), 1 + 8 + 8),
        (NetSpec(ndim=3, depth=0, width=4, norm="none"), 1 + 4 + 4),
        # input, skip, and what the decoder joins: skip and upsampled (8 + 8), then its first convolution
        (NetSpec(ndim=1, depth=1, width=8, up="transposed"), 1 + 8 + 16 + 8),
    ],
)
def test_activations_are_counted_as_by_hand(spec: NetSpec, floats: int) -> None:
    assert bytes_per_pixel(spec) == pytest.approx(4 * floats, rel=0.3)


@every_net
def test_wider_nets_need_more(spec: NetSpec) -> None:
    from dataclasses import replace

    assert bytes_per_pixel(replace(spec, width=4 * spec.width)) > 1.5 * bytes_per_pixel(spec)


def test_a_run_needs_more_for_more_pixels_channels_and_digits() -> None:
    spec = NetSpec(width=4, depth=1)
    plain = run_bytes(spec, (100, 100), torch.float32)
    assert run_bytes(spec, (200, 100), torch.float32) == pytest.approx(2 * plain, rel=1e-6)
    assert run_bytes(spec, (100, 100), torch.bfloat16) < plain
    assert run_bytes(NetSpec(channels=8, width=4, depth=1), (100, 100), torch.float32) > plain
    assert plain > 1e4 * bytes_per_pixel(spec)


def test_asking_does_not_touch_the_random_numbers_of_others() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    bytes_per_pixel(NetSpec(width=3, depth=2, kernel=5))
    assert torch.equal(torch.rand(3), expected)


def test_asking_works_while_a_net_predicts() -> None:
    spec = NetSpec(ndim=1, width=5, depth=1)
    outside = bytes_per_pixel(spec)
    memory.bytes_per_pixel.cache_clear()
    with torch.inference_mode():
        assert bytes_per_pixel(spec) == outside


@given(
    st.sampled_from(sorted(SPECS)),
    st.tuples(*[st.integers(1, 5000)] * 3),
    st.integers(2**14, 2**26),
    st.none() | st.integers(2**14, 2**22),
)
def test_a_window_stays_within_the_budget(name: str, lengths: tuple[int, ...], pixels: int, most: int | None) -> None:
    spec = SPECS[name]
    shape = lengths[: spec.ndim]
    allowed = run_bytes(spec, [pixels], torch.float32)
    sides = window(spec, shape, torch.float32, allowed, most)
    assert run_bytes(spec, sides, torch.float32) <= allowed * 1.001
    assert most is None or prod(sides) <= most
    assert all(side % m == 0 and side < n + m for side, n, m in zip(sides, shape, spec.multiple, strict=True))


@every_net
def test_an_image_that_fits_is_one_window(spec: NetSpec) -> None:
    shape = (37, 41, 43)[: spec.ndim]
    sides = window(spec, shape, torch.float32, 2**40, None)
    assert all(side >= n for side, n in zip(sides, shape, strict=True))


def test_short_axes_are_read_whole() -> None:
    spec = NetSpec(ndim=3, width=4, depth=1)
    sides = window(spec, (10, 4000, 4000), torch.float32, run_bytes(spec, [10 * 400 * 400], torch.float32), None)
    assert sides[0] == 10
    assert sides[1] == pytest.approx(sides[2], abs=8)
    assert prod(sides) > 0.9 * 10 * 400 * 400


def test_a_budget_is_the_limit_of_the_user_or_a_share_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget(CPU, 1.5) == 3 * 2**29
    assert 0 < budget(CPU, None) < psutil.virtual_memory().total
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4000, 9000))
    assert budget(torch.device("cuda"), None) == 2000


def test_the_peak_of_the_process_is_at_least_what_it_holds_now() -> None:
    held = psutil.Process().memory_info().rss
    assert held * 0.9 < process_peak() < psutil.virtual_memory().total
