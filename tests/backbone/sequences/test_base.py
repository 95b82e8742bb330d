"""What backbones of stimuli that last promise, whatever their reader: on a network whose tokens are known."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from brainnet.backbone.sequences.base import SequenceBackbone, by_length
from brainnet.backbone.sequences.sound import WaveReader, Waves
from brainnet.tokens import check_tokens


class Ramp(nn.Module):
    """Every sample is a place with two channels, itself and its square; the second state is twice the first."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Linear(2, 2, bias=False)
        self.twice.weight.data = 2 * torch.eye(2)
        self.unused = nn.Linear(2, 2)

    def forward(self, waves, output_hidden_states=False):
        first = torch.stack([waves, waves**2], 2)
        second = self.twice(first)
        return SimpleNamespace(hidden_states=(first, second), pooled=second.mean(1), scalar=waves.sum())


def built(layers=None, **how):
    return SequenceBackbone(Ramp(), WaveReader(Waves(8)), layers, name="ramp", **how)


SOUNDS = [torch.arange(1.0, 7), torch.arange(1.0, 4), torch.tensor([5.0])]


def test_places_last_and_mean():
    backbone = built(["embeddings", "0"], steps=3)
    local, whole = check_tokens(backbone.get_tokens(SOUNDS), 3)
    assert local["0"].shape == (3, 2, 1, 3)
    assert local["embeddings"][0, 0, 0].tolist() == [1.5, 3.5, 5.5]
    assert local["embeddings"][1, 0, 0].tolist() == [1, 2, 3]
    assert local["0"][2, 0, 0].tolist() == [10, 10, 10]
    assert whole["0"][:, 0].tolist() == [7, 4, 10]
    assert built(steps=1, global_token="last").get_tokens(SOUNDS).global_["0"][:, 0].tolist() == [12, 6, 10]


def test_behind_the_end_stands_what_changes_no_mean():
    local, _ = built(steps="all").get_tokens(SOUNDS)
    assert local["0"].shape == (3, 2, 1, 6)
    assert local["0"][1, 0, 0].tolist() == [2, 4, 6, 4, 4, 4]


def test_a_batch_that_is_filled_up_needs_steps():
    backbone = built(steps="all")
    batch = backbone.collate([backbone.preprocessing(one) for one in SOUNDS])
    with pytest.raises(ValueError, match="1 to 6 places .*steps"):
        backbone.get_tokens(batch)
    assert torch.equal(built(steps=2).get_tokens(batch).local["0"], built(steps=2).get_tokens(SOUNDS).local["0"])


def test_pooled_outputs_have_one_place():
    local, whole = built([":pooled", "twice"], steps=2).get_tokens(SOUNDS)
    assert local[":pooled"].shape == (3, 2, 1, 1)
    assert torch.equal(local[":pooled"][:, :, 0, 0], whole[":pooled"])
    assert local["twice"].shape == (3, 2, 1, 2)


def test_it_leaves_nothing_behind_and_stays_frozen():
    backbone = built(["twice"])
    backbone.train()
    assert not backbone.training
    assert not any(value.requires_grad for value in backbone.parameters())
    tokens = backbone.get_tokens(SOUNDS)
    tokens.local["twice"].add_(1)
    again = backbone.get_tokens(SOUNDS)
    assert not torch.equal(again.local["twice"], tokens.local["twice"])
    assert not backbone.network.twice._forward_hooks
    assert SOUNDS[0].tolist() == [1, 2, 3, 4, 5, 6]
    assert torch.equal(pickle.loads(pickle.dumps(backbone)).get_tokens(SOUNDS).local["twice"], again.local["twice"])


def test_what_gives_no_tokens_is_refused():
    for layers, said in [(["unused"], "never ran"), ([":scalar"], "B, N, C"), (["none"], "none")]:
        with pytest.raises(ValueError, match=said):
            built(layers).get_tokens(SOUNDS)
    for how in ({"steps": 0}, {"steps": 1.5}, {"steps": True}, {"global_token": "first"}):
        with pytest.raises(ValueError, match="steps|first"):
            built(**how)


def test_rows_by_length():
    assert by_length([]) == {}
    assert by_length([2, 1, 2]) == {2: [0, 2], 1: [1]}
