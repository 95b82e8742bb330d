"""Names do not collide, and digests tell what differs."""

from __future__ import annotations

import time

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainnet._files import (
    array_digest,
    file_digest,
    slug,
    weights_digest,
)

NAMES = st.text(max_size=300)


@given(st.lists(NAMES, min_size=1, max_size=3), st.lists(NAMES, min_size=1, max_size=3))
def test_other_names_never_give_the_same_file_name(a, b):
    assert (slug(*a) == slug(*b)) == (a == b)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_a_file_name_is_one_on_every_system(names):
    name = slug(*names)
    assert name
    assert name[0] not in ".-"
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert len(name) < 150
    assert name.split(".")[0].lower() not in ("con", "prn", "aux", "nul", "com1", "lpt1")


def test_digests_tell_types_shapes_and_values_apart():
    array = np.arange(6, dtype=np.float32)
    same = [array, torch.from_numpy(array), np.repeat(array, 2)[::2], torch.arange(12.0)[:6]]
    assert len({array_digest(a) for a in same}) == 1
    other = [array.astype(np.float64), array.reshape(2, 3), -array, torch.from_numpy(array).bfloat16(), array[:0]]
    assert len({array_digest(a) for a in [array, *other]}) == 6


def test_the_digest_of_weights_tells_names_types_shapes_and_values_apart():
    def network() -> torch.nn.Sequential:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))

    changed = network()
    changed[1].running_mean[2] += 1e-6  # a buffer is a part of what a network computes
    others = [network()[:1], torch.nn.Sequential(*reversed(network())), network().double(), changed]
    assert weights_digest(network()) == weights_digest(network())
    assert len({weights_digest(one) for one in (network(), *others)}) == 5


def test_the_digest_of_a_file_follows_its_bytes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    before = file_digest(path)
    assert file_digest(path) == before
    time.sleep(0.01)
    path.write_bytes(b"two")
    assert file_digest(path) != before


def test_the_digest_of_a_folder_is_of_the_names_and_bytes_below(tmp_path):
    (tmp_path / "a" / "in").mkdir(parents=True)
    (tmp_path / "a" / "in" / "x").write_bytes(b"1")
    before = file_digest(tmp_path / "a")
    (tmp_path / "a" / "in" / "x").rename(tmp_path / "a" / "in" / "y")
    assert file_digest(tmp_path / "a") != before
    (tmp_path / "a" / "in" / "y").rename(tmp_path / "a" / "in" / "x")
    assert file_digest(tmp_path / "a") == before
