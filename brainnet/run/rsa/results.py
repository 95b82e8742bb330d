"""What leaves a command about geometry: its tables, its card, and what was read; each file whole or absent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainnet._files import array_digest, write_csv
from brainnet.rsa import RDMs
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.run.rsa.rdm_files import Read

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("torch", "numpy", "scipy", "pandas", "h5py", "nibabel", "matplotlib")
DPI = 150
DRAWN = ("bars", "layers", "time", "parts", "weights_*", "steps_*", "lagged_*", "lags", "best_steps")
RESULTS = ("ceilings.csv", "scores.csv", "differences.csv", "peaks.csv", "weights.csv", "parts.csv",
           "similarity.csv", "lags.csv",
           *(f"{name}.{kind}" for name in DRAWN for kind in ("png", "svg", "pdf")))  # fmt: skip


class Results(dict):
    """The tables of an analysis by name, and in ``read`` what was read as brain and as model."""

    def __init__(self, tables: Mapping[str, pd.DataFrame], read: list[Read]):
        super().__init__(tables)
        self.read = read


def clear(out: Path) -> None:
    """Takes away an earlier comparison: a figure it drew and this one does not would pass for this one's."""
    if (out / "run.json").is_file():
        for pattern in RESULTS:
            for path in out.glob(pattern):
                path.unlink()


def save_figure(figure: Any, path: Path) -> None:
    """A figure in every format wanted, PNG and SVG by default, each whole or absent."""
    from brainnet import plot

    plot.save(figure, path.with_suffix(""), dpi=DPI)


def finish(out: Path, tables: dict[str, pd.DataFrame], card: dict[str, Any], clock: Clock, read: list[Read]) -> Results:
    """Writes the tables and the run card."""
    for name, table in tables.items():
        write_csv(out / f"{name}.csv", table)
    clock.lap("files and figures")
    put_card(out, {**opening("rsa", PACKAGES), **card}, clock)
    return Results(tables, read)


def card_of(
    regions: Mapping[str, RDMs], networks: Mapping[str, RDMs], settings: dict[str, Any], **tables: pd.DataFrame
) -> dict[str, Any]:
    """What a card says of the files that were read, of the settings and of some tables."""
    return {
        "data": {name: digest(rdms) for name, rdms in regions.items()},
        "models": {name: digest(rdms) for name, rdms in networks.items()},
        "settings": settings,
        **{name: table.to_dict("records") for name, table in tables.items()},
    }


def digest(rdms: RDMs) -> dict[str, Any]:
    """What a card says of one file of RDMs."""
    return {"n_rdms": len(rdms), "rdms": list(rdms.names), "n_conditions": rdms.n_conditions, "metric": rdms.metric,
            "sha256": array_digest(rdms.values)}  # fmt: skip
