"""Second level of a searchlight: where, over subjects, a model's RDM is that of the brain.

Each subject's map of scores is one observation. Chance is what the maps would be if every subject's could as well have
had the other sign, alike at every center, so the largest statistic over centers corrects for their number. The
statistic is Student's t, whose chance is nearly the same at every center, so it needs no further z-score. Subjects meet
where all of them have a defined score; they must lie in one space already.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brainnet._work import progress as progress_bar
from brainnet.rsa.inference.significance import flipped_t, sign_flips, t_test
from brainnet.rsa.search.maps import SearchlightMaps, fdr_rests_on, p_from_counts
from brainnet.scores import VoxelTest, fdr
from brainnet.space import BrainSpace

FEWEST = 5  # subjects: 2^5 signs are the first that allow p < .05
AT_ONCE = 2**23  # entries of a temporary: 64 MB


@dataclass(frozen=True, eq=False)
class GroupMaps(SearchlightMaps):
    """What holds over subjects at each center; read like ``SearchlightMaps``, with these differences.

    Args:
        score: (n_models, n_centres) mean over subjects.
        test: of the mean score against 0, one-sided; its ``statistic`` is Student's t. Never None.
        best: (n_centres,) the model with the highest mean score.
        best_test: p-values of the largest t of all models; None without sign flips.
        size: (n_centres,) number of subjects, the same everywhere.

    >>> from brainnet.rsa import Neighbourhoods, RDMs, rdm, searchlight
    >>> rng = torch.Generator().manual_seed(0)
    >>> shared = torch.randn(10, 3, generator=rng)
    >>> lights = Neighbourhoods.from_lists([[0, 1, 2], [3, 4, 5]], BrainSpace.free(6))
    >>> people = [torch.cat([shared, torch.zeros(10, 3)], 1) + torch.randn(10, 6, generator=rng) for _ in range(8)]
    >>> found = group_searchlight([searchlight(one, rdm(shared), lights) for one in people], generator=rng)
    >>> (found.test.p_max[0] < 0.05).tolist()    # the model's geometry is at the first centre alone
    [True, False]
    """

    def maps(self) -> dict[str, Tensor]:
        """Every map by the name of its file, as of a searchlight; family-wise maps only where signs were flipped."""
        found = {"score": self.score, "t": self.test.statistic, "best_model": self.best, "margin": self.margin}
        found |= {"size": self.size, "p": self.test.p, "p_fdr": self.test.p_fdr}
        if self.best_test is not None:
            found |= {"p_max": self.test.p_max}
            found |= {f"best_{name}": getattr(self.best_test, name) for name in ("p", "p_fdr", "p_max")}
            found["best_model_p05"] = self.significant_best()
        return found

    def __repr__(self) -> str:
        return f"GroupMaps({int(self.size[0])} subjects, {len(self.models)} models x {len(self.size)} centers)"


def group_searchlight(
    subjects: Sequence[SearchlightMaps],
    *,
    contrast: tuple[str, str] | None = None,
    n_permutations: int = 5000,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> GroupMaps:
    """Where models' scores are above 0 in the population that the subjects come from, or one model's above another's.

    Args:
        subjects: one searchlight each, of the same models, over volumes with the same grid and affine or over the same
            mesh. Their own p-values are not used.
        contrast: two models; the maps are then of the first's score minus the second's in each subject (a paired test,
            one-sided: give them the other way round for the other direction). By default each model against 0.
        n_permutations: sign flips (all 2^n_subjects of them where those are fewer), for p, FDR and family-wise p. They
            are valid for scores that lie symmetrically about 0, and conservative for few subjects: family-wise maps of
            fewer than about ten then make a false claim much more rarely than they may. From 1000 flips on, FDR takes
            the tail of Student's t where fewer than ten flips reach a score. With 0, p comes from Student's t instead,
            and there is no family-wise map.
        generator: a seeded CPU generator, needed for sign flips.
        progress: show a progress bar.

    Returns:
        Maps on the CPU over the centers that all subjects have, with the number of centers lost in ``settings``.

    Raises:
        ValueError: one subject, other models, a contrast of models that are not there, another space, no center in
            common, sign flips without a generator.

    Warns:
        UserWarning: fewer than 5 subjects, whose sign flips cannot reach p < .05.

    Reference: Nichols and Holmes (2002), Human Brain Mapping 15, 1-25.

    >>> from brainnet.rsa import Neighbourhoods, RDMs, searchlight
    >>> from brainnet.space import BrainSpace
    >>> rng = torch.Generator().manual_seed(0)
    >>> sensors = Neighbourhoods.from_lists([[0, 1, 2], [3, 4, 5]], BrainSpace.free(6))
    >>> model = RDMs(torch.rand(1, 28, generator=rng))
    >>> maps = [searchlight(torch.randn(8, 6, generator=rng), model, sensors) for _ in range(6)]
    >>> group_searchlight(maps, generator=rng)
    GroupMaps(6 subjects, 1 models x 2 centers)
    """
    subjects = list(subjects)
    if len(subjects) < 2:
        raise ValueError(f"a group test needs the maps of at least 2 subjects, got {len(subjects)}.")
    if n_permutations and generator is None:
        raise ValueError("sign flips are drawn from a generator: pass generator=torch.Generator().manual_seed(0).")
    if n_permutations and len(subjects) < FEWEST:
        warnings.warn(
            f"{len(subjects)} subjects have {2 ** len(subjects)} sign patterns: no p can be below"
            f" {2.0 ** -len(subjects):g}. Add subjects, or take Student's t: n_permutations=0.",
            stacklevel=2,
        )
    columns = _common_centres(subjects)
    scores = torch.stack([maps.score[:, own].double() for maps, own in zip(subjects, columns, strict=True)], dim=-1)
    models = subjects[0].models
    if contrast is not None:
        above, below = _two_of(contrast, models)
        scores, models = scores[above, None] - scores[below, None], (f"{models[above]} minus {models[below]}",)
    n_subjects, (n_models, n_centres) = len(subjects), scores.shape[:2]
    signs, _ = (
        sign_flips(n_subjects, n_permutations, generator) if n_permutations else (torch.empty(0, n_subjects), True)
    )
    if len(signs) and bool((signs[0] > 0).all()):
        signs = signs[1:]  # the observed signs are counted once, as by drawn ones
    mean = scores.mean(-1)
    statistic = flipped_t(scores, torch.ones(1, n_subjects))[0]
    if len(signs):
        test, best_test = _sign_flip_tests(scores, statistic, signs, progress)
    else:
        error = scores.std(-1) / n_subjects**0.5
        p = t_test(mean, error, n_subjects - 1)
        undefined = torch.full_like(p, torch.nan)
        test, best_test = VoxelTest(statistic, p, torch.stack([fdr(row) for row in p]), undefined), None
    ordered = mean.sort(0, descending=True).values
    first = subjects[0]
    settings = {
        **{key: first.settings[key] for key in ("metric", "method", "neighbourhoods") if key in first.settings},
        "n_subjects": n_subjects, "statistic": "Student's t over subjects, above 0", "n_sign_flips": len(signs),
        **({"fdr": fdr_rests_on(len(signs))} if len(signs) else {}),
        "least_p": 1 / (len(signs) + 1) if len(signs) else 0.0,
        "centres_lost": [len(maps.size) - n_centres for maps in subjects],
        **({} if contrast is None else {"contrast": list(contrast)}),
    }  # fmt: skip
    return GroupMaps(
        models, mean, test, mean.argmax(0),
        ordered[0] - ordered[1] if n_models > 1 else torch.full((n_centres,), torch.nan), best_test,
        torch.full((n_centres,), n_subjects), first.space.subset(columns[0]), settings,
    )  # fmt: skip


def _two_of(contrast: Sequence[str], models: tuple[str, ...]) -> tuple[int, int]:
    """Where the two models of a contrast stand."""
    unknown = [name for name in contrast if name not in models]
    if unknown:
        raise ValueError(f"no model {unknown[0]!r} to contrast; the maps are of {', '.join(models)}.")
    if len(contrast) != 2 or contrast[0] == contrast[1]:
        raise ValueError(f"a contrast is of two different models, got {', '.join(contrast)}.")
    return models.index(contrast[0]), models.index(contrast[1])


def _sign_flip_tests(scores: Tensor, statistic: Tensor, signs: Tensor, progress: bool) -> tuple[VoxelTest, VoxelTest]:
    """Tests of each model and of the largest t of all models, some centers at a time, under the same signs for all."""
    n_models, n_centres, _ = scores.shape
    strength = torch.cat([statistic, statistic.amax(0, keepdim=True)])
    exceeded = torch.zeros(n_models + 1, n_centres, dtype=torch.long)
    largest = scores.new_full((n_models + 1, len(signs)), -torch.inf)
    blocks = torch.arange(n_centres).split(max(1, AT_ONCE // (len(signs) * (n_models + 1))))
    for block in progress_bar(blocks, f"{len(signs):,} sign flips", len(blocks), progress and len(blocks) > 1):
        null = flipped_t(scores[:, block], signs)
        null = torch.cat([null, null.amax(1, keepdim=True)], 1)  # (n_signs, n_models + 1, centers)
        exceeded[:, block] = (null >= strength[:, block] - 1e-9).sum(0)
        largest = torch.maximum(largest, null.amax(2).T)
    tail = t_test(strength, torch.ones_like(strength), scores.shape[-1] - 1)
    tail[-1] = (n_models * tail[-1]).clamp(max=1)  # of the largest of several
    tested = p_from_counts(strength, exceeded, largest, tail=tail)
    return VoxelTest(*(part[:-1] for part in tested)), VoxelTest(*(part[-1] for part in tested))


def _common_centres(subjects: Sequence[SearchlightMaps]) -> list[Tensor]:
    """For each subject, the columns of the centers that all have with defined scores, in one order."""
    first = subjects[0]
    for i, maps in enumerate(subjects[1:], start=2):
        if maps.models != first.models:
            raise ValueError(
                f"subject {i} has the models {', '.join(maps.models)} but subject 1 {', '.join(first.models)}; run"
                " every searchlight with the same models in the same order."
            )
        if not _same_frame(maps.space, first.space):
            raise ValueError(
                f"subject {i} lies in {_frame(maps.space)} but subject 1 in {_frame(first.space)}; bring all subjects"
                " into one space (such as MNI at one resolution, or fsaverage5) before the searchlight."
            )
    places = [_places(maps) for maps in subjects]
    size = 1 + max(int(place.max()) for place in places)
    count = torch.zeros(size, dtype=torch.long)
    known = [~maps.score.isnan().any(0) for maps in subjects]
    for place, defined in zip(places, known, strict=True):
        count[place[defined]] += 1
    common = count == len(subjects)
    if not bool(common.any()):
        raise ValueError("no center has a score in every subject; are their masks in the same space?")
    order = [place.argsort() for place in places]
    return [own[common[place[own]]] for own, place in zip(order, places, strict=True)]


def _same_frame(a: BrainSpace, b: BrainSpace) -> bool:
    """Whether equal places in two spaces mean the same place in the brain."""
    if (a.mask is None) != (b.mask is None) or a.mesh != b.mesh:
        return False
    if a.mask is not None:
        return a.mask.shape == b.mask.shape and torch.allclose(a.affine, b.affine, rtol=0, atol=1e-3)  # mm
    return a.mesh is not None or a.n_voxels == b.n_voxels


def _frame(space: BrainSpace) -> str:
    if space.mask is not None:
        corner = " ".join(f"{number:.4g}" for number in space.affine.flatten()[:12].tolist())
        return f"a volume {'x'.join(map(str, space.mask.shape))} with affine {corner}"
    return f"mesh {space.mesh}" if space.mesh is not None else f"{space.n_voxels} centers without a place"


def _places(maps: SearchlightMaps) -> Tensor:
    """(n_centres,) number of each center within its frame."""
    if maps.space.mask is not None:
        return maps.space.volume_index
    return maps.space.vertices if maps.space.mesh is not None else torch.arange(len(maps.size))
