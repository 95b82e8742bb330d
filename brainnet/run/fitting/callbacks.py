"""Lightning's parts, made to go on in a moved folder and with changed settings, to write whole, to time first steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from brainnet._files import writing


class Checkpoint(ModelCheckpoint):
    """Finds its files where the run folder is now: Lightning forgets the best score where a folder was moved."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over an earlier run's state, its paths in this run's folder."""

        def here(path: str) -> str:
            return str(Path(self.dirpath) / Path(path).name) if path else path

        paths = {key: here(state[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        models = {here(path): score for path, score in state["best_k_models"].items()}
        super().load_state_dict(state | paths | {"dirpath": self.dirpath, "best_k_models": models})


class Pace(Callback):
    """Calls ``say(seconds left)`` once, when some steps of training have been timed.

    Args:
        say: what to do with the seconds that the training will still take.
        every: epochs between validations; 0 where there are none.
    """

    FIRST, STEPS, SECONDS, VALIDATION = (
        3,
        10,
        3.0,
        0.4,
    )  # steps not timed, timed at least; a validation's share of a step

    def __init__(self, say: Callable[[float], None], every: int):
        self.say, self.every, self._began, self._steps = say, every, 0.0, 0

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Counts a step."""
        self._steps += 1
        if self._steps == self.FIRST:
            self._began = time.perf_counter()
        timed, spent = self._steps - self.FIRST, time.perf_counter() - self._began
        if timed < self.STEPS or spent < self.SECONDS or self.say is None:
            return
        left = trainer.max_epochs * trainer.num_training_batches - trainer.global_step
        if self.every:
            epochs = trainer.max_epochs - trainer.current_epoch
            left += self.VALIDATION * sum(trainer.num_val_batches or [0]) * epochs / self.every
        self.say(left * spent / timed)
        self.say = None


class Patience(EarlyStopping):
    """Keeps to the patience it was made with, also where a run resumes that had another."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over an earlier run's state but its patience."""
        super().load_state_dict(state | {"patience": self.patience})


class WholeCheckpoints(TorchCheckpointIO):
    """Puts a checkpoint in its place when it is whole.

    Lightning writes it in the system's folder for temporary files. Where that is another disk, moving it copies it: a
    kill leaves half a checkpoint in the place of the last one, and a file in that folder for good.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a checkpoint to a local path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as unfinished, unfinished.open("wb") as file:  # a file: a path would be told inside
            torch.save(checkpoint, file)
