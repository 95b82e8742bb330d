"""Searchlight maps of one subject, and tests over subjects: ``brainnet searchlight run`` and ``group``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._files import array_digest
from brainnet._registry import check_options
from brainnet.rsa import (
    GroupMaps,
    Neighbourhoods,
    RDMs,
    SearchlightMaps,
    discs,
    group_searchlight,
    searchlight,
    spheres,
)
from brainnet.run.forecast import announced, of_searchlight
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.run.record.claiming import claimed
from brainnet.run.rsa.rdm_files import read_models
from brainnet.run.rsa.results import PACKAGES, digest, save_figure
from brainnet.space import BrainSpace, load_patterns


@dataclass(frozen=True)
class Lights:
    """What is searched at each place: neighborhoods, their RDMs and the comparison with models.

    Args:
        radius, unit: of spheres ("mm" or "voxels", 8 mm by default) or of discs (mm along the cortex).
        k: vertices of a disc instead of a radius (50 by default).
        min_size: fewest voxels of a neighborhood.
        metric, method: distance between patterns, comparison of RDMs.
    """

    radius: float | None = None
    unit: str = "mm"
    k: int | None = None
    min_size: int = 10
    metric: str = "correlation"
    method: str = "spearman"

    def around(self, space: BrainSpace) -> Neighbourhoods:
        """Spheres in a volume, discs on a surface."""
        if space.mask is None:
            k = 50 if self.radius is None and self.k is None else self.k
            return discs(space, self.radius, k, min_size=self.min_size)
        if self.k is not None:
            raise ValueError("k= counts vertices of a surface; a volume needs a radius.")
        return spheres(space, 8.0 if self.radius is None else self.radius, self.unit, min_size=self.min_size)


def search(
    patterns: Sequence[str | Path],
    models: Sequence[str | Path],
    out: str | Path,
    *,
    mask: str | Path | None = None,
    mesh: str = "fsaverage5",
    n_permutations: int = 0,
    seed: int = 0,
    n_jobs: int = 1,
    key: str | None = None,
    force: bool = False,
    progress: bool = True,
    **lights: Any,
) -> SearchlightMaps:
    """Searchlight maps of model RDMs over one subject's patterns: NIfTI or GIfTI, a figure and a run card.

    A run that was cut short goes on where it stopped when called again with the same arguments.

    Args:
        patterns: one NIfTI (x, y, z, n_conditions); or two GIfTIs, left and right hemisphere, an array per condition;
            or a ``.npy`` (n_conditions, n_mesh_vertices).
        models: files, or folders of files, of model RDMs in the order of the conditions.
        out: folder of the results.
        mask: NIfTI on the grid of the patterns that is above 0 inside the brain; by default voxels that are finite and
            not constant. Vertices that are not finite or constant are left out in the same way.
        mesh: of the surface files.
        n_permutations, seed: condition-label permutations, and their seed.
        n_jobs: processes.
        key: entry of model files that hold several arrays.
        force: begin also what the forecast says does not fit.
        progress: show a progress bar.
        **lights: ``radius, unit, k, min_size, metric, method``, see :class:`Lights`.

    Raises:
        ValueError: no models, patterns or a mask that do not fit, a radius or a number of vertices too small.
        MemoryError, OSError: more memory or disk is needed than is free, without ``force``.
    """
    from brainnet import plot

    check_options(Lights, lights, "a searchlight")
    clock, how = Clock(), Lights(**lights)
    with claimed(out, "searchlight") as out:
        networks = read_models(models, key)
        names = [
            f"{name} {layer}" if len(rdms) > 1 else name for name, rdms in networks.items() for layer in rdms.names
        ]
        stacked = RDMs.stack(networks.values(), names=names)
        data, space = load_patterns(patterns, mask, mesh)
        clock.lap("reading")
        places = how.around(space)
        clock.lap("neighbourhoods")

        def run(few: int | None = None, **where: Any) -> SearchlightMaps:
            return searchlight(
                data, stacked, places if few is None else _some(places, few), metric=how.metric, method=how.method,
                n_permutations=n_permutations, generator=torch.Generator().manual_seed(seed), **where,
            )  # fmt: skip

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of centers without variance; the search itself says so
            forecast = of_searchlight(
                lambda few: run(few, progress=False), len(places), int(places.sizes.sum()), len(names), data, n_jobs
            )
        forecast = announced(forecast.after(clock.elapsed()), out, force)
        maps = run(folder=out / "chunks", n_jobs=n_jobs, progress=progress)
        clock.lap("searchlight")
        maps.save(out)
        save_figure(plot.searchlight(maps), out / "maps.png")
        clock.lap("files and figures")
        files = [str(path) for path in patterns]
        card = {
            **opening("searchlight", PACKAGES),
            "patterns": {"files": files, "sha256": array_digest(data), "n_voxels": space.n_voxels},
            "models": {name: digest(rdms) for name, rdms in networks.items()},
            "settings": {**maps.settings, "seed": seed, "min_size": how.min_size, "n_centres": len(places)},
            "highest_score": dict(zip(maps.models, np.nanmax(maps.score.numpy(), axis=1).tolist(), strict=True)),
        }
        put_card(out, {**card, "forecast": forecast.of_card()}, clock)
    return maps


def _some(places: Neighbourhoods, count: int) -> Neighbourhoods:
    """Some of the neighborhoods, spread evenly."""
    chosen = np.linspace(0, len(places) - 1, min(count, len(places))).astype(int)
    return Neighbourhoods.from_lists([places[int(i)] for i in chosen], places.space)


def search_group(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    contrast: tuple[str, str] | None = None,
    n_permutations: int = 5000,
    seed: int = 0,
    progress: bool = True,
) -> GroupMaps:
    """Maps of a test over subjects, from the folders that :func:`search` filled, with a figure and a run card.

    Args:
        subjects: one folder per subject, in one space and with the same models.
        out: folder of the results; files as :func:`search` names them, and ``t``.
        contrast: two models; where the first scores above the second, instead of each above 0.
        n_permutations, seed: sign flips over subjects, and their seed; 0 takes p from Student's t.
        progress: show a progress bar.
    """
    from brainnet import plot

    if Path(out).resolve() in {Path(path).resolve() for path in subjects}:
        raise ValueError(f"--out {out} is one of the subjects' folders; name another, or its maps would be replaced.")
    clock = Clock()
    with claimed(out, "searchlight --group") as out:
        maps = [SearchlightMaps.load(path) for path in subjects]
        clock.lap("reading")
        generator = torch.Generator().manual_seed(seed)
        found = group_searchlight(
            maps, contrast=contrast, n_permutations=n_permutations, generator=generator, progress=progress
        )
        clock.lap("group test")
        found.save(out)
        save_figure(plot.searchlight(found, title=f"Mean of {len(maps)} subjects"), out / "maps.png")
        clock.lap("files and figures")
        least = found.test.p_max if found.best_test is not None else found.test.p_fdr
        card = {
            **opening("searchlight --group", PACKAGES),
            "subjects": [
                {"folder": str(path), "fingerprint": one.settings.get("fingerprint"), "sha256": array_digest(one.score)}
                for path, one in zip(subjects, maps, strict=True)
            ],
            "settings": {**found.settings, "seed": seed, "n_centres": len(found.size)},
            "highest_mean_score": dict(zip(found.models, found.score.amax(1).tolist(), strict=True)),
            "n_significant": dict(zip(found.models, (least <= 0.05).sum(1).tolist(), strict=True)),
            "significant_means": "family-wise p <= .05" if found.best_test is not None else "FDR-adjusted p <= .05",
        }
        put_card(out, card, clock)
    return found
