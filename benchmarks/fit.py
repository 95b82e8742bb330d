"""How long a whole map takes under ``Trainer.fit``, and where the time goes.

``python -m benchmarks fit --images 128`` trains one epoch on simulated tokens of full size (12 layers of 768 channels
on 8 x 8, 37,984 voxels) and scales it to an epoch of 9,000 images. Tokens and responses are noise: only time counts.
"""

from __future__ import annotations

import argparse
import time

import torch

from benchmarks import report, seconds, table
from brainnet.run.record.card import peak_memory

N_TRAIN = 9_000  # training images of an Algonauts subject


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks fit", description=__doc__)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--voxels", type=int, default=37_984)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cuda-graph", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", nargs="?", const="", default=None)
    chosen = parser.parse_args(argv)
    rows, epoch, n_steps = fit_once(chosen)
    report(
        "fit",
        [
            f"{chosen.images} images in batches of {chosen.batch_size}, {chosen.voxels:,} voxels, "
            f"{chosen.layers} layers of {chosen.width}, {chosen.precision}, {chosen.device}"
            f"{', one CUDA graph a step' if chosen.cuda_graph else ''}, seed {chosen.seed}; "
            f"{n_steps} steps.",
            table(["part", "wall", "share", "per step"], rows),
            f"Scaled to an epoch of {N_TRAIN:,} images: {seconds(epoch * N_TRAIN / chosen.images)}. "
            f"{'The parts are times of the host, which does not wait for the GPU. ' if on_gpu(chosen) else ''}"
            f"Peak resident memory {(peak_memory() or 0) / 1e9:.1f} GB.",
        ],
        out=chosen.out,
    )


def on_gpu(chosen: argparse.Namespace) -> bool:
    return chosen.device.startswith("cuda")


def fit_once(chosen: argparse.Namespace) -> tuple[list[list[str]], float, int]:
    """Rows of the table, wall seconds of the epoch and its number of steps."""
    import logging

    import pytorch_lightning as pl
    from pytorch_lightning.profilers import SimpleProfiler

    from brainnet.config import load_config
    from brainnet.datamodule import BrainDataModule
    from brainnet.plmodel import PLModel

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    overrides = ["DATASET.BATCH_SIZE", str(chosen.batch_size), "MODEL.PRECISION", chosen.precision]
    overrides += ["TRAINER.CUDA_GRAPH", str(chosen.cuda_graph), "SEED", str(chosen.seed)]
    cfg = load_config(None, overrides)
    dataset, store = simulated(chosen)
    data = BrainDataModule(dataset, store.to(chosen.device), batch_size=chosen.batch_size, drop_last=True)
    model = PLModel(cfg, None, data=data, progress=False)
    profiler = SimpleProfiler()
    n_epochs = 2 if on_gpu(chosen) else 1  # kernels are compiled and the step is captured in the first: the last counts
    epochs: list[float] = []

    class Clock(pl.Callback):
        def on_train_epoch_start(self, *_):
            self.start = now(chosen)

        def on_train_epoch_end(self, *_):
            epochs.append(now(chosen) - self.start)

    trainer = pl.Trainer(
        max_epochs=n_epochs,
        accelerator="gpu" if on_gpu(chosen) else "cpu",
        devices=1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        profiler=profiler,
        callbacks=[Clock()],
    )
    trainer.fit(model)

    def spent(*endings: str) -> float:
        recorded = profiler.recorded_durations.items()
        return sum(sum(times[-(len(times) // n_epochs) :]) for name, times in recorded if name.endswith(endings))

    forward, backward = spent(".training_step"), spent(".backward")
    step = spent("PLModel.optimizer_step")
    epoch = epochs[-1]
    parts = {
        "reading batches": spent("train_dataloader_next"),
        "forward": forward,
        "backward": backward,
        "AdamW and clipping": step - forward - backward,
    }
    parts["Lightning and the rest"] = epoch - sum(parts.values())
    n_steps = trainer.global_step // n_epochs
    rows = [[name, seconds(t), f"{t / epoch:.0%}", seconds(t / n_steps)] for name, t in parts.items()]
    return [*rows, ["whole epoch", seconds(epoch), "100%", seconds(epoch / n_steps)]], epoch, n_steps


def now(chosen: argparse.Namespace) -> float:
    """The time once everything asked for is done."""
    if on_gpu(chosen):
        torch.cuda.synchronize()
    return time.perf_counter()


def simulated(chosen: argparse.Namespace):
    """A data set without images and a token store without a backbone, both of noise."""
    from brainnet.dataset import ResponseDataset
    from brainnet.space import BrainSpace
    from brainnet.store import TokenStore
    from brainnet.tokens import Tokens

    generator = torch.Generator().manual_seed(chosen.seed)
    n, names = chosen.images, [str(k) for k in range(chosen.layers)]

    def batches():
        for rows in torch.arange(n).split(16):
            local = {k: torch.randn(len(rows), chosen.width, 8, 8, generator=generator) for k in names}
            yield Tokens(local, {k: torch.randn(len(rows), chosen.width, generator=generator) for k in names})

    ids = [str(i) for i in range(n)]
    responses = torch.randn(n, chosen.voxels, generator=generator)
    coords = torch.rand(chosen.voxels, 3, generator=generator) * torch.tensor([400.0, 200.0, 200.0])
    nothing = torch.arange(0)
    space = BrainSpace(coords=coords, n_voxels=chosen.voxels)
    dataset = ResponseDataset(ids, responses, space, {"train": torch.arange(n), "val": nothing, "test": nothing})
    return dataset, TokenStore.from_tokens(batches(), ids, dtype=torch.float16)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
