"""The token store: nothing is found by pixels, nothing is lost to a kill, nothing foreign is read."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from brainnet.store import TokenStore, checks, choose_preprocessing, fingerprint_of
from brainnet.store import file as store_file
from brainnet.store import rows as rows_module
from brainnet.store.identity import Source
from brainnet.store.layout import Layout
from brainnet.store.manifest import Manifest
from brainnet.tokens import Preprocessing, Tokens


class Toy(nn.Module):
    """Two layers of tokens, exactly known: a strided convolution, and a wider one of its output."""

    def __init__(self, seed: int = 0, widths: tuple[int, int] = (4, 6), gain: float = 1.0):
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.first = nn.Conv2d(3, widths[0], 4, 4)
        self.second = nn.Conv2d(widths[0], widths[1], 1)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng) * gain
        self.dropout = nn.Dropout(0.5)
        self.calls = 0

    def get_tokens(self, images):
        self.calls += 1
        a = self.dropout(self.first(images))
        b = self.second(a)
        return {"a": a, "b": b}, {"a": a.mean((2, 3)), "b": b.amax((2, 3))}


@pytest.fixture
def images(rng):
    return torch.randn(11, 3, 32, 32, generator=rng)


def expected(backbone, images, grid=(8, 8), resize="mean"):
    with torch.no_grad():
        return Tokens(*backbone.eval().get_tokens(images)).resize(grid, resize)


def assert_close(found: Tokens, wanted: Tokens, **tolerance):
    assert found.layers == wanted.layers
    for part, other in zip(found, wanted, strict=True):
        for layer in part:
            assert part[layer].dtype == torch.float32
            torch.testing.assert_close(part[layer], other[layer], **tolerance)


# ------------------------------------------------------------------- reading


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


def test_two_images_with_equal_sum_have_own_tokens():
    image = torch.rand(3, 32, 32)
    pair = torch.stack([image, image.flip(-1)])
    assert pair[0].sum() == pytest.approx(pair[1].sum().item())
    store = TokenStore.build(Toy(), pair)
    assert not torch.equal(store.tokens(0).local["a"], store.tokens(1).local["a"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_batches_are_the_callers_to_change(images, dtype):
    store = TokenStore.build(Toy(), images, dtype=dtype)
    before = store.tokens([3]).local["a"].clone()
    for index in (None, slice(0, 5), [3]):
        store.tokens(index).local["a"].zero_()
    store.features("a", "flatten").zero_()
    assert torch.equal(store.tokens([3]).local["a"], before)


@settings(max_examples=30, deadline=None)
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


# -------------------------------------------------------------------- scales


def store_of(values: torch.Tensor, **options) -> TokenStore:
    """A store of one layer whose local tokens are ``values`` (n, C) on a 1x1 grid, and whose global ones are zero."""
    tokens = Tokens({"x": values[:, :, None, None]}, {"x": torch.zeros_like(values)})
    return TokenStore.from_tokens([tokens], [str(i) for i in range(len(values))], **options)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=6), st.integers(-90, 120))
def test_float16_keeps_any_magnitude(values, exponent):
    values = torch.tensor([values]) * 2.0**exponent
    decoded = store_of(values, dtype=torch.float16).tokens().local["x"][:, :, 0, 0]
    # relative to each value 2^-11, until values 2^25 below the layer's largest reach fp16's subnormals
    allowed = values.abs() * 2.0**-11 + values.abs().max() * 2.0**-21
    assert ((decoded - values).abs() <= allowed).all()


def test_float16_keeps_even_float32s_subnormals():
    values = torch.tensor([[1e-44, -3e-44, 0.0]])
    assert torch.equal(store_of(values, dtype=torch.float16).features("x"), values)


def test_overflow_is_scaled_and_told_apart_by_chunk():
    values = torch.tensor([[1.0, 2.0], [1e6, -3e5], [3.0, 4.0]])
    tokens = Tokens({"x": values[:, :, None, None]}, {"x": values})
    manifest = Manifest("float16", ["0", "1", "2"], {}, 1, 1)
    sink = store_file.MemorySink(manifest)
    store_file.fill(sink, [tokens])
    assert sink.manifest.scales[0] == [1.0]
    assert sink.manifest.scales[1][0] > 1
    assert torch.isfinite(sink.rows).all()
    store = TokenStore._of(sink.manifest, sink.rows, None)
    torch.testing.assert_close(store.features("x", "global"), values, rtol=2**-11, atol=0)
    torch.testing.assert_close(store.features("x", "global", [2, 1]), values[[2, 1]], rtol=2**-11, atol=0)
    with pytest.raises(ValueError, match="beyond float16"):
        store.packed([1], dtype=torch.float16)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_names_layer_and_image(images, bad):
    class Broken(Toy):
        def get_tokens(self, images):
            local, global_ = super().get_tokens(images)
            if self.calls == 2:
                local["b"][1, 0, 0, 0] = bad
            return local, global_

    with pytest.raises(ValueError, match=r"layer 'b' are not finite.*image '5'"):
        TokenStore.build(Broken(), images, batch_size=4)


# --------------------------------------------------------------- fingerprint


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


def test_a_foreign_file_is_left_alone(images, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="no token store"):
        TokenStore.build(Toy(), images, path=tmp_path / "thesis.txt", overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(ValueError, match="is a folder"):
        TokenStore.build(Toy(), images, path=tmp_path)


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


# -------------------------------------------------------------------- images


@pytest.fixture
def photographs(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (5, 40, 50, 3), dtype=np.uint8)
    paths = [tmp_path / f"{name}.png" for name in "abcde"]
    for path, pixels in zip(paths, noise, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


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


class Planted:
    """A response dataset that kept the tokens which made it."""

    def __init__(self, images, tokens):
        self.images, self.tokens = images, tokens
        self.image_ids = [f"scene {i}" for i in range(len(images))]
        self.preprocessing = None

    def load_image(self, i):
        return Image.fromarray((self.images[i].sigmoid() * 255).byte().permute(1, 2, 0).numpy())

    def image(self, i, preprocessing):
        return preprocessing(self.load_image(i))

    def known_tokens(self, fingerprint):
        return self.tokens if fingerprint["grid"] == "8x8" else None


def test_known_tokens_are_copied(images):
    backbone = Toy()
    data = Planted(images, expected(Toy(seed=5), images))
    store = TokenStore.build(backbone, data, dtype=torch.float32, batch_size=4)
    assert backbone.calls == 0
    assert_close(store.tokens(), data.tokens)
    assert store.image_ids[2] == "scene 2"
    TokenStore.build(backbone, data, grid=(4, 4))
    assert backbone.calls > 0


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


# ------------------------------------------------------- kills and full disks

BUILD = """
import sys, time, torch
sys.path.insert(0, {tests!r})
from test_store import Toy
from brainnet.store import TokenStore
class Slow(Toy):
    def get_tokens(self, images):
        time.sleep({pause})
        return super().get_tokens(images)
images = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
backbone = Slow()
store = TokenStore.build(backbone, images, path={path!r}, batch_size=2, chunk_size=4)
print(backbone.calls, len(store))
"""


def start(path: Path, pause: float) -> subprocess.Popen:
    code = BUILD.format(tests=str(Path(__file__).parent), path=str(path), pause=pause)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def chunks_of(path: Path) -> int:
    manifest = Manifest.beside(path)
    return Manifest.read(path).n_complete // 4 if manifest.is_file() else 0


def test_a_killed_build_goes_on_and_ends_the_same(tmp_path):
    path, whole = tmp_path / "killed", tmp_path / "whole"
    process = start(path, pause=0.2)
    deadline = time.monotonic() + 60
    while chunks_of(path) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = chunks_of(path)
    assert 2 <= done < 6
    with pytest.raises(ValueError, match=f"unfinished: {done * 4} of 24"):
        TokenStore.open(path)
    with path.open("ab") as file:
        file.write(b"half a chunk that no manifest counts")

    # two at once: one goes on, the other waits and opens the result
    results = [process.communicate(timeout=120) for process in (start(path, 0), start(path, 0))]
    assert sorted(out.split() for out, _ in results) == [["0", "24"], [str((6 - done) * 2), "24"]], results
    assert start(whole, 0).communicate()[0].split() == ["12", "24"]
    assert path.read_bytes() == whole.read_bytes()
    same = [Manifest.read(p) for p in (path, whole)]
    assert same[0] == same[1]


def test_a_full_disk_leaves_a_store_that_goes_on(images, tmp_path, monkeypatch):
    path, written = tmp_path / "t", []
    real = store_file.write_durably

    def full(path, offset, chunk):
        if offset:
            path.open("ab").write(b"torn")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(offset)
        real(path, offset, chunk)

    monkeypatch.setattr(store_file, "write_durably", full)
    with pytest.raises(OSError, match=r"disk is full: .* holds 4 of 11 images") as caught:
        TokenStore.build(Toy(), images, path=path, batch_size=2, chunk_size=4)
    assert caught.value.errno == errno.ENOSPC
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(store_file, "write_durably", real)
    backbone = Toy()
    store = TokenStore.build(backbone, images, path=path, batch_size=2, chunk_size=4)
    assert backbone.calls == 4
    assert_close(store.tokens(), TokenStore.build(Toy(), images, batch_size=2).tokens())


def test_a_disk_or_memory_too_small_is_said_first(images, tmp_path, monkeypatch):
    monkeypatch.setattr(store_file, "free_bytes", lambda device: 1000)
    with pytest.raises(MemoryError, match="1 kB of memory is free"):
        TokenStore.build(Toy(), images)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(store_file.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="10 B is free"):
        TokenStore.build(Toy(), images, path=tmp_path / "t")


def test_size_is_said_before_the_build(images, caplog):
    with caplog.at_level(logging.INFO, "brainnet.store"):
        TokenStore.build(Toy(), images, grid=(2, 2))
    assert "11 images x 2 layers x 5 positions, float16: 1.1 kB in memory" in caplog.text


def test_a_truncated_file_is_told_and_repaired(images, tmp_path):
    path = tmp_path / "t"
    whole = TokenStore.build(Toy(), images, path=path, batch_size=2, chunk_size=4)
    before, row, manifest = path.read_bytes(), whole.nbytes // 11, Manifest.read(path)
    os.truncate(path, row * 9 + row // 2)
    with pytest.raises(ValueError, match=r"truncated: 9 of 11 images are whole.*TokenStore\.build"):
        TokenStore.open(path)
    backbone = Toy()
    TokenStore.build(backbone, images, path=path, batch_size=2, chunk_size=4)
    assert backbone.calls == 2  # images 8 to 10: the last chunk
    assert path.read_bytes() == before
    assert Manifest.read(path) == manifest


def built(path, backbone=None, **options) -> TokenStore:
    images = torch.randn(11, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return TokenStore.build(backbone or Toy(), images, path=path, batch_size=2, chunk_size=4, progress=False, **options)


def flip_a_bit(path: Path, place: int) -> None:
    """One bit, and the times of before: nothing but the bytes can tell."""
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 4]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))


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


def tampered(path: Path, **changes) -> None:
    """A manifest that somebody wrote with care: its own checksum fits."""
    manifest = Manifest.read(path)
    for name, value in changes.items():
        setattr(manifest, name, value)
    manifest.write(path)


@pytest.mark.parametrize(
    "change",
    [
        {"n_complete": 10**6}, {"n_complete": -4}, {"n_complete": 5}, {"scales": []}, {"scales": [[1.0]] * 3},
        {"checksums": []}, {"checksums": [1, 2, 3]}, {"layers": ["a"]}, {"layers": []}, {"layer_widths": [4, -6]},
        {"layer_widths": None}, {"grids": [[8], [8]]}, {"grids": [[0, 8], [8, 8]]}, {"grids": 3}, {"chunk_size": 0},
        {"chunk_size": 3}, {"dtype": "int8"}, {"dtype": ["float16"]}, {"image_ids": []}, {"image_ids": [1] * 11},
        {"fingerprint": [1]}, {"format": "brainnet tokens, version 1"}, {"format": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_that_was_changed_is_refused_in_one_line(tmp_path, change):
    path = tmp_path / "t"
    built(path)
    tampered(path, **change)
    for read in (lambda: TokenStore.open(path), lambda: built(path)):
        with pytest.raises(ValueError, match=r"t\.json") as refused:
            read()
        assert "\n" not in str(refused.value)
    assert len(built(path, overwrite=True)) == 11
    assert len(TokenStore.open(path)) == 11


@pytest.mark.parametrize("damage", ["empty", "truncated", "bit", "list", "other", "nested"])
def test_a_damaged_manifest_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "t"
    built(path)
    beside = Manifest.beside(path)
    text = beside.read_text()
    beside.write_text(
        {"empty": "", "truncated": text[:-30], "bit": text.replace('"3"', '"2"', 1), "list": "[1]", "other": "{}",
         "nested": "[" * 100_000}[damage]
    )  # fmt: skip
    for read in (lambda: TokenStore.open(path), lambda: built(path)):
        with pytest.raises(ValueError, match=r"t\.json") as refused:
            read()
        assert "\n" not in str(refused.value)
    assert len(built(path, overwrite=True)) == 11


def test_tokens_without_their_manifest_are_replaced_on_request(tmp_path):
    path = tmp_path / "t"
    built(path)
    Manifest.beside(path).unlink()
    with pytest.raises(ValueError, match="overwrite=True"):
        built(path)
    assert len(built(path, overwrite=True)) == 11


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": -1}, {"chunk_size": 0}, {"resize": "mea"}])
def test_numbers_that_make_no_batches_are_refused(images, options):
    with pytest.raises(ValueError, match="at least 1|'mean'"):
        TokenStore.build(Toy(), images, **options)


def test_a_chunk_is_verified_once_a_process(tmp_path, monkeypatch):
    store = built(tmp_path / "t")
    monkeypatch.setattr(checks, "checksum", lambda values: pytest.fail("read again"))
    store.tokens()
    TokenStore.open(tmp_path / "t").tokens()
    built(tmp_path / "t")


# ---------------------------------------------------------------- selections


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


# --------------------------------------------------------------- native grids


class Pyramid:
    """Two layers whose maps differ in size; no torch module."""

    def __init__(self, gain: float = 1.0):
        self.gain, self.batches = gain, []

    def get_tokens(self, images):
        self.batches.append(len(images))
        local = {f"{k}": nn.functional.avg_pool2d(images, k) * self.gain for k in (4, 16, images.shape[-1])}
        return local, {name: values.amax((2, 3)) for name, values in local.items()}


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


@pytest.mark.parametrize(("asked", "taken"), [(None, 255), (7, 6), (2, 3)])
def test_a_chunk_is_whole_batches(images, tmp_path, asked, taken):
    """Else a continued build would run other batches than one never stopped, and differ in the last bits."""
    TokenStore.build(Toy(), images, path=tmp_path / "t", batch_size=3, chunk_size=asked)
    assert Manifest.read(tmp_path / "t").chunk_size == taken


def test_a_store_continues_only_with_the_same_layers(images, tmp_path, monkeypatch):
    def stop(path, offset, chunk):
        if offset:
            raise KeyboardInterrupt
        real(path, offset, chunk)

    real = store_file.write_durably
    monkeypatch.setattr(store_file, "write_durably", stop)
    backbone = Toy()
    backbone.fingerprint = lambda: {"name": "careless"}  # says nothing of its layers
    with pytest.raises(KeyboardInterrupt):
        TokenStore.build(backbone, images, path=tmp_path / "t", batch_size=2, chunk_size=2)
    monkeypatch.setattr(store_file, "write_durably", real)
    other = Toy(widths=(4, 7))
    other.fingerprint = backbone.fingerprint
    with pytest.raises(ValueError, match="the store began with"):
        TokenStore.build(other, images, path=tmp_path / "t")


# ------------------------------------------------------------------- devices


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


def test_tokens_are_views_of_the_rows_they_are_unpacked_from(rng):
    """Also of rows in the middle of a larger block, and of layers of different widths."""
    layout = Layout(("a", "b"), (3, 2), ((2, 4), (2, 4)))
    tokens = Tokens(
        {"a": torch.randn(4, 3, 2, 4, generator=rng), "b": torch.randn(4, 2, 2, 4, generator=rng)},
        {"a": torch.randn(4, 3, generator=rng), "b": torch.randn(4, 2, generator=rng)},
    )
    block = torch.zeros(9, layout.row + 5)
    rows = block[3:7, 2 : 2 + layout.row]
    layout.pack(tokens, rows)
    for found, packed in zip(layout.unpack(rows), tokens, strict=True):
        for name, value in packed.items():
            assert torch.equal(found[name], value), name
            assert found[name].untyped_storage().data_ptr() == block.untyped_storage().data_ptr()
