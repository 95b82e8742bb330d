"""The token store: nothing is found by pixels, and any part of it is a store of its own."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from brainnet.store import TokenStore
from brainnet.tokens import Tokens
from tests.store.toys import Planted, Pyramid, Toy, assert_close, expected


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tokens_are_the_backbones(images, tmp_path, dtype, on_disk):
    backbone = Toy()
    path = tmp_path / "deep" / "tokens.bin" if on_disk else None
    store = TokenStore.build(backbone, images, grid=(4, 2), dtype=dtype, batch_size=3, path=path)
    # half a unit in the last place: 2^-11 for float16, 2^-8 for bfloat16; float32 differs only by batch size
    tolerance = {torch.float32: 1e-6, torch.float16: 2**-11, torch.bfloat16: 2**-8}[dtype]
    assert_close(store.tokens(), expected(backbone, images, (4, 2)), rtol=tolerance, atol=1e-6)
    assert (len(store), store.layers, store.layer_widths, store.grid) == (11, ("a", "b"), (4, 6), (4, 2))
    assert store.nbytes == 11 * (4 * 2 + 1) * 10 * dtype.itemsize


def test_two_images_with_equal_sum_have_own_tokens():
    image = torch.rand(3, 32, 32)
    pair = torch.stack([image, image.flip(-1)])
    assert pair[0].sum() == pytest.approx(pair[1].sum().item())
    store = TokenStore.build(Toy(), pair)
    assert not torch.equal(store.tokens(0).local["a"], store.tokens(1).local["a"])


def test_packed_is_tokens_in_one_piece(images):
    store = TokenStore.build(Toy(widths=(5, 5)), images, grid=(2, 3))
    packed, tokens = store.packed([6, 1]), store.tokens([6, 1])
    assert packed.shape == (2, 2, 7, 5)
    for i, layer in enumerate(store.layers):
        torch.testing.assert_close(packed[:, i, :-1].transpose(1, 2).unflatten(2, (2, 3)), tokens.local[layer])
        torch.testing.assert_close(packed[:, i, -1], tokens.global_[layer])
    for read in (store.packed, lambda i, dtype: store.tokens(i, dtype).local["a"]):
        half, full = read([0, 4], torch.float16), read([0, 4], torch.float32)
        assert half.dtype == torch.float16
        assert torch.equal(half.float(), full)  # widening is exact
    with pytest.raises(ValueError, match=r"\(4, 6\)"):
        TokenStore.build(Toy(), images).packed([0])


@pytest.mark.parametrize("pool", ["mean", "global", "flatten", "both"])
def test_features_are_those_of_tokens(images, pool):
    store = TokenStore.build(Toy(gain=1000), images, grid=(2, 2))
    assert store._rows.scales is not None  # scaled layers take another path
    torch.testing.assert_close(store.features("b", pool), store.tokens().features("b", pool))
    torch.testing.assert_close(store.features("a", pool, [5, 2]), store.tokens([5, 2]).features("a", pool))
    with pytest.raises(ValueError, match="Unknown layer 'c'"):
        store.features("c")


@pytest.mark.parametrize("on_disk", [False, True])
def test_batches_come_in_order(images, tmp_path, on_disk):
    store = TokenStore.build(Toy(), images, path=tmp_path / "t" if on_disk else None)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    joined = torch.cat([tokens.global_["b"] for tokens in store.batches(order, 4)])
    assert torch.equal(joined, store.tokens(order).global_["b"])
    assert [len(t.global_["a"]) for t in store.batches(batch_size=4)] == [4, 4, 3]
    assert list(store.batches([])) == []


def test_statistics_are_those_of_all_values(images):
    store = TokenStore.build(
        Toy(), images + 1000, dtype=torch.float32
    )  # a large mean: naive sums of squares would fail
    mean, std = store.statistics(torch.arange(9), batch_size=4)
    tokens = store.tokens(range(9)).map(torch.Tensor.double)
    for layer in store.layers:
        local = tokens.local[layer].transpose(0, 1).flatten(1)
        torch.testing.assert_close(mean.local[layer].flatten(), local.mean(1))
        torch.testing.assert_close(std.local[layer].flatten(), local.std(1, correction=0))
        torch.testing.assert_close(std.global_[layer][0], tokens.global_[layer].std(0, correction=0))
    with pytest.raises(ValueError, match="no images"):
        store.statistics([])


def test_transformed_maps_every_image(images):
    store = TokenStore.build(Toy(), images)
    half = store.transformed(
        lambda tokens: tokens.resize((2, 2)).map(lambda v: v[:, :3] / 2), batch_size=4, name="half"
    )
    assert (half.layer_widths, half.grid, half.dtype) == ((3, 3), (2, 2), torch.float32)
    wanted = store.tokens().resize((2, 2)).map(lambda v: v[:, :3] / 2)
    assert_close(half.tokens(), wanted)
    assert half.fingerprint["transform"] == "half"
    gain = torch.ones(1, requires_grad=True)
    learned = store.transformed(lambda tokens: tokens.map(lambda v: v * gain))  # a store holds numbers, not graphs
    assert_close(learned.tokens([2, 1]), store.tokens([2, 1]))
    assert half.image_ids == store.image_ids


@pytest.mark.parametrize("workers", [0, 2])
def test_works_with_a_plain_dataloader(images, tmp_path, workers):
    store = TokenStore.build(Toy(), images, path=tmp_path / "t")
    loader = DataLoader(store, batch_size=4, num_workers=workers)
    local = torch.cat([local["a"] for local, _ in loader])
    assert torch.equal(local, store.tokens().local["a"])
    assert torch.equal(store[-1][1]["b"], store.tokens(10).global_["b"][0])


def test_pickles_a_path_not_the_bytes(images, tmp_path):
    mapped = TokenStore.build(Toy(), images, path=tmp_path / "t")
    in_memory = TokenStore.build(Toy(), images)
    assert len(pickle.dumps(mapped)) < 6_000 < mapped.nbytes
    for store in (mapped, in_memory):
        assert_close(pickle.loads(pickle.dumps(store)).tokens([2]), store.tokens([2]))


def test_a_complete_store_is_opened_not_computed(images, tmp_path):
    TokenStore.build(Toy(), images, path=tmp_path / "t")
    again = Toy()
    store = TokenStore.build(again, images, path=tmp_path / "t")
    assert again.calls == 0
    assert_close(store.tokens(), TokenStore.open(tmp_path / "t", {"grid": "8x8"}).tokens())


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("weights", {"backbone": Toy(seed=1)}),
        ("grid", {"grid": (4, 4)}),
        ("resize", {"resize": "bilinear"}),
        ("dtype", {"dtype": torch.float32}),
        ("images", {"shift": 1.0}),
        ("image_ids", {"drop": 1}),
    ],
)
def test_another_origin_is_refused_by_name(images, tmp_path, field, change):
    TokenStore.build(Toy(), images, path=tmp_path / "t")
    change = dict(change)
    backbone = change.pop("backbone", Toy())
    other = images[change.pop("drop", 0) :] + change.pop("shift", 0.0)
    with pytest.raises(ValueError, match=rf"\n  {field}: .* there, .* now"):
        TokenStore.build(backbone, other, path=tmp_path / "t", **change)
    replaced = TokenStore.build(backbone, other, path=tmp_path / "t", overwrite=True, **change)
    assert len(replaced) == len(other)
    assert (tmp_path / "t").stat().st_size == replaced.nbytes  # nothing of a larger store is left behind
    assert_close(replaced.tokens(), TokenStore.build(backbone, other, **change).tokens())


def test_open_compares_what_is_expected(images, tmp_path):
    TokenStore.build(Toy(), images, path=tmp_path / "t")
    with pytest.raises(ValueError, match=r"resize: mean there, bilinear now"):
        TokenStore.open(tmp_path / "t", {"resize": "bilinear"})
    with pytest.raises(FileNotFoundError, match="Build it first"):
        TokenStore.open(tmp_path / "none")


def test_known_tokens_are_copied(images):
    backbone = Toy()
    data = Planted(images, expected(Toy(seed=5), images))
    store = TokenStore.build(backbone, data, dtype=torch.float32, batch_size=4)
    assert backbone.calls == 0
    assert_close(store.tokens(), data.tokens)
    assert store.image_ids[2] == "scene 2"
    TokenStore.build(backbone, data, grid=(4, 4))
    assert backbone.calls > 0


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": -1}, {"chunk_size": 0}, {"resize": "mea"}])
def test_numbers_that_make_no_batches_are_refused(images, options):
    with pytest.raises(ValueError, match="at least 1|'mean'"):
        TokenStore.build(Toy(), images, **options)


@pytest.mark.parametrize("gain", [1, 1000])
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_selection_is_a_store_of_its_own(images, tmp_path, on_disk, gain):
    path = tmp_path / "t" if on_disk else None
    store = TokenStore.build(Toy(gain=gain), images, path=path, batch_size=2, chunk_size=4, progress=False)
    rows = [9, 2, 2, 10]
    part = store.select(map(str, rows))
    assert (part.image_ids, len(part), part.nbytes) == (["9", "2", "2", "10"], 4, 4 * store.nbytes // 11)
    for index, wanted in [
        (None, rows),
        ([3, 0], [10, 9]),
        (slice(1, 3), [2, 2]),
        (torch.tensor([True] + [False] * 3), [9]),
    ]:
        assert_close(part.tokens(index), store.tokens(wanted), rtol=0, atol=0)
    assert torch.equal(part.features("b", "flatten"), store.features("b", "flatten", rows))
    joined = torch.cat([tokens.global_["b"] for tokens in part.batches(batch_size=3)])
    assert torch.equal(joined, store.tokens(rows).global_["b"])
    assert_close(part.select(["10", "9"]).tokens(), store.tokens([10, 9]), rtol=0, atol=0)
    assert_close(pickle.loads(pickle.dumps(part)).tokens(), part.tokens(), rtol=0, atol=0)
    assert_close(part.transformed(lambda tokens: tokens).tokens([1]), store.tokens([2]), rtol=0, atol=0)
    there = part.to("meta")
    assert there.tokens([1]).local["a"].shape[0] == 1
    assert part._rows.values.data_ptr() == store._rows.values.data_ptr()  # nothing was copied
    assert part.fingerprint["image_ids"] != store.fingerprint["image_ids"]
    assert torch.equal(part[1][1]["a"], store[2][1]["a"])
    with pytest.raises(IndexError, match=r"\[0, 3\]"):
        part.tokens([4])


def test_an_unknown_id_is_named(images):
    tokens = Tokens({"x": torch.zeros(3, 1, 1, 1)}, {"x": torch.zeros(3, 1)})
    store = TokenStore.from_tokens([tokens], ["scene1", "scene2", "scene2"])
    with pytest.raises(ValueError, match=r"2 of these 3.*'scene9'.*'scene"):
        store.select(["scene1", "scene9", "nothing"])
    with pytest.raises(ValueError, match="'scene2'"):
        store.select(["scene2"])
    assert len(store.select([])) == 0


@pytest.mark.parametrize("on_disk", [False, True])
def test_layers_keep_grids_of_their_own_where_none_is_asked(images, tmp_path, on_disk):
    path = tmp_path / "t" if on_disk else None
    store = TokenStore.build(Pyramid(), images, grid=None, dtype=torch.float32, path=path, batch_size=3)
    wanted = Tokens(*Pyramid().get_tokens(images))
    assert_close(store.tokens(), wanted, rtol=0, atol=1e-6)
    assert store.grids == {"4": (8, 8), "16": (2, 2), "32": (1, 1)}
    assert store.features("32", "flatten").shape == (11, 3)
    torch.testing.assert_close(store.features("16", "flatten", [4]), wanted.features("16", "flatten")[[4]])
    assert "8x8 2x2 1x1" in repr(store)
    for whole in (lambda: store.grid, lambda: store.packed([0])):
        with pytest.raises(ValueError, match="grid"):
            whole()


def test_shrinking_never_grows_a_map(images):
    store = TokenStore.build(Pyramid(), images, grid=(4, 1), resize="shrink", dtype=torch.float32)
    assert list(store.grids.values()) == [(4, 1), (2, 1), (1, 1)]
    grown = TokenStore.build(Pyramid(), images, grid=(4, 1), dtype=torch.float32)
    assert grown.grid == (4, 1)
    torch.testing.assert_close(store.tokens().local["4"], grown.tokens().local["4"])
