"""PLModel without its training: a read-out, a backbone and the data between them; tokens in, predictions out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from brainnet._checks import warn_once
from brainnet._notebook import Bar, table_html
from brainnet._work import at_work
from brainnet.config import checked_config
from brainnet.datamodule import BrainDataModule, TransformedTokens
from brainnet.dataset import ResponseDataset, TimeSeries
from brainnet.dataset.series_tokens import series_tokens
from brainnet.model import Contributions
from brainnet.model.readout import check_output, contributions_of, selectors_of
from brainnet.plmodel.build import build_dataset, build_readout, build_transform, delays_of, layers_of, settings_of
from brainnet.plmodel.field import FieldRidge
from brainnet.plmodel.scoring import response_statistics, share_at_the_border
from brainnet.selection import Selectors
from brainnet.space import BrainSpace
from brainnet.store import TokenStore, fingerprint_of
from brainnet.tokens import Preprocessing, Tokens, TokenTransform, check_tokens


class BasePLModel(pl.LightningModule):
    """What :class:`brainnet.plmodel.PLModel` is before and after a training; made through that."""

    def __init__(
        self,
        cfg: CfgNode,
        backbone: Any,
        cached: bool = True,
        skip_data: bool = False,
        *,
        data: BrainDataModule | ResponseDataset | None = None,
        progress: bool = True,
    ):
        super().__init__()
        if backbone is not None and not callable(getattr(backbone, "get_tokens", None)):
            raise TypeError(
                "backbone is an object with get_tokens(images), or None; build_backbone('family:variant') makes one. "
                f"Got {type(backbone).__name__} {backbone!r:.60}."
            )
        self.cfg = checked_config(cfg)
        self.settings = settings_of(self.cfg)
        self.cached = cached
        # kept out of nn.Module's sight: not in the state dict, never switched to training mode
        object.__setattr__(self, "backbone", backbone)
        self.encoder: nn.Module | None = None
        self.field: FieldRidge | None = None  # ridge on the whole image, where MODEL.FIELD asks for it
        self.transform: TokenTransform | None = None
        self.space: BrainSpace | None = None
        self.data: BrainDataModule | None = None
        self.show_progress = progress
        self.identity: dict[str, str] = {}  # what the backbone is: name, layers, hash of its weights
        self.preprocessing = Preprocessing()  # how images reach it
        self.tr: float | None = None  # seconds from one volume to the next, of a time series
        self._started = False  # has a transform and weights from a checkpoint or a training before
        if data is None and not skip_data:
            data = build_dataset(self.cfg, backbone)
        if data is not None:
            self._build_for(self._as_module(data))

    def _repr_html_(self) -> str:
        """What a notebook shows: the network, its layers, the voxels, and the last scores of a training."""
        last = (getattr(self, "history", None) or [{}])[-1]
        numbers = 0 if self.encoder is None else sum(one.numel() for one in self.encoder.parameters())
        facts = [("network", self.identity.get("name") or ("none" if self.backbone is None else None)),
                 ("voxels", None if self.space is None else self.space.n_voxels),
                 ("read-out", self.cfg.MODEL.READOUT), ("parameters", numbers or "none yet: it is empty"),
                 ("trained epochs", last["epoch"] + 1 if "epoch" in last else None),
                 ("last validation r", Bar(last["val_r"]) if "val_r" in last else None)]  # fmt: skip
        layers = (
            [] if self.encoder is None else [(n, str(w)) for n, w in zip(self.layers, self.layer_widths, strict=True)]
        )
        return table_html(type(self).__name__, facts, ("layer", "channels"), layers)

    # ------------------------------------------------------------------ building

    def _as_module(self, data: BrainDataModule | ResponseDataset) -> BrainDataModule:
        wanted = self.settings.data
        if not isinstance(data, BrainDataModule):
            data = BrainDataModule(data, batch_size=wanted.batch_size, seed=wanted.seed, fit_on=wanted.fit_on)
        elif wanted.fit_on == "train+val" and data.fit_on == "train":
            raise ValueError(
                "TRAINER.FIT_ON is 'train+val' but the data module was made to train on 'train': give it "
                "BrainDataModule(..., fit_on='train+val')."
            )
        if wanted.shuffled and not data.dataset.is_shuffled:
            raise ValueError(
                "DATASET.SHUFFLED is true but the data passed are not shuffled, and PLModel leaves them as they "
                "are: pass dataset.shuffled(seed)."
            )
        return data

    def _build_for(self, data: BrainDataModule) -> None:
        """The read-out for a data module's voxels and this backbone's layers."""
        self.data = data
        data.use_backbone(self.backbone)
        if data.store is None and isinstance(data.dataset, TimeSeries):  # a volume is no image to try
            self.setup_store(data)
        if data.store is not None:
            widths = dict(zip(data.store.layers, data.store.layer_widths, strict=True))
        else:
            image = data.dataset.image(0, data.preprocessing)[None]
            widths = {k: v.shape[1] for k, v in check_tokens(self._ask_backbone(image), 1).local.items()}
        layers = layers_of(self.settings.tokens.layers, list(widths))
        given = list(self.settings.tokens.layer_widths)
        found = [widths[layer] for layer in layers]
        if given and given != found:
            raise ValueError(
                f"MODEL.LAYER_WIDTHS is {given} but the backbone's layers {layers} have {found} channels. "
                "Leave MODEL.LAYER_WIDTHS empty to take the backbone's."
            )
        dataset = data.dataset
        self._build(layers, found, dataset.space)
        self.preprocessing, self.tr = data.preprocessing, getattr(dataset, "tr", None)
        self._check_store(data)
        mean, sd, usable = response_statistics(dataset.responses, data.train_index)
        self.usable.copy_(usable)
        if self.settings.standardize_responses:
            self.response_mean.copy_(mean)
            self.response_sd.copy_(sd)

    def _check_store(self, data: BrainDataModule) -> None:
        """Refuses tokens that another backbone, other weights or another preprocessing made."""
        if data.store is None or self.backbone is None:
            return
        tokens = self.settings.tokens
        grid = "x".join(map(str, tokens.grid))
        mine = {"preprocessing": str(data.preprocessing), "grid": grid, "resize": tokens.resize}
        mine |= {k: self.identity.get(k) for k in ("name", "weights")}
        for field, value in mine.items():
            made_with = data.store.fingerprint.get(field, value)
            if value is not None and made_with != value and made_with != "as given":
                raise ValueError(
                    f"the token store was made with another {field}: {made_with}; this model's is {value}. "
                    f"Build it anew: TokenStore.build(backbone, dataset, grid={tokens.grid}, "
                    f"resize={tokens.resize!r})."
                )

    def _build(self, layers: list[str], widths: list[int], space: BrainSpace) -> None:
        self.space, self.layers, self.layer_widths = space, list(layers), list(widths)
        self.transform = build_transform(self.settings.tokens, self.layers, self.layer_widths)
        read = self.layer_widths if self.transform is None else self.transform.layer_widths
        self.encoder = build_readout(self.settings.readout, self.layers, read, space)
        if self.backbone is not None:
            self.identity = fingerprint_of(self.backbone)
        n = space.n_voxels
        self.register_buffer("response_mean", torch.zeros(n))
        self.register_buffer("response_sd", torch.ones(n))
        self.register_buffer("usable", torch.ones(n, dtype=torch.bool))

    def setup(self, stage: str) -> None:
        """Builds what data decides: the encoder where there is none yet, and the token store (called by Lightning)."""
        data = getattr(self.trainer, "datamodule", None) or self.data
        if not isinstance(data, BrainDataModule):
            self._require_encoder()
            if self.cached:
                warn_once(
                    "uncached-loader", "tokens are cached for a BrainDataModule only; these loaders run uncached."
                )
            return
        data.transformed = None  # of a training that was interrupted, maybe another model's
        if self.encoder is None:
            self._build_for(data)
        elif data is not self.data:
            self._accept(data)
        self.setup_store(data)

    def setup_store(self, data: BrainDataModule) -> None:
        """Computes every image's tokens, once, where they are wanted and not there yet."""
        if self.cached and data.store is None:
            if self.backbone is None:
                raise ValueError("tokens are to be cached but there is no backbone to ask: pass one, or a data module "
                                 "that has a store.")  # fmt: skip
            wanted = self.settings.tokens
            how = {"grid": wanted.grid, "resize": wanted.resize, "path": wanted.store, "batch_size": wanted.batch_size,
                   "preprocessing": data.preprocessing, "progress": self.show_progress}  # fmt: skip
            with at_work(self.backbone, self._gpu()):
                if isinstance(data.dataset, TimeSeries):
                    data.store = series_tokens(
                        self.backbone, data.dataset, delays_of(self.settings), center=False, **how
                    )
                else:
                    data.store = TokenStore.build(self.backbone, data.dataset, **how)

    def _gpu(self) -> torch.device | None:
        """The GPU of the training, under way or to come; None where it is to use another device."""
        if self._trainer is not None:
            device = self.trainer.strategy.root_device
            return device if device.type == "cuda" else None
        if self.settings.accelerator not in ("auto", "gpu", "cuda") or not torch.cuda.is_available():
            return None
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))

    def _accept(self, data: BrainDataModule) -> None:
        n = data.dataset.space.n_voxels
        if n != self.space.n_voxels:
            raise ValueError(
                f"this model has {self.space.n_voxels} voxels but the data has {n}: build PLModel with data= this data."
            )
        self.data = data
        data.use_backbone(self.backbone)
        self._check_store(data)

    # ------------------------------------------------------------------ tokens

    def token_batches(self, index: Tensor, store: TokenStore | None = None) -> Iterator[Tokens]:
        """Tokens of the images ``index``, batch by batch, from a store; None takes the data module's, untransformed."""
        data = self.data
        store = data.store if store is None else store
        if store is not None:
            yield from (self._of_layers(t).map(self._here) for t in store.batches(index, batch_size=64))
            return
        for part in index.split(self.settings.tokens.batch_size):
            images = torch.stack([data.dataset.image(int(i), data.preprocessing) for i in part])
            yield self.tokens(self._here(images))

    def read_batches(self, index: Tensor) -> Iterator[Tokens]:
        """Tokens of the images ``index`` as the read-out takes them: transformed."""
        if self.data.transformed is not None:
            return self.token_batches(index, self.data.transformed)
        transform = self.transform or (lambda tokens: tokens)
        return (transform(tokens) for tokens in self.token_batches(index))

    def _tokens_of(self, batch: Any) -> Tokens:
        """What the encoder reads, of images or cached tokens, with their responses or, to predict, without."""
        inputs = batch if isinstance(batch, Tensor | Tokens) else batch[0]
        if isinstance(inputs, Tensor):
            tokens, transformed = self.tokens(inputs), False
        else:
            tokens, transformed = self._of_layers(Tokens(*inputs)), isinstance(inputs, TransformedTokens)
        if self.transform is not None and not transformed:
            tokens = self.transform(tokens)
        return tokens

    def tokens(self, images: Tensor) -> Tokens:
        """The backbone's tokens on the model's grid, before any transform, for images (B, 3, H, W)."""
        self._require_encoder()
        tokens = check_tokens(self._ask_backbone(images), images.shape[0], self.layers)
        return tokens.resize(self.settings.tokens.grid, self.settings.tokens.resize).map(lambda t: t.float())

    def _ask_backbone(self, images: Tensor) -> Any:
        if self.backbone is None:
            raise ValueError(
                "this PLModel has no backbone, so it takes cached tokens only; pass one to predict images."
            )
        if isinstance(self.backbone, nn.Module):
            self.backbone.to(images.device).eval()  # as for cached tokens: no dropout, no moving batch statistics
        with torch.no_grad():
            return self.backbone.get_tokens(images)

    def _here(self, values: Tensor) -> Tensor:
        return values.to(self.device)

    def _of_layers(self, tokens: Tokens) -> Tokens:
        return Tokens({k: tokens.local[k] for k in self.layers}, {k: tokens.global_[k] for k in self.layers})

    def _transform_batch(self, tokens: Tokens) -> Tokens:
        with torch.no_grad():
            return self.transform(self._of_layers(tokens).map(self._here))

    # ------------------------------------------------------------------ using

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction (B, n_voxels) in response units and the regularizer, for preprocessed images (B, 3, H, W)."""
        return self.predict_from(self.tokens(images))

    def predict_from(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """The same from untransformed tokens."""
        tokens = self.transform(tokens) if self.transform is not None else tokens
        fit, regulariser = self._encode(tokens)
        return self._in_response_units(fit, tokens), regulariser

    def _in_response_units(self, fit: Tensor, tokens: Tokens) -> Tensor:
        """The read-out's answer, mixed with the field's where there is one."""
        if self.field is not None:
            fit = self.field(fit, [tokens.local[layer] for layer in self.layers])
        return fit * self.response_sd + self.response_mean

    @torch.no_grad()
    def predict_index(self, index: Tensor) -> Tensor:
        """Predictions (n, n_voxels) in response units for images of the data module, on the CPU."""
        self._require_encoder()
        return torch.cat([self.predict_from(tokens)[0].cpu() for tokens in self.token_batches(index)])

    def _encode(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        output = self.encoder(tokens.local, tokens.global_)
        return check_output(self.encoder, output, len(tokens.global_[self.layers[0]]), self.space.n_voxels)

    def get_selectors(self) -> Selectors:
        """Where each voxel reads: space (n, 2), layer (n, L), scale (n, 1), detached, on the CPU.

        Raises:
            ValueError: an empty model, or a read-out without selectors.
        """
        self._require_encoder()
        with torch.no_grad():
            return self._told("selectors", selectors_of(self.encoder))

    def at_the_border(self) -> float:
        """Share of usable voxels, 0 to 1, whose place lies at the image's border: 1 where a training ran away."""
        return share_at_the_border(self.get_selectors(), self.usable.cpu())

    def contributions(self, index: Tensor) -> Contributions:
        """What each layer and scale adds to each voxel's prediction over images of the data module, on the CPU.

        Raises:
            ValueError: a read-out that does not say.
        """
        self._require_encoder()
        return self._told("contributions", contributions_of(self.encoder, self.read_batches(index)))

    def _told(self, what: str, answer: Any) -> Any:
        if answer is None:
            raise ValueError(f"the read-out {type(self.encoder).__name__} has no {what}.")
        return answer

    def _require_encoder(self) -> None:
        if self.encoder is None:
            raise ValueError("PLModel(skip_data=True) is empty: load a checkpoint, or fit with a BrainDataModule.")
