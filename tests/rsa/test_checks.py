"""Numbers as tensors, names of conditions, and the order of labels."""

import numpy as np
import pytest
import torch

from brainnet.rsa.checks import as_float_tensor, check_conditions, few, in_order, positions_of
from brainnet.stimuli import natural_sort


def test_numbers_become_floating_point_and_share_memory_where_they_can():
    array = np.ones(3)
    assert as_float_tensor(array, "x").data_ptr() == torch.from_numpy(array).data_ptr()
    assert as_float_tensor([1, 2], "x").dtype == torch.get_default_dtype()
    assert as_float_tensor(torch.ones(2, dtype=torch.float16), "x").dtype == torch.float32
    for wrong in (["a"], torch.ones(2, dtype=torch.complex64)):
        with pytest.raises(TypeError, match="x must be"):
            as_float_tensor(wrong, "x")


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i4", "<f8", np.longdouble, "u8", ">u2"])
def test_numbers_of_any_byte_order_length_and_direction_are_read(dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)[::-1, ::2]
    assert as_float_tensor(array, "x").tolist() == [[8, 10], [4, 6], [0, 2]]


@pytest.mark.parametrize("labels", [["img10", "img2", "IMG1", "img2"], [b"b10", b"b9"], ["z", "a", "a"]])
def test_labels_are_in_the_order_of_files(labels):
    known, which = in_order(labels)
    texts = [label.decode() if isinstance(label, bytes) else label for label in labels]
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in known]
    assert names == natural_sort(set(texts))
    assert [names[i] for i in which] == texts


def test_numbers_as_labels_keep_their_order():
    assert in_order([10, 9, -1])[0].tolist() == [-1, 9, 10]


def test_names_are_counted_found_and_listed():
    with pytest.raises(ValueError, match="got 2 condition names for 3"):
        check_conditions("ab", 3)
    with pytest.raises(ValueError, match="named twice: 'a'"):
        check_conditions("aba", 3)
    assert positions_of(["b", 0, -1], ("a", "b"), "RDM") == [1, 0, 1]
    with pytest.raises(ValueError, match="no RDM named 'c'; known: 'a', 'b'"):
        positions_of(["c"], ("a", "b"), "RDM")
    assert few("edcba") == "'a', 'b', 'c', 'd', ... (5 in all)"
