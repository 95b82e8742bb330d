"""Maps and trees of conditions keep their distances and their groups."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform

from brainnet import plot
from brainnet.plot.rsa.conditions import _groups_below, planar_layout
from brainnet.rsa import RDMs


@pytest.fixture
def pair(rng):
    return RDMs(torch.rand(2, 15, generator=rng), names=("V1", "IT"), conditions=tuple("abcdef"))


def test_a_plane_keeps_its_distances(rng):
    points = torch.randn(9, 2, generator=rng).numpy()
    places = planar_layout(squareform(pdist(points)))
    np.testing.assert_allclose(pdist(places), pdist(points), atol=1e-6)


def test_layout_beats_classical_scaling_and_sklearn_agrees(rng):
    from sklearn.manifold import smacof

    square = squareform(pdist(torch.randn(12, 6, generator=rng).numpy()))
    places = planar_layout(square, steps=2000)
    stress = ((pdist(places) - squareform(square)) ** 2).sum()
    _, oracle = smacof(square, n_components=2, init=places + 0.01, n_init=1, normalized_stress=False, max_iter=2000,
                       random_state=0)  # fmt: skip
    assert stress <= oracle * (1 + 1e-4)


def test_map_names_and_marks_what_it_draws(pair):
    ax = plot.condition_map(pair["IT"], groups=list("xxxyyy")).axes[0]
    assert [len(dots.get_offsets()) for dots in ax.collections] == [3, 3]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["x", "y"]
    names = [text.get_text() for text in plot.condition_map(pair["V1"]).axes[0].texts]
    assert names[:6] == list("abcdef")
    with pytest.raises(ValueError, match="draws one RDM, got 2"):
        plot.condition_map(pair)
    with pytest.raises(ValueError, match="holds NaN"):
        plot.condition_map(torch.full((15,), torch.nan))


def test_tree_joins_what_is_alike():
    square = torch.full((6, 6), 4.0).fill_diagonal_(0)
    for i, j in ((0, 3), (1, 4), (2, 5)):
        square[i, j] = square[j, i] = 1.0
    ax = plot.tree(RDMs.from_square(square, conditions=tuple("abcdef"))).axes[0]
    leaves = "".join(tick.get_text() for tick in ax.get_xticklabels())
    assert {leaves[i : i + 2] for i in (0, 2, 4)} <= {"ad", "da", "be", "eb", "cf", "fc"}
    heights = sorted(segment[1, 1] for segment in ax.collections[0].get_segments())
    assert heights == [1, 1, 1, 4, 4]


def test_branches_know_which_group_they_hold():
    links = np.array([[0, 1, 1.0, 2], [2, 3, 1.5, 2], [4, 5, 2.0, 4]])
    assert _groups_below(links, ["x", "x", "y", "y"]) == ["x", "y", None]
