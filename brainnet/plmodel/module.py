"""PLModel: the LightningModule that trains FactorTopy's selectors and heads over a frozen backbone's tokens.

It is the door between settings and numbers: it reads the config, asks the backbone for its layers, has the
token store built once, fits the token transform on the training images, and leaves loops, devices, processes
and checkpoints to ``pl.Trainer``. The backbone is no part of the module: it is neither trained nor saved.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from brainnet._checks import warn_once
from brainnet._work import at_work
from brainnet.config import config_keys, parse_config
from brainnet.datamodule import BrainDataModule, TransformedTokens
from brainnet.dataset import ResponseDataset
from brainnet.model import Contributions, FactorTopy
from brainnet.plmodel.build import build_dataset
from brainnet.plmodel.graph import GraphedObjective
from brainnet.ridge import WindowRidgeCV
from brainnet.scores import ScoreSums, normalise
from brainnet.selection import Selectors
from brainnet.space import BrainSpace
from brainnet.store import TokenStore, fingerprint_of
from brainnet.tokens import Preprocessing, Tokens, TokenTransform, check_tokens

log = logging.getLogger(__name__)

CHECKPOINT_KEY = "brainnet"
LAST_LR = 0.1  # of the step size, at the end of OPTIMIZER.DECAY_LAST
N_SHARE_IMAGES = 256  # training images that tell how much of a ridge prediction each layer carries
AT_THE_BORDER = 0.99  # of the way from the centre to the image's border, where tanh hardly passes a gradient any more
STUCK = 0.25  # share of voxels there that is no map: trainings that find anything have a percent or none
LEAST_SHARE = 1e-3  # a layer without any could not come back: its gradient is proportional to it
# settings that change what the same weights predict, or which weights there are
DECIDE_THE_FORWARD = ("MODEL.GRID", "MODEL.RESIZE", "MODEL.WINDOW", "MODEL.HEAD", "MODEL.WIDTH_INIT",
                      "MODEL.BOTTLENECK_DIM", "TOKENS.STANDARDIZE", "TOKENS.PCA")  # fmt: skip


class PLModel(pl.LightningModule):
    """FactorTopy over a backbone's tokens, ready for ``pl.Trainer().fit``.

    Args:
        cfg: settings, see :mod:`brainnet.config`.
        backbone: any object with ``get_tokens(images)``, in eval mode, never saved; None serves cached tokens only.
        cached: compute every image's tokens once and train on those; False runs the backbone at every step.
        draw: save a picture of the maps at every validation, in the logger's folder.
        skip_data: build nothing from data; the encoder comes from a checkpoint, or from the data module at fit.
        data: a :class:`BrainDataModule` or a data set; None reads ``cfg.DATASET``.
        progress: show progress bars while tokens are computed.

    ``plmodel(images)`` gives the prediction (B, n_voxels) in response units, and the regulariser.
    """

    def __init__(
        self,
        cfg: CfgNode,
        backbone: Any,
        cached: bool = True,
        draw: bool = False,
        skip_data: bool = False,
        *,
        data: BrainDataModule | ResponseDataset | None = None,
        progress: bool = True,
    ):
        super().__init__()
        self.cfg, self.cached, self.draw = cfg, cached, draw
        # kept out of nn.Module's sight: not in the state dict, never switched to training mode
        object.__setattr__(self, "backbone", backbone)
        self.encoder: FactorTopy | None = None
        self.transform: TokenTransform | None = None
        self.space: BrainSpace | None = None
        self.scores: dict[str, dict[str, Tensor]] = {}
        self.history: list[dict[str, float]] = []
        self._losses: list[Tensor] = []  # of this epoch's batches
        self.data: BrainDataModule | None = None
        self.show_progress = progress
        self.identity: dict[str, str] = {}  # what the backbone is: name, layers, hash of its weights
        self.preprocessing = Preprocessing()  # how images reach it
        self._sums: ScoreSums | None = None
        self._graphed: GraphedObjective | None = None
        self._said_stuck = False
        self._started = False  # has a transform and weights from a checkpoint or a training before
        self._all_usable = False
        if data is None and not skip_data:
            data = build_dataset(cfg, backbone)
        if data is not None:
            if not isinstance(data, BrainDataModule):
                data = BrainDataModule(
                    data, batch_size=cfg.DATASET.BATCH_SIZE, seed=cfg.SEED, fit_on=cfg.TRAINER.FIT_ON
                )
            elif cfg.TRAINER.FIT_ON == "train+val" and data.fit_on == "train":
                raise ValueError(
                    "TRAINER.FIT_ON is 'train+val' but the data module was made to train on 'train': give it "
                    "BrainDataModule(..., fit_on='train+val')."
                )
            if cfg.DATASET.SHUFFLED and not data.dataset.is_shuffled:
                raise ValueError(
                    "DATASET.SHUFFLED is true but the data passed are not shuffled, and PLModel leaves them as they "
                    "are: pass dataset.shuffled(seed)."
                )
            self._build_for(data)

    # ------------------------------------------------------------------ building

    def _build_for(self, data: BrainDataModule) -> None:
        """The encoder for a data module's voxels and this backbone's layers."""
        self.data = data
        data.use_backbone(self.backbone)
        if data.store is not None:
            widths = dict(zip(data.store.layers, data.store.layer_widths, strict=True))
        else:
            image = data.dataset.image(0, data.preprocessing)[None]
            widths = {k: v.shape[1] for k, v in check_tokens(self._ask_backbone(image), 1).local.items()}
        layers = _chosen_layers(self.cfg.MODEL.LAYERS, list(widths))
        given = list(self.cfg.MODEL.LAYER_WIDTHS)
        found = [widths[layer] for layer in layers]
        if given and given != found:
            raise ValueError(
                f"MODEL.LAYER_WIDTHS is {given} but the backbone's layers {layers} have {found} channels. "
                "Leave MODEL.LAYER_WIDTHS empty to take the backbone's."
            )
        dataset = data.dataset
        self._build(layers, found, dataset.space)
        if self.backbone is not None:
            self.identity = fingerprint_of(self.backbone)
        self.preprocessing = data.preprocessing
        self._check_store(data)
        mean, sd, usable = _response_statistics(dataset.responses, data.train_index)
        self.usable.copy_(usable)
        if self.cfg.RESPONSES.STANDARDIZE:
            self.response_mean.copy_(mean)
            self.response_sd.copy_(sd)

    def _check_store(self, data: BrainDataModule) -> None:
        """Refuses tokens that another backbone, other weights or another preprocessing made."""
        if data.store is None or self.backbone is None:
            return
        grid = "x".join(str(side) for side in self.cfg.MODEL.GRID)
        mine = {"preprocessing": str(data.preprocessing), "grid": grid, "resize": self.cfg.MODEL.RESIZE}
        mine |= {k: self.identity.get(k) for k in ("name", "weights")}
        for field, value in mine.items():
            made_with = data.store.fingerprint.get(field, value)
            if value is not None and made_with != value and made_with != "as given":
                raise ValueError(
                    f"the token store was made with another {field}: {made_with}; this model's is {value}. "
                    f"Build it anew: TokenStore.build(backbone, dataset, grid={tuple(self.cfg.MODEL.GRID)}, "
                    f"resize={self.cfg.MODEL.RESIZE!r})."
                )

    def _build(self, layers: list[str], widths: list[int], space: BrainSpace) -> None:
        cfg = self.cfg
        self.space, self.layers, self.layer_widths = space, list(layers), list(widths)
        topology = cfg.MODEL.TOPOLOGY
        if topology == "auto":
            topology = "free" if space.coords is None else "coords"
        if cfg.TOKENS.PCA and not cfg.TOKENS.STANDARDIZE:
            raise ValueError("TOKENS.PCA needs TOKENS.STANDARDIZE true: components of unscaled channels mean little.")
        if cfg.TOKENS.STANDARDIZE:
            self.transform = TokenTransform(self.layers, self.layer_widths, pca=cfg.TOKENS.PCA or None)
        # the same weights for the same seed, whatever ran before, and without touching the user's generator
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(cfg.SEED)
            self.encoder = FactorTopy(
                self.layers,
                self.transform.layer_widths if self.transform is not None else self.layer_widths,
                space.n_voxels,
                space.coords if topology == "coords" else None,
                bottleneck_dim=cfg.MODEL.BOTTLENECK_DIM,
                grid=tuple(cfg.MODEL.GRID),
                topology=topology,
                window=cfg.MODEL.WINDOW,
                head=cfg.MODEL.HEAD,
                resize=cfg.MODEL.RESIZE,
                implementation=cfg.MODEL.IMPLEMENTATION,
                precision=cfg.MODEL.PRECISION,
                width_init=cfg.MODEL.WIDTH_INIT,
            )
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
        data.ready = None  # of a training that was interrupted, maybe another model's
        if self.encoder is None:
            self._build_for(data)
        elif data is not self.data:
            self._accept(data)
        self.setup_store(data)

    def setup_store(self, data: BrainDataModule) -> None:
        """Computes every image's tokens, once, where they are wanted and not there yet."""
        if self.cached and data.store is None:
            with at_work(self.backbone, self._gpu()):
                data.store = TokenStore.build(
                    self.backbone,
                    data.dataset,
                    grid=tuple(self.cfg.MODEL.GRID),
                    resize=self.cfg.MODEL.RESIZE,
                    path=self.cfg.TOKENS.STORE or None,
                    batch_size=self.cfg.TOKENS.BATCH_SIZE,
                    preprocessing=data.preprocessing,
                    progress=self.show_progress,
                )

    def _gpu(self) -> torch.device | None:
        """The GPU of the training, under way or to come; None where it is to use another device."""
        if self._trainer is not None:
            device = self.trainer.strategy.root_device
            return device if device.type == "cuda" else None
        if self.cfg.TRAINER.ACCELERATOR not in ("auto", "gpu", "cuda") or not torch.cuda.is_available():
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

    def on_fit_start(self) -> None:
        """Fits the token transform and finds the closed-form start, unless the model has them already."""
        self._graphed = None  # of a training that was interrupted: it knows that training's memory
        self._said_stuck = False
        if self.cfg.TRAINER.CUDA_GRAPH and self.trainer.accumulate_grad_batches != 1:
            raise ValueError(
                "TRAINER.CUDA_GRAPH replays every step's gradients in the same memory, so they cannot be accumulated: "
                f"give Trainer accumulate_grad_batches=1 (got {self.trainer.accumulate_grad_batches}) or turn it off."
            )
        data = self.data
        if data is None:
            if self.transform is not None and not self._started:
                raise ValueError(
                    "TOKENS.STANDARDIZE needs a BrainDataModule: its statistics come from training images."
                )
            return
        self._all_usable = bool(self.usable.all()) and bool(torch.isfinite(data.dataset.responses).all())
        source = data.store
        if self.transform is not None and source is not None and self.device.type == "cuda":
            source = source.to(self.device)  # for the two passes over all tokens that follow
        if self.transform is not None and not self._started:
            fitted = TokenTransform.fit(
                self._batches(data.train_index, source),
                self.layers,
                pca=self.cfg.TOKENS.PCA or None,
                whiten=self.cfg.TOKENS.WHITEN,
            )
            self.transform.load_state_dict(fitted.state_dict())
        if self.transform is not None and source is not None:
            try:  # once for the whole training, instead of once a batch
                data.ready = source.transformed(self._transform_batch, dtype=torch.float16)
            except MemoryError as error:
                log.warning("tokens are transformed batch by batch, which is slower: %s", error)
        del source
        if self.device.type == "cuda":  # what the steps read moves there; both would take twice the memory
            if data.ready is not None:
                data.ready = data.ready.to(self.device)
            elif data.store is not None:
                data.store = data.store.to(self.device)
        if self.cfg.MODEL.START == "ridge" and not self._started:
            self._start_from_ridge()
        self._started = True

    def _start_from_ridge(self) -> None:
        """Positions, widths, bottlenecks and heads from a ridge regression over Gaussian windows, in closed form."""
        if self.cfg.MODEL.WINDOW != "gaussian":
            raise ValueError("MODEL.START ridge fits Gaussian windows: it needs MODEL.WINDOW gaussian.")
        index = self.data.train_index
        target = (self._here(self.data.dataset.responses[index]) - self.response_mean) / self.response_sd
        # a missing response is none of the ridge's: at the voxel's mean it asks nothing of it
        target = torch.where(self.usable & torch.isfinite(target), target, 0.0)
        store = self.data.ready or self.data.store
        transform = self.transform if self.transform is not None and self.data.ready is None else lambda tokens: tokens
        ridge = WindowRidgeCV(progress=self.show_progress)
        ridge.fit(lambda: (transform(tokens) for tokens in self._batches(index, store)), target)
        start = partial(
            self.encoder.closed_form_start,
            [ridge.coef_[layer] for layer in self.layers],
            ridge.intercept_.nan_to_num(0.0),  # of voxels that never change
            ridge.position_,
            ridge.width_,
        )
        start()
        # an even mix would hide in the bottlenecks what the ridge says of the layers: start from their shares in it
        seen = index[:N_SHARE_IMAGES]
        share = self.encoder.contributions(transform(tokens) for tokens in self._batches(seen, store)).layer
        share = share.nan_to_num(1 / len(self.layers)).clamp(min=LEAST_SHARE)
        kept = start(layer=share / share.sum(1, keepdim=True))
        if kept < 0.99:
            log.warning(
                "the bottleneck keeps %.0f %% of the closed-form start; a larger MODEL.BOTTLENECK_DIM keeps more",
                100 * kept,
            )

    def on_train_end(self) -> None:
        """Says so where the selectors ran into their limits."""
        self._warn_if_stuck()

    def on_fit_end(self) -> None:
        """Lets go of the transformed tokens and of the captured step."""
        self._graphed = None
        if self.data is not None:
            self.data.ready = None

    def _batches(self, index: Tensor, store: TokenStore | None = None) -> Iterator[Tokens]:
        """Tokens of the images ``index``, batch by batch, from a store; None takes the data module's, untransformed."""
        data = self.data
        store = data.store if store is None else store
        if store is not None:
            yield from (self._of_layers(t).map(self._here) for t in store.batches(index, batch_size=64))
            return
        for part in index.split(self.cfg.TOKENS.BATCH_SIZE):
            images = torch.stack([data.dataset.image(int(i), data.preprocessing) for i in part])
            yield self.tokens(self._here(images))

    def _here(self, values: Tensor) -> Tensor:
        return values.to(self.device)

    def _of_layers(self, tokens: Tokens) -> Tokens:
        return Tokens({k: tokens.local[k] for k in self.layers}, {k: tokens.global_[k] for k in self.layers})

    def _transform_batch(self, tokens: Tokens) -> Tokens:
        with torch.no_grad():
            return self.transform(self._of_layers(tokens).map(self._here))

    # ------------------------------------------------------------------ using

    def tokens(self, images: Tensor) -> Tokens:
        """The backbone's tokens on the model's grid, before any transform, for images (B, 3, H, W)."""
        self._require_encoder()
        tokens = check_tokens(self._ask_backbone(images), images.shape[0], self.layers)
        return tokens.resize(tuple(self.cfg.MODEL.GRID), self.cfg.MODEL.RESIZE).map(lambda t: t.float())

    def _ask_backbone(self, images: Tensor) -> Any:
        if self.backbone is None:
            raise ValueError(
                "this PLModel has no backbone, so it takes cached tokens only; pass one to predict images."
            )
        if isinstance(self.backbone, nn.Module):
            self.backbone.to(images.device).eval()  # as for cached tokens: no dropout, no moving batch statistics
        with torch.no_grad():
            return self.backbone.get_tokens(images)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction (B, n_voxels) in response units and the regulariser, for preprocessed images (B, 3, H, W)."""
        return self.predict_from(self.tokens(images))

    def predict_from(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """The same from untransformed tokens."""
        fit, regulariser = self._encode(self.transform(tokens) if self.transform is not None else tokens)
        return fit * self.response_sd + self.response_mean, regulariser

    @torch.no_grad()
    def predict_index(self, index: Tensor) -> Tensor:
        """Predictions (n, n_voxels) in response units for images of the data module, on the CPU."""
        return torch.cat([self.predict_from(tokens)[0].cpu() for tokens in self._batches(index)])

    def contributions(self, index: Tensor) -> Contributions:
        """What each layer and scale adds to each voxel's prediction over images of the data module, on the CPU."""
        transform = self.transform or (lambda tokens: tokens)
        shares = self.encoder.contributions(transform(tokens) for tokens in self._batches(index))
        return Contributions(*(share.cpu() for share in shares))

    def _encode(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        return self.encoder(tokens.local, tokens.global_)

    def _require_encoder(self) -> None:
        if self.encoder is None:
            raise ValueError("PLModel(skip_data=True) is empty: load a checkpoint, or fit with a BrainDataModule.")

    def _tokens_of(self, batch: Any) -> Tokens:
        """What the encoder reads, of an image batch or a cached token batch."""
        inputs = batch[0]
        if isinstance(inputs, Tensor):
            tokens, transformed = self.tokens(inputs), False
        else:
            tokens, transformed = self._of_layers(Tokens(*inputs)), isinstance(inputs, TransformedTokens)
        if self.transform is not None and not transformed:
            tokens = self.transform(tokens)
        return tokens

    def get_selectors(self) -> Selectors:
        """Where each voxel reads: space (n, 2), layer (n, L), scale (n, 1), detached, on the CPU."""
        with torch.no_grad():
            return Selectors(*(part.detach().cpu() for part in self.encoder.get_selectors()))

    def at_the_border(self) -> float:
        """Share of usable voxels, 0 to 1, whose place lies at the image's border: 1 where a training ran away."""
        usable = self.usable.cpu()
        far = (self.get_selectors().space.abs() > AT_THE_BORDER).any(1)
        return float(far[usable].float().mean()) if usable.any() else 0.0

    def _warn_if_stuck(self) -> None:
        """Once a training, as early as it shows."""
        if self._said_stuck or self.trainer.state.fn != "fit" or not self.trainer.is_global_zero:
            return
        share = self.at_the_border()
        if share > STUCK:
            self._said_stuck = True
            warnings.warn(
                f"{share:.0%} of the voxels' places ran to the border of the image, from where they hardly move. "
                f"Mistrust these maps: train with a smaller OPTIMIZER.LR (now {self.cfg.OPTIMIZER.LR:g}) or a longer "
                f"OPTIMIZER.WARMUP (now {self.cfg.OPTIMIZER.WARMUP} steps; try 20).",
                stacklevel=2,
            )

    # ------------------------------------------------------------------ training

    def on_train_epoch_start(self) -> None:
        """Begins the epoch's mean loss."""
        self._losses = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Smooth L1 plus the decaying regulariser."""
        loss, regulariser = self._objective(self._tokens_of(batch), batch[1])
        strength = self.cfg.REGULARIZATION.LAMBDA * max(
            0.0, 1 - self.global_step / max(1, self.cfg.REGULARIZATION.DECAY_TOTAL_STEPS)
        )
        total = loss + strength * regulariser
        self._losses.append(loss.detach())
        self.log_dict(
            {"train_loss": loss.detach(), "train_regulariser": regulariser.detach()}, batch_size=len(batch[1])
        )
        return total

    def _objective(self, tokens: Tokens, response: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and regulariser of a batch, replayed from a CUDA graph where ``TRAINER.CUDA_GRAPH`` asks for it."""
        if not (self.cfg.TRAINER.CUDA_GRAPH and response.is_cuda and self.trainer.world_size == 1):
            return self._compute_objective(tokens, response)
        if self._graphed is None:
            self._graphed = GraphedObjective(self._compute_objective, self.encoder)
        return self._graphed(tokens, response)

    def _compute_objective(self, tokens: Tokens, response: Tensor) -> tuple[Tensor, Tensor]:
        fit, regulariser = self._encode(tokens)
        return self._loss(fit, response), regulariser

    def _loss(self, fit: Tensor, response: Tensor) -> Tensor:
        target = (response - self.response_mean) / self.response_sd
        if self._all_usable:
            return F.smooth_l1_loss(fit, target, beta=self.cfg.LOSS.BETA)
        known = self.usable & torch.isfinite(target)
        error = F.smooth_l1_loss(
            fit, torch.where(known, target, fit.detach()), beta=self.cfg.LOSS.BETA, reduction="sum"
        )
        return error / known.sum().clamp(min=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; the selectors may have a step size and decay of their own."""
        cfg = self.cfg
        selectors = self.encoder.selector_parameters()
        chosen = {id(p) for p in selectors}
        others = [p for p in self.encoder.parameters() if id(p) not in chosen]
        groups = [
            {"params": others, "lr": cfg.OPTIMIZER.LR, "weight_decay": cfg.OPTIMIZER.WEIGHT_DECAY},
            {
                "params": selectors,
                "lr": cfg.OPTIMIZER.LR * cfg.OPTIMIZER.SELECTOR_LR_SCALE,
                "weight_decay": cfg.OPTIMIZER.SELECTOR_WEIGHT_DECAY,
            },
        ]
        for group in groups:
            group["first_lr"] = group["lr"]
        return torch.optim.AdamW(groups, fused=True)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Raises the step size over the first steps and lowers it over the last.

        It follows from the step alone, so a resumed run goes on alike.
        """
        warmup, share = self.cfg.OPTIMIZER.WARMUP, self.cfg.OPTIMIZER.DECAY_LAST
        if not warmup and not share:
            return
        factor = min(1.0, (self.global_step + 1) / warmup) if warmup else 1.0
        if share:
            # known only here: asked for earlier, Lightning would make the loaders before tokens are transformed
            n_steps = self.trainer.estimated_stepping_batches
            if not 0 < share <= 1 or math.isinf(n_steps):
                raise ValueError(
                    f"OPTIMIZER.DECAY_LAST is a share, 0 to 1, of a known number of steps; got {share} of {n_steps} "
                    "steps. Give Trainer a max_epochs."
                )
            factor *= 1 - (1 - LAST_LR) * max(0.0, 1 - (n_steps - self.global_step) / (share * n_steps))
        for group in self.optimizers().param_groups:
            group["lr"] = group["first_lr"] * factor

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips at the trainer's norm where it has one, else at ``TRAINER.CLIP_NORM``."""
        value = gradient_clip_val if gradient_clip_val is not None else self.cfg.TRAINER.CLIP_NORM
        if value:
            self.clip_gradients(optimizer, value, gradient_clip_algorithm or "norm")

    # ------------------------------------------------------------------ scoring

    def on_validation_epoch_start(self) -> None:
        """Fresh sums."""
        self._sums = ScoreSums(self.space.n_voxels)

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Adds a batch to the sums that give r and R2 per voxel."""
        self._sums.update(self.predict_step(batch, batch_idx), batch[1])

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Predictions (B, n_voxels) in response units."""
        fit, _ = self._encode(self._tokens_of(batch))
        return fit * self.response_sd + self.response_mean

    def on_validation_epoch_end(self) -> None:
        """Scores of the whole split, per voxel in ``scores`` and as means in the log."""
        self._finish_scores("val")
        self._warn_if_stuck()
        if self.draw and not self.trainer.sanity_checking and self.trainer.is_global_zero:
            self._draw()

    def on_test_epoch_end(self) -> None:
        """The same for the test images."""
        self._finish_scores("test")

    def _finish_scores(self, split: str) -> None:
        self._sums.sums = self.trainer.strategy.reduce(self._sums.sums, reduce_op="sum")
        scores = {"r": self._sums.pearson_r().cpu(), "r2": self._sums.r2().cpu()}
        for score in scores.values():
            score[~self.usable.cpu()] = torch.nan
        ceiling = self.data.dataset.noise_ceiling if self.data is not None else None
        if ceiling is not None and split == "test":
            scores["noise_ceiling"] = ceiling
            scores["r_normalised"] = normalise(scores["r"], ceiling).values
        self.scores[split] = scores
        means = {f"{split}_{name}": score.nanmean() for name, score in scores.items() if name != "noise_ceiling"}
        self.log_dict(means, prog_bar=True, sync_dist=True)  # equal on all processes: the sums were added up
        if split == "val" and not self.trainer.sanity_checking:
            loss = {"train_loss": float(torch.stack(self._losses).mean())} if self._losses else {}
            self.history.append(
                {"epoch": self.current_epoch, **loss, **{name: float(value) for name, value in means.items()}}
            )

    def _draw(self) -> None:
        from brainnet import plot

        folder = Path(self.trainer.log_dir or self.trainer.default_root_dir) / "maps"
        folder.mkdir(parents=True, exist_ok=True)
        figure = plot.training(self.history, self.get_selectors(), self.space, scores=self.scores["val"]["r"])
        figure.savefig(folder / f"epoch{self.current_epoch:03d}.png", dpi=100)

    # ------------------------------------------------------------------ loaders, where no data module is passed to fit

    def train_dataloader(self):
        """The data's training batches (Lightning asks for them where fit was given no data module)."""
        return self._loader("train")

    def val_dataloader(self):
        """The data's validation batches."""
        return self._loader("val")

    def test_dataloader(self):
        """The data's test batches."""
        return self._loader("test")

    def _loader(self, split: str):
        if self.data is None:
            raise ValueError("PLModel(skip_data=True) has no data: pass a data module to the trainer.")
        return getattr(self.data, f"{split}_dataloader")()

    # ------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what rebuilds the encoder: settings, layers, the place of each voxel, and whose tokens it read."""
        arrays = self.space.to_arrays()
        checkpoint[CHECKPOINT_KEY] = {
            "config": self.cfg.dump(),
            "layers": list(self.layers),
            "layer_widths": list(self.layer_widths),
            "backbone": dict(self.identity),
            "history": [dict(epoch) for epoch in self.history],
            "preprocessing": asdict(self.preprocessing),
            "space": {k: torch.from_numpy(v) if v.dtype.kind in "biuf" else v.tolist() for k, v in arrays.items()},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Builds the encoder of a checkpoint where there is none, else checks that both are of one kind."""
        saved = checkpoint.get(CHECKPOINT_KEY)
        if saved is None:
            raise ValueError("this checkpoint was not written by brainnet's PLModel.")
        then, now = (config_keys(parse_config(text)) for text in (saved["config"], self.cfg.dump()))
        other = [f"{key} {then[key]} (not {now[key]})" for key in DECIDE_THE_FORWARD if then[key] != now[key]]
        if other:
            raise ValueError(f"the checkpoint was trained with {', '.join(other)}: give PLModel the same settings.")
        if self.encoder is None:
            self._build(saved["layers"], saved["layer_widths"], _space_of(saved["space"]))
            if self.backbone is not None:
                self.identity = fingerprint_of(self.backbone)
            self.preprocessing = Preprocessing(**saved["preprocessing"])
        n_saved = len(checkpoint["state_dict"]["usable"])
        if n_saved != self.space.n_voxels:
            raise ValueError(
                f"the checkpoint has {n_saved} voxels, this model {self.space.n_voxels}: different subjects."
            )
        if (saved["layers"], saved["layer_widths"]) != (list(self.layers), list(self.layer_widths)):
            raise ValueError(
                f"the checkpoint reads layers {saved['layers']} with widths {saved['layer_widths']}, but this backbone "
                f"gives {self.layers} with {self.layer_widths}. Build the backbone and the config it was trained with."
            )
        for field, value in saved["backbone"].items():
            mine = self.identity.get(field, value)
            if mine != value:
                raise ValueError(
                    f"the checkpoint was trained on another backbone: its {field} is {value}, this one's is {mine}."
                )
        self.identity = self.identity or dict(saved["backbone"])
        self.history = list(saved.get("history", ()))
        self._started = True


def _space_of(state: dict[str, Any]) -> BrainSpace:
    return BrainSpace.from_arrays({name: np.asarray(value) for name, value in state.items()})


def _chosen_layers(wanted: list[str | int], available: list[str]) -> list[str]:
    """The layers a config names, by name or by position, among those the backbone gives; all where it names none."""
    if not wanted or (all(isinstance(layer, int) for layer in wanted) and len(wanted) == len(available)):
        return available  # as many as the backbone was built with: it has been told the positions already
    names = [
        available[layer] if isinstance(layer, int) and str(layer) not in available and layer < len(available)
        else str(layer)
        for layer in wanted
    ]  # fmt: skip
    missing = [name for name in names if name not in available]
    if missing:
        raise ValueError(f"MODEL.LAYERS names {', '.join(missing)}, but the tokens have layers {', '.join(available)}.")
    return names


def _response_statistics(responses: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, SD and usability (n_voxels,) over the training rows; NaN entries are left out, flat voxels unusable."""
    parts = []
    for columns in responses.split(1024, dim=1):  # a copy of all in float64 may be gigabytes
        rows = columns[index].double()
        known = torch.isfinite(rows)
        count = known.sum(0)
        mean = torch.where(known, rows, 0).sum(0) / count.clamp(min=1)
        variance = torch.where(known, (rows - mean) ** 2, 0).sum(0) / count.clamp(min=1)
        usable = (count > 1) & (variance > 1e-12 * mean.square().clamp(min=1e-12))
        sd = torch.where(usable, variance, 1).sqrt()
        parts.append((torch.where(usable, mean, 0).float(), sd.float(), usable))
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))
