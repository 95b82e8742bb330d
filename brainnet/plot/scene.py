"""What of the cortex a map shows: which surface, from which sides, of which hemispheres."""

from __future__ import annotations

from dataclasses import dataclass, replace

from brainnet._checks import check_word

FLAT = "flat"
FOLDED = ("inflated", "pial", "white", "sphere")
# view -> (where the camera stands, what is up there); x is to the right, y forwards, z up; lateral is of the left side
VIEWS = {
    "lateral": ((-1, 0, 0), (0, 0, 1)),
    "medial": ((1, 0, 0), (0, 0, 1)),
    "ventral": ((0, 0, -1), (0, 1, 0)),
    "dorsal": ((0, 0, 1), (0, 1, 0)),
    "anterior": ((0, 1, 0), (0, 0, 1)),
    "posterior": ((0, -1, 0), (0, 0, 1)),
}
SIDES = ("left", "right")
PIXELS_AN_INCH = 200


@dataclass(frozen=True)
class Scene:
    """A surface and how it is looked at.

    Args:
        surface: "flat", "inflated", "pial", "white" or "sphere".
        views: any of "lateral", "medial", "ventral", "dorsal", "anterior" and "posterior"; a flat map has none.
        hemisphere: "left" or "right"; None shows those that hold data.
        relief: 0 shows values in the very colors of their legend; up to 1 the light on the folds darkens them too.
        pixels: of the picture, across; None takes 200 for each inch.

    Raises:
        ValueError: an unknown word, no view, or a number that is out of range.

    >>> Scene("pial", ("ventral",), hemisphere="left").views
    ('ventral',)
    >>> Scene.of("inflated") == Scene()
    True
    """

    surface: str = "inflated"
    views: tuple[str, ...] = ("lateral", "medial")
    hemisphere: str | None = None
    relief: float = 0.0
    pixels: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be looked at."""
        check_word("surface", self.surface, (FLAT, *FOLDED))
        views = (self.views,) if isinstance(self.views, str) else tuple(dict.fromkeys(self.views))
        object.__setattr__(self, "views", views)
        for view in views:
            check_word("view", view, VIEWS)
        if not views:
            raise ValueError(f"views is empty; choose among {', '.join(VIEWS)}.")
        if self.hemisphere is not None:
            check_word("hemisphere", self.hemisphere, SIDES)
        if not 0 <= self.relief <= 1:
            raise ValueError(f"relief is 0 to 1, got {self.relief}.")
        if self.pixels is not None and not 50 <= self.pixels <= 20_000:
            raise ValueError(f"pixels is 50 to 20000, got {self.pixels}.")

    def at(self, inches: float) -> Scene:
        """The scene with as many pixels as suit a picture that is so wide, where their number is not given."""
        return self if self.pixels else replace(self, pixels=max(50, round(PIXELS_AN_INCH * inches)))

    @classmethod
    def of(cls, given: Scene | str | None) -> Scene:
        """The scene itself, or the one of a surface by its name; None is the flat map."""
        return given if isinstance(given, Scene) else cls(given or FLAT)
