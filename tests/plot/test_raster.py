import numpy as np

from brainnet.plot._raster import rasterise

PLACE = np.array([[0.0, 0], [8, 0], [0, 8], [8, 8]])


def test_every_pixel_lies_where_its_weights_say():
    pixels, corners, weights = rasterise(PLACE, np.array([[0, 1, 2], [1, 3, 2]]), 0.5, (16, 16), (0, 8))
    assert sorted(pixels.tolist()) == list(range(256))  # each once, on the edge between the two as well
    row, column = np.divmod(pixels, 16)
    wanted = np.stack([(column + 0.5) * 0.5, 8 - (row + 0.5) * 0.5], axis=1)
    np.testing.assert_allclose((PLACE[corners] * weights[..., None]).sum(axis=1), wanted, atol=1e-9)


def test_the_nearer_triangle_is_seen_and_pixels_outside_a_window_are_not():
    twice = np.concatenate([PLACE, PLACE])
    depth = np.repeat([0.0, 1.0], 4)
    faces = np.array([[0, 1, 2], [4, 5, 6]])
    for order in (faces, faces[::-1]):
        _, corners, _ = rasterise(twice, order, 0.5, (16, 16), (0, 8), depth)
        assert corners.min() >= 4
    pixels, _, _ = rasterise(PLACE, np.array([[0, 1, 2], [1, 3, 2]]), 0.5, (16, 16), (2, 4))
    assert set(np.unique(pixels % 16)) == set(range(4, 8))
