"""Colors that mean the same in every figure, chosen to survive color blindness and, where there is an order, gray."""

from __future__ import annotations

import numpy as np

from brainnet._checks import nearest

SEQUENTIAL = "viridis"  # scores
DIVERGING = "PuOr"  # scale: 0 local, 1 global
BLANK = np.array([1.0, 1.0, 1.0])
INK = "0.25"  # text
FAINT = "0.5"  # second text
# Okabe & Ito (2008) for lines and bars, blue and orange first, which color-blind readers tell apart; its black is dark
# gray here, to stay apart from outlines
_OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#505050", "#F0E442")
# for areas: each the farthest from all before it, in OKLab as seen with and without red or green cones, among colors of
# low chroma (below 0.125 the first 20, 0.14 the others), since large areas of strong colors side by side glare
_MUTED = (
    "#5B8DB8", "#FEC57E", "#8E5308", "#67D9F5", "#D37E6D", "#7E4D8A", "#BA99E3", "#1E7359", "#3AB8A9", "#91892F",
    "#BFAB54", "#E2BBCB", "#957180", "#ADE1AC", "#4B6AAB", "#91C490", "#6F9A8E", "#A4B5D5", "#A14E56", "#EA97BC",
    "#4C3E40", "#003F8A", "#671D67", "#7C1403", "#CEE9FD", "#E7EE7A", "#8C7FDF", "#285A6B", "#5CF9D7", "#784136",
    "#5BB1FE", "#5949A3", "#A9FDA8", "#1680A0", "#637F3C", "#8EA432", "#FFA282", "#6D6781", "#4FA46A", "#FCB5F9",
)  # fmt: skip
_DARKEST = 0.12  # brightness of a layer's color where the weights are spread evenly


def position_colors(position: np.ndarray) -> np.ndarray:
    """RGB (..., 3) in 0..1 of image positions (..., 2) in [-1, 1]; the center is gray, NaN stays NaN.

    Left is blue and right is yellow-brown, a difference every reader sees; top and bottom differ in redness and, for
    those who do not see red and green apart and for gray print, in lightness.

    >>> position_colors(np.zeros(2)).round(2).tolist()
    [0.62, 0.62, 0.62]
    """
    x, y = np.moveaxis(np.clip(position, -1, 1), -1, 0)
    x, y = x * np.sqrt(1 - y**2 / 2), y * np.sqrt(1 - x**2 / 2)  # square to disc: corners no more saturated than edges
    # OKLab (Ottosson 2020): lightness, green to red, blue to yellow; these ranges all but fit into what screens show
    return _oklab_to_rgb(0.70 - 0.15 * y, -0.12 * y, 0.14 * x)


def _oklab_to_rgb(lightness: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ],
        axis=-1,
    ).clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def layer_colors(n_layers: int) -> np.ndarray:
    """(n_layers, 3) RGB from dark blue (first) over red to yellow (last), lighter with every layer.

    >>> layer_colors(4).shape
    (4, 3)
    """
    from matplotlib import colormaps

    return colormaps["plasma"](np.linspace(0.05, 0.95, n_layers) if n_layers > 1 else np.array([0.5]))[:, :3]


def layer_entropy(layer: np.ndarray) -> np.ndarray:
    """(...,) entropy of layer weights (..., n_layers) over its maximum: 0 for one layer alone, 1 for all alike.

    >>> layer_entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [0.0, 1.0]
    """
    n_layers = layer.shape[-1]
    if n_layers == 1:
        return np.where(np.isnan(layer[..., 0]), np.nan, 0.0)
    logs = np.log(layer, out=np.zeros_like(layer), where=layer > 0)  # 0 log 0 = 0
    return np.abs((layer * logs).sum(-1)) / np.log(n_layers)


def darken(colors: np.ndarray, entropy: np.ndarray) -> np.ndarray:
    """Colors (..., 3) darkened by entropy (...,) in 0..1, slowly at first: real layer weights are never sharp."""
    brightness = 1 - (1 - _DARKEST) * np.clip(entropy, 0, 1) ** 4
    return colors * brightness[..., None]


def cluster_colors(n_clusters: int) -> np.ndarray:
    """(n_clusters, 3) RGB of areas, muted, that color-blind readers tell apart, up to 40.

    More clusters take a circle of hues, in which neighbors are alike.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if n_clusters <= len(_MUTED):
        return np.array([to_rgb(color) for color in _MUTED[:n_clusters]]).reshape(-1, 3)
    return colormaps["hsv"](np.arange(n_clusters) / n_clusters)[:, :3]


def contrasting_colors(count: int) -> np.ndarray:
    """(count, 3) RGB of categories drawn as lines, bars or points; beyond eight, as many as of clusters."""
    from matplotlib.colors import to_rgb

    if count > len(_OKABE_ITO):
        return cluster_colors(count)
    return np.array([to_rgb(color) for color in _OKABE_ITO[:count]]).reshape(-1, 3)


def color_map(cmap: object) -> object:
    """The color map of matplotlib that has a name; a color map itself stays as it is.

    Raises:
        ValueError: there is none of this name.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Colormap

    if isinstance(cmap, Colormap):
        return cmap
    if cmap not in colormaps:
        close = nearest(cmap, colormaps)
        raise ValueError(f"matplotlib has no color map {cmap!r}." + (f" Did you mean {close!r}?" if close else ""))
    return colormaps[cmap]


def continuous_colors(values: np.ndarray, cmap: object, vmin: float, vmax: float) -> np.ndarray:
    """RGB (..., 3) of values (...,) between vmin and vmax, clipped to the ends; NaN becomes NaN."""
    colormap = color_map(cmap)
    span = (vmax - vmin) or 1.0
    rgb = colormap(np.clip((np.nan_to_num(values) - vmin) / span, 0, 1))[..., :3]
    return np.where(np.isnan(values)[..., None], np.nan, rgb)
