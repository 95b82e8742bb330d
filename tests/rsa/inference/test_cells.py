"""Cells of an evaluation: estimates of contrasts, one set of draws, and conditions left out."""

import pytest
import torch

from brainnet.rsa import RDMs, compare, noise_ceiling
from brainnet.rsa.inference.cells import CellMaker, Place, models_of, places_of, without_undefined
from brainnet.rsa.inference.settings import Inference


@pytest.fixture
def rdms(rng):
    """Models (2) and subjects (5) over 8 conditions that share something."""
    models = torch.rand(2, 28, generator=rng, dtype=torch.float64)
    return RDMs(models), RDMs(models[0] + torch.rand(5, 28, generator=rng, dtype=torch.float64))


def test_a_contrast_over_subjects_is_the_paired_difference(rdms):
    models, subjects = rdms
    cell = CellMaker(models, "spearman", Inference(generalise="subjects"), {}).cell(Place("V1", None, subjects))
    difference = compare(models[0], subjects)[0] - compare(models[1], subjects)[0]
    found = cell.estimate([0], [1], "subjects", False)
    assert found.mean.item() == pytest.approx(difference.mean().item())
    assert found.error.item() == pytest.approx(difference.std().item() / 5**0.5)
    assert found.dof.tolist() == [4]
    low, high = found.interval(0.95)
    assert low < found.mean < high
    assert cell.ceiling == noise_ceiling(subjects)


@pytest.mark.parametrize("errors", ["components", "bootstrap"])
def test_errors_of_squares_follow_to_first_order(rdms, errors):
    models, subjects = rdms
    asked = Inference(errors=errors, n_resamples=100, squared=True)
    cell = CellMaker(models, "pearson", asked, {}).cell(Place("V1", None, subjects))
    plain, squared = (cell.estimate([0, 1], None, "both", on) for on in (False, True))
    torch.testing.assert_close(squared.error, 2 * plain.mean.abs() * plain.error)
    torch.testing.assert_close(cell.scores, cell.similarity.square())


def test_models_and_places_are_named(rdms):
    models, subjects = rdms
    labels, stacked = models_of({"net": models, "one": models[0]}, False)
    assert labels == [("net", "0"), ("net", "1"), ("one", "0")]
    assert len(stacked) == 3
    places = places_of({"V1": subjects, "MEG": [subjects, subjects]}, None, models, False)
    assert [(place.roi, place.time) for place in places] == [("V1", None), ("MEG", 0), ("MEG", 1)]


def test_undefined_conditions_are_dropped_from_all(rdms):
    models, subjects = rdms
    matrices = subjects.to_square()
    matrices[3, 2], matrices[3, :, 2] = torch.nan, torch.nan
    places = [Place("a", None, RDMs.from_square(matrices)), Place("b", None, subjects)]
    kept, left = without_undefined(models, places, "spearman", Inference(nan="omit"))
    assert [rdms.n_conditions for rdms in (kept, *(place.rdms for place in left))] == [7, 7, 7]
    assert torch.equal(left[1].rdms.values, subjects.subset([0, 1, 3, 4, 5, 6, 7]).values)
    assert without_undefined(models, places, "spearman", Inference())[0] is models
