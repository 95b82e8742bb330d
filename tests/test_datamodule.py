"""Batches: every image once per epoch on any number of processes, in an order that seed and epoch alone decide."""

from __future__ import annotations

from itertools import chain

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from brainnet.datamodule import BrainDataModule, EpochSampler
from brainnet.dataset import ResponseDataset
from brainnet.space import BrainSpace
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing


class Scenes(ResponseDataset):
    """23 plain images whose grey value, and whose responses, tell the index."""

    def __init__(self, n=23, n_voxels=4, **options):
        responses = torch.arange(n)[:, None] * 10.0 + torch.arange(n_voxels)
        splits = {"train": range(0, 13), "val": range(13, 18), "test": range(18, n)}
        super().__init__([f"scene {i}" for i in range(n)], responses, BrainSpace.free(n_voxels), splits, **options)
        self.decoded = []

    def load_image(self, index):
        self.decoded.append(index)
        return Image.new("RGB", (12, 10), (index, index, index))


class Grey(torch.nn.Module):
    """Tokens that are the image's own values."""

    def get_tokens(self, images):
        return {"x": images}, {"x": images.mean((2, 3))}


PLAIN = Preprocessing(size=(8, 8), mean=(0, 0, 0), std=(1 / 255,) * 3)


@pytest.fixture
def dataset():
    return Scenes(preprocessing=PLAIN)


@pytest.fixture
def store(dataset):
    return TokenStore.build(Grey(), dataset, grid=(2, 2), dtype=torch.float32)


def indices(batch) -> list[int]:
    """Which images a batch holds, read from its responses; and checks that inputs and responses belong together."""
    inputs, response = batch
    index = (response[:, 0] / 10).round().long()
    seen = inputs.mean((1, 2, 3)) if isinstance(inputs, torch.Tensor) else inputs[1]["x"].mean(1)
    torch.testing.assert_close(seen, index.float())
    return index.tolist()


def joined(batches: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


def epoch(loader) -> list[list[int]]:
    return [indices(batch) for batch in loader]


# ---------------------------------------------------------------- the sampler


@settings(max_examples=200)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5), st.booleans(), st.integers(0, 3))
def test_every_image_is_on_exactly_one_process(n, batch_size, world_size, shuffle, at_epoch):
    index = torch.randperm(100, generator=torch.Generator().manual_seed(n))[:n]
    options = {"batch_size": batch_size, "world_size": world_size, "shuffle": shuffle, "seed": 3}
    if n < world_size:
        with pytest.raises(ValueError, match="too few"):
            EpochSampler(index, **options)
        return
    hands = []
    for rank in range(world_size):
        sampler = EpochSampler(index, rank=rank, **options)
        sampler.set_epoch(at_epoch)
        hands.append(list(sampler))
        assert len(hands[-1]) == len(sampler)
    assert len({len(hand) for hand in hands}) == 1  # no process waits for another
    sizes = [len(batch) for hand in hands for batch in hand]
    assert min(sizes) >= 1
    assert max(sizes) <= batch_size + (batch_size == 1)
    assert max(sizes) - min(sizes) <= 1 + (world_size > 1)
    assert sorted(torch.cat([torch.cat(hand) for hand in hands]).tolist()) == sorted(index.tolist())


@settings(max_examples=50)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 4))
def test_drop_last_leaves_batches_of_one_size(n, batch_size, world_size):
    options = {"batch_size": batch_size, "world_size": world_size, "shuffle": True, "drop_last": True}
    if n < batch_size * world_size:
        with pytest.raises(ValueError, match="drop_last"):
            EpochSampler(torch.arange(n), **options)
        return
    batches = [b for rank in range(world_size) for b in EpochSampler(torch.arange(n), rank=rank, **options)]
    assert {len(b) for b in batches} == {batch_size}
    assert len(torch.cat(batches).unique()) == n // (batch_size * world_size) * batch_size * world_size


def test_order_follows_seed_and_epoch_alone():
    def order(seed, at_epoch):
        sampler = EpochSampler(torch.arange(40), 7, shuffle=True, seed=seed)
        sampler.set_epoch(at_epoch)
        return torch.cat(list(sampler)).tolist()

    torch.manual_seed(1)
    first = order(0, 0)
    torch.manual_seed(2)
    assert order(0, 0) == first
    orders = [order(seed, at_epoch) for seed in range(3) for at_epoch in range(3)]
    assert len({tuple(o) for o in orders}) == 9  # in particular, seed 0 in epoch 1 is not seed 1 in epoch 0

    sampler = EpochSampler(torch.arange(40), 7, shuffle=True)  # a plain loop never calls set_epoch
    assert [torch.cat(list(sampler)).tolist() for _ in range(3)] == orders[:3]
    with pytest.raises(ValueError, match="at least 1"):
        EpochSampler(torch.arange(4), 0)


# ----------------------------------------------------------------- the loaders


def test_image_batches_and_token_batches_hold_the_same(dataset, store):
    images = BrainDataModule(dataset, batch_size=4, seed=5)
    tokens = BrainDataModule(dataset, store, batch_size=4, seed=5)
    for name, split in [("train", range(13)), ("val", range(13, 18)), ("test", range(18, 23)), ("predict", range(23))]:
        loaders = [getattr(data, f"{name}_dataloader")() for data in (images, tokens)]
        for _ in range(2):
            of_images, of_tokens = map(epoch, loaders)
            assert of_images == of_tokens
            assert sorted(joined(of_images)) == list(split)
            if name != "train":
                assert joined(of_images) == list(split)
    shuffled = joined(epoch(images.train_dataloader()))
    assert shuffled != sorted(shuffled)


def test_cached_batches_decode_nothing(dataset, store):
    dataset.decoded.clear()
    data = BrainDataModule(dataset, store, batch_size=4)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert epoch(loader)
    assert dataset.decoded == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_change_nothing(dataset, num_workers):
    data = BrainDataModule(dataset, batch_size=4, num_workers=num_workers)
    wanted = epoch(BrainDataModule(dataset, batch_size=4).train_dataloader())
    assert epoch(data.train_dataloader()) == wanted


def test_a_mapped_store_serves_the_same(dataset, store, tmp_path):
    mapped = TokenStore.build(Grey(), dataset, grid=(2, 2), dtype=torch.float32, path=tmp_path / "t")
    loaders = [BrainDataModule(dataset, s, batch_size=3).train_dataloader() for s in (store, mapped)]
    assert [loader.lookahead for loader in loaders] == [False, True]
    assert epoch(loaders[0]) == epoch(loaders[1])


def test_a_mapped_store_whose_tokens_moved_to_a_device_is_read_without_a_thread(dataset, tmp_path):
    mapped = TokenStore.build(Grey(), dataset, grid=(2, 2), dtype=torch.float32, path=tmp_path / "t")
    there = mapped.to("meta")  # the one device besides the CPU that every machine has
    assert not mapped.lies_ready
    assert there.lies_ready
    assert not BrainDataModule(dataset, there, batch_size=3).train_dataloader().lookahead


def test_a_store_of_other_images_is_refused(dataset, store):
    other = Scenes(24, preprocessing=PLAIN)
    with pytest.raises(ValueError, match="23 there, 24 here"):
        BrainDataModule(other, store)
    other = Scenes(preprocessing=PLAIN)
    other.image_ids[7] = "elsewhere"
    data = BrainDataModule(other)
    with pytest.raises(ValueError, match="image 7 is 'elsewhere' and 'scene 7'"):
        data.store = store
    data.store = None
    assert data.store is None


def test_a_store_of_more_images_serves_those_of_the_dataset(store):
    """So that several subjects share one store of the pictures they saw."""
    data = BrainDataModule(Scenes(22, preprocessing=PLAIN), store)
    assert list(data.store.image_ids) == [f"scene {i}" for i in range(22)]
    assert torch.equal(data.store.tokens([3]).local[store.layers[0]], store.tokens([3]).local[store.layers[0]])


def test_a_missing_split_is_empty_or_an_error():
    dataset = Scenes(preprocessing=PLAIN)
    dataset.splits = {**dataset.splits, "val": torch.tensor([], dtype=torch.long), "test": torch.tensor([]).long()}
    data = BrainDataModule(dataset)
    assert data.val_dataloader() == []
    with pytest.raises(ValueError, match="no test images"):
        data.test_dataloader()


def test_training_on_everything_that_is_not_test(dataset, store):
    data = BrainDataModule(dataset, store, batch_size=4, fit_on="train+val")
    assert sorted(joined(epoch(data.train_dataloader()))) == list(range(18))
    assert data.val_dataloader() == []
    with pytest.raises(ValueError, match="fit_on"):
        BrainDataModule(dataset, fit_on="everything")


def test_images_are_preprocessed_as_the_backbone_expects():
    backbone = Grey()
    backbone.preprocessing = Preprocessing(size=(6, 4))
    data = BrainDataModule(Scenes())
    assert data.preprocessing == Preprocessing()
    data.use_backbone(backbone)
    assert next(iter(data.train_dataloader()))[0].shape[2:] == (6, 4)
    given = BrainDataModule(Scenes(), preprocessing=PLAIN)
    with pytest.warns(UserWarning, match="expects"):
        given.use_backbone(backbone)
    assert given.preprocessing == PLAIN


def test_options_reach_the_loaders(dataset, store):
    data = BrainDataModule(dataset, store, batch_size=4, eval_batch_size=2, drop_last=True, seed=5)
    assert [len(batch) for batch in epoch(data.train_dataloader())] == [4, 4, 4]
    for loader in (data.val_dataloader(), data.test_dataloader()):
        assert [len(batch) for batch in epoch(loader)] == [2, 2, 1]
    other = BrainDataModule(dataset, store, batch_size=4, drop_last=True, seed=6)
    assert epoch(other.train_dataloader()) != epoch(data.train_dataloader())


def test_without_a_trainer_torch_says_which_process_this_is(dataset, store, monkeypatch):
    for name, value in (("is_initialized", True), ("get_world_size", 2), ("get_rank", 1)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    data = BrainDataModule(dataset, store, batch_size=4)
    assert joined(epoch(data.val_dataloader())) == [14, 16]


# ------------------------------------------------------------- under Lightning


class Recorder(pl.LightningModule):
    """Learns nothing, and notes what it is shown."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.weight, self.stop_at = torch.nn.Parameter(torch.zeros(1)), stop_at
        self.seen = {"train": [], "val": []}

    def training_step(self, batch, batch_idx):
        if self.stop_at == self.global_step:
            raise KeyError("power cut")
        self.seen["train"].append(indices(batch))
        return self.weight.sum() + batch[1].sum() * 0

    def validation_step(self, batch, batch_idx):
        self.seen["val"].append(indices(batch))

    def predict_step(self, batch, batch_idx):
        return batch[1]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder, **options):
    options = {"max_epochs": 3, "logger": False, "enable_checkpointing": False, "num_sanity_val_steps": 0} | options
    return pl.Trainer(
        accelerator="cpu", default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False, **options
    )


@pytest.mark.parametrize("cached", [True, False])
def test_lightning_sees_each_image_once_an_epoch(dataset, store, tmp_path, cached):
    data = BrainDataModule(dataset, store if cached else None, batch_size=4)
    model = Recorder()
    trainer(tmp_path).fit(model, data)
    epochs = [joined(model.seen["train"][i : i + 4]) for i in (0, 4, 8)]
    assert all(sorted(seen) == list(range(13)) for seen in epochs)
    assert len({tuple(seen) for seen in epochs}) == 3
    assert model.seen["val"] == [[13, 14, 15], [16, 17]] * 3
    predictions = torch.cat(trainer(tmp_path).predict(model, data))
    assert torch.equal(predictions, dataset.responses)


@pytest.mark.parametrize("stop_at", [4, 6])  # at the end of the first epoch, and within the second
def test_a_resumed_run_sees_what_an_unbroken_one_sees(dataset, store, tmp_path, stop_at):
    def data():
        return BrainDataModule(dataset, store, batch_size=4, seed=2)

    unbroken = Recorder()
    trainer(tmp_path).fit(unbroken, data())

    checkpoint = pl.callbacks.ModelCheckpoint(
        tmp_path, filename="last", every_n_train_steps=1, enable_version_counter=False
    )
    broken = Recorder(stop_at=stop_at)
    with pytest.raises(KeyError, match="power cut"):
        trainer(tmp_path, enable_checkpointing=True, callbacks=[checkpoint]).fit(broken, data())
    resumed = Recorder()
    trainer(tmp_path).fit(resumed, data(), ckpt_path=str(tmp_path / "last.ckpt"))
    assert broken.seen["train"] + resumed.seen["train"] == unbroken.seen["train"]


def test_a_loader_goes_on_once_and_in_that_epoch_only(dataset, store):
    loader = BrainDataModule(dataset, store, batch_size=4).train_dataloader()
    whole = epoch(loader)
    loader.batches.set_epoch(0)
    loader.load_state_dict({"epoch": 0, "batch": 1})
    assert epoch(loader) == whole[1:]
    assert loader.state_dict() == {"epoch": 0, "batch": 4}
    assert len(epoch(loader)) == 4
    loader.load_state_dict({"epoch": 7, "batch": 1})
    assert len(epoch(loader)) == 4
    loader.batches.set_epoch(7)
    assert len(epoch(loader)) == 4  # that chance has passed


def test_a_process_gets_its_share(dataset, store, monkeypatch):
    seen = []
    for rank in range(2):
        data = BrainDataModule(dataset, store, batch_size=4)
        monkeypatch.setattr(data, "trainer", type("Trainer", (), {"world_size": 2, "global_rank": rank})())
        loader = data.val_dataloader()
        assert not isinstance(loader, DataLoader)  # in which Lightning would put a sampler that repeats images
        seen += joined(epoch(loader))
    assert sorted(seen) == list(range(13, 18))
