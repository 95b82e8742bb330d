"""Bonner and Epstein's scenes; what their reader shares with others is tested in test_rdm_folder."""

from brainnet.dataset import DATASETS
from brainnet.dataset.readers.bonner2017 import Bonner2017


def test_it_is_listed_as_a_set_of_rdms():
    assert DATASETS["bonner2017"] is Bonner2017
    assert Bonner2017.about.kind == "RDMs"
    assert "not known" in Bonner2017.about.verified
