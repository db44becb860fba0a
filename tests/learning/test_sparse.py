"""Sparse labels equal a numpy array, and allocate only painted blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from napari_fcn.geometry import Region
from napari_fcn.learning import sparse
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.sparse import SparseLabels


@st.composite
def boxes(draw: st.DrawFn, shape: tuple[int, ...]) -> Region:
    spans = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    return Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))


@given(st.data())
def test_sparse_labels_equal_a_numpy_array(data: st.DataObject) -> None:
    shape = data.draw(nps.array_shapes(min_dims=1, max_dims=4, max_side=9))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "BLOCK_SIDE", 4)
        labels, expected = SparseLabels(shape), np.zeros(shape, np.uint8)
    for _ in range(data.draw(st.integers(0, 6))):
        region = data.draw(boxes(shape))
        values = data.draw(nps.arrays(np.uint8, region.shape, elements=st.integers(0, 3)) | st.just(0))
        labels[region.slices] = values
        expected[region.slices] = values
    region = data.draw(boxes(shape))
    np.testing.assert_array_equal(labels[region.slices], expected[region.slices])
    np.testing.assert_array_equal(np.asarray(labels), expected)
    samples = Samples.from_labels(labels)
    assert samples.equals(Samples.from_labels(expected))
    allocated = np.zeros(shape, bool)
    for block in labels.regions:
        allocated[block.slices] = True
    assert allocated[expected > 0].all()


def test_only_painted_blocks_are_allocated() -> None:
    labels = SparseLabels((10**4, 10**7, 10**7))
    labels[Region((5, 0, 0), (6, 10**4, 10**4)).slices] = 0
    assert labels.regions == ()
    labels[Region((7, 1000, 2000), (8, 1001, 2001)).slices] = 3
    assert [region.shape for region in labels.regions] == [(1, 256, 256)]
    samples = Samples.from_labels(labels)
    assert samples.coordinates().tolist() == [[7, 1000, 2000]]
    assert samples.class_index.tolist() == [2]
    block_read = labels[Region((7, 1000, 2000), (8, 1001, 2001)).slices]
    block_read[...] = 9
    assert Samples.from_labels(labels).class_index.tolist() == [2]
