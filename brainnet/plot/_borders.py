"""Borders of regions on a mesh, as lines that cross its edges in their middles."""

from __future__ import annotations

import numpy as np


def border_segments(faces: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a border passes through triangles: it parts the corners inside from those outside.

    Args:
        faces: (n_faces, 3) triangles.
        inside: (n_vertices,) bool.

    Returns:
        owner: (n,) the face of each segment.
        ends: (n, 2, 2) the two mesh edges, each as two vertices in rising order, whose middles a segment joins.

    >>> owner, ends = border_segments(np.array([[0, 1, 2]]), np.array([True, False, False]))
    >>> owner.tolist(), ends.tolist()
    ([0], [[[0, 1], [0, 2]]])
    """
    corners = inside[faces]
    count = corners.sum(axis=1)
    owner = np.flatnonzero((count == 1) | (count == 2))
    odd = np.where((count[owner] == 1)[:, None], corners[owner], ~corners[owner]).argmax(axis=1)
    turned = np.take_along_axis(faces[owner], (odd[:, None] + np.arange(3)) % 3, axis=1)
    ends = np.stack([turned[:, [0, 1]], turned[:, [0, 2]]], axis=1)
    return owner, np.sort(ends, axis=2)


def border_lines(place: np.ndarray, faces: np.ndarray, inside: np.ndarray) -> list[np.ndarray]:
    """The smoothed lines (n, 2) around the vertices inside, of points (n_vertices, 2).

    They cross edges in the middle, and go along the rim of the mesh, as where a flat map is cut: so they are closed.

    >>> corners = np.array([[0.0, 0], [2, 0], [0, 2]])
    >>> (line,) = border_lines(corners, np.array([[0, 1, 2]]), np.array([True, False, False]))
    >>> len(line), bool((line[0] == line[-1]).all())
    (4, True)
    """
    return lines_through(place, np.concatenate([border_segments(faces, inside)[1], _rim(faces, inside)]))


def _rim(faces: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(n, 2, 2) segments along edges of one triangle alone, between vertices inside; a vertex v is the edge (v, v)."""
    around = faces[inside[faces].any(axis=1)]  # all triangles of an edge that has a vertex inside
    edges = np.sort(around[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64), axis=1)
    keys, counts = np.unique(edges[:, 0] * len(inside) + edges[:, 1], return_counts=True)
    edges = np.stack(np.divmod(keys[counts == 1], len(inside)), axis=1)
    edges = edges[inside[edges].any(axis=1)]
    both = inside[edges].all(axis=1)
    whole = np.repeat(edges[both], 2, axis=1).reshape(-1, 2, 2)
    parted = edges[~both]
    corner = np.where(inside[parted[:, :1]], parted[:, :1], parted[:, 1:])
    return np.concatenate([whole, np.stack([parted, np.repeat(corner, 2, axis=1)], axis=1)])


def lines_through(place: np.ndarray, ends: np.ndarray) -> list[np.ndarray]:
    """Segments as :func:`border_segments` gives them, as smoothed lines (n, 2) through the middles of edges."""
    if not len(ends):
        return []
    edges, numbers = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True)
    middles = place[edges].mean(axis=1)
    return [smoothed(middles[line]) for line in joined(numbers.reshape(-1, 2))]


def joined(ends: np.ndarray) -> list[np.ndarray]:
    """Segments (n, 2) of numbered points as lines, each (k,) point numbers; a closed line ends where it begins.

    >>> [line.tolist() for line in joined(np.array([[0, 1], [2, 1], [5, 6]]))]
    [[0, 1, 2], [5, 6]]
    """
    touching: dict[int, list[int]] = {}
    for number, (a, b) in enumerate(ends.tolist()):
        touching.setdefault(a, []).append(number)
        touching.setdefault(b, []).append(number)
    used = np.zeros(len(ends), dtype=bool)
    lines = []
    starts = [point for point, segments in touching.items() if len(segments) != 2] + list(touching)
    for start in starts:  # the ends of open lines come first, what is left then is closed
        for first in touching[start]:
            line, point, segment = [start], start, first
            while segment is not None and not used[segment]:
                used[segment] = True
                a, b = ends[segment].tolist()
                point = b if point == a else a
                line.append(point)
                onward = touching[point]
                segment = next((one for one in onward if not used[one]), None) if len(onward) == 2 else None
            if len(line) > 1:
                lines.append(np.array(line))
    return lines


def smoothed(line: np.ndarray, times: int = 2) -> np.ndarray:
    """A line (n, 2) whose points move towards their neighbors; the ends of an open one stay where they are."""
    closed = len(line) > 3 and np.array_equal(line[0], line[-1])
    for _ in range(times):
        before, after = np.roll(line, 1, axis=0), np.roll(line, -1, axis=0)
        if closed:  # its last point is its first
            before[0], after[-1] = line[-2], line[1]
        moved = 0.25 * before + 0.5 * line + 0.25 * after
        if not closed:
            moved[[0, -1]] = line[[0, -1]]
        line = moved
    return line
