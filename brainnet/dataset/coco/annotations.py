"""COCO's annotations of the photographs that are asked for: captions, and the things in them with their outlines.

The files are COCO's own, ``annotations/{instances,captions}_{train,val}2017.json``. A file is read whole when it is
first needed, which takes several times its size in memory for a moment, and only what belongs to the wanted photographs
is kept.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._files import read_json
from brainnet.dataset.coco.masks import Masks, mask_of


class CocoAnnotations:
    """Captions and masks of photographs of COCO.

    Args:
        folder: COCO's, with ``annotations`` below it, or that folder itself.
        wanted: the numbers of the photographs to keep; None keeps all of a file.

    Raises:
        FileNotFoundError: such a file is not there, when it is first needed; names it.
        ValueError: a file of another kind; names it, and what is missing in it.

    >>> import json, tempfile
    >>> file = Path(tempfile.mkdtemp()) / "captions_val2017.json"
    >>> captions = {"images": [{"id": 9}], "annotations": [{"image_id": 9, "id": 1, "caption": "A dog asleep."}]}
    >>> _ = file.write_text(json.dumps(captions))
    >>> CocoAnnotations(file.parent).captions(9, "val2017")
    ['A dog asleep.']
    """

    def __init__(self, folder: str | os.PathLike, wanted: Collection[int] | None = None):
        folder = Path(folder)
        self.folder = folder / "annotations" if (folder / "annotations").is_dir() else folder
        self.wanted = None if wanted is None else frozenset(wanted)
        self._files: dict[str, dict[int, dict[str, Any]]] = {}
        self.categories: dict[int, str] = {}
        """Number of each category that a file has named, with its name."""

    def captions(self, coco_id: int, split: str) -> list[str]:
        """All captions of a photograph (five, for a few six or seven), in the order of the file."""
        return [one["caption"].strip() for one in self._found(coco_id, "captions", split)["annotations"]]

    def size(self, coco_id: int, split: str) -> tuple[int, int]:
        """Height and width of a photograph, in pixels."""
        image = self._found(coco_id, "instances", split)["image"]
        return int(image["height"]), int(image["width"])

    def masks(self, coco_id: int, split: str) -> Masks:
        """The things in a photograph, in the order of the file; a photograph may have none.

        Raises:
            ValueError: an outline that is damaged; names its annotation.
        """
        height, width = self.size(coco_id, split)
        found = self._found(coco_id, "instances", split)["annotations"]
        pixels = np.zeros((len(found), height, width), bool)
        for place, one in enumerate(found):
            try:
                pixels[place] = mask_of(one["segmentation"], height, width)
            except (ValueError, TypeError, KeyError) as error:
                said = f"no {error}" if isinstance(error, KeyError) else error
                raise ValueError(f"annotation {one.get('id')} of photograph {coco_id}: {said}") from None
        return Masks(
            pixels,
            names=tuple(self.categories.get(one["category_id"], str(one["category_id"])) for one in found),
            category_ids=tuple(int(one["category_id"]) for one in found),
            ids=tuple(int(one["id"]) for one in found),
            crowds=tuple(bool(one.get("iscrowd")) for one in found),
        )

    def _found(self, coco_id: int, kind: str, split: str) -> dict[str, Any]:
        name = f"{kind}_{split}.json"
        if name not in self._files:
            self._files[name] = self._read(self.folder / name)
        if coco_id not in self._files[name]:
            raise ValueError(f"{self.folder / name} has no photograph {coco_id}.")
        return self._files[name][coco_id]

    def _read(self, path: Path) -> dict[int, dict[str, Any]]:
        if not path.is_file():
            raise FileNotFoundError(f"no {path}: COCO's annotations_trainval2017.zip holds it.")
        content = read_json(path)
        try:
            kept = {
                int(image["id"]): {"image": image, "annotations": []}
                for image in content["images"]
                if self.wanted is None or int(image["id"]) in self.wanted
            }
            for one in content["annotations"]:
                if (of := int(one["image_id"])) in kept:
                    kept[of]["annotations"].append(one)
            self.categories |= {int(one["id"]): one["name"] for one in content.get("categories", ())}
        except (KeyError, TypeError, ValueError) as error:
            said = f"no {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{path} is no file of COCO's annotations: {said}.") from None
        return kept
