import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.spatial.distance import squareform as scipy_squareform

from brainnet.rsa.rdms import RDMs, align_conditions, as_rdms

CONDITIONS = ("cat", "dog", "car", "bus", "oak")


@pytest.fixture
def rdms(rng):
    return RDMs(torch.rand(3, 10, generator=rng, dtype=torch.float64), "correlation", ("a", "b", "c"), CONDITIONS)


def test_pairs_stand_in_scipys_order(rng):
    x = torch.rand(6, 4, generator=rng, dtype=torch.float64).numpy()
    square = RDMs(torch.from_numpy(pdist(x))).to_square()[0].numpy()
    assert np.array_equal(square, scipy_squareform(pdist(x)))
    assert np.array_equal(RDMs.from_square(square).values[0].numpy(), pdist(x))


def test_subset_and_reorder_follow_the_square_matrix(rdms):
    square = rdms.to_square()
    for order in ([4, 0, 2], [1, 0, 2, 4, 3], ["oak", "car"], np.array([False, True, True, False, True])):
        index = [CONDITIONS.index(c) if isinstance(c, str) else c for c in order]
        index = np.flatnonzero(order).tolist() if isinstance(order, np.ndarray) else index
        subset = rdms.subset(order)
        assert torch.equal(subset.to_square(), square[:, index][:, :, index])
        assert subset.conditions == tuple(CONDITIONS[i] for i in index)
    with pytest.raises(ValueError, match="needs all 5"):
        rdms.reorder(["cat", "dog"])


def test_sqrt_keeps_the_sign_of_crossvalidated_distances():
    assert RDMs(torch.tensor([[4.0, -9.0, 0.0]])).sqrt().values.tolist() == [[2, -3, 0]]


def test_average_weights_and_names(rdms):
    assert torch.allclose(rdms.average().values[0], rdms.values.mean(0))
    assert torch.allclose(rdms.average([0, 2, 0]).values[0], rdms.values[1])
    assert rdms.average(name="group").names == ("group",)


def test_rdms_are_chosen_by_name_index_and_slice(rdms):
    assert rdms["b"].names == rdms[1].names == ("b",)
    assert rdms[["c", "a"]].names == ("c", "a")
    assert torch.equal(rdms[1:].values, rdms.values[1:])
    assert [one.names for one in rdms] == [("a",), ("b",), ("c",)]
    with pytest.raises(ValueError, match="no RDM named 'z'"):
        rdms["z"]


def test_methods_leave_the_original_untouched(rdms):
    before = rdms.values.clone()
    rdms.rank(), rdms.sqrt(), rdms.average(), rdms.subset([0, 1, 2]), rdms.reorder([4, 3, 2, 1, 0])
    assert torch.equal(rdms.values, before)


def test_stack_aligns_by_name_only_when_asked(rdms):
    turned = rdms.reorder(CONDITIONS[::-1])
    with pytest.raises(ValueError, match=r"different orders .number 0 is 'cat' and 'oak'.*align=True"):
        RDMs.stack([rdms, turned])
    stacked = RDMs.stack([rdms, turned], align=True)
    assert torch.equal(stacked.values[:3], stacked.values[3:])
    assert stacked.conditions == CONDITIONS
    assert stacked.names == ("a", "b", "c") * 2


def test_differing_conditions_are_refused_with_their_names(rdms):
    other = RDMs(rdms.values, conditions=("cat", "dog", "car", "bus", "elm"))
    with pytest.raises(ValueError, match="only the first has 'oak', only the second 'elm'"):
        align_conditions(rdms, other, align=True)
    with pytest.raises(ValueError, match="5 and 4 conditions"):
        align_conditions(rdms, rdms.subset([0, 1, 2, 3]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RDMs(torch.zeros(2, 4)), "4 is not a number of pairs"),
        (lambda: RDMs(torch.zeros(2, 3), names=("one",)), "1 names for 2 RDMs"),
        (lambda: RDMs(torch.zeros(1, 3), conditions=("a", "b")), "2 condition names for 3"),
        (lambda: RDMs(torch.zeros(1, 3), conditions=("a", "b", "a")), "named twice: 'a'"),
        (lambda: RDMs.from_square(torch.zeros(3, 4)), "must be square"),
        (lambda: RDMs.from_square(torch.eye(3)), "zeros on its diagonal.*1 - similarity"),
        (lambda: RDMs.from_square(torch.tensor([[0.0, 1.0], [2.0, 0.0]])), "symmetric.*by up to 1"),
        (lambda: RDMs(torch.zeros(1, 3, dtype=torch.complex64)), "real numbers"),
        (lambda: as_rdms(np.array([[1, "x"]], dtype=object)), "dtype object"),
        (lambda: RDMs(torch.zeros(1, 2, 3, 3)), "from_square"),
        (lambda: RDMs.stack([]), "nothing to stack"),
        (lambda: RDMs(torch.zeros(1, 3)).subset([0, 0, 1]), "twice"),
        (lambda: RDMs(torch.zeros(1, 3)).subset(["a", "b"]), "no condition named 'a'"),
    ],
)
def test_bad_input_gets_one_clear_line(build, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def test_a_rounded_diagonal_and_mirror_image_pass():
    square = scipy_squareform(pdist(np.random.default_rng(0).random((5, 3)))).astype(np.float32)
    square += np.random.default_rng(1).normal(size=square.shape).astype(np.float32) * 1e-6
    assert len(RDMs.from_square(square)) == 1


def test_nan_on_one_side_of_the_diagonal_is_named(rng):
    matrix = RDMs(torch.rand(2, 6, generator=rng)).to_square()
    matrix[1, 0, 2] = torch.nan
    with pytest.raises(ValueError, match="in RDM 1 the entry at row 0, column 2") as error:
        RDMs.from_square(matrix)
    assert "up to 0" not in str(error.value)


def test_axes_part_and_are_checked(rng):
    course = RDMs(torch.rand(6, 10, generator=rng), axes={"subject": ("a", "b"), "time": "012"})
    parts = course.along("time")
    assert [part.names for part in parts] == [("a", "b")] * 3
    assert torch.equal(torch.stack([part.values for part in parts], 1).flatten(0, 1), course.values)
    assert list(course[:2].axes) == ["rdm"]
    assert list(course.average().axes) == ["rdm"]
    with pytest.raises(ValueError, match="do not fit 6 RDMs"):
        RDMs(course.values, axes={"subject": "abcd"})
    with pytest.raises(ValueError, match="no axis 'layer'"):
        course.along("layer")
