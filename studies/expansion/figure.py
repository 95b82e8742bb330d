"""The figure of the study: eight panels."""

from __future__ import annotations

from typing import Any

import numpy as np

from brainnet.features import power_law

COLORS = ("#0072b2", "#999999", "#56b4e9", "#cc79a7", "#d55e00", "#8c6d31", "#009e73")  # of the sweep, in order
OF_NETWORKS = ("#0072b2", "#e69f00", "#b8b8b8", "#009e73", "#cc79a7", "#56b4e9")  # Expansion, and the others in order


def draw(brain: str, found: dict[str, Any], settings: dict[str, Any]) -> Any:
    from matplotlib.figure import Figure

    colors = dict(zip(found["spectra"], OF_NETWORKS, strict=False))
    figure = Figure(figsize=(13.5, 6.8), layout="constrained")
    axes = figure.subplots(2, 4)
    for ax in axes.flat:
        ax.tick_params(labelsize=8)  # before the panels, whose names below bars are smaller
    _sweep(axes[0, 0], found)
    _others(axes[0, 1], found, colors)
    _components(axes[0, 2], found)
    _spectra(axes[0, 3], found, colors)
    for ax, option in ((axes[1, 0], "initialisation"), (axes[1, 1], "nonlinearity")):
        _choices(ax, found, option)
    _split(axes[1, 2], found)
    _probe(axes[1, 3], found, settings, colors)
    for letter, ax in zip("ABCDEFGH", axes.flat, strict=True):
        text = ax.get_title()
        ax.set_title("")
        ax.set_title(f"{letter}  {text}", loc="left", fontsize=10, weight="bold")
        ax.spines[["top", "right"]].set_visible(False)
    n = settings["n_images"] or "all"
    figure.suptitle(f"{brain}, {n} images. Bars and lines: mean test r over units, with 95 % intervals over images",
                    fontsize=11, x=0.01, ha="left")  # fmt: skip
    return figure


def _error(ones: list[dict[str, float]]) -> np.ndarray:
    return np.clip([[one["r"] - one["low"] for one in ones], [one["high"] - one["r"] for one in ones]], 0, None)


def _ceiling(ax: Any, found: dict[str, Any], label: bool = False) -> None:
    if found["ceiling"] == found["ceiling"]:
        ax.axhline(found["ceiling"], color="#444444", linewidth=1, linestyle="--")
        if label:
            ax.text(1, found["ceiling"], "noise ceiling ", fontsize=8, ha="right", va="bottom",
                    transform=ax.get_yaxis_transform())  # fmt: skip


def _sweep(ax: Any, found: dict[str, Any]) -> None:
    for k, (kind, sizes) in enumerate(found["sweep"].items()):
        ones, color = list(sizes.values()), COLORS[k]
        ax.errorbar(list(sizes), [one["r"] for one in ones], _error(ones), color=color, marker="o", markersize=4,
                    linewidth=2.2 if kind == "expansion" else 1.2, elinewidth=0.8, label=kind)  # fmt: skip
    _ceiling(ax, found, label=True)
    _plain_log(ax, list(found["sweep"]["expansion"]))
    ax.set(xlabel="channels of the last layer", ylabel="r", ylim=(None, 1.5 * max(0.1, found["ceiling"])))
    ax.set_yticks(np.arange(0, 1.01, 0.2))  # the legend has the room above 1
    ax.legend(fontsize=7, frameon=False, ncols=2, loc="upper left", borderaxespad=0, columnspacing=0.8)
    ax.set_title("Size of the last layer")


def _plain_log(ax: Any, ticks: list[int]) -> None:
    """A logarithmic axis with these numbers and no others: a short range would have labels that overlap."""
    ax.set_xscale("log")
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()


def _bars(ax: Any, names: list[str], ones: list[dict[str, float]], colors: list[str]) -> None:
    ax.bar(range(len(ones)), [one["r"] for one in ones], 0.7, yerr=_error(ones), color=colors,
           error_kw={"linewidth": 0.9})  # fmt: skip
    ax.set_xticks(range(len(ones)), names, fontsize=6)
    ax.set_ylabel("r")


def _others(ax: Any, found: dict[str, Any], colors: dict[str, str]) -> None:
    largest = list(found["sweep"]["expansion"].values())[-1]
    named = {"Expansion": largest, **found["others"]}
    _bars(ax, [name.replace(" ", "\n") for name in named], list(named.values()), [colors[name] for name in named])
    _ceiling(ax, found, label=True)
    ax.set_ylim(0, 1.12 * max(0.1, found["ceiling"]))
    ax.set_title("Other networks, best layer")


def _components(ax: Any, found: dict[str, Any]) -> None:
    ones = list(found["components"].values())
    ax.errorbar(list(found["components"]), [one["r"] for one in ones], _error(ones), color=COLORS[0], marker="o")
    everything = list(found["sweep"]["expansion"].values())[-1]["r"]
    ax.axhline(everything, color="#444444", linestyle=":", label="all features")
    _plain_log(ax, list(found["components"]))
    top = max(everything, *(one["high"] for one in ones))
    ax.set(xlabel="principal components", ylabel="r", ylim=(min(0, *(one["low"] for one in ones)), 1.2 * top))
    ax.legend(fontsize=8, frameon=False, loc="upper left")
    ax.set_title("Components of Expansion")


def _spectra(ax: Any, found: dict[str, Any], colors: dict[str, str]) -> None:
    for name, spectrum in found["spectra"].items():
        spectrum = spectrum[spectrum > 0]
        share = (spectrum / spectrum.sum()).numpy()
        exponent = power_law(spectrum).exponent
        ax.loglog(np.arange(1, len(share) + 1), share, color=colors[name], label=f"{name} ({exponent:.2f})")
    ax.set(xlabel="component", ylabel="share of the variance", ylim=(1e-5, 1))
    ax.legend(fontsize=7, frameon=False, loc="lower left", title="exponent", title_fontsize=7)
    ax.set_title("Eigenspectra")


def _choices(ax: Any, found: dict[str, Any], option: str) -> None:
    named = {key.split(": ")[1]: one for key, one in found["choices"].items() if key.startswith(option)}
    ax.set_title({"initialisation": "Initializations", "nonlinearity": "Non-linearities"}[option])
    if not named:
        ax.text(0.5, 0.5, "not in this form", ha="center", transform=ax.transAxes, fontsize=8, color="#666666")
        ax.set(xticks=[], yticks=[])
        return
    _bars(ax, [name.replace("_", "\n") for name in named], list(named.values()), [COLORS[0]] * len(named))


def _split(ax: Any, found: dict[str, Any]) -> None:
    pairs = list(found["split"])
    places = np.arange(len(pairs))
    base = np.zeros(len(pairs))
    tops = [list(found["split"][pair].values()) for pair in pairs]  # unique to Expansion, unique to the other, shared
    colors = ("#0072b2", "#e69f00", "#bbbbbb")
    for part, color, label in (
        (2, colors[2], "shared"),
        (0, colors[0], "Expansion alone"),
        (1, colors[1], "the other"),
    ):
        heights = np.array([one[part] for one in tops])
        ax.bar(places, heights, 0.7, bottom=np.where(heights >= 0, base, 0), color=color, label=label)
        base += np.clip(heights, 0, None)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xticks(places, [f"{other.replace(' ', chr(10))}\n{_HOW[how]}" for other, how in pairs], fontsize=6)
    ax.set_ylim(None, 1.35 * base.max())
    ax.legend(fontsize=7, frameon=False, loc="upper left", ncols=3, columnspacing=0.8, handlelength=1)
    ax.set_ylabel("explained variance")
    ax.set_title("Unique and shared variance")


_HOW = {"published": "(pattern r)²", "R2": "held-out R²"}


def _probe(ax: Any, found: dict[str, Any], settings: dict[str, Any], colors: dict[str, str]) -> None:
    names = list(found["probe"])
    ax.bar(range(len(names)), list(found["probe"].values()), 0.7, color=[colors[name] for name in names])
    groups = settings["probe"]["groups"]
    chance = max(groups) / sum(groups)
    ax.axhline(chance, color="#444444", linewidth=1, linestyle="--", label="largest class")
    ax.legend(fontsize=8, frameon=False, loc="upper left")
    ax.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names], fontsize=6)
    ax.set(ylabel="accuracy", ylim=(0, 1))
    ax.set_title(f"Probe: {len(groups)} classes, {sum(groups)} pictures")
