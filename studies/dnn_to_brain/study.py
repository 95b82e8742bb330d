"""Maps and regions explained by families of networks: the procedure of Dwivedi et al. (2021) and an honest one."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.backbone import build_backbone
from brainnet.dataset import DATASETS
from brainnet.dataset.simulation.scenes import scene
from brainnet.rsa import RDMs, SearchlightMaps, group_searchlight, rdm, rdm_regression, searchlight, spheres
from brainnet.rsa.products import draw_orders, permuted
from brainnet.rsa.search.given import ceilings_of_centres
from brainnet.scores import fdr
from brainnet.space import BrainSpace
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing
from studies.dnn_to_brain.published import basis, cubes, in_sample_r2, p_of_labels, p_of_pairs, standardized
from studies.dnn_to_brain.tasks import BEST, GROUPS, published_rdms, task_networks
from studies.form import present, reading

PUBLISHED = "dnn2brain"  # the folder of the published RDMs; any other is one of 92 pictures
SEEDS = (1, 2, 3)  # of the networks of a family
LEAST_CEILING = 0.033  # published threshold of the lower bound, a Spearman correlation
TOY = np.zeros((12, 10, 10), dtype=bool)
TOY[3:8, 3:7, 2:9] = True


def pictures_of(settings: dict[str, Any]) -> Tensor:
    """(n_pictures, 3, side, side) simulated scenes, as networks see them."""
    from PIL import Image

    rng, side = np.random.default_rng(settings["seed"]), settings["side"]
    see = Preprocessing((side, side))
    return torch.stack([see(Image.fromarray(scene(rng, side, "train"))) for _ in range(settings["n_pictures"])])


def networks_of(settings: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Three untrained networks of each family, by name."""
    for family, entry in settings["families"].items():
        for seed in SEEDS:
            network = build_backbone(entry["backbone"], layers=entry["layers"], seed=seed, **entry.get("options", {}))
            yield f"{family} {seed}", network


def rdms_of(
    networks: Iterable[tuple[str, Any]], pictures: Any, progress: bool = False
) -> tuple[dict[str, RDMs], dict[str, Tensor]]:
    """RDMs of the two layers of each network, and the features of its last layer, standardized over pictures."""
    models, features = {}, {}
    for name, network in networks:
        store = TokenStore.build(network, pictures, grid=None, dtype=torch.float32, progress=progress)
        rows = [store.features(layer, "flatten") for layer in store.layers]
        rows = [((one - one.mean(0)) / one.std(0).clamp(min=1e-6))[:, one.std(0) > 1e-6] for one in rows]
        models[name] = RDMs.stack([rdm(one, names=[f"{name} {i}"]) for i, one in enumerate(rows)])
        features[name] = rows[-1]
    return models, features


def mean_rdm(parts: list[RDMs], name: str) -> RDMs:
    """The mean of RDMs, each standardized over pairs, so that none outweighs the others."""
    values = torch.cat([one.values for one in parts])
    z = (values - values.mean(1, keepdim=True)) / values.std(1, keepdim=True)
    return RDMs(z.mean(0, keepdim=True), names=(name,))


def groups_of(models: dict[str, RDMs], families: list[str]) -> dict[str, RDMs]:
    """Family -> the plain mean over its networks, for each layer, as published."""
    return {
        family: RDMs(torch.stack([one.values for name, one in models.items() if name.startswith(f"{family} ")]).mean(0))
        for family in families
    }


def plant(features: dict[str, Tensor], settings: dict[str, Any]) -> tuple[BrainSpace, list[Tensor], Tensor]:
    """A volume of four areas, each subject's patterns in it, and the family of each voxel; -1 where noise is all."""
    shape, families = tuple(settings["grid"]), list(settings["families"])
    mask = torch.ones(shape, dtype=torch.bool)
    place = torch.arange(shape[0])[:, None, None].expand(shape).flatten() * 4 // shape[0]
    truth = torch.where(place < 3, place, -1)
    rois = {name: truth == k for k, name in enumerate(families)} | {"noise alone": truth < 0}
    space = BrainSpace(mask=mask, affine=torch.eye(4).double() * 3, rois=rois)
    generator, subjects = torch.Generator().manual_seed(settings["seed"]), []
    for _ in range(settings["n_subjects"]):
        patterns = torch.randn(settings["n_pictures"], space.n_voxels, generator=generator)
        for k, family in enumerate(families):
            rows, columns = features[f"{family} 1"], (truth == k).nonzero()[:, 0]
            planted = rows @ torch.randn(rows.shape[1], len(columns), generator=generator)
            patterns[:, columns] += settings["signal"] * planted / planted.std(0)
        subjects.append(patterns)
    return space, subjects, truth


def honest_map(subjects: list[Tensor], models: RDMs, where: Any, settings: dict[str, Any]) -> Any:
    """Spearman searchlights of every subject, tested over subjects and corrected for centres and models."""
    maps = [searchlight(one, models, where, progress=False) for one in subjects]
    generator = torch.Generator().manual_seed(settings["seed"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few subjects have few sign patterns
        return group_searchlight(maps, n_permutations=2000, generator=generator, progress=False)


def centre_rdms(patterns: Tensor, where: Any) -> Tensor:
    """(n_centres, n_pairs) correlation distances in each sphere."""
    n = len(patterns)
    out = torch.empty(len(where), n * (n - 1) // 2)
    for block, members in where.blocks_of_equal_size(np.arange(len(where))):
        out[torch.from_numpy(block)] = rdm(patterns[:, torch.from_numpy(members).long()].transpose(0, 1)).values
    return out


def published_maps(
    brain: Tensor, models: dict[str, RDMs], groups: dict[str, RDMs], settings: dict
) -> dict[str, Tensor]:
    """Winners (n_centres,) of single networks and of groups by the published procedure; -1 where none is shown.

    Args:
        brain: (n_subjects, n_centres, n_pairs).
        models, groups: name -> RDMs of the two layers.
        settings: of the study.
    """
    mean = brain.mean(0)
    generator = torch.Generator().manual_seed(settings["seed"])
    rows = [basis(one.values) for one in models.values()]
    target = standardized(mean)
    r2 = torch.stack([in_sample_r2(one, target) for one in rows])
    p = torch.stack([p_of_pairs(one, target, settings["n_permutations"], generator) for one in rows])
    p = torch.stack([fdr(one) for one in p.T], 1)  # across models within a centre, then across centres
    p = torch.stack([fdr(one) for one in p])
    best = r2.argmax(0)
    shown = (p.gather(0, best[None])[0] <= 0.05) & (ceilings_of_centres(brain.transpose(0, 1))[0] >= LEAST_CEILING)
    unique = torch.tensor([
        [found.unique(name).item() for name in groups]
        for one in mean
        for found in [rdm_regression(groups, RDMs(one[None]), scheme="dwivedi2021", progress=False)]
    ])  # fmt: skip
    return {"individual": best.masked_fill(~shown, -1), "grouped": unique.argmax(1).masked_fill(~shown, -1)}


def honest_unique(brain: Tensor, groups: dict[str, RDMs], where: Any, settings: dict[str, Any]) -> Any:
    """Unique variance on held-out conditions of every subject and centre, tested over subjects."""
    generator = torch.Generator().manual_seed(settings["seed"])
    found = rdm_regression(groups, RDMs(brain.flatten(0, 1)), n_repeats=1, generator=generator, progress=False)
    score = torch.stack([found.unique(name).view(brain.shape[:2]) for name in groups], 1)  # (subjects, groups, centres)
    size, space = torch.from_numpy(where.sizes.copy()), where.space
    maps = [
        SearchlightMaps(
            tuple(groups), one, None, one.argmax(0), one.sort(0, descending=True).values[0], None, size, space
        )
        for one in score
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return group_searchlight(maps, n_permutations=2000, generator=generator, progress=False)


def regions(
    brains: dict[str, RDMs], models: dict[str, RDMs], groups: dict, settings: dict
) -> dict[str, dict[str, Any]]:
    """Of every region: both forms of the partitioning, and the three best networks chosen and judged in both ways."""
    found = {}
    for roi, subjects in brains.items():
        generator = torch.Generator().manual_seed(settings["seed"])
        half = len(subjects) // 2
        first, second = (RDMs(part) for part in (subjects.values[:half], subjects.values[half:]))
        published = {name: published_r2({name: one}, subjects) for name, one in models.items()}
        chosen = {name: published_r2({name: one}, first) for name, one in models.items()}
        top, picked = (sorted(one, key=one.get, reverse=True)[:3] for one in (published, chosen))
        held_out = {
            name: rdm_regression({name: models[name]}, second, generator=generator, progress=False).total.mean().item()
            for name in picked
        }
        found[roi] = {
            "published": rdm_regression(groups, subjects, scheme="dwivedi2021", progress=False),
            "honest": rdm_regression(
                groups, subjects, n_permutations=settings["n_permutations"] // 5, generator=generator, progress=False
            ),
            "top": {name: published[name] for name in top},
            "top total": published_r2({name: models[name] for name in top}, subjects),
            "held out": held_out,
        }
    return found


def published_r2(sets: dict[str, RDMs], subjects: RDMs) -> float:
    """Adjusted R2 in-sample of the mean subject."""
    return rdm_regression(sets, subjects, scheme="dwivedi2021", progress=False).total.item()


def false_positives(models: dict[str, RDMs], settings: dict[str, Any]) -> dict[str, float]:
    """How often each test calls noise significant at 5 %: Euclidean RDMs of ten voxels without signal."""
    generator = torch.Generator().manual_seed(settings["seed"] + 1)
    n = settings["n_pictures"]
    brain = standardized(rdm(torch.randn(settings["n_simulations"], n, 10, generator=generator), "euclidean").values)
    rows = basis(next(iter(models.values())).values)
    orders = draw_orders(n, 199, generator)
    pairs, names = p_of_pairs(rows, brain, 199, generator), p_of_labels(rows, brain, orders, permuted)
    return {
        "pairs shuffled": (pairs <= 0.05).float().mean().item(),
        "labels permuted": (names <= 0.05).float().mean().item(),
    }


def toy_cubes() -> dict[str, float]:
    """The published way back from cubes to voxels, and spheres, on a mask of 140 voxels."""
    n, volume = cubes(TOY)
    written = np.isfinite(volume)
    space = BrainSpace(mask=torch.from_numpy(TOY), affine=torch.eye(4).double())
    where = spheres(space, 2, "voxels", min_size=1)
    return {
        "cubes": n, "voxels written": written.sum(), "voxels written outside the mask": (written & ~TOY).sum(),
        "sum of the numbers of cubes": np.nansum(volume), "number at (3, 3, 2)": volume[3, 3, 2],
        "number at (5, 5, 5)": volume[5, 5, 5], "number at (7, 6, 8)": volume[7, 6, 8],
        "spheres": len(where),
    }  # fmt: skip


def whole_areas(where: Any, truth: Tensor) -> Tensor:
    """(n_centres,) whether a sphere lies within one area."""
    return torch.tensor([len(truth[torch.from_numpy(where[i]).long()].unique()) == 1 for i in range(len(where))])


def map_numbers(winners: Tensor, truth: Tensor, family: Tensor) -> dict[str, float]:
    """Shares of planted voxels that are given their family, of those given another, and of noise that is given one."""
    named = torch.where(winners >= 0, family[winners.clamp(min=0)], -1)
    planted = truth >= 0
    right = (named == truth)[planted].float().mean().item()
    wrong = ((named != truth) & (named >= 0))[planted].float().mean().item()
    return {"right": right, "wrong": wrong, "noise named": (named[~planted] >= 0).float().mean().item()}


def run(settings: dict[str, Any], data: Path) -> tuple[dict[str, float], Any]:
    """Numbers of the toy mask, of the test, of both kinds of maps and of the regions; and the figure."""
    from studies.dnn_to_brain.figure import draw

    families = list(settings["families"])
    models, features = rdms_of(networks_of(settings), pictures_of(settings))
    groups = groups_of(models, families)
    space, subjects, truth = plant(features, settings)
    where = spheres(space, settings["radius"], "voxels", min_size=1)
    brain = torch.stack([centre_rdms(one, where) for one in subjects])
    single = RDMs.stack([mean_rdm([one], name) for name, one in models.items()])
    of_models, inner = torch.arange(len(models)) // len(SEEDS), whole_areas(where, truth)
    maps = published_maps(brain, models, groups, settings)
    maps = {f"published, {kind}": one for kind, one in maps.items()}
    maps["honest, individual"] = honest_map(subjects, single, where, settings).significant_best()
    unique = honest_unique(brain, groups, where, settings)
    maps["honest, grouped"] = unique.significant_best()
    numbers = {f"toy mask: {name}": float(value) for name, value in toy_cubes().items()}
    rates = false_positives(models, settings)
    numbers |= {f"false positives at 5 %, {name}": value for name, value in rates.items()}
    for kind, one in maps.items():
        family = of_models if kind.endswith("individual") else torch.arange(len(families))
        numbers |= {
            f"map {kind}: {name}": value for name, value in map_numbers(one[inner], truth[inner], family).items()
        }
        maps[kind] = torch.where(one >= 0, family[one.clamp(min=0)], -1)
    areas = {
        roi: RDMs(torch.cat([rdm(one[:, inside]).values for one in subjects])) for roi, inside in space.rois.items()
    }
    found = regions(areas, models, groups, settings)
    numbers |= region_numbers(found)
    real = real_regions(settings, data) if "real" in settings else {}
    for name, those in real.items():
        numbers |= region_numbers(those)
        if name == PUBLISHED:
            numbers |= {
                f"{roi}: {best} is the best network, as published (1 is yes)": next(iter(those[roi]["top"])) == best
                for roi, best in BEST.items()
                if roi in those
            }
    return numbers, draw(maps, truth, found, rates, TOY, cubes(TOY)[1], settings, real)


def region_numbers(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Totals, unique parts, p and the three best networks of every region."""
    numbers = {}
    for roi, one in found.items():
        for how in ("published", "honest"):
            numbers[f"{roi}, {how}: total R2"] = one[how].total.mean().item()
            numbers |= {
                f"{roi}, {how}: unique to {name}": one[how].unique(name).mean().item() for name in one[how].sets
            }
        numbers |= {
            f"{roi}, honest: p of unique to {name}": one["honest"].p[f"unique {name}"] for name in one["honest"].sets
        }
        numbers[f"{roi}, best network as published: R2"] = next(iter(one["top"].values()))
        numbers[f"{roi}, three best networks as published: total R2"] = one["top total"]
        numbers[f"{roi}, best network in other subjects: R2"] = next(iter(one["held out"].values()))
    return numbers


def real_regions(settings: dict[str, Any], data: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The same of real people and networks of tasks: folder of data -> its regions, for each folder that is there.

    These are the published RDMs of 50 scenes, and early visual and inferior temporal cortex of fifteen people over 92
    pictures, which the 18 published encoders see.

    Raises:
        MissingData: neither folder is there.
        WrongData: one holds something else.
    """
    found = {}
    for folder in present("dnn_to_brain", settings["real"], data):
        if folder == PUBLISHED:
            brains, models = published_rdms(data / folder)
        else:
            with reading():
                known = DATASETS["images92"](data / folder)
            brains = {roi: RDMs(one.values) for roi, one in known.rdms.items()}
            models, _ = rdms_of(task_networks(settings["weights"], settings["seed"]), known.images, progress=True)
        found[folder] = regions(brains, models, groups_of(models, list(GROUPS)), settings)
    return found
