"""Short videos shown to a network of images: each is one picture, its middle frame or the mean of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from brainnet._checks import check_word
from brainnet._files import file_digest, sha256
from brainnet.stimuli import Images

FRAMES = ("middle", "mean", "first")


class Clips:
    """Pictures of video files, made as they are asked for and not kept.

    Args:
        paths: a video each.
        ids: a name each.
        frame: "middle", "first", or "mean" (the mean of all frames, pixel by pixel).

    Raises:
        FileNotFoundError: videos that are not there; names the first.
    """

    kind = "image"

    def __init__(self, paths: Sequence[Path], ids: Sequence[str], frame: str = "middle"):
        check_word("frame", frame, FRAMES)
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise FileNotFoundError(f"{len(missing)} of {len(paths)} videos do not exist, the first is {missing[0]}.")
        self.paths, self.ids, self.frame = list(paths), list(ids), frame
        self.image_ids = self.ids

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        """The picture of video ``index``, an RGB ``PIL.Image``.

        Raises:
            ModuleNotFoundError: the package that reads videos is not installed.
            ValueError: the video cannot be read; names it.
        """
        frames = Images(self.paths[index], layout="video")
        if self.frame != "mean":
            return frames[len(frames) // 2 if self.frame == "middle" else 0]
        total = sum(np.asarray(frames[place], np.float64) for place in range(len(frames)))
        from PIL import Image

        return Image.fromarray(np.round(total / len(frames)).astype(np.uint8))

    def signature(self) -> str:
        """Digest of all bytes of every video, and of which frame is shown."""
        return sha256(f"{self.frame} ", *map(file_digest, self.paths))
