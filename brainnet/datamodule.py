"""BrainDataModule: a dataset's splits as batches of images or of cached tokens, each with its responses.

Batches are made of index tensors: a cached batch is one gather from the store and one from the responses, no image is
decoded and nothing runs per image in Python. Every image of a split is seen exactly once per epoch, on any number of
processes, so a score does not depend on how many there were; nothing is padded, nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from brainnet._work import read_ahead
from brainnet.dataset import ResponseDataset
from brainnet.store import TokenStore, choose_preprocessing
from brainnet.tokens import Preprocessing, Tokens


class EpochSampler(Sampler):
    """Index tensors, batch by batch; another order every epoch, and every index on exactly one process.

    The order of an epoch is cut into steps of nearly equal size, and the images of a step are dealt out to the
    processes like cards: at most ``batch_size`` to each (more, where a process would otherwise have none to give). So
    as many processes with a part of the batch each take the steps that one takes, none waits for another, and none
    repeats an image as padding.

    Args:
        index: image indices of the split, (n,).
        batch_size: images per batch and process.
        shuffle: reorder at every epoch, by ``seed`` and epoch number alone.
        seed: of the order.
        drop_last: leave out the images that do not fill a batch on every process; every batch then has ``batch_size``.
        world_size, rank: number of processes, and which this is.
        device: where the index tensors are to lie.

    Raises:
        ValueError: fewer images than processes, or none where ``drop_last`` leaves none.

    >>> sampler = EpochSampler(torch.arange(10, 15), batch_size=2)
    >>> [batch.tolist() for batch in sampler]
    [[10, 11], [12, 13], [14]]
    """

    def __init__(
        self,
        index: Tensor,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        world_size: int = 1,
        rank: int = 0,
        device: torch.device | str = "cpu",
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size is the number of images of a batch, at least 1; got {batch_size}")
        self.index, self.batch_size, self.shuffle, self.seed, self.drop_last = (
            index,
            batch_size,
            shuffle,
            seed,
            drop_last,
        )
        self.world_size, self.rank, self.device, self.epoch = world_size, rank, torch.device(device), 0
        fewest, most = len(index) // world_size, -(-len(index) // world_size)
        self.n_batches = fewest // batch_size if drop_last else min(-(-most // batch_size), fewest)
        if not self.n_batches:
            raise ValueError(
                f"{len(index)} images are too few for {world_size} processes with batches of {batch_size}"
                f"{', as drop_last leaves none of them' if drop_last else ''}; use fewer processes or a smaller batch"
            )

    def __len__(self) -> int:
        return self.n_batches

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next pass; Lightning calls this."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Tensor]:
        """This epoch's batches; afterwards the next epoch's, unless ``set_epoch`` says otherwise."""
        order = self.index
        if self.shuffle:
            # both numbers enter the seed whole: seed 0 in epoch 1 is not seed 1 in epoch 0
            order = order[torch.from_numpy(np.random.default_rng([self.seed, self.epoch]).permutation(len(order)))]
        self.epoch += 1
        order = order.to(self.device)
        if self.drop_last:
            order = order[: self.n_batches * self.batch_size * self.world_size]
        return (step[self.rank :: self.world_size] for step in order.tensor_split(self.n_batches))


class TransformedTokens(Tokens):
    """Tokens that a model's transform has passed already; a batch says so itself, whoever made its loader and when."""

    __slots__ = ()


class TokenBatches(Dataset):
    """Cached tokens with their responses: ``batches[index]`` is ``((local, global), response)``."""

    def __init__(self, store: TokenStore, responses: Tensor, kind: type[Tokens] = Tokens):
        self.store, self.kind = store, kind
        self.responses = responses.to(store.device) if store.is_resident else responses

    def __getitem__(self, index: Tensor) -> tuple[Tokens, Tensor]:
        return self.kind(*self.store.tokens(index)), self.responses[index.to(self.responses.device)]


class ImageBatches(Dataset):
    """Decoded images with their responses: ``batches[index]`` is ``(images (B, 3, H, W), response (B, n_voxels))``."""

    def __init__(self, dataset: ResponseDataset, preprocessing: Preprocessing):
        self.dataset, self.preprocessing = dataset, preprocessing

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        images = torch.stack([self.dataset.image(i, self.preprocessing) for i in index.tolist()])
        return images, self.dataset.responses[index]


class BatchLoader:
    """Batches of a source in the order of a sampler; knows where in an epoch it is, so training resumes there.

    Args:
        source: index tensor -> batch.
        batches: gives the index tensors of an epoch.
        num_workers: processes that read ahead; 0 reads one batch ahead in a thread.
        lookahead: whether that thread is worth while; False where batches lie ready in memory.
    """

    batch_sampler = None  # Lightning asks for it

    def __init__(self, source: Dataset, batches: EpochSampler, *, num_workers: int = 0, lookahead: bool = True):
        self.source, self.batches, self.num_workers, self.lookahead = source, batches, num_workers, lookahead
        if batches.shuffle:
            self.sampler = batches  # where Lightning looks for a set_epoch; it takes any sampler for a shuffling one
        self._at = {"epoch": 0, "batch": 0}
        self._resume: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        epoch, start = self.batches.epoch, 0
        if self._resume is not None and self._resume["epoch"] == epoch and self._resume["batch"] < len(self):
            start = self._resume["batch"]
        self._resume = None
        index = list(self.batches)[start:]
        for number, batch in enumerate(self._read(index), start + 1):
            self._at = {"epoch": epoch, "batch": number}
            yield batch

    def _read(self, index: list[Tensor]) -> Iterable[Any]:
        if self.num_workers:
            yield from DataLoader(self.source, sampler=index, batch_size=None, num_workers=self.num_workers)
        elif not self.lookahead:
            yield from map(self.source.__getitem__, index)
        else:
            yield from read_ahead(self.source.__getitem__, index)

    def state_dict(self) -> dict[str, int]:
        """Epoch and number of batches handed out; Lightning keeps it in its checkpoints."""
        return dict(self._at)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next pass through that epoch begin after those batches."""
        self._resume = dict(state)


class BrainDataModule(pl.LightningDataModule):
    """Loaders over a dataset's splits, for ``pl.Trainer`` or a plain loop.

    With a store, batches are ``((local, global), response)``; without one, ``(images, response)``. ``store`` may be set
    at any time before the loaders are asked for. Over several processes each image of a split is on exactly one of
    them, see :class:`EpochSampler`; Lightning's own, padding sampler is not used.

    Args:
        dataset: images, responses and the splits "train", "val" and "test".
        store: tokens of these images; one that holds more, or another order, serves them by their ids.
        batch_size: images per batch and process.
        seed: of the order of training images; same seed, same order in every epoch, on every machine.
        eval_batch_size: of validation, test and prediction; None means ``batch_size``.
        drop_last: leave the training images out that fill no batch, so that all training batches have one size.
        preprocessing: of images; None takes the dataset's own, then the backbone's (:meth:`use_backbone`).
        num_workers: processes that decode images; cached tokens need none.
        fit_on: "train", or "train+val", which trains on the validation images too and leaves none to choose by.

    Raises:
        ValueError: a store that lacks some of the images.
    """

    def __init__(
        self,
        dataset: ResponseDataset,
        store: TokenStore | None = None,
        *,
        batch_size: int = 8,
        seed: int = 0,
        eval_batch_size: int | None = None,
        drop_last: bool = False,
        preprocessing: Preprocessing | None = None,
        num_workers: int = 0,
        fit_on: str = "train",
    ):
        super().__init__()
        if fit_on not in ("train", "train+val"):
            raise ValueError(f"fit_on is 'train' or 'train+val', got {fit_on!r}")
        self.fit_on = fit_on
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.eval_batch_size, self.drop_last, self.num_workers = eval_batch_size or batch_size, drop_last, num_workers
        self._given_preprocessing = preprocessing
        self.preprocessing = choose_preprocessing(dataset, None, preprocessing)
        self.store = store
        self.transformed: TokenStore | None = None  # by the model in training; loaders prefer it

    @property
    def store(self) -> TokenStore | None:
        """Cached tokens of the dataset's images, or None."""
        return self._store

    @store.setter
    def store(self, store: TokenStore | None) -> None:
        if store is not None and list(store.image_ids) != list(self.dataset.image_ids):
            if hasattr(store, "select") and set(self.dataset.image_ids) <= set(store.image_ids):
                self._store = store.select(self.dataset.image_ids)  # of several subjects' images
                return
            mine, other = self.dataset.image_ids, store.image_ids
            differing = next((i for i, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b), None)
            where = "" if differing is None else f"; image {differing} is {mine[differing]!r} and {other[differing]!r}"
            raise ValueError(
                f"the token store is of other images than the dataset ({len(other)} there, {len(mine)} here{where}). "
                "Build it of this dataset: TokenStore.build(backbone, dataset)."
            )
        self._store = store

    def use_backbone(self, backbone: Any) -> None:
        """Preprocesses images as ``backbone`` expects, where neither the dataset nor the user said how."""
        self.preprocessing = choose_preprocessing(self.dataset, backbone, self._given_preprocessing)

    @property
    def train_index(self) -> Tensor:
        """Images to train on."""
        return torch.cat([self.dataset.splits[name] for name in self.fit_on.split("+")])

    @property
    def val_index(self) -> Tensor:
        """Images to choose by; none where they are trained on."""
        return self.dataset.splits["val"][: 0 if self.fit_on == "train+val" else None]

    @property
    def test_index(self) -> Tensor:
        """Images to report."""
        return self.dataset.splits["test"]

    def train_dataloader(self) -> BatchLoader:
        """Training batches, in another order every epoch."""
        return self._loader(self.train_index, self.batch_size, shuffle=True, drop_last=self.drop_last)

    def val_dataloader(self) -> BatchLoader | list:
        """Validation batches; empty where there are no validation images."""
        return self._loader(self.val_index, self.eval_batch_size) if len(self.val_index) else []

    def test_dataloader(self) -> BatchLoader:
        """Test batches."""
        if not len(self.test_index):
            raise ValueError("the dataset has no test images; give it a 'test' split")
        return self._loader(self.test_index, self.eval_batch_size)

    def predict_dataloader(self) -> BatchLoader:
        """Batches of all images by index; on one process in order, on several every image on one of them."""
        return self._loader(torch.arange(len(self.dataset)), self.eval_batch_size)

    def _loader(self, index: Tensor, batch_size: int, *, shuffle: bool = False, drop_last: bool = False) -> BatchLoader:
        store, (world_size, rank) = self.transformed or self.store, self._processes()
        resident = store is not None and store.is_resident
        sampler = EpochSampler(
            index,
            batch_size,
            shuffle=shuffle,
            seed=self.seed,
            drop_last=drop_last,
            world_size=world_size,
            rank=rank,
            device=store.device if resident else "cpu",
        )
        if store is None:
            return BatchLoader(ImageBatches(self.dataset, self.preprocessing), sampler, num_workers=self.num_workers)
        source = TokenBatches(store, self.dataset.responses, Tokens if self.transformed is None else TransformedTokens)
        return BatchLoader(source, sampler, lookahead=not store.lies_ready)

    def _processes(self) -> tuple[int, int]:
        """Number of processes, and which this is, from the trainer or, without one, from torch."""
        if self.trainer is not None:
            return self.trainer.world_size, self.trainer.global_rank
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_world_size(), torch.distributed.get_rank()
        return 1, 0
