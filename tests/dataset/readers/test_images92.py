"""The 92 images as they were published: the challenge's own noise ceilings, and SqueezeNet's known scores."""

from __future__ import annotations

import pytest
import torch

from brainnet.dataset import DATASETS
from brainnet.dataset.readers.images92 import Images92
from brainnet.rsa import rdm
from brainnet.run.rsa.rsa import compare_rdms
from brainnet.tokens import Preprocessing


@pytest.fixture(scope="module")
def data(test_data):
    return DATASETS["images92"].from_settings(str(test_data / "algonauts2019"), 0)


def test_ceilings_are_those_of_the_challenge(data, test_data, tmp_path):
    upper = {"EVC": 0.1589, "IT": 0.3075}
    lower = {"EVC": 0.0686, "IT": 0.2264}
    found = {region: data.noise_ceiling(region, pooling="mean", squared=True) for region in data.rdms}
    assert {region: round(one.upper, 4) for region, one in found.items()} == upper
    assert {region: round(one.lower, 4) for region, one in found.items()} == lower
    table = compare_rdms([f"images92={test_data / 'algonauts2019'}"], tmp_path, pooling="mean", squared=True)[
        "ceilings"
    ]
    assert dict(zip(table["roi"], table["high"].round(4), strict=True)) == upper


def test_pixels_score_as_is_known(data):
    assert isinstance(data, Images92)
    assert (len(data), data.image_ids[0], data.load_image(0).size) == (92, "image_01", (175, 175))
    assert {region: len(rdms) for region, rdms in data.rdms.items()} == {"EVC": 15, "IT": 15}
    shown = Preprocessing(size=(227, 227), mean=(0, 0, 0), std=(1, 1, 1))
    flat = torch.stack([data.images.image(i, shown).flatten() for i in range(len(data))])
    pixels = rdm(flat, conditions=data.image_ids)
    table = data.compare({"pixels": pixels}, generalise="subjects", progress=False).table.set_index("roi")
    assert table.loc["IT", "score"] == pytest.approx(0.148, abs=0.005)
