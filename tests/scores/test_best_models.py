import pytest
import torch

from brainnet.scores import best_model

SCORES = torch.tensor([[0.5, 0.1, 0.3, 0.2], [0.4, 0.4, 0.1, torch.nan], [0.1, 0.2, 0.25, 0.9]])


def test_the_winner_and_its_lead():
    found = best_model(SCORES)
    assert found.best.tolist() == [0, 1, 0, -1]
    assert found.why.tolist() == [0, 0, 0, 1]
    torch.testing.assert_close(found.margin[:3], torch.tensor([0.1, 0.2, 0.05]).double())
    assert found.margin[3].isnan()
    assert torch.equal(found.group, found.best)


def test_the_lead_over_another_group_passes_by_models_of_the_own():
    found = best_model(SCORES, groups=[0, 0, 1])
    assert found.group.tolist() == [0, 0, 0, -1]
    torch.testing.assert_close(found.group_margin[:3], torch.tensor([0.4, 0.2, 0.05]).double())
    assert best_model(SCORES, groups=[0, 0, 0]).group_margin.isnan().all()


def test_low_ceilings_and_chance_have_no_winner():
    found = best_model(SCORES, ceiling=[0.9, 0.05, torch.nan, 0.9], p=[0.2, 0.01, 0.01, 0.01])
    assert found.best.tolist() == [-1, -1, -1, -1]
    assert found.why.tolist() == [3, 2, 2, 1]
    one_each = torch.full((3, 4), 0.5)
    one_each[0, 0] = 0.01  # of the winner, times three models
    one_each[1, 1] = 0.02
    assert best_model(SCORES, p=one_each).best.tolist() == [0, -1, -1, -1]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"groups .* 3 models"):
        best_model(SCORES, groups=[0, 1])
    with pytest.raises(ValueError, match="ceiling"):
        best_model(SCORES, ceiling=[0.1])
    with pytest.raises(ValueError, match="p has shape"):
        best_model(SCORES, p=[0.1])
    with pytest.raises(ValueError, match="n_models"):
        best_model([0.1, 0.2])
