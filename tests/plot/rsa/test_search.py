import pytest
import torch

from brainnet import plot
from brainnet.plot._colors import DIVERGING
from brainnet.rsa import Neighbourhoods, RDMs, group_searchlight, searchlight, spheres
from brainnet.space import BrainSpace


def test_both_maps_are_drawn_and_pale_where_chance(rng):
    space = BrainSpace(mask=torch.ones(4, 4, 3).bool(), affine=torch.eye(4).double())
    models = RDMs(torch.rand(2, 28, generator=rng), names=("edges", "depth"))
    patterns = torch.randn(8, 48, generator=rng)
    found = searchlight(patterns, models, spheres(space, 1.5, min_size=4), n_permutations=19, generator=rng)
    figure = plot.searchlight(found, title="noise")
    titles = [ax.get_title() for ax in figure.axes]
    assert "Highest score" in titles
    assert [text.get_text() for text in figure.texts] == ["noise", "Pale: p > 0.05, family-wise."]
    assert [text.get_text() for text in figure.axes[-1].get_legend().get_texts()] == ["edges", "depth"]
    assert len(figure.axes) == 3


def test_one_model_has_one_map(rng):
    space = BrainSpace(mask=torch.ones(4, 4, 3).bool(), affine=torch.eye(4).double())
    model, patterns = RDMs(torch.rand(1, 28, generator=rng), names=("edges",)), torch.randn(8, 48, generator=rng)
    figure = plot.searchlight(searchlight(patterns, model, spheres(space, 1.5, min_size=4)))
    assert [ax.get_title() for ax in figure.axes] == ["edges", ""]  # the map and its color bar


def test_a_contrast_is_drawn_about_zero(rng, monkeypatch):
    space = BrainSpace(mask=torch.ones(4, 4, 3).bool(), affine=torch.eye(4).double())
    models = RDMs(torch.rand(2, 28, generator=rng), names=("edges", "depth"))
    lights = spheres(space, 1.5, min_size=4)
    subjects = [searchlight(torch.randn(8, 48, generator=rng), models, lights) for _ in range(3)]
    drawn = []
    monkeypatch.setattr("brainnet.plot.rsa.search.slices", lambda *args, **settings: drawn.append(settings))
    figure = plot.searchlight(group_searchlight(subjects, contrast=("edges", "depth"), n_permutations=0))
    assert drawn[0]["cmap"] == DIVERGING
    assert drawn[0]["vmin"] == -drawn[0]["vmax"] < 0
    assert figure.axes[-1].get_xlabel() == "difference in spearman similarity"
    assert figure.axes[-1].get_xlim() == (drawn[0]["vmin"], drawn[0]["vmax"])


def test_sensors_have_no_map(rng):
    sensors = Neighbourhoods.from_lists([[0, 1, 2], [3, 4, 5]], BrainSpace.free(6))
    found = searchlight(torch.randn(8, 6, generator=rng), RDMs(torch.rand(1, 28, generator=rng)), sensors)
    with pytest.raises(ValueError, match="no place on a brain"):
        plot.searchlight(found)
