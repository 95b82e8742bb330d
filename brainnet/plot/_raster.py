"""Triangles as pixels."""

from __future__ import annotations

import numpy as np


def rasterise(
    points: np.ndarray,
    triangles: np.ndarray,
    pixel: float,
    shape: tuple[int, int],
    window: tuple[float, float],
    depth: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels inside triangles: (n,) places, (n, 3) corners, (n, 3) barycentric weights; row 0 is at the top.

    Of several triangles in a pixel the one with the greatest ``depth``, (n_points,) towards the camera, is kept.
    """
    height, _ = shape
    grid = np.stack([points[:, 0] / pixel - 0.5, height - points[:, 1] / pixel - 0.5], axis=1)
    corners = grid[triangles]
    lowest = np.array([np.ceil(window[0] / pixel - 0.5), 0])
    highest = np.array([np.floor(window[1] / pixel - 0.5), height - 1])
    low = np.maximum(np.ceil(corners.min(axis=1)), lowest).astype(int)
    span = np.minimum(np.floor(corners.max(axis=1)), highest).astype(int) - low + 1
    hit = (span > 0).all(axis=1)
    low, span, corners, triangles = low[hit], span[hit], corners[hit], triangles[hit]
    # every pixel of every triangle's bounding box, as one long list
    count = span.prod(axis=1)
    owner = np.repeat(np.arange(len(count)), count)
    step = np.arange(len(owner)) - np.repeat(count.cumsum() - count, count)
    x, y = low[owner, 0] + step % span[owner, 0], low[owner, 1] + step // span[owner, 0]
    (ax, ay), (bx, by), (cx, cy) = np.moveaxis(corners, 0, -1)
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    to_b = ((x - ax[owner]) * (cy - ay)[owner] - (y - ay[owner]) * (cx - ax)[owner]) / area[owner]
    to_c = ((bx - ax)[owner] * (y - ay[owner]) - (by - ay)[owner] * (x - ax[owner])) / area[owner]
    weights = np.stack([1 - to_b - to_c, to_b, to_c], axis=1)
    inside = np.flatnonzero((weights >= -1e-9).all(axis=1))
    if depth is not None:
        near = (depth[triangles[owner[inside]]] * weights[inside]).sum(axis=1)
        inside = inside[np.argsort(-near, kind="stable")]
    places, first = np.unique(y[inside] * shape[1] + x[inside], return_index=True)  # one triangle each, on edges too
    return places, triangles[owner[inside[first]]], weights[inside[first]].clip(0, 1)
