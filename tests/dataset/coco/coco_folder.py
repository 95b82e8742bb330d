"""A folder of NSD's table and one of COCO, small, in which every pixel of every mask is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS = ["", "cocoId", "cocoSplit", "cropBox", "loss", "nsdId", "flagged", "BOLD5000", "shared1000"]
CATEGORIES = [{"id": number, "name": name} for number, name in ((1, "person"), (18, "dog"), (90, "toothbrush"))]
HEIGHT, WIDTH = 40, 60
CROP = (0.0, 0.0, 10 / 60, 10 / 60)  # so that 40 x 40 pixels are left
FIRST, SECOND = 262_145, 532_481  # in COCO; 2950 and 0 in NSD
SQUARE = [20, 10, 30, 10, 30, 20, 20, 20]  # x, y of the corners: columns 20 to 29 of rows 10 to 19
TALL = [22.0, 12.0, 26.0, 12.0, 26.0, 30.0, 22.0, 30.0]
OUTSIDE = [0, 0, 5, 0, 5, 5, 0, 5]  # is cut off
CAPTIONS = ["A dog.", " A dog in a square. ", "One dog", "Dogs?", "Five."]


def write_table(path: Path, rows: list[tuple[int, int, str, str]]) -> Path:
    """``nsd_stim_info_merged.csv`` of (nsdId, cocoId, split, cropBox)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(COLUMNS)]
    lines += [
        f'{i},{coco},{split},"{box}",0.1,{nsd},False,False,True' for i, (nsd, coco, split, box) in enumerate(rows)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_nsd(root: Path) -> Path:
    rows = [(0, SECOND, "val2017", "(0, 0, 0.1671875, 0.1671875)"), (2950, FIRST, "train2017", str(CROP)),
            (72_999, 9, "train2017", "(0.125, 0.125, 0, 0)")]  # fmt: skip
    write_table(root / "nsddata/experiments/nsd/nsd_stim_info_merged.csv", rows)
    return root


def picture() -> np.ndarray:
    """(HEIGHT, WIDTH, 3): red by the column, green by the row."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = 4 * np.arange(WIDTH), 6 * np.arange(HEIGHT)[:, None]
    return pixels


def things() -> list[dict]:
    """A dog in a square, a person on it, a crowd as run lengths, and one that is cut off."""
    crowd = np.zeros((HEIGHT, WIDTH), bool)
    crowd[25:40, 15:50] = True
    runs = np.diff(np.r_[0, np.flatnonzero(np.diff(crowd.T.ravel().astype(int))) + 1, crowd.size]).tolist()
    one = {"image_id": FIRST, "iscrowd": 0}
    return [
        one | {"id": 71, "category_id": 18, "segmentation": [SQUARE], "bbox": [20, 10, 10, 10], "area": 100},
        one | {"id": 72, "category_id": 1, "segmentation": [TALL], "bbox": [22, 12, 4, 18], "area": 72},
        one | {"id": 73, "category_id": 1, "segmentation": {"counts": runs, "size": [HEIGHT, WIDTH]}, "iscrowd": 1},
        one | {"id": 74, "category_id": 90, "segmentation": [OUTSIDE], "bbox": [0, 0, 5, 5], "area": 25},
    ]


def write_coco(root: Path) -> Path:
    (root / "annotations").mkdir(parents=True)
    (root / "train2017").mkdir()
    Image.fromarray(picture()).save(root / "train2017" / f"{FIRST:012d}.jpg", quality=100, subsampling=0)
    image = {"id": FIRST, "height": HEIGHT, "width": WIDTH, "file_name": f"{FIRST:012d}.jpg"}
    stranger = {"id": 5, "height": 4, "width": 4, "file_name": "000000000005.jpg"}
    others = [{"id": 99, "image_id": 5, "category_id": 1, "segmentation": [[0, 0, 1, 0, 1, 1]], "iscrowd": 0}]
    captions = [{"id": i, "image_id": FIRST, "caption": text} for i, text in enumerate(CAPTIONS)]
    files = {
        "instances_train2017": (things() + others, [image, stranger], CATEGORIES),
        "captions_train2017": (captions, [image, stranger], []),
        "instances_val2017": ([], [image | {"id": SECOND}], CATEGORIES),
    }
    for name, (marks, images, categories) in files.items():
        content = {"images": images, "annotations": marks, "categories": categories}
        (root / "annotations" / f"{name}.json").write_text(json.dumps(content))
    return root
