"""Images into tokens: decoding, modes, pictures that cannot be read."""

from __future__ import annotations

import logging
import threading

import pytest
import torch
from PIL import Image

from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing
from tests.store.toys import Planted, Toy, assert_close


def test_paths_and_pictures_give_the_same(photographs):
    small = Preprocessing(size=(32, 32))
    from_paths = TokenStore.build(Toy(), [str(p) for p in photographs], preprocessing=small, workers=2, batch_size=2)
    from_pil = TokenStore.build(Toy(), [Image.open(p) for p in photographs], preprocessing=small, workers=0)
    assert from_paths.image_ids == ["a", "b", "c", "d", "e"]
    assert_close(from_paths.tokens(), from_pil.tokens(), rtol=1e-3, atol=1e-3)


def test_an_unreadable_image_is_named(photographs):
    photographs[3].write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"cannot read image 3, .*d\.png"):
        TokenStore.build(Toy(), photographs)
    photographs[2].unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 5 images .*c\.png"):
        TokenStore.build(Toy(), photographs)
    for wrong in (3, [1, 2], torch.zeros(2, 4, 8, 8)):
        with pytest.raises((TypeError, ValueError), match="image"):
            TokenStore.build(Toy(), wrong)
    with pytest.raises(ValueError, match="no images"):
        TokenStore.build(Toy(), [])


def test_a_backbone_is_put_back_in_its_mode(images):
    backbone = Toy().train()
    backbone.first.eval()
    store = TokenStore.build(backbone, images)
    assert backbone.training
    assert backbone.dropout.training
    assert not backbone.first.training
    assert torch.is_grad_enabled()
    assert_close(store.tokens(), TokenStore.build(Toy().eval(), images).tokens())  # so dropout was off
    with pytest.raises(ValueError, match="not finite"):
        TokenStore.build(backbone, images / 0)
    assert backbone.training
    assert backbone.dropout.training
    assert not backbone.first.training


def test_decoding_runs_beside_the_backbone(images):
    """The second batch is being decoded before the first forward pass has ended."""
    second_batch, overlapped = threading.Event(), []

    class Watching(Toy):
        def get_tokens(self, images):
            overlapped.append(second_batch.wait(10))
            return super().get_tokens(images)

    data = Planted(images, None)
    load = data.image

    def image(i, preprocessing):
        if i >= 4:
            second_batch.set()
        return load(i, Preprocessing(size=(32, 32)))

    data.image = image
    TokenStore.build(Watching(), data, batch_size=4, workers=1)
    assert overlapped[0]


def test_out_of_memory_halves_the_batch_once_and_the_tokens_are_the_same(images, monkeypatch, caplog):
    plain, sizes = Toy.get_tokens, []

    def small(self, batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB.")
        return plain(self, batch)

    expected = TokenStore.build(Toy(), images, batch_size=4, progress=False)
    monkeypatch.setattr(Toy, "get_tokens", small)
    with caplog.at_level(logging.INFO, logger="brainnet.progress"):
        found = TokenStore.build(Toy(), images, batch_size=4, progress=False)
    assert sizes[:3] == [4, 2, 2]
    assert max(sizes[1:]) == 2
    assert "batches of 2" in caplog.text
    assert_close(found.tokens(), expected.tokens())
    with pytest.raises(MemoryError, match=r"batches of 3 .*Tried to allocate"):
        TokenStore.build(Toy(), images, batch_size=6, progress=False)
