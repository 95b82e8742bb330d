"""What takes a trained model to other people and back: a folder, or a repository of a hub; no data set is needed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import Tensor

from brainnet.backbone import BACKBONES
from brainnet.backbone.folders import without_place
from brainnet.backbone.kinds import kind_read_by
from brainnet.backbone.weights import load_weights
from brainnet.config import config_keys, get_cfg_defaults
from brainnet.model import READOUTS
from brainnet.plmodel import hub
from brainnet.plmodel.build import build_backbone_of
from brainnet.plmodel.encoder_files import (
    is_plain,
    names_no_file,
    read_encoder,
    write_encoder,
)
from brainnet.plmodel.rebuilding import BY_NAME, built, model_of, names_a_family, naming
from brainnet.space import BrainSpace
from brainnet.tokens import Preprocessing

if TYPE_CHECKING:
    from typing import Self

TRAVEL = (  # settings that stand in an encoder's config.json: none names a place on the author's machine
    "DESCRIPTION", "SEED", "DATASET.BATCH_SIZE", "DATASET.SHUFFLED", "BACKBONE", "TOKENS.STANDARDIZE", "TOKENS.PCA",
    "TOKENS.WHITEN", "MODEL", "RESPONSES", "LOSS", "OPTIMIZER", "REGULARIZATION", "TRAINER.MAX_EPOCHS",
    "TRAINER.CLIP_NORM", "TRAINER.FIT_ON",
)  # fmt: skip
OWN_WEIGHTS = "of a file"  # what stands for the path of a weights file of the author's
PUBLISHED_LAYERS = "local_token_bottleneck."


class Travels:
    """The part of :class:`brainnet.plmodel.PLModel` that saves, loads and publishes encoders."""

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | os.PathLike,
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike | None = None,
        token: hub.Token = None,
        backbone: Any = BY_NAME,
    ) -> Self:
        """The model of a folder, or of a repository of the Hugging Face hub, in evaluation mode, on the CPU.

        It needs no data set. Nothing in the files is run.

        Args:
            path_or_id: a folder that :meth:`save_pretrained` or ``brainnet export --to model`` wrote, or "OWNER/NAME".
            revision: of the repository: a branch, a tag or a commit.
            cache_dir: where the hub keeps its downloads.
            token: for a private repository.
            backbone: by default the one that the encoder names. An object with ``get_tokens`` takes its place, and must
                be the network that the encoder was trained on; None loads the encoder alone, which then takes tokens
                and no images.

        Raises:
            FileNotFoundError: no such folder or repository, or one without an encoder.
            ValueError: a damaged encoder, one of another version or kind, or another backbone.
            ConnectionError: the hub does not answer.
        """
        folder = encoder_folder(path_or_id, revision, cache_dir, token)
        files = read_encoder(folder, str(path_or_id))
        if files.config["kind"] != "readout":
            raise ValueError(
                f"{files.where} holds a linear encoder, of `brainnet encode`: load_encoder of the room run reads it."
            )
        return model_of(cls, files, backbone)

    def save_pretrained(
        self, folder: str | os.PathLike, *, readme: str | None = None, pictures: Mapping[str, bytes] | None = None
    ) -> Path:
        """Writes ``model.safetensors``, ``config.json`` and ``README.md``, which :meth:`from_pretrained` reads.

        Args:
            folder: made where it does not exist.
            readme: the model card; None writes a short one. ``brainnet export RUN --to model`` writes a whole one.
            pictures: names of further files and their bytes.

        Raises:
            FileExistsError: the folder holds something else.
            ValueError: an empty model, or one whose read-out is a class in a file of yours.
        """
        self._require_encoder()
        name = self.cfg.MODEL.READOUT
        if name not in READOUTS or not names_no_file(name):
            raise ValueError(
                f"the read-out {name} is code in a file of yours, and an encoder holds no code: announce it from a "
                "package, under the entry point brainnet.readouts."
            )
        readme = short_card(self.cfg.DESCRIPTION, kind_read_by(self.backbone)) if readme is None else readme
        return write_encoder(folder, "readout", _config_of(self), self.state_dict(), self.space, readme, pictures)

    def push_to_hub(
        self,
        name: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        token: hub.Token = None,
        message: str = "Encoder of brainnet",
        readme: str | None = None,
    ) -> str:
        """Puts the encoder into a repository of the hub, which is made where it does not exist; returns its address.

        Args:
            name: "OWNER/NAME".
            private: whether a new repository is.
            revision: branch.
            token: that may write; None takes the one that ``hf auth login`` saved.
            message: of the commit.
            readme: see :meth:`save_pretrained`.

        Raises:
            PermissionError: no token, or one that may not write there.
            ConnectionError: the hub does not answer.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, readme=readme)
            return hub.push(folder, name, private=private, revision=revision, token=token, message=message)

    @classmethod
    def from_original(cls, file: str | os.PathLike, space: BrainSpace | Tensor, *, backbone: Any = BY_NAME) -> Self:
        """A model with weights in the layout of the original project, such as its ``clip_factorTopy.pth``.

        Args:
            file: its weights, a state dict of FactorTopy; no code in it is run.
            space: where the voxels are, in the order of the weights; or their coordinates alone, (n_voxels, 3). They
                must be those of the training: of the published weights, ``BrainDataset(root).space``.
            backbone: as in :meth:`from_pretrained`; by default ``original:clip``.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not such weights, or a space of other voxels.
        """
        weights = load_weights(file)
        space = space if isinstance(space, BrainSpace) else BrainSpace(coords=torch.as_tensor(space))
        layers = [key.split(".")[1] for key in weights if key.startswith(PUBLISHED_LAYERS)]
        lacking = [name for name in ("weight", "bias", "space_selector_mlp.1.weight") if name not in weights]
        if lacking or not layers or weights["weight"].ndim != 2:
            raise ValueError(
                f"{file} is no FactorTopy of the original project: it lacks {', '.join(lacking) or 'layers'}."
            )
        n_voxels, channels = weights["weight"].shape
        if space.coords is None or space.n_voxels != n_voxels:
            known = "no coordinates" if space.coords is None else f"{space.n_voxels} voxels"
            raise ValueError(f"{file} has {n_voxels} voxels, and the space has {known}: give the one of the training.")
        cfg = get_cfg_defaults()
        cfg.DESCRIPTION = f"FactorTopy of the original project, {Path(file).name}"
        cfg.MODEL.BOTTLENECK_DIM, cfg.MODEL.RESIZE, cfg.MODEL.TOPOLOGY = channels, "bilinear", "coords"
        backbone = build_backbone_of(cfg) if isinstance(backbone, str) and backbone == BY_NAME else backbone
        widths = [_width(weights, layer, str(file)) for layer in layers]
        return built(cls, cfg, backbone, layers, widths, space, Preprocessing(),
                      {f"encoder.{name}": value.float() for name, value in weights.items()}, str(file))  # fmt: skip


def encoder_folder(
    path_or_id: str | os.PathLike, revision: str | None = None, cache_dir: Any = None, token: hub.Token = None
) -> Path:
    """The folder of an encoder: the one that is named, or the hub's cache of a repository.

    Raises:
        FileNotFoundError: no such folder or repository.
    """
    folder = Path(path_or_id)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"{folder} is a folder, and revision={revision!r} is for a repository of the hub.")
        return folder
    if not hub.is_id(path_or_id):
        raise FileNotFoundError(f"no folder {path_or_id}, and no repository of a hub, which is OWNER/NAME.")
    return hub.fetched(str(path_or_id), revision, cache_dir, token)


def short_card(description: str, kind: str = "image") -> str:
    """A model card that says how to load the encoder, and little else."""
    header = yaml.safe_dump({"library_name": "brainnet", "tags": ["brainnet", "encoding-model"]}, sort_keys=False)
    title = " ".join(description.split()) or "An encoder"
    return (
        f"---\n{header}---\n\n# {title}\n\nThis encoder predicts brain responses to {kind}s. Load it with\n\n"
        "```python\nfrom brainnet.plmodel import PLModel\n\nmodel = PLModel.from_pretrained(\"FOLDER or OWNER/NAME\")\n"
        "```\n\nIts data, scores and license were not said when it was saved.\n"
    )  # fmt: skip


# ---------------------------------------------------------------------- what is written


def _config_of(model: Any) -> dict[str, Any]:
    """The entries of ``config.json``."""
    cfg = naming(model.cfg, model.backbone, model.layers)
    settings = {key: value for key, value in config_keys(cfg).items()
                if any(key == one or key.startswith(f"{one}.") for one in TRAVEL)}  # fmt: skip
    name = model.identity.get("name", "")
    by_name = _settings_name_it(model, cfg)
    if not by_name and names_a_family(name):  # it was passed, and the settings that name one were not used
        by_name, own = True, [key for key in settings if key.startswith("BACKBONE.")]
        settings = {key: value for key, value in settings.items() if key not in own}
        settings |= {"BACKBONE.NAME": name, "BACKBONE.WEIGHTS": "", "MODEL.LAYERS": list(model.layers)}
    if not names_no_file(str(settings["BACKBONE.WEIGHTS"])):
        settings["BACKBONE.WEIGHTS"] = OWN_WEIGHTS
        by_name = False
    travels, folder = without_place(settings["BACKBONE.NAME"])
    settings["BACKBONE.NAME"] = travels
    if not names_no_file(settings["BACKBONE.NAME"].replace("/", "")):
        settings["BACKBONE.NAME"], by_name = "own", False
    own = [key for key, value in settings.items() if key.startswith("BACKBONE.OPTIONS.") and not is_plain(value)]
    for key in own:
        del settings[key]
    return {
        "backbone_by_name": by_name and not own,
        **folder,
        "backbone": dict(model.identity),
        "layers": list(model.layers),
        "layer_widths": list(model.layer_widths),
        # of texts, sounds and clips it is the network's own, and comes back with the network
        "preprocessing": asdict(model.preprocessing) if isinstance(model.preprocessing, Preprocessing) else None,
        "tr": model.tr,
        "settings": settings,
    }


def _settings_name_it(model: Any, cfg: Any) -> bool:
    """Whether the settings name the network that the model has."""
    name, backbone = cfg.BACKBONE.NAME, model.backbone
    family = f"{BACKBONES.folder}.{name.partition(':')[0]}"
    return name in (model.identity.get("name"), getattr(backbone, "built_from", None)) or (
        backbone is not None and type(backbone).__module__ == family
    )


def _width(weights: Mapping[str, Tensor], layer: str, where: str) -> Any:
    """The channels of a layer, a pair where the local and the global token differ."""
    found = []
    for kind in ("local", "global"):
        value = weights.get(f"{kind}_token_bottleneck.{layer}.weight")
        if value is None or value.ndim < 2:
            raise ValueError(f"{where} is no FactorTopy of the original project: layer {layer!r:.40} lacks weights.")
        found.append(value.shape[1])
    return found[0] if found[0] == found[1] else tuple(found)
