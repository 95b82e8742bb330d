"""Neighbourhoods against scikit-learn's radius graph, nilearn's searchlight, and distances on a sphere."""

import nibabel
import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from brainnet.rsa import Neighbourhoods, discs, spheres
from brainnet.rsa.search.neighbourhoods import geodesic_graph
from brainnet.space import BrainSpace, load_mesh

OBLIQUE = np.array([[2.5, 0.3, 0.0, -20.0], [-0.3, 2.5, 0.2, 10.0], [0.0, -0.2, 3.1, 5.0], [0, 0, 0, 1.0]])
ISOTROPIC = np.diag([-3.0, 3.0, 3.0, 1.0])


def volume(rng, affine, shape=(9, 8, 7)):
    mask = torch.rand(shape, generator=rng) > 0.3
    return BrainSpace(mask=mask, affine=torch.from_numpy(affine))


def centres_in_mm(space):
    places = np.argwhere(space.mask.numpy())
    return places @ space.affine.numpy()[:3, :3].T + space.affine.numpy()[:3, 3]


def membership(found):
    """(n_centres, n_voxels) ones, sparse."""
    ones = np.ones(len(found.members), dtype=np.int8)
    return csr_array((ones, found.members, found.starts), shape=(len(found), found.space.n_voxels))


@pytest.mark.parametrize("affine", [OBLIQUE, ISOTROPIC])
@pytest.mark.parametrize("radius", [3.0, 6.0, 7.5])
def test_spheres_are_sklearns_radius_graph(rng, affine, radius):
    from sklearn.neighbors import NearestNeighbors

    space = volume(rng, affine)
    xyz = centres_in_mm(space)
    expected = NearestNeighbors(radius=radius).fit(xyz).radius_neighbors_graph(xyz)
    found = spheres(space, radius, min_size=1)
    assert len(found) == space.n_voxels
    assert (membership(found) != expected).nnz == 0


def test_spheres_are_those_of_nilearn(rng):
    from nilearn.maskers.nifti_spheres_masker import apply_mask_and_get_affinity

    space = volume(rng, ISOTROPIC)
    mask = nibabel.Nifti1Image(space.mask.numpy().astype(np.int8), space.affine.numpy())
    image = nibabel.Nifti1Image(np.ones((*space.mask.shape, 1), dtype=np.float32), space.affine.numpy())
    _, expected = apply_mask_and_get_affinity(centres_in_mm(space), image, 6.0, True, mask_img=mask)
    assert (membership(spheres(space, 6.0, min_size=1)) != expected.tocsr()).nnz == 0


def test_spheres_in_voxels_ignore_the_size_of_a_voxel(rng):
    space = volume(rng, OBLIQUE)
    unit = BrainSpace(mask=space.mask, affine=torch.eye(4).double())
    a, b = spheres(space, 2.0, "voxels", min_size=1), spheres(unit, 2.0, min_size=1)
    assert np.array_equal(a.members, b.members)


def test_neighbour_at_exactly_the_radius_is_inside_despite_rounding():
    for angle in np.linspace(0, 1, 10):
        turn = np.diag([2.4, 2.4, 2.4, 1.0])
        turn[:2, :2] = 2.4 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        space = BrainSpace(mask=torch.ones(7, 7, 7).bool(), affine=torch.from_numpy(turn))
        lights = spheres(space, 4.8, min_size=1, centres=[3 * 49 + 3 * 7 + 3])
        assert lights.sizes == [33]  # the lattice points of a ball of radius 2


def test_small_spheres_are_left_out_and_centres_chosen(rng):
    space = volume(rng, ISOTROPIC)
    every = spheres(space, 6.0, min_size=1)
    some = spheres(space, 6.0, min_size=20)
    assert np.array_equal(some.centres, every.centres[every.sizes >= 20])
    mask = np.zeros(space.n_voxels, dtype=bool)
    mask[[5, 9]] = True
    two = spheres(space, 6.0, min_size=1, centres=mask)
    assert np.array_equal(two[1], every[9])
    with pytest.raises(ValueError, match=r"no center has 1000 voxels in its reach \(the most is"):
        spheres(space, 6.0, min_size=1000)


def test_volume_index_in_another_order_is_respected(rng):
    space = volume(rng, ISOTROPIC, (4, 4, 4))
    shuffled = space.subset(torch.randperm(space.n_voxels, generator=rng))
    found = spheres(shuffled, 3.0, min_size=1)
    for position in (0, 7):
        distance = (shuffled.coords - shuffled.coords[position]).norm(dim=1)
        assert np.array_equal(found[position], (distance <= 3.0001).nonzero()[:, 0])


def test_geodesics_on_a_sphere_are_great_circles():
    from scipy.sparse.csgraph import dijkstra

    points, faces = load_mesh("fsaverage5", "sphere", "left")
    points = points.astype(np.float64)
    along = dijkstra(geodesic_graph(points, faces), directed=False, indices=[0, 1234], limit=60)
    great_circle = 100 * np.arccos(np.clip(points[[0, 1234]] @ points.T / 1e4, -1, 1))
    reached = np.isfinite(along) & (great_circle > 10)
    ratio = along[reached] / great_circle[reached]
    assert 1.0 < ratio.mean() < 1.03  # edges alone: 1.06
    assert ratio.max() < 1.06
    assert ratio.min() > 0.995  # chords are a little shorter than arcs


def test_discs_hold_what_lies_within_and_stay_in_their_hemisphere():
    vertices = torch.cat([torch.arange(0, 10242, 3), 10242 + torch.arange(0, 10242, 2)])
    space = BrainSpace(vertices=vertices, mesh="fsaverage5")
    centres = [3, 100, 4000]
    within = discs(space, radius=12.0, surface="sphere", centres=centres, min_size=1)
    for position, centre in enumerate(centres):
        side = int(vertices[centre]) // 10242
        members = within[position]
        assert (vertices[members] // 10242 == side).all()
        points = load_mesh("fsaverage5", "sphere", ("left", "right")[side]).points.astype(np.float64)
        angle = np.arccos(np.clip(points[vertices % 10242] @ points[vertices[centre] % 10242] / 1e4, -1, 1))
        distance = np.where(vertices.numpy() // 10242 == side, 100 * angle, np.inf)
        assert set(np.flatnonzero(distance < 11.2)) <= set(members) <= set(np.flatnonzero(distance <= 12.1))
    nearest = discs(space, k=40, surface="sphere", centres=centres)
    assert nearest.sizes.tolist() == [40] * 3
    assert all(centre in nearest[i] for i, centre in enumerate(centres))


def test_nearest_discs_grow_until_full_and_stop_at_what_there_is():
    space = BrainSpace(vertices=torch.tensor([0, 5000, 9000, 10300]), mesh="fsaverage5")
    found = discs(space, k=3, surface="sphere", min_size=1)
    assert [set(found[i]) for i in range(4)] == [{0, 1, 2}] * 3 + [{3}]


def test_bad_requests_are_told_what_to_do():
    surface = BrainSpace(vertices=torch.arange(5), mesh="fsaverage5")
    volume_space = BrainSpace(mask=torch.ones(3, 3, 3).bool(), affine=torch.eye(4).double())
    for call, message in [
        (lambda: spheres(surface, 4.0), "on a surface use discs"),
        (lambda: discs(volume_space, k=4), "in a volume use spheres"),
        (lambda: discs(surface), "either radius= in mm or k="),
        (lambda: discs(surface, 4.0, 4), "either radius= in mm or k="),
        (lambda: spheres(volume_space, 2.0, "cm"), "'mm' or 'voxels'"),
        (lambda: spheres(volume_space, -1.0), "radius must be above 0"),
        (lambda: spheres(volume_space, 2.0, centres=[99]), "columns of 0..26"),
        (lambda: Neighbourhoods.from_lists([[0], []], volume_space), "neighborhood 1 must be a non-empty list"),
        (lambda: Neighbourhoods.from_lists([[0, 0]], volume_space), "at most once"),
        (lambda: Neighbourhoods.from_lists([[0], [1]], volume_space, centres=[3]), "as many different centers"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
