"""Lightning's callbacks, made to go on in a folder that was moved and with settings that a resumed run may change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint


class Checkpoint(ModelCheckpoint):
    """Finds its files where the run folder is now: Lightning forgets the best score where a folder was moved."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over an earlier run's state, its paths in this run's folder."""

        def here(path: str) -> str:
            return str(Path(self.dirpath) / Path(path).name) if path else path

        paths = {key: here(state[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        models = {here(path): score for path, score in state["best_k_models"].items()}
        super().load_state_dict(state | paths | {"dirpath": self.dirpath, "best_k_models": models})


class Patience(EarlyStopping):
    """Keeps to the patience it was made with, also where a run resumes that had another."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over an earlier run's state but its patience."""
        super().load_state_dict(state | {"patience": self.patience})
