"""The figure of the study: maps, regions, the test and the cubes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from studies.dnn_to_brain.tasks import GROUPS

COLORS = ("#0072b2", "#d55e00", "#009e73")
NONE, UNTRAINED = "#dddddd", "#e69f00"


def draw(
    maps: dict[str, torch.Tensor], truth: torch.Tensor, found: dict[str, Any], rates: dict[str, float],
    toy: np.ndarray, written: np.ndarray, settings: dict[str, Any], real: dict[str, dict[str, Any]],
) -> Any:  # fmt: skip
    """What was planted and found; below it, where there are any, real regions in the same three forms."""
    from matplotlib.figure import Figure

    whole = Figure(figsize=(13.5, 8.6 + 9 * bool(real)))
    figure, *below = whole.subfigures(1 + bool(real), 1, height_ratios=(8.6, 9)[: 1 + bool(real)], squeeze=False)[:, 0]
    grid = figure.add_gridspec(
        3, 20, height_ratios=(0.7, 1, 1), left=0.05, right=0.985, top=0.9, bottom=0.07, hspace=0.5, wspace=1.2
    )
    families = list(settings["families"])
    for k, (name, one) in enumerate({"planted": truth, **maps}.items()):
        _map(figure.add_subplot(grid[0, 4 * k : 4 * k + 4]), one, settings["grid"], f"{'ABCDE'[k]}  {name}")
    left, right = (figure.add_subplot(grid[1, place]) for place in (slice(0, 9), slice(10, 20)))
    _parts(left, found, families, "published", "F  As published: in-sample R² of the mean RDM")
    _parts(right, found, families, "honest", "G  On held-out pictures (*: p < 0.05, labels permuted)")
    _top(
        figure.add_subplot(grid[2, :9]),
        found,
        families,
        "H  Three best networks: as published (dark), in other subjects (pale)",
    )
    _rates(figure.add_subplot(grid[2, 10:14]), rates)
    _cubes(figure.add_subplot(grid[2, 15:]), toy, written)
    _key(figure, families)
    if real:
        _real(below[0], {roi: one for those in real.values() for roi, one in those.items()})
    return whole


def _real(figure: Any, found: dict[str, Any]) -> None:
    grid = figure.add_gridspec(3, 1, left=0.05, right=0.985, top=0.92, bottom=0.13, hspace=0.45)
    axes, groups = [figure.add_subplot(grid[k]) for k in range(3)], list(GROUPS)
    _parts(axes[0], found, groups, "published", "K  Real regions, as published: in-sample R² of the mean RDM")
    _parts(axes[1], found, groups, "honest", "L  Real regions, on held-out pictures (*: p < 0.05, labels permuted)")
    _top(axes[2], found, groups, "M  Real regions, three best networks: as published (dark), in other subjects (pale)")
    axes[2].margins(x=0.01)
    _key(figure, groups, ("untrained", UNTRAINED))


def _key(figure: Any, families: list[str], last: tuple[str, str] = ("none named", NONE)) -> None:
    from matplotlib.patches import Patch

    entries = [*zip(families, COLORS, strict=True), ("shared", "#999999"), last]
    handles = [Patch(color=color, label=name) for name, color in entries]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.04, 0.985), ncols=5, fontsize=9, frameon=False)


def _title(ax: Any, text: str) -> None:
    ax.set_title(text, loc="left", fontsize=9.5, weight="bold")
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)


def _map(ax: Any, values: torch.Tensor, shape: list[int], title: str) -> None:
    from matplotlib.colors import ListedColormap

    middle = values.view(*shape)[:, :, shape[2] // 2].T.numpy()
    ax.imshow(middle, cmap=ListedColormap((NONE, *COLORS)), vmin=-1.5, vmax=2.5, origin="lower", aspect="auto")
    for edge in range(1, 4):
        ax.axvline(edge * shape[0] / 4 - 0.5, color="white", linewidth=1.5)
    _title(ax, title)
    ax.set(xticks=[], yticks=[])


def _parts(ax: Any, found: dict[str, Any], families: list[str], how: str, title: str) -> None:
    for place, one in enumerate(found.values()):
        regression = one[how]
        unique = {name: regression.unique(name).mean().item() for name in families}
        shared = regression.total.mean().item() - sum(unique.values())
        up, down = 0.0, 0.0
        for name, color, value in [*zip(families, COLORS, unique.values(), strict=True), ("shared", "#999999", shared)]:
            ax.bar(place, value, 0.6, bottom=up if value >= 0 else down, color=color)
            if value > 0 and how == "honest" and regression.p.get(f"unique {name}", 1) < 0.05:
                ax.text(place + 0.33, up + value / 2, "*", va="center", fontsize=12)
            up, down = up + max(value, 0), down + min(value, 0)
        ax.plot([place - 0.38, place + 0.38], [regression.total.mean().item()] * 2, color="black", linewidth=1.4)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xticks(range(len(found)), [f"area of\n{name}" if name in families else name for name in found])
    ax.set_ylabel("R² (line: total)")
    _title(ax, title)


def _top(ax: Any, found: dict[str, Any], families: list[str], title: str) -> None:
    colors, ticks = dict(zip(families, COLORS, strict=True)), []
    for place, one in enumerate(found.values()):
        for shift, how, alpha in ((0, "top", 1.0), (4, "held out", 0.55)):
            for k, (name, value) in enumerate(one[how].items()):
                x = 9 * place + shift + k
                ax.bar(x, value, 0.9, color=colors.get(name.rsplit(" ", 1)[0], UNTRAINED), alpha=alpha)
                ticks.append((x, name.rsplit(" ", 1)[1]))
    tasks = max(len(text) for _, text in ticks) > 3  # names of tasks are written upwards, numbers are not
    ax.set_xticks([x for x, _ in ticks], [text for _, text in ticks], rotation=90 * tasks)
    for place, name in enumerate(found):
        text, below = f"area of {name}" if name in families else name, -0.46 if tasks else -0.17
        ax.text(9 * place + 3, below, text, ha="center", va="top", fontsize=8, transform=ax.get_xaxis_transform())
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_ylabel("R²")
    _title(ax, title)
    ax.tick_params(axis="x", labelsize=5.5 if tasks else 7)


def _rates(ax: Any, rates: dict[str, float]) -> None:
    ax.bar(range(2), [100 * value for value in rates.values()], 0.6, color=["#cc79a7", "#666666"])
    ax.axhline(5, color="black", linestyle="--", linewidth=1)
    for place, value in enumerate(rates.values()):
        ax.text(place, 100 * value, f"{value:.1%}", ha="center", va="bottom", fontsize=8)
    ax.set_xticks(range(2), [name.replace(" ", "\n") for name in rates])
    ax.set_ylabel("% of noise called significant")
    _title(ax, "I  False positives")


def _cubes(ax: Any, toy: np.ndarray, written: np.ndarray) -> None:
    middle = 5
    ax.imshow(written[:, :, middle].T, cmap="viridis", origin="lower", aspect="auto")
    ax.contour(toy[:, :, middle].T.astype(float), levels=[0.5], colors="red", linewidths=1.8)
    ax.set(xticks=[], yticks=[])
    _title(ax, "J  Published cubes; red: the mask")
