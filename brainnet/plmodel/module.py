"""PLModel: the LightningModule that trains a read-out, FactorTopy by default, over a frozen backbone's tokens.

It asks the backbone for its layers, has the token store built once, fits the token transform on the training images,
and leaves loops, devices, processes and checkpoints to ``pl.Trainer``. What it reads of a config enters once, as
:class:`FitSettings`. The backbone is no part of the module: it is neither trained nor saved.
"""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from brainnet.backbone.kinds import kind_read_by
from brainnet.config import parse_config
from brainnet.datamodule import BrainDataModule
from brainnet.dataset import ResponseDataset, TimeSeries
from brainnet.model.readout import selector_parameters_of, selectors_of
from brainnet.plmodel.base import BasePLModel
from brainnet.plmodel.build import meaningless_panels, other_forward, settings_of, training_groups
from brainnet.plmodel.checkpoint import CHECKPOINT_KEY, packed, read_checkpoint, saved_in, unpacked, weights_digest
from brainnet.plmodel.evidence_start import start_from_evidence
from brainnet.plmodel.field import FieldRidge, fit_field
from brainnet.plmodel.graph import GraphedObjective
from brainnet.plmodel.rebuilding import naming, rebuilt
from brainnet.plmodel.ridge_start import start_from_ridge
from brainnet.plmodel.scoring import VoxelScores, share_of_ceiling
from brainnet.plmodel.travelling import Travels
from brainnet.scores import normalise
from brainnet.tokens import Preprocessing, Tokens, TokenTransform

log = logging.getLogger(__name__)

LAST_LR = 0.1  # of the step size, at the end of OPTIMIZER.DECAY_LAST
STUCK = 0.25  # share of voxels at the border that is no map: trainings that find anything have a percent or none


class PLModel(Travels, BasePLModel):
    """A read-out over a backbone's tokens, ready for ``pl.Trainer().fit``.

    Args:
        cfg: settings, see :mod:`brainnet.config`; they are checked as a whole, and copied.
        backbone: any object with ``get_tokens(images)``, in eval mode, never saved; None serves cached tokens only.
        cached: compute every image's tokens once and train on those; False runs the backbone at every step.
        draw: save a picture of the maps at every validation, in the logger's folder, else in the trainer's
            ``default_root_dir``.
        skip_data: build nothing from data; the encoder comes from a checkpoint, or from the data module at fit.
        data: a :class:`BrainDataModule` or a data set; None reads ``cfg.DATASET``.
        progress: show progress bars while tokens are computed.

    Raises:
        TypeError: a backbone without ``get_tokens``.
        ValueError: an unknown setting, or one out of its range.

    ``plmodel(images)`` gives the prediction (B, n_voxels) in response units, and the regularizer.
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
        super().__init__(cfg, backbone, cached, skip_data, data=data, progress=progress)
        self.draw = draw
        self.scores: dict[str, dict[str, Tensor]] = {}
        self.history: list[dict[str, float]] = []
        self._losses: list[Tensor] = []  # of this epoch's batches
        self._sums: list[VoxelScores] = []  # no part of the module: on a device of its own where there is no float64
        self._graphed: GraphedObjective | None = None
        self._said_stuck = False
        self._all_usable = False

    def setup(self, stage: str) -> None:
        """Builds what data decides, and refuses to draw into nowhere (called by Lightning)."""
        if self.draw and stage == "fit" and self._folder() == Path.cwd():
            raise ValueError(
                "draw=True saves pictures beside the log, but this trainer has no logger and no folder. Give it "
                "Trainer(default_root_dir=...)."
            )
        super().setup(stage)

    # ------------------------------------------------------------------ training

    def on_fit_start(self) -> None:
        """Fits the token transform and finds the closed-form start, unless the model has them already."""
        self._graphed = None  # of a training that was interrupted: it knows that training's memory
        self._said_stuck = False
        if self.settings.step.cuda_graph and self.trainer.accumulate_grad_batches != 1:
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
        self._transform_tokens(data)
        if self.device.type == "cuda":  # what the steps read moves there; both would take twice the memory
            if data.transformed is not None:
                data.transformed = data.transformed.to(self.device)
            elif data.store is not None:
                data.store = data.store.to(self.device)
        if not self._started:
            self._solve(data)
        self._started = True

    def _solve(self, data: BrainDataModule) -> None:
        """What is fitted in closed form, before the first step."""
        wanted = self.settings.readout
        if wanted.start == "random" and wanted.field != "ridge":
            return
        index, show = data.train_index, self.show_progress
        groups = training_groups(data.dataset, index) if wanted.leaves_groups_out else None
        target = (self._here(data.dataset.responses[index]) - self.response_mean) / self.response_sd
        # a missing response is none of the ridge's: at the voxel's mean it asks nothing of it
        target = torch.where(self.usable & torch.isfinite(target), target, 0.0)
        if wanted.start == "ridge":
            start_from_ridge(self.encoder, self.layers, self.read_batches, index, target, show, groups)
        if wanted.start == "evidence":
            runs = data.dataset.groups[index.numpy()] if isinstance(data.dataset, TimeSeries) else None
            start_from_evidence(self.encoder, self.layers, self.read_batches, index, target, runs)
        if wanted.field == "ridge":
            self.field = fit_field(self.layers, self.read_batches, index, target, show, groups)

    def _transform_tokens(self, data: BrainDataModule) -> None:
        """Fits the transform where it is not fitted yet, and passes all tokens through it once, where they fit."""
        if self.transform is None:
            return
        source = data.store
        if source is not None and self.device.type == "cuda":
            source = source.to(self.device)  # for the two passes over all tokens that follow
        if not self._started:
            fitted = TokenTransform.fit(
                self.token_batches(data.train_index, source),
                self.layers,
                pca=self.settings.tokens.pca,
                whiten=self.settings.tokens.whiten,
            )
            self.transform.load_state_dict(fitted.state_dict())
        if source is not None:
            try:  # once for the whole training, instead of once a batch
                data.transformed = source.transformed(self._transform_batch, dtype=torch.float16)
            except MemoryError as error:
                log.warning("tokens are transformed batch by batch, which is slower: %s", error)

    def on_train_end(self) -> None:
        """Says so where the selectors ran into their limits."""
        self._warn_if_stuck()

    def _warn_if_stuck(self) -> None:
        """Once a training, as early as it shows."""
        if self._said_stuck or self.trainer.state.fn != "fit" or not self.trainer.is_global_zero:
            return
        if selectors_of(self.encoder) is None:
            return
        share, step = self.at_the_border(), self.settings.step
        if share > STUCK:
            self._said_stuck = True
            warnings.warn(
                f"{share:.0%} of the voxels' places ran to the border of the image, from where they hardly move. "
                f"Mistrust these maps: train with a smaller OPTIMIZER.LR (now {step.lr:g}) or a longer "
                f"OPTIMIZER.WARMUP (now {step.warmup} steps; try 20).",
                stacklevel=2,
            )

    def on_fit_end(self) -> None:
        """Lets go of the transformed tokens and of the captured step."""
        self._graphed = None
        if self.data is not None:
            self.data.transformed = None

    def on_train_epoch_start(self) -> None:
        """Begins the epoch's mean loss."""
        self._losses = []

    @torch.compiler.disable(recursive=False)  # compiled is what it calls: its own counts change with every step
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Smooth L1, the mean over the step's known responses, plus the decaying regularizer.

        Processes have nearly as many images each, not always equally many, and Lightning takes the mean of their
        gradients. So each weighs its loss, and one process and several take the same steps.
        """
        loss, regulariser = self._objective(self._tokens_of(batch), batch[1])
        loss = loss * self._weight(batch[1])
        self._note(loss.detach(), regulariser.detach(), len(batch[1]))
        return loss + self._strength() * regulariser

    def _weight(self, response: Tensor) -> Tensor | float:
        """This process's known responses in a step, over the mean of all processes."""
        if self._trainer is None or self.trainer.world_size == 1:
            return 1.0
        count = (self.usable & torch.isfinite(response)).sum().float()
        return count / self.trainer.strategy.reduce(count.clone(), reduce_op="mean").clamp(min=1e-9)

    def _strength(self) -> float:
        """What the regularizer counts at this step."""
        step = self.settings.step
        return step.regularization * max(0.0, 1 - self.global_step / max(1, step.regularization_steps))

    @torch.compiler.disable
    def _note(self, loss: Tensor, regulariser: Tensor, batch_size: int) -> None:
        """Logs a step, and keeps its loss for the epoch's mean."""
        self._losses.append(loss)
        self.log_dict({"train_loss": loss, "train_regulariser": regulariser}, batch_size=batch_size, sync_dist=True)

    def _objective(self, tokens: Tokens, response: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and regularizer of a batch, replayed from a CUDA graph where ``TRAINER.CUDA_GRAPH`` asks for it."""
        if not (self.settings.step.cuda_graph and response.is_cuda and self.trainer.world_size == 1):
            return self._compute_objective(tokens, response)
        if self._graphed is None:
            self._graphed = GraphedObjective(self._compute_objective, self.encoder)
        return self._graphed(tokens, response)

    def _compute_objective(self, tokens: Tokens, response: Tensor) -> tuple[Tensor, Tensor]:
        fit, regulariser = self._encode(tokens)
        return self._loss(fit, response), regulariser

    def _loss(self, fit: Tensor, response: Tensor) -> Tensor:
        target = (response - self.response_mean) / self.response_sd
        fit = fit.contiguous()  # of other layouts torch.compile foresees another gradient of this loss than there is
        if self._all_usable:
            return F.smooth_l1_loss(fit, target, beta=self.settings.step.beta)
        known = self.usable & torch.isfinite(target)
        error = F.smooth_l1_loss(
            fit, torch.where(known, target, fit.detach()), beta=self.settings.step.beta, reduction="sum"
        )
        return error / known.sum().clamp(min=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; the selectors may have a step size and decay of their own."""
        step = self.settings.step
        selectors = selector_parameters_of(self.encoder)
        chosen = {id(p) for p in selectors}
        others = [p for p in self.encoder.parameters() if id(p) not in chosen]
        groups = [
            {"params": others, "lr": step.lr, "weight_decay": step.weight_decay},
            {
                "params": selectors,
                "lr": step.lr * step.selector_lr_scale,
                "weight_decay": step.selector_weight_decay,
            },
        ]
        for group in groups:
            group["first_lr"] = group["lr"]
        # under mixed precision a fused step would undo the scaling of gradients itself, before they are clipped
        mixed = self._trainer is not None and isinstance(self._trainer.precision_plugin, MixedPrecision)
        return torch.optim.AdamW(groups, fused=not mixed)

    @property
    def lr(self) -> float:
        """The step size; Lightning's ``Tuner.lr_find`` sets it."""
        return self.settings.step.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self.cfg.OPTIMIZER.LR = float(value)
        self.settings = settings_of(self.cfg)

    @property
    def batch_size(self) -> int:
        """Images per step and process; Lightning's ``Tuner.scale_batch_size`` sets it."""
        return self.settings.data.batch_size if self.data is None else self.data.batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        self.cfg.DATASET.BATCH_SIZE = int(value)
        self.settings = settings_of(self.cfg)
        if self.data is not None:
            self.data.batch_size = int(value)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Raises the step size over the first steps and lowers it over the last.

        It follows from the step alone, so a resumed run goes on alike.
        """
        warmup, share = self.settings.step.warmup, self.settings.step.decay_last
        if (not warmup and not share) or self.trainer.lr_scheduler_configs:  # a scheduler, as the Tuner's, goes first
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
        value = gradient_clip_val if gradient_clip_val is not None else self.settings.step.clip_norm
        if value:
            self.clip_gradients(optimizer, value, gradient_clip_algorithm or "norm")

    # ------------------------------------------------------------------ scoring

    def on_validation_epoch_start(self) -> None:
        """Fresh sums."""
        self._sums = [VoxelScores(self.space.n_voxels)]

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Adds a batch to the sums that give r and R2 per voxel."""
        self._sums[0].update(self.predict_step(batch, batch_idx), batch[1])

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Predictions (B, n_voxels) in response units; a batch may also be images or tokens alone."""
        tokens = self._tokens_of(batch)
        return self._in_response_units(self._encode(tokens)[0], tokens)

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
        scores = {name: score.cpu() for name, score in self._sums[0].per_voxel().items()}
        for score in scores.values():
            score[~self.usable.cpu()] = torch.nan
        means = {f"{split}_{name}": score.nanmean() for name, score in scores.items()}
        ceiling = self.data.dataset.noise_ceiling if self.data is not None else None
        if ceiling is not None and split == "test":
            scores["ceiling"] = ceiling
            scores["ceiling_share"] = normalise(scores["r"], ceiling).values
            means["test_ceiling_share"] = share_of_ceiling(scores["r"], ceiling)
        self.scores[split] = scores
        self.log_dict(means, prog_bar=True, sync_dist=True)  # equal on all processes: the sums were added up
        if split == "val" and not self.trainer.sanity_checking:
            loss = {}
            if self._losses:
                loss["train_loss"] = float(self.trainer.strategy.reduce(torch.stack(self._losses).mean()))
            numbers = {name: float(value) for name, value in means.items()}
            self.history.append({"epoch": self.current_epoch, **loss, **numbers})

    def _folder(self) -> Path:
        return Path(self.trainer.log_dir or self.trainer.default_root_dir)

    def _draw(self) -> None:
        selectors = selectors_of(self.encoder)
        if selectors is None:
            return
        from brainnet import plot

        folder = self._folder() / "maps"
        folder.mkdir(parents=True, exist_ok=True)
        grid = self.settings.tokens.grid
        figure = plot.training(
            self.history, selectors, self.space, scores=self.scores["val"]["r"], layer_names=self.layers,
            fade=not self.data.dataset.is_shuffled, places=plot.Places(kind_read_by(self.backbone), grid[0] == 1),
            leave_out=meaningless_panels(self.settings.readout.start, grid).get("leave_out", ()),
        )  # fmt: skip
        plot.save(figure, folder / f"epoch{self.current_epoch:03d}", ("png",), dpi=100)

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

    def predict_dataloader(self):
        """All images of the data, in order."""
        return self._loader("predict")

    def _loader(self, split: str):
        if self.data is None:
            raise ValueError("PLModel(skip_data=True) has no data: pass a data module to the trainer.")
        return getattr(self.data, f"{split}_dataloader")()

    # ------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what rebuilds the read-out: settings, layers, the place of each voxel, and whose tokens it read."""
        checkpoint[CHECKPOINT_KEY] = {
            "config": naming(self.cfg, self.backbone, self.layers).dump(),
            "layers": list(self.layers),
            "layer_widths": list(self.layer_widths),
            "backbone": dict(self.identity),
            "history": [dict(epoch) for epoch in self.history],
            # of texts, sounds and clips it is the network's own, and comes back with the network
            "preprocessing": asdict(self.preprocessing) if isinstance(self.preprocessing, Preprocessing) else {},
            "tr": self.tr,
            "space": packed(self.space),
            "started": self._started,
            "weights_sha256": weights_digest(checkpoint["state_dict"]),
        }

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool = True,
        weights_only: bool = True,
        **options: Any,
    ) -> PLModel:
        """The model that a checkpoint holds; its path alone is enough.

        Args:
            checkpoint_path: written by a Trainer.
            map_location: as in ``torch.load``: a device, or what maps saved places to devices. None is the CPU.
            hparams_file: none of brainnet's; a checkpoint holds its settings.
            strict: every weight must be there.
            weights_only: always so.
            options: of :class:`PLModel`. By default ``cfg`` is the checkpoint's, ``backbone`` the one that names, and
                ``skip_data`` true where no ``data`` are given.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a damaged checkpoint, or one of another backbone, other voxels or other settings.
        """
        checkpoint = read_checkpoint(checkpoint_path)
        if "cfg" not in options:
            options["cfg"] = parse_config(saved_in(checkpoint)["config"])
        if "backbone" not in options:
            options["backbone"] = rebuilt(options["cfg"], str(checkpoint_path))
        options.setdefault("skip_data", options.get("data") is None)
        model = cls(**options)
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(checkpoint["state_dict"], strict=strict)
        if map_location is not None and not isinstance(map_location, str | torch.device):
            weights = torch.load(checkpoint_path, map_location=map_location, weights_only=True)["state_dict"]
            map_location = weights["usable"].device
        return model if map_location is None else model.to(map_location)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Builds the read-out of a checkpoint where there is none, else checks that both are of one kind."""
        saved = saved_in(checkpoint)
        other = other_forward(saved["config"], self.cfg)
        if other:
            raise ValueError(f"the checkpoint was trained with {', '.join(other)}: give PLModel the same settings.")
        if self.encoder is None:
            self._build(saved["layers"], saved["layer_widths"], unpacked(saved["space"]))
            own = getattr(self.backbone, "preprocessing", None) or Preprocessing()
            self.preprocessing = Preprocessing(**saved["preprocessing"]) if saved["preprocessing"] else own
            self.tr = saved.get("tr")
        self.field = FieldRidge.like(checkpoint["state_dict"])
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
        self._started = bool(saved.get("started", True))  # of a Tuner's checkpoint, written before any step, False
