import pytest

from brainnet.space._matching import matching_names

NAMES = ["V1v", "V1d", "hV4", "FFA-1", "v1*"]


def test_patterns_find_names_whatever_their_case():
    assert matching_names(NAMES[:4], "v1?", "ROI") == ("V1v", "V1d")
    assert matching_names(NAMES, "v1*", "ROI") == ("v1*",)  # an exact name
    assert matching_names(NAMES[:4], "Wang.*4", "area", front="Wang") == ("hV4",)


def test_what_is_like_none_names_the_nearest():
    with pytest.raises(ValueError, match="ROI 'FFA1'.*'FFA-1'"):
        matching_names(NAMES, "FFA1", "ROI")
    with pytest.raises(ValueError, match="none"):
        matching_names([], "V1", "ROI")
