"""What the places of tokens are: of an image or a frame, or moments of a text or a sound."""

from __future__ import annotations

from typing import NamedTuple


class Places(NamedTuple):
    """What places from -1 to 1 are places of, in the words of a figure.

    Args:
        reads: what the network reads: "image", "video", "text" or "sound".
        one_row: whether the tokens are of one row; those of a text or a sound are moments of it then.

    >>> Places().meaning, Places("sound", one_row=True).meaning, Places("sound").borders
    ('place in the image', 'moment of the sound', ('start', 'end', 'low frequency', 'high'))
    """

    reads: str = "image"
    one_row: bool = False

    @property
    def in_time(self) -> bool:
        """Whether a place is a moment."""
        return self.one_row and self.reads in ("text", "sound")

    @property
    def meaning(self) -> str:
        """What a place is."""
        if self.in_time:
            return f"moment of the {self.reads}"
        known = {"video": "place in the frame", "text": "place among the tokens", "sound": "time and frequency"}
        return known.get(self.reads, "place in the image")

    @property
    def whole(self) -> str:
        """What a voxel of scale 1 reads."""
        return f"the whole {self.reads}"

    @property
    def borders(self) -> tuple[str, str, str, str]:
        """What lies at the left, the right, the top and the bottom."""
        if self.in_time:
            return "start", "end", "", ""
        if self.reads == "sound":
            return "start", "end", "low frequency", "high"
        of = {"video": " of the frame", "text": ""}.get(self.reads, " of the image")
        return "left", "right", f"top{of}", "bottom"
