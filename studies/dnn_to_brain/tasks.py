"""Networks of tasks, as published: the RDMs that came with the paper, and the encoders themselves on other pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from brainnet.backbone import build_backbone
from brainnet.rsa import RDMs
from studies.form import reading

GROUPS = ("2D", "3D", "semantic")
TASKS = {  # the published name -> its group, and brainnet's name of the encoder
    "autoencoder": ("2D", "autoencoding"), "colorization": ("2D", "colorization"), "denoise": ("2D", "denoising"),
    "edge2d": ("2D", "edge_texture"), "inpainting_whole": ("2D", "inpainting"), "keypoint2d": ("2D", "keypoints2d"),
    "segment2d": ("2D", "segment_unsup2d"), "curvature": ("3D", "curvature"), "edge3d": ("3D", "edge_occlusion"),
    "reshade": ("3D", "reshading"), "rgb2depth": ("3D", "depth_zbuffer"), "rgb2mist": ("3D", "depth_euclidean"),
    "rgb2sfnorm": ("3D", "normal"), "segment25d": ("3D", "segment_unsup25d"), "keypoint3d": ("3D", "keypoints3d"),
    "class_1000": ("semantic", "class_object"), "class_places": ("semantic", "class_scene"),
    "segmentsemantic": ("semantic", "segment_semantic"),
}  # fmt: skip
UNTRAINED = "untrained random"  # the nineteenth network, of no group
NAMES = {f"{group} {task}": task for task, (group, _) in TASKS.items()} | {UNTRAINED: "random"}
LAYERS = {"block4": "layer4", "encoder_output": "encoding"}
BEST = {  # the network whose bar comes first in the published figure of each region
    "V1v": "2D edge2d", "V1d": "2D edge2d", "V2v": "2D edge2d", "V2d": "2D edge2d", "V3v": "2D edge2d",
    "V3d": "3D keypoint3d", "hV4": "2D edge2d", "VO1": "semantic segmentsemantic", "VO2": "semantic segmentsemantic",
    "PHC1": "semantic segmentsemantic", "PHC2": "3D keypoint3d", "LO2": "3D keypoint3d", "LO1": "3D keypoint3d",
    "V3b": "3D keypoint3d", "V3a": "3D segment25d",
}  # fmt: skip


def published_rdms(folder: Path) -> tuple[dict[str, RDMs], dict[str, RDMs]]:
    """RDMs of every region that has a file, over subjects; and of the two layers of each network.

    A file of a network has the names of its task and of its layer anywhere in its path, and the entry ``rdm``. A file
    of a region has the region's name there, and the entry ``subject_rdm``, (n_subjects, n, n).

    Raises:
        WrongData: a network has no file or several, no region has one, or the numbers of conditions differ.
    """
    paths = {path: path.relative_to(folder).as_posix().lower() for path in sorted(folder.rglob("*.mat"))}
    with reading():
        files = {
            (name, layer): _the_one([path for path, text in paths.items() if task in text and layer in text],
                                    f"the task {task!r} and the layer {layer!r}", folder)
            for name, task in NAMES.items() for layer in LAYERS
        }  # fmt: skip
        models = {
            name: RDMs.stack(
                [RDMs(RDMs.load(files[name, layer], "rdm").values[:1], names=(layer,)) for layer in LAYERS]
            )
            for name in NAMES
        }
        others = {path: text for path, text in paths.items() if path not in files.values()}
        with_file = {roi: [path for path, text in others.items() if roi.lower() in text] for roi in BEST}
        brains = {
            roi: RDMs(RDMs.load(_the_one(some, f"the region {roi}", folder), "subject_rdm").values)
            for roi, some in with_file.items() if some
        }  # fmt: skip
        if not brains:
            raise ValueError(
                f"{folder} has no RDMs of a region: expected a .mat file with the name of one of {[*BEST]}."
            )
        counts = {name: one.n_conditions for name, one in {**models, **brains}.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"RDMs in {folder} are of different numbers of conditions: {counts}.")
    return brains, models


def _the_one(paths: list[Path], what: str, folder: Path) -> Path:
    if len(paths) != 1:
        raise ValueError(
            f"expected one .mat file below {folder} with {what} in its path, and found {len(paths)}"
            f"{': ' + ', '.join(path.name for path in paths[:3]) if paths else ''}."
        )
    return paths[0]


def task_networks(weights: str, seed: int) -> Iterator[tuple[str, Any]]:
    """The 18 encoders by name with published weights, or each with random ones of its own, and the untrained one."""
    for k, (name, task) in enumerate(NAMES.items()):
        variant, given = ("autoencoding", "random") if name == UNTRAINED else (TASKS[task][1], weights)
        options = {} if given == "published" else {"weights": given}
        with reading():
            network = build_backbone(f"taskonomy:{variant}", layers=[*LAYERS.values()], seed=seed + k, **options)
        yield name, network
