"""Rows in memory, in a file, on a device: indices, buffers, moves."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brainnet.store import TokenStore
from brainnet.store import file as store_file
from brainnet.store import rows as rows_module
from tests.store.toys import Toy, assert_close, store_of


def test_every_way_to_index(images):
    store = TokenStore.build(Toy(), images, dtype=torch.float32)
    everything = store.tokens()
    for index, rows in [
        ([4, 0, 4], [4, 0, 4]),
        (torch.tensor([10]), [10]),
        (np.array([1, 2], dtype=np.int16), [1, 2]),
        (7, [7]),
        (slice(2, 9, 3), [2, 5, 8]),
        (slice(8, None), [8, 9, 10]),
        (torch.arange(11) > 8, [9, 10]),
        ([], []),
    ]:
        assert_close(store.tokens(index), everything.map(lambda v, rows=rows: v[rows]), rtol=0, atol=0)
    for wrong in ([11], [-1]):
        with pytest.raises(IndexError, match=r"\[0, 10\]"):
            store.tokens(wrong)
    with pytest.raises(TypeError, match="integers"):
        store.tokens([0.5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_batches_are_the_callers_to_change(images, dtype):
    store = TokenStore.build(Toy(), images, dtype=dtype)
    before = store.tokens([3]).local["a"].clone()
    for index in (None, slice(0, 5), [3]):
        store.tokens(index).local["a"].zero_()
    store.features("a", "flatten").zero_()
    assert torch.equal(store.tokens([3]).local["a"], before)


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.booleans(), st.sampled_from(["hold", "view", "graph", "drop"])), max_size=30
    )
)
def test_memory_is_used_again_only_when_nobody_holds_it(reads):
    """Whatever callers keep (a batch, a view of it, a graph that saved it) never changes under them."""
    values = torch.arange(10.0)[:, None].expand(10, 3).contiguous()
    store = store_of(values, dtype=torch.float16)
    gain, held = torch.ones(3, requires_grad=True), []
    for image, as_stored, how in reads:
        batch = store.tokens([image], torch.float16 if as_stored else torch.float32).local["x"]
        if how == "graph":
            held.append((float(image), gain, (batch[0, :, 0, 0].float() * gain).sum()))
        elif how != "drop":
            held.append((float(image), batch if how == "hold" else batch.view(-1)[1:], None))
        del batch
        store.tokens([9 - image])
    for image, tensor, graph in held:
        if graph is None:
            assert (tensor == image).all()
        else:
            (gradient,) = torch.autograd.grad(graph, gain)
            assert (gradient == image).all()


def test_memory_is_used_again(images):
    store = TokenStore.build(Toy(), images)
    address = store.tokens([1]).local["a"].data_ptr()
    assert store.tokens([2]).local["a"].data_ptr() == address
    held = [store.tokens([i]) for i in range(11)]
    assert len({tokens.local["a"].data_ptr() for tokens in held}) == 11


def test_a_store_too_large_for_the_device_is_copied_batch_by_batch(images, monkeypatch, caplog):
    store = TokenStore.build(Toy(gain=1000), images)
    there = store.to("meta")  # the one device besides the CPU that every machine has
    assert there.is_resident
    assert there.tokens([1]).local["a"].device.type == "meta"
    monkeypatch.setattr(rows_module, "free_bytes", lambda device: store.nbytes)
    with caplog.at_level(logging.INFO, "brainnet.store"):
        staged = store.to("meta")
    assert "too large" in caplog.text
    assert not staged.is_resident
    assert staged._rows.values.device.type == "cpu"
    for index in (None, [3, 1], slice(2, 4)):
        assert staged.tokens(index).global_["b"].device.type == "meta"
    assert store.device.type == "cpu"


def test_what_torch_keeps_of_a_gpus_memory_counts_as_free(monkeypatch):
    """Else the tokens of a second training would find no room beside the memory of the first."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3_000, 24_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 20_000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 5_000)
    assert store_file.free_bytes(torch.device("cuda")) == 18_000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fits", [True, False])
def test_gpu_batches_equal_the_hosts(images, monkeypatch, fits):
    if not fits:
        monkeypatch.setattr(rows_module, "free_bytes", lambda device: 0)
    store = TokenStore.build(Toy(gain=1000), images)
    there = store.to("cuda")
    assert there.is_resident == fits
    index = torch.tensor([7, 2, 2])
    assert_close(there.tokens(index.cuda()).map(torch.Tensor.cpu), store.tokens(index))
    for mine, other in zip(there.batches(batch_size=2), store.batches(batch_size=2), strict=True):
        assert_close(mine.map(torch.Tensor.cpu), other)
