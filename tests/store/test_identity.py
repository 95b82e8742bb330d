"""What tokens come from: every picture, every byte, every number of the backbone."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.store import TokenStore, choose_preprocessing, fingerprint_of
from brainnet.store.identity import Source
from brainnet.tokens import Preprocessing
from tests.store.toys import Planted, Pyramid, Toy


def test_fingerprint_follows_weights():
    assert fingerprint_of(Toy()) == fingerprint_of(Toy())
    assert fingerprint_of(Toy())["weights"] != fingerprint_of(Toy(seed=1))["weights"]

    class Plain:
        def __init__(self, seed):
            self.model = Toy(seed)

    assert fingerprint_of(Plain(0))["weights"] != fingerprint_of(Plain(1))["weights"]

    class Fixed:  # a backbone that takes images of one size and holds no module
        preprocessing = Preprocessing(size=(20, 30))

        def __init__(self, gain, shift=0.0):
            self.gain, self.shift = gain, shift

        def get_tokens(self, images):
            local = images.view(-1, 3, 20, 30) * self.gain + self.shift
            return {"a": local}, {"a": local.amax((2, 3))}

    kinds = [Fixed(1), Fixed(1.01), Fixed(1, 0.01), Fixed(-1), Pyramid(), Pyramid(2), Pyramid(-1)]
    weights = [fingerprint_of(kind)["weights"] for kind in kinds]
    assert len(set(weights)) == len(kinds)
    assert weights == [fingerprint_of(kind)["weights"] for kind in kinds]
    assert fingerprint_of(Toy(), Preprocessing())["preprocessing"] == str(Preprocessing())


def test_preprocessing_of_the_data_comes_first():
    backbone, data = Toy(), type("Data", (), {"preprocessing": None})()
    assert choose_preprocessing(data, backbone) == Preprocessing()
    backbone.preprocessing = Preprocessing(size=(32, 32))
    assert choose_preprocessing(data, backbone).size == (32, 32)
    data.preprocessing = Preprocessing(size=(16, 16))
    with pytest.warns(UserWarning, match="expects"):
        assert choose_preprocessing(data, backbone).size == (16, 16)


def test_a_backbone_without_modules_is_known_by_what_it_does(images, tmp_path):
    built = TokenStore.build(Pyramid(), images, path=tmp_path / "t")
    again = Pyramid()
    TokenStore.build(again, images, path=tmp_path / "t")
    assert set(again.batches) == {2}  # the probe alone
    with pytest.raises(ValueError, match="\n  weights: "):
        TokenStore.build(Pyramid(gain=2.0), images, path=tmp_path / "t")
    assert len(built) == 11


@pytest.mark.parametrize("place", range(40))
def test_one_replaced_picture_of_many_is_noticed(tmp_path, place):
    """Also one of the same size and date."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 6, 6, 3), dtype=np.uint8)
    for i, one in enumerate(pixels):
        Image.fromarray(one).save(tmp_path / f"{i:02d}.bmp")
    before, times = Source.read(tmp_path, None, None).signature, (tmp_path / f"{place:02d}.bmp").stat()
    Image.fromarray(pixels[place] ^ 1).save(tmp_path / f"{place:02d}.bmp")
    os.utime(tmp_path / f"{place:02d}.bmp", ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert Source.read(tmp_path, None, None).signature != before
    pictures = [Image.fromarray(one) for one in pixels]
    data = Planted(torch.zeros(40, 3, 6, 6), None)
    data.load_image = lambda i: pictures[i]
    before, pictures[place] = Source.read(data, None, None).signature, Image.fromarray(pixels[place] ^ 1)
    assert Source.read(data, None, None).signature != before


def test_a_changed_picture_changes_the_fingerprint(photographs, tmp_path):
    options = {"preprocessing": Preprocessing(size=(32, 32)), "path": tmp_path / "t"}
    TokenStore.build(Toy(), photographs, **options)
    Image.open(photographs[0]).rotate(180).save(photographs[0])
    with pytest.raises(ValueError, match="\n  images: "):
        TokenStore.build(Toy(), photographs, **options)
