"""The 78 images as they were published: the challenge's own noise ceilings; they are close to noise."""

from __future__ import annotations

from brainnet.dataset import DATASETS


def test_ceilings_are_those_of_the_challenge(test_data):
    data = DATASETS["images78"].from_settings(str(test_data / "algonauts2019"), 0, regions=["IT", "EVC"])
    found = {region: data.noise_ceiling(region, pooling="mean", squared=True) for region in data.rdms}
    assert {region: round(one.upper, 4) for region, one in found.items()} == {"IT": 0.0647, "EVC": 0.0640}
    assert {region: round(one.lower, 4) for region, one in found.items()} == {"IT": 0.0028, "EVC": 0.0068}
    assert (len(data), data.image_ids[-1]) == (78, "image_78")
