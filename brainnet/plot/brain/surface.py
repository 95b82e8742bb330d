"""Maps of one quantity: flat maps of the cortex, slices of a volume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from brainnet.plot._canvas import canvas_of
from brainnet.plot._colors import INK
from brainnet.plot._figure import add_axes, new_figure, title_above
from brainnet.plot._text import label
from brainnet.plot.brain.drawing import Look, checked_values, draw_borders, draw_map
from brainnet.space import BrainSpace, has_surfaces, load_mesh

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from torch import Tensor


def flatmap(
    values: Tensor,
    space: BrainSpace,
    *,
    ax: Axes | None = None,
    cmap: str | Colormap | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    alpha: Tensor | None = None,
    title: str | None = None,
    label: str | None = None,
    colorbar: bool = True,
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
) -> Figure:
    """A figure of both hemispheres cut open and laid flat, values in color over gray sulci.

    The occipital ends face each other, dorsal is up. The picture is cropped to the space. Vertices on the cuts and the
    medial wall, which no flat map shows, are left out.

    Args:
        values: (n_voxels,) numbers; (n_voxels,) integers are labels, with -1 for none; (n_voxels, 3) are RGB in 0..1,
            (n_voxels, 4) RGBA. Voxels that are NaN are transparent.
        space: a surface space.
        ax: axes to draw on; by default a new figure.
        cmap: matplotlib color map of numbers; labels have fixed colors.
        vmin: value of the lowest color, by default the least value. Give both limits to compare maps.
        vmax: value of the highest color.
        alpha: (n_voxels,) opacity in 0..1, for instance to fade what is predicted badly.
        title: text above.
        label: name and unit of the values, at the color bar.
        colorbar: whether to draw a color bar (numbers) or color patches (labels).
        outlines: regions to outline: True for all of the space, their names or patterns such as "V1*", or
            name -> (n_voxels,) bool.

    Returns:
        A matplotlib figure, unknown to pyplot: ``figure.savefig(...)``.

    Raises:
        ValueError: the space has no surface, or the values another length.

    >>> from brainnet.space import occipital_vertices, surface_space
    >>> space = surface_space(occipital_vertices(20))
    >>> figure = flatmap(space.coords[:, 2], space, label="height on the sphere (mm)")
    >>> len(figure.axes)
    2
    """
    if space.mesh is None:
        hint = "draw its slices: plot.slices(values, space)" if space.mask is not None else "it has no place on a brain"
        raise ValueError(f"a flat map needs a surface space, got {space!r}; {hint}.")
    if not has_surfaces(space.mesh):
        load_mesh(space.mesh)  # says why there is none
    return _map(values, space, ax, cmap, vmin, vmax, alpha, title, label, colorbar, outlines)


def slices(
    values: Tensor,
    space: BrainSpace,
    *,
    ax: Axes | None = None,
    cmap: str | Colormap | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    alpha: Tensor | None = None,
    title: str | None = None,
    label: str | None = None,
    colorbar: bool = True,
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
) -> Figure:
    """A figure of up to 12 axial slices of a volume space, left on the left; arguments as for :func:`flatmap`.

    Raises:
        ValueError: the space has no volume, or the values another length.

    >>> import torch
    >>> space = BrainSpace(mask=torch.ones(4, 4, 4, dtype=torch.bool), affine=torch.eye(4))
    >>> figure = slices(space.coords[:, 2], space, label="height (mm)")
    >>> [text.get_text() for text in figure.axes[0].texts][:4]
    ['z = 0 mm', 'z = 1 mm', 'z = 2 mm', 'z = 3 mm']
    """
    if space.mask is None:
        raise ValueError(f"slices need a volume space; {space!r} has no mask and affine.")
    return _map(values, space, ax, cmap, vmin, vmax, alpha, title, label, colorbar, outlines)


def _map(values, space, ax, cmap, vmin, vmax, alpha, title, name, colorbar, outlines) -> Figure:
    canvas, values = canvas_of(space), checked_values(values, space)
    if ax is None:
        width = min(6.2, 6.5 * canvas.aspect)
        height, below = width / canvas.aspect, 0.25 + 0.55 * colorbar
        figure = new_figure((width + 0.3, below + height + 0.1))
        ax, legend_box = add_axes(figure, (0.15, below, width, height)), (0.15 + 0.3 * width, 0.37, 0.4 * width, 0.15)
    else:
        legend_box = None
        if title:
            ax.set_title(label(title, 60), fontsize=10, color=INK)
    draw_legend = draw_map(ax, canvas, values, Look(cmap, vmin, vmax, label=name), alpha)
    draw_borders(ax, canvas, {name: canvas.border(mask) for name, mask in regions(outlines, space).items()})
    if colorbar and draw_legend is not None:
        draw_legend(add_axes(ax.figure, legend_box) if legend_box else ax.inset_axes((0.3, -0.12, 0.4, 0.035)))
    if legend_box:
        title_above(ax.figure, title)
    return ax.figure


def regions(outlines: bool | Iterable[str] | Mapping[str, Tensor] | None, space: BrainSpace) -> Mapping[str, Tensor]:
    """The regions an ``outlines`` argument means: name -> (n_voxels,) bool."""
    if outlines is None or outlines is False:
        return {}
    if outlines is True:
        return space.rois
    if isinstance(outlines, Mapping):
        return outlines
    patterns = [outlines] if isinstance(outlines, str) else list(outlines)
    return {name: space.rois[name] for pattern in patterns for name in space.find_rois(pattern)}
