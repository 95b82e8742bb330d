import pytest

from brainnet.plot.scene import Scene


def test_a_scene_is_named_by_its_surface():
    assert Scene.of(None).surface == "flat"
    assert Scene.of("pial") == Scene("pial")
    assert Scene.of(Scene(pixels=300)).pixels == 300
    assert Scene(views="ventral").views == ("ventral",)
    assert Scene().at(3).pixels == 600
    assert Scene(pixels=70).at(3).pixels == 70


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"surface": "inflatd"}, "inflated"), ({"views": ("latral",)}, "lateral"), ({"hemisphere": "lef"}, "left"),
        ({"views": ()}, "views"), ({"relief": 2.0}, "2.0"), ({"pixels": 3}, "3"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_at_is_refused(given, named):
    with pytest.raises(ValueError, match=named):
        Scene(**given)
