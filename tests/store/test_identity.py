"""What tokens come from: every picture, every byte, every number of the backbone."""

from __future__ import annotations

import gc
import os
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.store import TokenStore, backbones_unchanged, choose_preprocessing, fingerprint_of
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


def test_a_command_hashes_the_weights_of_each_backbone_once(photographs):
    class Counted(Toy):
        asked = 0

        def state_dict(self, *args, **kwargs):
            Counted.asked += 1
            return super().state_dict(*args, **kwargs)

    one, other = Counted(), Counted(seed=1)
    apart = fingerprint_of(one), fingerprint_of(other), fingerprint_of(one, Preprocessing())
    assert Counted.asked == 3
    with backbones_unchanged():
        assert (fingerprint_of(one), fingerprint_of(other), fingerprint_of(one, Preprocessing())) == apart
        TokenStore.build(one, photographs)
        assert Counted.asked == 5
    assert fingerprint_of(one) == apart[0]
    assert Counted.asked == 6  # nobody's promise holds any longer


def test_kept_fingerprints_hold_no_backbone_and_never_serve_another():
    class Slotted:  # nothing can refer to it weakly
        __slots__ = ("gain",)

        def __init__(self, gain):
            self.gain = gain

        def fingerprint(self):
            return {"name": "slotted", "weights": str(self.gain)}

    with backbones_unchanged():
        for seed in range(20):  # each is let go, so that the next one may lie where it lay
            assert fingerprint_of(Toy(seed)) == fingerprint_of(Toy(seed))
        assert len({fingerprint_of(Toy(seed))["weights"] for seed in range(20)}) == 20
        assert [fingerprint_of(Slotted(gain))["weights"] for gain in (1, 2)] == ["1", "2"]
        toy = Toy()
        fingerprint_of(toy)
        left = weakref.ref(toy)
        del toy
        gc.collect()
        assert left() is None
