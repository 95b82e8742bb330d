import pytest

from brainnet.plot import Places


@pytest.mark.parametrize(("places", "in_time", "meaning"), [
    (Places(), False, "place in the image"),
    (Places("image", one_row=True), False, "place in the image"),
    (Places("video", one_row=True), False, "place in the frame"),
    (Places("text", one_row=True), True, "moment of the text"),
    (Places("sound"), False, "time and frequency"),
])  # fmt: skip
def test_a_place_is_a_moment_in_one_row_of_a_text_or_a_sound(places, in_time, meaning):
    assert (places.in_time, places.meaning) == (in_time, meaning)
    assert len(places.borders) == 4
    assert places.whole == f"the whole {places.reads}"
