"""Damaged bytes are told when they are read, and made again alone."""

from __future__ import annotations

import logging
import pickle

import pytest
import torch

from brainnet.store import TokenStore, checks
from brainnet.store import file as store_file
from brainnet.store.manifest import Manifest
from tests.store.toys import Toy, assert_close, built, flip_a_bit


@pytest.mark.parametrize("image", [1, 6, 10])
def test_a_flipped_bit_is_told_when_its_chunk_is_read_and_that_chunk_alone_is_made_again(tmp_path, caplog, image):
    path = tmp_path / "t"
    store, whole = built(path), (tmp_path / "t").read_bytes()
    flip_a_bit(path, image * store.nbytes // 11 + 3)
    damaged, chunk = TokenStore.open(path), image // 4
    others = [i for i in range(11) if i // 4 != chunk]
    assert_close(
        damaged.tokens(others),
        TokenStore.build(
            Toy(), torch.randn(11, 3, 32, 32, generator=torch.Generator().manual_seed(0)), batch_size=2, progress=False
        ).tokens(others),
    )
    for read in (
        lambda: damaged.tokens([image]),
        lambda: damaged.features("a"),
        lambda: damaged.select([str(image)]).tokens(),
        lambda: pickle.loads(pickle.dumps(damaged)).tokens(slice(chunk * 4, chunk * 4 + 1)),
        lambda: damaged.to("meta"),
    ):
        with pytest.raises(ValueError, match=rf"images {chunk * 4} to .*chunk {chunk}\)"):
            read()
    backbone = Toy()
    with caplog.at_level(logging.WARNING, "brainnet.store"):
        built(path, backbone)
    assert f"images {chunk * 4} to" in caplog.text
    assert backbone.calls == -(-len([i for i in range(11) if i // 4 == chunk]) // 2)
    assert path.read_bytes() == whole
    assert_close(TokenStore.open(path).tokens(), store.tokens())


def test_a_kill_while_damage_is_mended_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "t"
    store, whole = built(path), (tmp_path / "t").read_bytes()
    for image in (1, 5):
        flip_a_bit(path, image * store.nbytes // 11)

    def stop(path, offset, chunk):
        if offset:
            raise KeyboardInterrupt
        real(path, offset, chunk)

    real = store_file.write_durably
    with monkeypatch.context() as patch:
        patch.setattr(store_file, "write_durably", stop)
        with pytest.raises(KeyboardInterrupt):
            built(path)
    backbone = Toy()
    built(path, backbone)
    assert (backbone.calls, path.read_bytes()) == (2, whole)


def test_two_stores_of_one_size_that_changed_places_are_told_apart(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    built(a), built(b, Toy(seed=1))
    wanted = a.read_bytes()
    for one, other in ((a, b), (Manifest.beside(a), Manifest.beside(b))):
        content = one.read_bytes(), other.read_bytes()
        one.write_bytes(content[1])
        with pytest.raises(ValueError, match=r"damaged|something else"):
            built(a) if one != a else TokenStore.open(a).tokens()
        one.write_bytes(content[0])
    a.write_bytes(b.read_bytes())
    backbone = Toy()
    built(a, backbone)
    assert (backbone.calls, a.read_bytes()) == (6, wanted)


def test_a_chunk_is_verified_once_a_process(tmp_path, monkeypatch):
    store = built(tmp_path / "t")
    monkeypatch.setattr(checks, "checksum", lambda values: pytest.fail("read again"))
    store.tokens()
    TokenStore.open(tmp_path / "t").tokens()
    built(tmp_path / "t")
